// Checks of what activation_program.h will run: a program is an array of integers that a caller may have made up.
#pragma once

#include "contract.h"

namespace flicker {

/// Of a program that stands outside a row-wise plan: it may read neither statistics nor neighbors.
constexpr int64_t elementwise = -1;

/// Whether the machine may run this code: every slot, operation and input exists, and only temporaries are written to.
/// `neurons`: learned values per neuron; `statistics`: those that it may read, or `elementwise`.
inline bool program_is_sound(const int32_t* code, int64_t length, int64_t neurons, int64_t statistics = elementwise) {
  if (length < 5) return false;
  for (int i = 0; i < 5; i++)
    if (code[i] < 0 || code[i] > 10000) return false;
  const int64_t uniforms = code[0], inputs = code[1], temporaries = code[2], steps = code[3], outputs = code[4];
  const int64_t slots = uniforms + inputs + temporaries;
  if (slots > max_program_slots || outputs == 0 || length < 5 + 2 * inputs + outputs + 5 * steps) return false;
  const int32_t* at = code + 5;
  const auto input_exists = [&](int32_t kind, int32_t index) {
    switch (kind) {
      case kInputX:
        return index == 0;
      case kInputPrevious:
      case kInputNext:
        return statistics >= 0;
      case kInputDraw:
        return index >= 0 && index < most_channels;
      case kInputNeuron:
        return index >= 0 && index < neurons;
      case kInputStatistic:
        return index >= 0 && index < statistics;
      default:
        return false;
    }
  };
  for (int64_t i = 0; i < inputs; i++, at += 2)
    if (!input_exists(at[0], at[1])) return false;
  for (int64_t i = 0; i < outputs; i++, at++)
    if (*at < 0 || *at >= slots) return false;
  for (int64_t i = 0; i < steps; i++, at += 5) {
    if (at[0] < 0 || at[0] >= operations || at[1] < uniforms + inputs || at[1] >= slots) return false;
    for (int operand = 2; operand < 5; operand++)
      if (at[operand] < 0 || at[operand] >= slots) return false;
  }
  return true;
}

/// The fused activation that arguments `kernel` and `p` name.
template <typename With>
Activation activation_of(const With& with, Arguments& in) {
  const auto kernel = static_cast<FusedKernel>(with.kernel < fused_kernels ? with.kernel : 0);
  const bool draws = kernel == kStochaIdentity || kernel == kStochaSilu || kernel == kStochaDrawn;
  in.require(with.kernel < fused_kernels, with.at_kernel, "is not a fused activation");
  in.require(std::fabs(with.p) < 1e30, with.at_p, "must be a finite number");
  in.require(!draws || (with.p >= 0 && with.p <= 1), with.at_p, "must be a probability");
  return {kernel, with.p};
}

}  // namespace flicker

// The arguments of the small stack's kernels, checked; shared by their two entries in binding.cc.
#pragma once

#include "arguments.h"

namespace flicker {

/// How many arguments mlp_call reads.
constexpr size_t mlp_call_arguments = 13;

/// Learned numbers per activation, at most.
constexpr int64_t most_mlp_numbers = 64;

/// Takes the next of the programs that stand one after the other at `code`: its length, for which the head says it has
/// room, and its uniforms for every hidden layer.
inline MlpProgram mlp_program(Arguments& in, const MlpCall& call, int64_t length, const int32_t*& code,
                              const float*& uniforms) {
  if (length == 0 || !in.ok()) return {nullptr, nullptr};
  const MlpProgram program = {code, uniforms};
  if (!Arguments::program_is_sound(code, length, call.neuron_numbers)) {
    in.fail(11, "is not a program");
    return {nullptr, nullptr};
  }
  code += length;
  uniforms += (call.layers - 1) * program.code[0];
  return program;
}

/// Uniforms of a program that has not been checked yet; 0 where it cannot be one.
inline int64_t mlp_uniforms(const int32_t* code, int64_t length) {
  return length > 0 && code[0] > 0 ? code[0] : 0;
}

/// Reads widths, fused kernel, p, five words of draws, dropout, its tag, layers, programs, uniforms. The programs are one
/// array: numbers shared, numbers per neuron, what shares a draw, draws per element, lengths of the forward, backward and
/// gate programs, then these; or it is empty.
inline MlpCall mlp_call(Arguments& in) {
  MlpCall call = {};
  call.layers = in.size(10);
  call.widths = in.ints(0, call.layers + 1);
  call.activation = in.activation(1);
  call.draw = in.draw(3);
  call.dropout = in.number(8);
  call.dropout_tag = in.word(9);
  if (in.ok() && call.layers < 1) in.fail(10, "must be positive");
  if (in.ok() && !(call.dropout >= 0 && call.dropout < 1)) in.fail(8, "must lie in [0, 1)");
  for (int64_t l = 0; in.ok() && l <= call.layers; l++)
    if (call.widths[l] < 1) in.fail(0, "holds a width below 1");

  const int64_t length = in.length_of(11);
  const int32_t* head = in.ints(11, length);
  call.draw_per = kNoDraws;
  if (!in.ok() || length == 0) return call;
  constexpr int64_t head_length = 7;
  const bool whole = length >= head_length && head[4] >= 0 && head[5] >= 0 && head[6] >= 0 &&
                     length == head_length + static_cast<int64_t>(head[4]) + head[5] + head[6];
  const bool counts = whole && head[0] >= 0 && head[1] >= 0 && head[0] + static_cast<int64_t>(head[1]) <= most_mlp_numbers &&
                      head[2] >= 0 && head[2] <= kNoDraws && head[3] >= 0 && head[3] < 200;
  if (!counts) {
    in.fail(11, "has a head that does not fit it");
    return call;
  }
  call.shared_numbers = head[0], call.neuron_numbers = head[1], call.draw_per = head[2], call.channels = head[3];
  const int32_t* code = head + head_length;
  const int64_t per_layer = mlp_uniforms(code, head[4]) + mlp_uniforms(code + head[4], head[5]) +
                            mlp_uniforms(code + head[4] + head[5], head[6]);
  const float* uniforms = in.floats(12, call.layers - 1, per_layer);
  call.forward = mlp_program(in, call, head[4], code, uniforms);
  call.backward = mlp_program(in, call, head[5], code, uniforms);
  call.gate = mlp_program(in, call, head[6], code, uniforms);
  if (!in.ok()) return call;
  const MlpProgram* programs[] = {&call.forward, &call.backward, &call.gate};
  for (const MlpProgram* program : programs)
    for (int32_t i = 0; program->code != nullptr && i < program->code[1]; i++)
      if (program->code[5 + 2 * i] == 3 && program->code[6 + 2 * i] >= call.channels)
        in.fail(11, "draws from more channels than it says");
  if (call.forward.code != nullptr &&
      (call.backward.code == nullptr || call.backward.code[4] != 2 + call.shared_numbers + call.neuron_numbers))
    in.fail(11, "has no backward program that fits");
  return call;
}

/// How many numbers the stack's parameters are; −1 when that is more than can be.
inline int64_t mlp_parameters(const MlpCall& call) {
  int64_t total = 0;
  for (int64_t l = 0; l < call.layers; l++) {
    const int64_t outputs = call.widths[l + 1];
    total += (static_cast<int64_t>(call.widths[l]) + 1) * outputs;
    if (l + 1 < call.layers) total += call.shared_numbers + call.neuron_numbers * outputs;
    if (total > (int64_t{1} << 31)) return -1;
  }
  return total;
}

/// Σ widths of the hidden layers.
inline int64_t mlp_hidden(const MlpCall& call) {
  int64_t total = 0;
  for (int64_t l = 1; l < call.layers; l++) total += call.widths[l];
  return total;
}

}  // namespace flicker

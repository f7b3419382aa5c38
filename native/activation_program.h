// The machine that runs activations: a program (src/activations/programs.ts, `Program.code`) is a list of instructions
// over numbered slots, each a vector loop over a block of at most `program_block` elements that stays in the
// first-level cache. Any kernel may include this and run a program over its own blocks:
//
//   ProgramMachine machine(code, uniforms, memory);          // memory: program_memory(code) floats, 64-byte aligned
//   for i in [0, machine.inputs): machine.set_input(i, …)    // by machine.input_kind(i) and machine.input_index(i)
//   machine.run(n); … machine.output(0)
//
// The code must have passed program_is_sound.
#pragma once

#include "kernels.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {

constexpr int64_t program_block = 256;

/// Element i stands at values[i & mask]: mask 0 for what is the same everywhere (`lanes` copies of it), else −1.
struct Operand {
  const float* values;
  int64_t mask;
};

/// Head of a program's code: counts, then inputs (kind, index), outputs (slot), instructions (operation, destination,
/// a, b, c).
struct ProgramHead {
  int32_t uniforms, inputs, temporaries, instructions, outputs;
};
FLICKER_INLINE ProgramHead program_head(const int32_t* code) { return {code[0], code[1], code[2], code[3], code[4]}; }

/// Floats of working memory that a machine for this program needs.
FLICKER_INLINE int64_t program_memory(const int32_t* code) {
  const ProgramHead head = program_head(code);
  return head.uniforms * lanes + (head.inputs + head.temporaries) * program_block;
}

class ProgramMachine {
 public:
  const int32_t inputs, outputs;

  ProgramMachine(const int32_t* code, const float* uniforms, float* memory)
      : inputs(code[1]), outputs(code[4]), input_list_(code + 5), output_list_(code + 5 + 2 * code[1]) {
    const ProgramHead head = program_head(code);
    steps_ = output_list_ + head.outputs;
    step_count_ = head.instructions;
    first_input_ = head.uniforms;
    int slot = 0;
    for (; slot < head.uniforms; slot++, memory += lanes) {
      store(memory, splat(uniforms[slot]));
      slots_[slot] = {memory, 0};
    }
    for (; slot < head.uniforms + head.inputs + head.temporaries; slot++, memory += program_block)
      buffers_[slot - head.uniforms] = memory, slots_[slot] = {memory, -1};
  }

  int32_t input_kind(int i) const { return input_list_[2 * i]; }
  int32_t input_index(int i) const { return input_list_[2 * i + 1]; }
  /// program_block floats that may be filled and given to set_input.
  float* input_buffer(int i) { return buffers_[i]; }
  /// Where input i stands; readable up to the next multiple of `lanes` elements.
  void set_input(int i, Operand operand) { slots_[first_input_ + i] = operand; }

  /// Computes elements 0 … n − 1 (n ≤ program_block) of every output; those up to the next multiple of lanes are
  /// garbage.
  void run(int64_t n) {
    const int32_t* step = steps_;
    for (int32_t s = 0; s < step_count_; s++, step += 5) {
      const Operand a = slots_[step[2]], b = slots_[step[3]], c = slots_[step[4]];
      apply(step[0], a, b, c, const_cast<float*>(slots_[step[1]].values), n);
    }
  }

  Operand output(int o) const { return slots_[output_list_[o]]; }

 private:
  template <typename F>
  static FLICKER_INLINE void each(Operand a, float* out, int64_t n, const F& f) {
    for (int64_t i = 0; i < n; i += lanes) store(out + i, f(load(a.values + (i & a.mask))));
  }
  template <typename F>
  static FLICKER_INLINE void each(Operand a, Operand b, float* out, int64_t n, const F& f) {
    for (int64_t i = 0; i < n; i += lanes)
      store(out + i, f(load(a.values + (i & a.mask)), load(b.values + (i & b.mask))));
  }

  /// Their meaning is that of src/activations/scalar-functions.ts.
  static void apply(int32_t operation, Operand a, Operand b, Operand c, float* out, int64_t n) {
    const vf zero = {}, one = splat(1.f);
    switch (operation) {
      case kOpNeg:
        return each(a, out, n, [](vf x) { return -x; });
      case kOpAbs:
        return each(a, out, n, [](vf x) { return vabs(x); });
      case kOpSign:
        return each(a, out, n, [=](vf x) { return x > zero ? one : x < zero ? -one : x; });
      case kOpSquare:
        return each(a, out, n, [](vf x) { return x * x; });
      case kOpSqrt:
        return each(a, out, n, [](vf x) { return vsqrt(x); });
      case kOpExp:
        return each(a, out, n, [](vf x) { return vexp(x); });
      case kOpExpm1:
        return each(a, out, n, [](vf x) { return vexpm1(x); });
      case kOpLog:
        return each(a, out, n, [](vf x) { return vlog(x); });
      case kOpLog1p:
        return each(a, out, n, [](vf x) { return vlog1p(x); });
      case kOpSoftplus:
        return each(a, out, n, [](vf x) { return vsoftplus(x); });
      case kOpSigmoid:
        return each(a, out, n, [](vf x) { return vsigmoid(x); });
      case kOpTanh:
        return each(a, out, n, [](vf x) { return vtanh(x); });
      case kOpErf:
        return each(a, out, n, [](vf x) { return verf(x); });
      case kOpNormalCdf:
        return each(a, out, n, [](vf x) { return vnormal_cdf(x); });
      case kOpNormalPdf:
        return each(a, out, n, [](vf x) { return vnormal_pdf(x); });
      case kOpAtan:
        return each(a, out, n, [](vf x) { return vatan(x); });
      case kOpSin:
        return each(a, out, n, [](vf x) { return vsin(x); });
      case kOpCos:
        return each(a, out, n, [](vf x) { return vcos(x); });
      case kOpAdd:
        return each(a, b, out, n, [](vf x, vf y) { return x + y; });
      case kOpSub:
        return each(a, b, out, n, [](vf x, vf y) { return x - y; });
      case kOpMul:
        return each(a, b, out, n, [](vf x, vf y) { return x * y; });
      case kOpDiv:
        return each(a, b, out, n, [](vf x, vf y) { return x / y; });
      // NaN on either side gives NaN; max(−0, 0) gives +0.
      case kOpMin:
        return each(a, b, out, n, [](vf x, vf y) { return x != x ? x : x < y ? x : y; });
      case kOpMax:
        return each(a, b, out, n, [](vf x, vf y) { return x != x ? x : x > y ? x : y; });
      case kOpGreater:
        return each(a, b, out, n, [=](vf x, vf y) { return x > y ? one : zero; });
      case kOpGreaterEqual:
        return each(a, b, out, n, [=](vf x, vf y) { return x >= y ? one : zero; });
      case kOpSelect:
        for (int64_t i = 0; i < n; i += lanes) {
          const vf condition = load(a.values + (i & a.mask));
          const vf chosen = load(b.values + (i & b.mask)), otherwise = load(c.values + (i & c.mask));
          store(out + i, condition != zero ? chosen : otherwise);
        }
    }
  }

  const int32_t *input_list_, *output_list_, *steps_;
  int32_t step_count_, first_input_;
  Operand slots_[max_program_slots];
  float* buffers_[max_program_slots];
};

}  // namespace flicker::FLICKER_ISA

// Any elementwise activation of the catalog, alone and inside a gated FFN, forward and backward: its program runs on
// blocks of rows, or of a piece of a row.
#include "program_rows.h"

namespace flicker::FLICKER_ISA {

void program_forward(ActivationProgram program, const float* x, const float* up, float* out, int64_t rows,
                     int64_t width, Draw draw) {
  if (width == 0) return;
  const Tasks tasks(rows, width);
  parallel_for(tasks.count, [&](int64_t task) {
    float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(program_memory(program.code)) * 4));
    if (memory == nullptr) return;
    ProgramMachine machine(program.code, program.uniforms, memory);
    const int64_t begin = task * tasks.rows_per_task;
    each_block(begin, smaller(rows, begin + tasks.rows_per_task), width, [&](const Block& block) {
      set_inputs(machine, program, x, block, width, draw);
      machine.run(block.n);
      const Operand value = machine.output(0);
      each_vector(block.n, [&](int64_t i, int64_t n) {
        vf v = part(value, i);
        if (up != nullptr) v = v * load_n(up + block.start + i, n);
        store_n(out + block.start + i, v, n);
      });
    });
  });
}

void program_backward(ActivationProgram program, const float* d_out, const float* x, const float* up, float* d_x,
                      float* d_up, float* d_parameters, int64_t rows, int64_t width, Draw draw) {
  if (width == 0) return;
  const Tasks tasks(rows, width);
  const int64_t shared = program.shared, neurons = program_head(program.code).outputs - 2 - shared;
  const int64_t numbers = d_parameters == nullptr ? 0 : shared + neurons * width;
  double* sums = gradient_sums(tasks.count, numbers);
  if (numbers > 0 && sums == nullptr) return;
  parallel_for(tasks.count, [&](int64_t task) {
    const int64_t needed = program_memory(program.code) + program_block;
    float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(needed) * 4));
    if (memory == nullptr) return;
    float* given = memory;  // what reaches f(x): d_out, or d_out ⊙ up
    ProgramMachine machine(program.code, program.uniforms, memory + program_block);
    double* task_sums = sums == nullptr ? nullptr : sums + task * numbers;
    const int64_t begin = task * tasks.rows_per_task;
    each_block(begin, smaller(rows, begin + tasks.rows_per_task), width, [&](const Block& block) {
      set_inputs(machine, program, x, block, width, draw);
      machine.run(block.n);
      const Operand value = machine.output(0), slope = machine.output(1);
      each_vector(block.n, [&](int64_t i, int64_t n) {
        const vf d = load_n(d_out + block.start + i, n);
        vf g = d;
        if (up != nullptr) {
          g = d * load_n(up + block.start + i, n);
          store_n(d_up + block.start + i, part(value, i) * d, n);
        }
        store(given + i, g);
        store_n(d_x + block.start + i, part(slope, i) * g, n);
      });
      if (task_sums == nullptr) return;
      add_gradients(machine, 2, shared, neurons, given, block, width, task_sums);
    });
  });
  add_up_gradients(sums, tasks.count, numbers, d_parameters);
}

}  // namespace flicker::FLICKER_ISA

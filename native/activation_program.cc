// Any activation of the catalogue, alone and inside a gated FFN, forward and backward: its program runs on blocks of
// rows, or of a piece of a row, and the gradients of learned parameters are summed in an order fixed by size alone.
#include "activation_program.h"

#include "kernels.h"
#include "parallel.h"
#include "philox.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t draw_width = 4 * lanes;
constexpr int64_t elements_per_task = 4096, most_tasks = 128;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Rows [begin, end) of task t: about elements_per_task elements, more where there would be too many tasks.
struct Tasks {
  int64_t rows, rows_per_task, count;
  Tasks(int64_t all_rows, int64_t width) : rows(all_rows) {
    const int64_t fit = elements_per_task / (width > 0 ? width : 1);
    rows_per_task = fit > 1 ? fit : 1;
    if (ceil_div(rows, rows_per_task) > most_tasks) rows_per_task = ceil_div(rows, most_tasks);
    count = ceil_div(rows, rows_per_task);
  }
};

/// One block: elements [start, start + n) of the buffers, which are whole rows or, where `column` > 0 is possible, a
/// piece of one.
struct Block {
  int64_t row, column, start, n;
};

/// Calls body(block) for rows [begin, end): as many whole rows as fit, or pieces of one row after another.
template <typename Body>
void each_block(int64_t begin, int64_t end, int64_t width, const Body& body) {
  if (width <= program_block) {
    const int64_t rows_per_block = program_block / width;
    for (int64_t r = begin; r < end; r += rows_per_block)
      body(Block{r, 0, r * width, smaller(rows_per_block, end - r) * width});
  } else {
    for (int64_t r = begin; r < end; r++)
      for (int64_t j = 0; j < width; j += program_block)
        body(Block{r, j, r * width + j, smaller(program_block, width - j)});
  }
}

/// The n floats at `from`, readable up to a multiple of lanes: themselves, or a copy in `buffer`.
const float* readable(const float* from, int64_t n, float* buffer) {
  if (n % lanes == 0) return from;
  memcpy(buffer, from, static_cast<size_t>(n) * 4);
  return buffer;
}

uint32_t drawn_row(const ActivationProgram& program, const Draw& draw, int64_t row) {
  if (program.draw_per == kPerNeuron || program.draw_per == kPerBatch) return 0;
  const uint32_t at = draw.first_row + static_cast<uint32_t>(row);
  return program.draw_per == kPerSample ? at / program.rows_per_sample : at;
}

/// into[0 … n) = the draws of neurons column … column + n − 1 of one row; column divisible by draw_width.
void fill_draws(Draw draw, uint32_t row, int64_t column, int64_t n, float* into) {
  draw.first_row = row;
  for (int64_t j = 0; j < n; j += draw_width) {
    alignas(64) uint32_t drawn[draw_width];
    draw_block(draw, 0, static_cast<uint32_t>(column + j), drawn);
    alignas(64) float uniform[draw_width];
    for (int64_t i = 0; i < draw_width; i += lanes) {
      vi bits;
      memcpy(&bits, drawn + i, sizeof bits);
      store(uniform + i, __builtin_convertvector(bits, vf) * splat(5.9604644775390625e-8f));
    }
    memcpy(into + j, uniform, static_cast<size_t>(smaller(draw_width, n - j)) * 4);
  }
}

/// Draws of one block, channel `channel`, into `buffer`; what share a draw is `program.draw_per`.
void draw_for_block(const ActivationProgram& program, Draw draw, int32_t channel, const Block& block, int64_t width,
                    float* buffer) {
  draw.tag += static_cast<uint32_t>(channel) << 24;
  const int64_t per_row = smaller(width - block.column, block.n);
  for (int64_t at = 0, row = block.row; at < block.n; at += per_row, row++) {
    const uint32_t counter_row = drawn_row(program, draw, row);
    if (program.draw_per == kPerElement || program.draw_per == kPerNeuron) {
      fill_draws(draw, counter_row, block.column, per_row, buffer + at);
    } else {
      float shared[1] = {0};
      if (program.draw_per != kNoDraws) fill_draws(draw, counter_row, 0, 1, shared);
      for (int64_t i = 0; i < per_row; i++) buffer[at + i] = shared[0];
    }
  }
}

/// Points the machine's inputs at block's elements.
void set_inputs(ProgramMachine& machine, const ActivationProgram& program, const float* x, const Block& block,
                int64_t width, const Draw& draw) {
  for (int i = 0; i < machine.inputs; i++) {
    float* buffer = machine.input_buffer(i);
    const float* from = buffer;
    const int32_t index = machine.input_index(i);
    switch (machine.input_kind(i)) {
      case kInputX: from = readable(x + block.start, block.n, buffer); break;
      case kInputDraw: draw_for_block(program, draw, index, block, width, buffer); break;
      case kInputNeuron: {
        const float* row = program.parameters + program.shared + index * width + block.column;
        if (block.n <= width) {
          from = readable(row, block.n, buffer);
        } else {
          for (int64_t at = 0; at < block.n; at += width) memcpy(buffer + at, row, static_cast<size_t>(width) * 4);
        }
      }
    }
    machine.set_input(i, {from, -1});
  }
}

/// `lanes` elements of an output from element i on.
FLICKER_INLINE vf part(Operand operand, int64_t i) { return load(operand.values + (i & operand.mask)); }

/// Calls body(vector index i, lanes in use) for the elements of a block.
template <typename Body>
FLICKER_INLINE void each_vector(int64_t n, const Body& body) {
  for (int64_t i = 0; i < n; i += lanes) body(i, n - i < lanes ? n - i : lanes);
}
FLICKER_INLINE vf load_n(const float* p, int64_t n) { return n == lanes ? load(p) : load_first(p, n); }
FLICKER_INLINE void store_n(float* p, vf v, int64_t n) {
  if (n == lanes)
    store(p, v);
  else
    store_first(p, v, n);
}

}  // namespace

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
  // One row of sums per task, added up in order at the end.
  double* sums = nullptr;
  if (numbers > 0) {
    const uint64_t bytes = static_cast<uint64_t>(tasks.count * numbers) * sizeof(double);
    sums = static_cast<double*>(scratch(0, bytes));
    if (sums == nullptr) return;
    memset(sums, 0, bytes);
  }
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
      for (int64_t k = 0; k < shared; k++) {  // Lanes beyond the block are left out: they may hold NaN.
        const Operand derivative = machine.output(static_cast<int>(2 + k));
        vf sum = {};
        int64_t i = 0;
        for (; i + lanes <= block.n; i += lanes) sum += part(derivative, i) * load(given + i);
        double total = 0;
        for (int64_t r = i; r < block.n; r++)
          total += static_cast<double>(derivative.values[r & derivative.mask]) * given[r];
        task_sums[k] += static_cast<double>(reduce_add(sum)) + total;
      }
      for (int64_t k = 0; k < neurons; k++) {
        const Operand derivative = machine.output(static_cast<int>(2 + shared + k));
        double* row = task_sums + shared + k * width + block.column;
        const int64_t per_row = smaller(width - block.column, block.n);
        for (int64_t at = 0; at < block.n; at += per_row)
          for (int64_t i = 0; i < per_row; i++)
            row[i] += static_cast<double>(derivative.values[(at + i) & derivative.mask]) * given[at + i];
      }
    });
  });
  for (int64_t task = 1; task < tasks.count; task++)
    for (int64_t k = 0; k < numbers; k++) sums[k] += sums[task * numbers + k];
  for (int64_t k = 0; k < numbers; k++) d_parameters[k] += static_cast<float>(sums[k]);
}

}  // namespace flicker::FLICKER_ISA

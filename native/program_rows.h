// What the kernels that run activation programs over (rows, width) have in common: blocks, draws, inputs, and the sums
// of parameter gradients, in an order that is fixed by the sizes alone.
#pragma once

#include "activation_program.h"
#include "kernels.h"
#include "parallel.h"
#include "philox.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t drawn_together = 4 * lanes;
constexpr int64_t elements_per_task = 4096, most_tasks = 128;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

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

/// Elements [start, start + n) of the buffers: whole rows, or a piece of one from `column` on.
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
  if (program.draw_unit == kPerNeuron || program.draw_unit == kPerBatch) return 0;
  const uint32_t at = draw.first_row + static_cast<uint32_t>(row);
  return program.draw_unit == kPerSample ? at / program.rows_per_sample : at;
}

/// into[0 … n) = the draws of neurons column … column + n − 1 of one row; column divisible by drawn_together.
void fill_draws(Draw draw, uint32_t row, int64_t column, int64_t n, float* into) {
  draw.first_row = row;
  for (int64_t j = 0; j < n; j += drawn_together) {
    alignas(64) uint32_t drawn[drawn_together];
    draw_block(draw, 0, static_cast<uint32_t>(column + j), drawn);
    alignas(64) float uniform[drawn_together];
    for (int64_t i = 0; i < drawn_together; i += lanes) {
      vi bits;
      memcpy(&bits, drawn + i, sizeof bits);
      store(uniform + i, __builtin_convertvector(bits, vf) * splat(5.9604644775390625e-8f));
    }
    memcpy(into + j, uniform, static_cast<size_t>(smaller(drawn_together, n - j)) * 4);
  }
}

/// Draws of one block, channel `channel`, into `buffer`; what share a draw is `program.draw_unit`.
void draw_for_block(const ActivationProgram& program, Draw draw, int32_t channel, const Block& block, int64_t width,
                    float* buffer) {
  draw.tag += static_cast<uint32_t>(channel) << 24;
  const int64_t per_row = smaller(width - block.column, block.n);
  for (int64_t at = 0, row = block.row; at < block.n; at += per_row, row++) {
    const uint32_t counter_row = drawn_row(program, draw, row);
    if (program.draw_unit == kPerElement || program.draw_unit == kPerNeuron) {
      fill_draws(draw, counter_row, block.column, per_row, buffer + at);
    } else {
      float shared[1] = {0};
      if (program.draw_unit != kNoDraws) fill_draws(draw, counter_row, 0, 1, shared);
      for (int64_t i = 0; i < per_row; i++) buffer[at + i] = shared[0];
    }
  }
}

/// into[0 … n) = the elements before (step −1) or after (step 1) those of a piece of a row; 0 beyond the row.
void neighbors(const float* x, const Block& block, int64_t width, int64_t step, float* into) {
  for (int64_t i = 0; i < block.n; i++) {
    const int64_t at = block.column + i + step;
    into[i] = at >= 0 && at < width ? x[block.start + i + step] : 0.f;
  }
}

/// Points the machine's inputs at the block's elements; `statistics`: `lanes` copies of each statistic of the row.
void set_inputs(ProgramMachine& machine, const ActivationProgram& program, const float* x, const Block& block,
                int64_t width, const Draw& draw, const float* statistics = nullptr) {
  for (int i = 0; i < machine.inputs; i++) {
    float* buffer = machine.input_buffer(i);
    const float* from = buffer;
    int64_t mask = -1;
    const int32_t index = machine.input_index(i);
    switch (machine.input_kind(i)) {
      case kInputX:
        from = readable(x + block.start, block.n, buffer);
        break;
      case kInputPrevious:
        neighbors(x, block, width, -1, buffer);
        break;
      case kInputNext:
        neighbors(x, block, width, 1, buffer);
        break;
      case kInputStatistic:
        from = statistics + index * lanes, mask = 0;
        break;
      case kInputDraw:
        draw_for_block(program, draw, index, block, width, buffer);
        break;
      case kInputNeuron: {
        const float* row = program.parameters + program.shared + index * width + block.column;
        if (block.n <= width) {
          from = readable(row, block.n, buffer);
        } else {
          for (int64_t at = 0; at < block.n; at += width) memcpy(buffer + at, row, static_cast<size_t>(width) * 4);
        }
      }
    }
    machine.set_input(i, {from, mask});
  }
}

/// `lanes` elements of an output from element i on.
FLICKER_INLINE vf part(Operand operand, int64_t i) { return load(operand.values + (i & operand.mask)); }

/// Σ over a block of an output times what reached each element.
double product_sum(Operand output, const float* given, int64_t n) {
  vf sum = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum += part(output, i) * load(given + i);
  // Lanes beyond the block are left out: they may hold NaN.
  double total = reduce_add(sum);
  for (; i < n; i++) total += static_cast<double>(output.values[i & output.mask]) * given[i];
  return total;
}

/// sums (the layer's values, then a row per value of the neurons) += the outputs from `first` on times `given`.
void add_gradients(const ProgramMachine& machine, int64_t first, int64_t shared, int64_t neurons, const float* given,
                   const Block& block, int64_t width, double* sums) {
  for (int64_t k = 0; k < shared; k++)
    sums[k] += product_sum(machine.output(static_cast<int>(first + k)), given, block.n);
  for (int64_t k = 0; k < neurons; k++) {
    const Operand derivative = machine.output(static_cast<int>(first + shared + k));
    double* row = sums + shared + k * width + block.column;
    const int64_t per_row = smaller(width - block.column, block.n);
    for (int64_t at = 0; at < block.n; at += per_row)
      for (int64_t i = 0; i < per_row; i++)
        row[i] += static_cast<double>(derivative.values[(at + i) & derivative.mask]) * given[at + i];
  }
}

/// Zeroed: one row of `numbers` sums per task. Null without learned values or memory.
double* gradient_sums(int64_t tasks, int64_t numbers) {
  const uint64_t bytes = static_cast<uint64_t>(tasks * numbers) * sizeof(double);
  double* sums = bytes == 0 ? nullptr : static_cast<double*>(scratch(0, bytes));
  if (sums != nullptr) memset(sums, 0, bytes);
  return sums;
}

/// d_parameters += the sums of all tasks, in their order.
void add_up_gradients(double* sums, int64_t tasks, int64_t numbers, float* d_parameters) {
  for (int64_t task = 1; task < tasks; task++)
    for (int64_t k = 0; k < numbers; k++) sums[k] += sums[task * numbers + k];
  for (int64_t k = 0; k < numbers; k++) d_parameters[k] += static_cast<float>(sums[k]);
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

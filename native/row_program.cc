// Activations of a whole row (top-k, norms, neighbors): before a row's values its statistics are computed, each by a
// program of its own over the row; backward, what reaches a statistic goes on to every element of the row.
#include "program_rows.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int most_statistics = 8;

/// Orders floats as unsigned integers: −∞ < … < −0 < 0 < … < ∞ < NaN of either sign.
FLICKER_INLINE uint32_t ordered(float x) {
  if (x != x) return UINT32_MAX;
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/// The `rank`-th largest (from 1) of n floats, by their bits from the highest byte down: no order of elements matters.
float kth_largest(const float* values, int64_t n, int64_t rank) {
  uint32_t prefix = 0, mask = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    int64_t counts[256] = {};
    for (int64_t i = 0; i < n; i++) {
      const uint32_t key = ordered(values[i]);
      if ((key & mask) == prefix) counts[key >> shift & 255]++;
    }
    int byte = 255;
    for (; byte > 0 && rank > counts[byte]; byte--) rank -= counts[byte];
    prefix |= static_cast<uint32_t>(byte) << shift;
    mask |= 255u << shift;
  }
  const uint32_t bits = prefix >> 31 ? prefix & 0x7fffffffu : ~prefix;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// The machines of one activation, for one thread.
class Row {
 public:
  /// Floats that the machines need.
  static int64_t memory(const RowProgram& p) {
    int64_t floats = program_memory(p.main.code) + most_statistics * lanes;
    for (int s = 0; s < p.statistics; s++) {
      floats += program_memory(p.values[s]);
      if (p.derivatives[s] != nullptr) floats += program_memory(p.derivatives[s]);
    }
    return floats;
  }

  Row(const RowProgram& p, float* memory, const float* x, int64_t width, const Draw& draw)
      : p_(p), x_(x), width_(width), draw_(draw), memory_(memory + most_statistics * lanes), statistics_(memory) {}

  /// Computes the row's statistics; `values` holds a row.
  void prepare(int64_t row, float* values) {
    row_ = row;
    const float* uniforms = p_.main.uniforms + p_.main.code[0];
    for (int s = 0; s < p_.statistics; s++) {
      double sum = 0;
      run(p_.values[s], uniforms, [&](ProgramMachine& machine, const Block& block) {
        const Operand value = machine.output(0);
        if (p_.ranks[s] > 0) {
          for (int64_t i = 0; i < block.n; i++) values[block.column + i] = value.values[i & value.mask];
        } else {
          for (int64_t i = 0; i < block.n; i++) sum += static_cast<double>(value.values[i & value.mask]);
        }
      });
      const float result = p_.ranks[s] > 0 ? kth_largest(values, width_, p_.ranks[s])
                                           : static_cast<float>(sum / static_cast<double>(width_));
      store(statistics_ + s * lanes, splat(result));
      uniforms += p_.values[s][0] + (p_.derivatives[s] == nullptr ? 0 : p_.derivatives[s][0]);
    }
  }

  /// Calls body(machine, block) after each block of the row that the main program has run on.
  template <typename Body>
  void values(const Body& body) {
    run(p_.main.code, p_.main.uniforms, body);
  }

  /// The same for the derivatives of statistic s.
  template <typename Body>
  void derivatives(int s, const Body& body) {
    const float* uniforms = p_.main.uniforms + p_.main.code[0];
    for (int before = 0; before < s; before++)
      uniforms += p_.values[before][0] + (p_.derivatives[before] == nullptr ? 0 : p_.derivatives[before][0]);
    run(p_.derivatives[s], uniforms + p_.values[s][0], body);
  }

 private:
  template <typename Body>
  void run(const int32_t* code, const float* uniforms, const Body& body) {
    ProgramMachine machine(code, uniforms, memory_);
    for (int64_t j = 0; j < width_; j += program_block) {
      const Block block = {row_, j, row_ * width_ + j, smaller(program_block, width_ - j)};
      set_inputs(machine, p_.main, x_, block, width_, draw_, statistics_);
      machine.run(block.n);
      body(machine, block);
    }
  }

  const RowProgram& p_;
  const float* x_;
  int64_t width_, row_ = 0;
  const Draw& draw_;
  float *memory_, *statistics_;
};

}  // namespace

void row_program_forward(RowProgram program, const float* x, const float* up, float* out, int64_t rows, int64_t width,
                         Draw draw) {
  if (width == 0) return;
  const Tasks tasks(rows, width);
  parallel_for(tasks.count, [&](int64_t task) {
    const int64_t needed = Row::memory(program) + 2 * width;
    float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(needed) * 4));
    if (memory == nullptr) return;
    float *kept = memory + Row::memory(program), *result = kept + width;
    Row row(program, memory, x, width, draw);
    const int64_t begin = task * tasks.rows_per_task, end = smaller(rows, begin + tasks.rows_per_task);
    for (int64_t r = begin; r < end; r++) {
      row.prepare(r, kept);
      row.values([&](ProgramMachine& machine, const Block& block) {
        const Operand value = machine.output(0);
        for (int64_t i = 0; i < block.n; i++) {
          const float v = value.values[i & value.mask];
          result[block.column + i] = up == nullptr ? v : v * up[block.start + i];
        }
      });
      // The whole row at once: out may be x, which neighbors still read.
      memcpy(out + r * width, result, static_cast<size_t>(width) * 4);
    }
  });
}

void row_program_backward(RowProgram program, const float* d_out, const float* x, const float* up, float* d_x,
                          float* d_up, float* d_parameters, int64_t rows, int64_t width, Draw draw) {
  if (width == 0) return;
  const Tasks tasks(rows, width);
  const int64_t shared = program.main.shared, neurons = program.neurons, learned = shared + neurons;
  const int64_t numbers = d_parameters == nullptr ? 0 : shared + neurons * width;
  double* sums = gradient_sums(tasks.count, numbers);
  if (numbers > 0 && sums == nullptr) return;
  parallel_for(tasks.count, [&](int64_t task) {
    const int64_t needed = Row::memory(program) + 2 * width + program_block;
    float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(needed) * 4));
    if (memory == nullptr) return;
    float *kept = memory + Row::memory(program), *dx = kept + width, *given = dx + width;
    double* task_sums = sums == nullptr ? nullptr : sums + task * numbers;
    Row row(program, memory, x, width, draw);
    const int64_t begin = task * tasks.rows_per_task, end = smaller(rows, begin + tasks.rows_per_task);
    for (int64_t r = begin; r < end; r++) {
      double reached[most_statistics] = {};
      memset(dx, 0, static_cast<size_t>(width) * 4);
      row.prepare(r, kept);
      row.values([&](ProgramMachine& machine, const Block& block) {
        const Operand value = machine.output(0), slope = machine.output(1);
        for (int64_t i = 0; i < block.n; i++) {
          const float d = d_out[block.start + i];
          given[i] = up == nullptr ? d : d * up[block.start + i];
          if (up != nullptr) d_up[block.start + i] = value.values[i & value.mask] * d;
          dx[block.column + i] += slope.values[i & slope.mask] * given[i];
        }
        if (task_sums != nullptr) add_gradients(machine, 2, shared, neurons, given, block, width, task_sums);
        int output = static_cast<int>(2 + learned);
        if (program.neighbors) {
          const Operand before = machine.output(output), after = machine.output(output + 1);
          output += 2;
          for (int64_t i = 0; i < block.n; i++) {
            const int64_t at = block.column + i;
            if (at > 0) dx[at - 1] += before.values[i & before.mask] * given[i];
            if (at + 1 < width) dx[at + 1] += after.values[i & after.mask] * given[i];
          }
        }
        for (int s = 0; s < program.statistics; s++)
          reached[s] += product_sum(machine.output(output + s), given, block.n);
      });
      for (int s = program.statistics - 1; s >= 0; s--) {
        if (program.derivatives[s] == nullptr) continue;
        const float share = static_cast<float>(reached[s] / static_cast<double>(width));
        for (int64_t i = 0; i < program_block; i++) given[i] = share;
        row.derivatives(s, [&](ProgramMachine& machine, const Block& block) {
          const Operand slope = machine.output(0);
          for (int64_t i = 0; i < block.n; i++) dx[block.column + i] += slope.values[i & slope.mask] * share;
          if (task_sums != nullptr) add_gradients(machine, 1, shared, neurons, given, block, width, task_sums);
          for (int earlier = 0; earlier < s; earlier++)
            reached[earlier] += product_sum(machine.output(static_cast<int>(1 + learned + earlier)), given, block.n);
        });
      }
      memcpy(d_x + r * width, dx, static_cast<size_t>(width) * 4);
    }
  });
  add_up_gradients(sums, tasks.count, numbers, d_parameters);
}

}  // namespace flicker::FLICKER_ISA

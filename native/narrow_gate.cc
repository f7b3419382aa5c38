// The narrow gate: one byte per weight tells most inactive neurons by a bound that covers all rounding, so that only
// the other rows are read in full. Why the bound holds: docs/narrow-gate.md; its twin: src/kernels/portable/narrow-gate.ts.
#include "narrow_dots.h"
#include "philox.h"
#include "positions.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t max_job_rows = 256;
constexpr int64_t draw_width = 4 * lanes;

// Positions at a time: each of 4 rows has a sum for the block and one for the row.
#if FLICKER_LANES == 16 || defined(__aarch64__)
constexpr int together = 3;  // 24 accumulators of 32 registers
#else
constexpr int together = 2;
#endif

/// What all rows of a call share.
struct Call {
  NarrowIndex index;
  const Positions& positions;
  float* y;
  NarrowGateShape shape;
  const NarrowPosition* narrow;  // (batch)
  int64_t blocks;

  /// Is the dot product of `row` with position b below the threshold, given the narrow one?
  bool proven(int64_t row, int64_t b, float dot) const {
    const float *bounds = index.bounds + row * blocks, *norms = narrow[b].norms;
    // More than all that is lost to underflow.
    float bound = static_cast<float>(shape.columns) * 0x1p-110f;
    for (int64_t block = 0; block < blocks; block++) bound += bounds[block] * norms[block];
    return dot + bound < shape.threshold;
  }

  /// verdicts[b·max_job_rows + i] = whether row first + i is proven to be inactive at position b.
  void judge(int64_t first, int64_t count, uint8_t* verdicts) const {
    const auto some = [&]<int ROWS, int COLUMNS>(int64_t i, int64_t b) {
      const int64_t row = first + i, left = shape.rows - row;
      float dots[ROWS][COLUMNS];
      narrow_dots<ROWS, COLUMNS>(index.codes + row * shape.columns, index.scales + row * blocks, shape.columns,
                                 min(tile_rows, left - ROWS) * shape.columns, narrow + b, dots);
      for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
          verdicts[(b + c) * max_job_rows + i + r] = proven(row + r, b + c, dots[r][c]);
    };
    const auto positions = [&]<int ROWS>(int64_t i) {
      int64_t b = 0;
      for (; b + together <= shape.batch; b += together) some.template operator()<ROWS, together>(i, b);
      if (together > 2 && b + 2 <= shape.batch) some.template operator()<ROWS, 2>(i, b), b += 2;
      for (; b < shape.batch; b++) some.template operator()<ROWS, 1>(i, b);
    };
    int64_t i = 0;
    for (; i + tile_rows <= count; i += tile_rows) positions.template operator()<tile_rows>(i);
    for (; i < count; i++) positions.template operator()<1>(i);
    if (shape.draws != nullptr) spare_drawn(first, count, verdicts);
  }

  /// Takes back the verdict on neurons whose draw says that they are not 0 below the threshold.
  void spare_drawn(int64_t first, int64_t count, uint8_t* verdicts) const {
    const uint32_t limit = static_cast<uint32_t>(__builtin_ceil(shape.p * 16777216.0));
    for (int64_t b = 0; b < shape.batch; b++) {
      const Draw& draw = shape.draws[b];
      for (int64_t from = first / draw_width * draw_width; from < first + count; from += draw_width) {
        alignas(64) uint32_t drawn[draw_width];
        draw_block(draw, 0, static_cast<uint32_t>(from), drawn);
        for (int64_t j = 0; j < draw_width; j++) {
          const int64_t i = from + j - first;
          if (i >= 0 && i < count && drawn[j] < limit) verdicts[b * max_job_rows + i] = 0;
        }
      }
    }
  }

  /// Rows [first, first + count) of the result; returns how many rows of `weights` it took.
  template <typename Row>
  int64_t run(Matrix<Row> weights, int64_t first, int64_t count) const {
    uint8_t* verdicts = static_cast<uint8_t*>(scratch(1, static_cast<uint64_t>(max_job_rows * shape.batch)));
    if (verdicts == nullptr) return 0;
    judge(first, count, verdicts);
    // Finite and below the threshold, so that the activation makes an exact 0 of it.
    const float filler = shape.threshold > 0 ? -1.f : 2 * shape.threshold - 1;
    int32_t list[max_job_rows];
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
      bool everywhere = true;
      for (int64_t b = 0; b < shape.batch; b++) {
        const bool inactive = verdicts[b * max_job_rows + i];
        if (inactive) y[b * shape.rows + first + i] = filler;
        everywhere = everywhere && inactive;
      }
      if (!everywhere) list[n++] = static_cast<int32_t>(i);
    }
    each_dot<Row>([&](int64_t j) { return weights[first + list[j]]; }, n, n, weights.row_bytes, positions,
                  [&](int64_t j, int64_t b, int64_t width, const float* dots) {
                    for (int64_t c = 0; c < width; c++)
                      if (!verdicts[(b + c) * max_job_rows + list[j]])
                        y[(b + c) * shape.rows + first + list[j]] = dots[c];
                  });
    return n;
  }
};

}  // namespace

int64_t narrow_gate(Weights w, NarrowIndex index, const float* x, float* y, NarrowGateShape shape) {
  if (shape.rows == 0 || shape.batch == 0) return 0;
  const int64_t blocks = ceil_div(shape.columns, block_columns);
  // Some 64 KiB of codes to a job.
  const int64_t per_job = min(max_job_rows, ceil_div(ceil_div(65536, shape.columns + 1), tile_rows) * tile_rows);
  const int64_t jobs = ceil_div(shape.rows, per_job);
  // Per position its struct, whole numbers, scales and norms; per job a count.
  const int64_t padded = blocks * block_columns, each = 64 + padded * 2 + ceil_div(blocks * 8, 64) * 64;
  uint8_t* memory = static_cast<uint8_t*>(scratch(0, static_cast<uint64_t>(shape.batch * each + jobs * 8)));
  if (memory == nullptr) return 0;
  static_assert(sizeof(NarrowPosition) <= 64);
  NarrowPosition* narrow = reinterpret_cast<NarrowPosition*>(memory);
  uint8_t* rest = memory + shape.batch * 64;
  for (int64_t b = 0; b < shape.batch; b++, rest += each - 64) {
    float* scales = reinterpret_cast<float*>(rest + padded * 2);
    narrow[b] = {reinterpret_cast<int16_t*>(rest), scales, scales + blocks};
    narrow[b].set(x + b * shape.columns, shape.columns);
  }
  int64_t* counts = reinterpret_cast<int64_t*>(rest);
  const Positions positions(x, shape.batch, shape.columns);
  if (!positions.ok()) return 0;
  const Call call = {index, positions, y, shape, narrow, blocks};
  dispatch_wide(w, shape.columns, [&]<typename Row>(Matrix<Row> weights) {
    parallel_for(jobs, [&](int64_t job) {
      const int64_t first = job * per_job;
      counts[job] = call.run(weights, first, min(per_job, shape.rows - first));
    });
  });
  int64_t read = 0;
  for (int64_t job = 0; job < jobs; job++) read += counts[job];
  return read;
}

}  // namespace flicker::FLICKER_ISA

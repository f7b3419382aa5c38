// The narrow gate: one byte per weight tells most inactive neurons by a bound that covers all rounding, so that only
// the other rows are read in full. Why the bound holds: docs/narrow-gate.md; its twin:
// src/kernels/portable/narrow-gate.ts.
#include "narrow_dots.h"
#include "philox.h"
#include "positions.h"

namespace flicker::FLICKER_ISA {
namespace {

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
  uint8_t* verdicts;  // (batch × rows): whether a row is proven to be inactive at a position

  /// Is the dot product of `row` with position b below the threshold, given the narrow one?
  bool proven(int64_t row, int64_t b, float dot) const {
    const float *bounds = index.bounds + row * blocks, *norms = narrow[b].norms;
    // More than all that is lost to underflow.
    float bound = static_cast<float>(shape.columns) * 0x1p-110f;
    for (int64_t block = 0; block < blocks; block++) bound += bounds[block] * norms[block];
    const float most = dot + bound;
    return (shape.bias == nullptr ? most : most + shape.bias[row]) < shape.threshold;
  }

  float biased(float dot, int64_t row) const { return shape.bias == nullptr ? dot : dot + shape.bias[row]; }

  /// Verdicts on rows [first, first + count), and what the activation makes an exact 0 of where they are inactive.
  void judge(int64_t first, int64_t count) const {
    const auto some = [&]<int ROWS, int COLUMNS>(int64_t i, int64_t b) {
      const int64_t row = first + i, left = shape.rows - row;
      float dots[ROWS][COLUMNS];
      narrow_dots<ROWS, COLUMNS>(index.codes + row * shape.columns, index.scales + row * blocks, shape.columns,
                                 min(ROWS, left - ROWS) * shape.columns, narrow + b, dots);
      for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++) verdicts[(b + c) * shape.rows + row + r] = proven(row + r, b + c, dots[r][c]);
    };
    const auto positions = [&]<int ROWS>(int64_t i) {
      int64_t b = 0;
      for (; b + together <= shape.batch; b += together) some.template operator()<ROWS, together>(i, b);
      if (together > 2 && b + 2 <= shape.batch) some.template operator()<ROWS, 2>(i, b), b += 2;
      for (; b < shape.batch; b++) some.template operator()<ROWS, 1>(i, b);
    };
    int64_t i = 0;
    // A position alone: row after row, as memory brings them best (row_kernels.h).
    for (; shape.batch > 1 && i + tile_rows <= count; i += tile_rows) positions.template operator()<tile_rows>(i);
    for (; i < count; i++) positions.template operator()<1>(i);
    if (shape.draws != nullptr) spare_drawn(first, count);
    // Finite, and below the threshold.
    const float filler = shape.threshold > 0 ? -1.f : 2 * shape.threshold - 1;
    for (int64_t b = 0; b < shape.batch; b++)
      for (int64_t at = b * shape.rows + first, end = at + count; at < end; at++)
        if (verdicts[at]) y[at] = filler;
  }

  /// Takes back the verdict on neurons whose draw says that they are not 0 below the threshold.
  void spare_drawn(int64_t first, int64_t count) const {
    const uint32_t limit = static_cast<uint32_t>(__builtin_ceil(shape.p * 16777216.0));
    for (int64_t b = 0; b < shape.batch; b++) {
      const Draw& draw = shape.draws[b];
      for (int64_t from = first / draw_width * draw_width; from < first + count; from += draw_width) {
        alignas(64) uint32_t drawn[draw_width];
        draw_block(draw, 0, static_cast<uint32_t>(from), drawn);
        for (int64_t j = 0; j < draw_width; j++) {
          const int64_t i = from + j - first;
          if (i >= 0 && i < count && drawn[j] < limit) verdicts[b * shape.rows + first + i] = 0;
        }
      }
    }
  }

  /// Of rows [first, first + count) those that are not proven to be inactive at all positions, ascending; returns how
  /// many.
  int64_t list_unproven(int64_t first, int64_t count, int32_t* list) const {
    int64_t n = 0;
    for (int64_t i = first; i < first + count; i++) {
      uint8_t everywhere = 1;
      for (int64_t b = 0; b < shape.batch; b++) everywhere &= verdicts[b * shape.rows + i];
      list[n] = static_cast<int32_t>(i);
      n += !everywhere;
    }
    return n;
  }

  /// The dot products of the n rows of a list, with the bits of matvec.
  void refine(RowMatrix weights, const int32_t* list, int64_t n) const {
    if (shape.batch > 1) {
      each_dot(
          weights.storage, [&](int64_t j) { return weights[list[j]]; }, n, n, positions,
          [&](int64_t j, int64_t b, int64_t width, const float* dots) {
            for (int64_t c = 0; c < width; c++) {
              const int64_t at = (b + c) * shape.rows + list[j];
              if (!verdicts[at]) y[at] = biased(dots[c], list[j]);
            }
          });
      return;
    }
    const auto row_at = [&](int64_t i) { return weights[list[min(i, n - 1)]]; };
    each_tile(n, weights.storage.scale_bytes, row_at, [&](const RowPointers& rows, int64_t at, int64_t height) {
      float dots[tile_rows];
      (height == 1 ? row_kernels[weights.storage.type]->dot_of_one : row_kernels[weights.storage.type]->dots[1])(
          rows, positions.data, shape.columns, dots);
      for (int64_t r = 0; r < height; r++) y[list[at + r]] = biased(dots[r], list[at + r]);
    });
  }
};

}  // namespace

int64_t narrow_gate(Weights w, NarrowIndex index, const float* x, float* y, NarrowGateShape shape) {
  if (shape.rows == 0 || shape.batch == 0) return 0;
  const int64_t blocks = ceil_div(shape.columns, narrow_block);
  const int64_t per_job = rows_per_job(shape.rows, shape.columns);
  // Per position its struct, integers, scales and norms, and verdicts; the list of rows to be read, and each job's
  // number of them.
  const int64_t padded = blocks * narrow_block, each = 64 + padded * 2 + ceil_div(blocks * 8, 64) * 64;
  const int64_t list_bytes = ceil_div(2 * shape.rows * 4, 64) * 64;
  uint8_t* memory =
      static_cast<uint8_t*>(scratch(0, static_cast<uint64_t>(list_bytes + shape.batch * (each + shape.rows))));
  if (memory == nullptr) return 0;
  int32_t *list = reinterpret_cast<int32_t*>(memory), *counts = list + shape.rows;
  static_assert(sizeof(NarrowPosition) <= 64);
  NarrowPosition* narrow = reinterpret_cast<NarrowPosition*>(memory + list_bytes);
  uint8_t* rest = memory + list_bytes + shape.batch * 64;
  for (int64_t b = 0; b < shape.batch; b++, rest += each - 64) {
    float* scales = reinterpret_cast<float*>(rest + padded * 2);
    narrow[b] = {reinterpret_cast<int16_t*>(rest), scales, scales + blocks};
    narrow[b].set(x + b * shape.columns, shape.columns);
  }
  const Positions positions(x, shape.batch, shape.columns, w.type);
  if (!positions.ok()) return 0;
  const Call call = {index, positions, y, shape, narrow, blocks, rest};
  // What is not proven is read by the thread that judged it: nobody waits for the verdicts on other rows.
  const RowMatrix weights = matrix_of(w, shape.columns);
  const int64_t jobs = ceil_div(shape.rows, per_job);
  parallel_for(jobs, [&](int64_t job) {
    const int64_t first = job * per_job, some = min(per_job, shape.rows - first);
    call.judge(first, some);
    const int64_t n = call.list_unproven(first, some, list + first);
    counts[job] = static_cast<int32_t>(n);
    if (n > 0) call.refine(weights, list + first, n);
  });
  int64_t count = 0;
  for (int64_t job = 0; job < jobs; job++) count += counts[job];
  return count;
}

}  // namespace flicker::FLICKER_ISA

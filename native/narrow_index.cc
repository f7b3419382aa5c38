// Makes the index of the narrow gate: codes, scales and bounds (docs/narrow-gate.md; its twin:
// src/kernels/portable/narrow-gate.ts).
#include "narrow_dots.h"
#include "positions.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Factors of the bounds: for the rounding of both dot products, and for that of the bounds' own sum.
struct Rounding {
  double gamma, slack;
};

/// Codes, scale and bound of one block of a row, n columns; adds the squared norms of both to `squares`.
void index_block(const RowMatrix& weights, int64_t row, int64_t first, int64_t n, Rounding rounding, int8_t* codes,
                 float* scale, float* bound, double squares[2]) {
  Block values, near;
  const Block zeros;
  row_kernels[weights.storage.type]->widen(weights[row], weights.storage.scale_bytes, first, first + n, lanes,
                                           values.values);
  *scale = to_whole(values, n, 127, near);
  for (int64_t k = 0; k < n; k++) codes[k] = static_cast<int8_t>(near.values[k]);
  const double full = distance(values, 0, zeros, n), narrow = distance(zeros, *scale, near, n);
  const double error = distance(values, *scale, near, n), least = narrow / narrow_finer;
  *bound = rounded_up(((error > least ? error : least) + rounding.gamma * (full + narrow)) * rounding.slack);
  squares[0] += full * full;
  squares[1] += narrow * narrow;
}

}  // namespace

void narrow_index(Weights w, int8_t* codes, float* scales, float* bounds, int64_t rows, int64_t columns) {
  const int64_t blocks = ceil_div(columns, narrow_block);
  const double unit = 0x1p-24, roundings = static_cast<double>(columns + 16) * unit;
  const Rounding rounding = {roundings / (1 - roundings), 1 + 2 * static_cast<double>(blocks + 8) * unit};
  const RowMatrix weights = matrix_of(w, columns);
  constexpr int64_t rows_per_job = 16;
  parallel_for(ceil_div(rows, rows_per_job), [&](int64_t job) {
    for (int64_t row = job * rows_per_job; row < min(rows, (job + 1) * rows_per_job); row++) {
      double squares[2] = {0, 0};
      for (int64_t block = 0; block < blocks; block++) {
        const int64_t to = row * columns + block * narrow_block, at = row * blocks + block;
        index_block(weights, row, block * narrow_block, min(narrow_block, columns - block * narrow_block), rounding,
                    codes + to, scales + at, bounds + at, squares);
      }
      const bool provable = __builtin_sqrt(squares[0]) <= largest_norm && __builtin_sqrt(squares[1]) <= largest_norm &&
                            columns < (1 << 20);
      if (provable) continue;
      for (int64_t block = 0; block < blocks; block++) bounds[row * blocks + block] = __builtin_inff();
    }
  });
}

}  // namespace flicker::FLICKER_ISA

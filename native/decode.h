// What decoding is made of: dot products of rows with a few vectors, and sums of weighted rows.
//
// Every sum has one order that depends on the sizes alone, so the result is the same bits for any number of threads,
// any number of positions at a time, and whether inactive neurons are skipped or multiplied by their zero:
// - a dot product runs over its columns in order, `lanes` partial sums, then one tree (dots);
// - a block of neurons adds its rows in ascending order onto zero (add_rows, add_tile): a row times an exact 0 leaves
//   the sum as it is (unless a weight is infinite or NaN);
// - the blocks' sums are added in block order.
#pragma once

#include "kernels.h"
#include "parallel.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {
namespace {

// Tile of dot products: `tile_rows` rows of weights × up to `tile_columns` positions, one accumulator each.
constexpr int tile_rows = 4;
#if FLICKER_LANES == 16 || defined(__aarch64__)
constexpr int tile_columns = 6;  // 24 accumulators of 32 registers
#elif FLICKER_LANES == 8
constexpr int tile_columns = 3;  // 12 of 16
#else
constexpr int tile_columns = 2;  // 8 of 16: more would need operands straight from memory, which this set lacks
#endif

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// `lanes` weights as floats; a bf16 is the upper half of a float.
FLICKER_INLINE vf widen(const float* p) { return load(p); }
FLICKER_INLINE vf widen(const uint16_t* p) {
  typedef uint16_t vh __attribute__((vector_size(lanes * 2)));
  vh half;
  memcpy(&half, p, sizeof half);
  return (vf)(__builtin_convertvector(half, vu) << 16);
}
FLICKER_INLINE vf widen_first(const float* p, int64_t n) { return load_first(p, n); }
FLICKER_INLINE vf widen_first(const uint16_t* p, int64_t n) {
  uint16_t half[lanes] = {};
  memcpy(half, p, static_cast<size_t>(n) * 2);
  return widen(half);
}

#ifdef __clang__
#define FLICKER_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FLICKER_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, vi{__VA_ARGS__})
#endif

/// Two vectors of groups of WIDTH lanes: the lower half of each group plus its upper half, those of a before those of b.
template <int WIDTH>
FLICKER_INLINE vf fold(vf a, vf b) {
#if FLICKER_LANES == 16
  if constexpr (WIDTH == 16)
    return FLICKER_SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
           FLICKER_SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  else if constexpr (WIDTH == 8)
    return FLICKER_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
           FLICKER_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  else if constexpr (WIDTH == 4)
    return FLICKER_SHUFFLE(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
           FLICKER_SHUFFLE(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
  else
    return FLICKER_SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
           FLICKER_SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif FLICKER_LANES == 8
  if constexpr (WIDTH == 8)
    return FLICKER_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + FLICKER_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  else if constexpr (WIDTH == 4)
    return FLICKER_SHUFFLE(a, b, 0, 1, 4, 5, 8, 9, 12, 13) + FLICKER_SHUFFLE(a, b, 2, 3, 6, 7, 10, 11, 14, 15);
  else
    return FLICKER_SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14) + FLICKER_SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
  if constexpr (WIDTH == 4)
    return FLICKER_SHUFFLE(a, b, 0, 1, 4, 5) + FLICKER_SHUFFLE(a, b, 2, 3, 6, 7);
  else
    return FLICKER_SHUFFLE(a, b, 0, 2, 4, 6) + FLICKER_SHUFFLE(a, b, 1, 3, 5, 7);
#endif
}

/// Sum i of the result = the lanes of v[i], i < N ≤ lanes, each added in pairs of halves: all sums in one tree.
template <int N, int WIDTH = lanes>
FLICKER_INLINE vf lane_sums(const vf* v) {
  if constexpr (WIDTH == 1) {
    static_assert(N == 1);
    return v[0];
  } else {
    constexpr int half = (N + 1) / 2;
    vf folded[half];
#pragma GCC unroll 8
    for (int i = 0; i < half; i++) folded[i] = fold<WIDTH>(v[2 * i], v[2 * i + 1 < N ? 2 * i + 1 : 2 * i]);
    return lane_sums<half, WIDTH / 2>(folded);
  }
}

/// Runs body(W pointer) for the weights' type.
template <typename Body>
void dispatch(Weights w, const Body& body) {
  switch (w.type) {
    case kF32: return body(static_cast<const float*>(w.data));
    case kBf16: return body(static_cast<const uint16_t*>(w.data));
  }
}

/// Asks for the cache line that column k stands in, once per line.
template <typename W>
FLICKER_INLINE void prefetch(const W* row, int64_t k) {
  if (k * static_cast<int64_t>(sizeof(W)) % 64 == 0) __builtin_prefetch(row + k, 0, 2);
}

/// out[r][c] = row r · x[c], n columns; x[c] starts at x + c·stride. While a row is read, the row `next` of it is asked
/// for, so that memory is never idle between rows.
template <int ROWS, int COLUMNS, typename W>
FLICKER_INLINE void dots(const W* const* rows, const W* const* next, const float* x, int64_t stride, int64_t n,
                         float (*out)[COLUMNS]) {
  vf sums[ROWS][COLUMNS] = {};
  int64_t k = 0;
  for (; k + lanes <= n; k += lanes) {
    vf xs[COLUMNS];
#pragma GCC unroll 8
    for (int c = 0; c < COLUMNS; c++) xs[c] = load(x + c * stride + k);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      prefetch(next[r], k);
      const vf w = widen(rows[r] + k);
#pragma GCC unroll 8
      for (int c = 0; c < COLUMNS; c++) sums[r][c] += w * xs[c];
    }
  }
  if (k < n) {
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      const vf w = widen_first(rows[r] + k, n - k);
#pragma GCC unroll 8
      for (int c = 0; c < COLUMNS; c++) sums[r][c] += w * load_first(x + c * stride + k, n - k);
    }
  }
  constexpr int all = ROWS * COLUMNS, wholes = all / lanes, rest = all % lanes;
#pragma GCC unroll 4
  for (int i = 0; i < wholes; i++) {
    const vf totals = lane_sums<lanes>(sums[0] + i * lanes);
    store(out[0] + i * lanes, totals);
  }
  if constexpr (rest > 0) {
    const vf totals = lane_sums<rest>(sums[0] + wholes * lanes);
    memcpy(out[0] + wholes * lanes, &totals, rest * 4);
  }
}

/// put(row, position, dot product) for every one of `count` rows and `batch` positions; row_at(i) is row i. Rows up to
/// `last` exist, beyond count too: they are asked for ahead.
template <typename W, typename RowAt, typename Put>
FLICKER_INLINE void each_dot(const RowAt& row_at, int64_t count, int64_t last, const float* x, int64_t batch,
                             int64_t n, const Put& put) {
  const auto some = [&]<int ROWS, int COLUMNS>(int64_t i, int64_t b) {
    const W *rows[ROWS], *next[ROWS];
    for (int r = 0; r < ROWS; r++) {
      rows[r] = row_at(i + r);
      next[r] = row_at(min(i + r + tile_rows, last - 1));
    }
    float out[ROWS][COLUMNS];
    dots<ROWS, COLUMNS>(rows, next, x + b * n, n, n, out);
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) put(i + r, b + c, out[r][c]);
  };
  const auto positions = [&]<int ROWS>(int64_t i) {
    int64_t b = 0;
    for (; b + tile_columns <= batch; b += tile_columns) some.template operator()<ROWS, tile_columns>(i, b);
    for (; b + 2 <= batch; b += 2) some.template operator()<ROWS, 2>(i, b);
    for (; b < batch; b++) some.template operator()<ROWS, 1>(i, b);
  };
  int64_t i = 0;
  for (; i + tile_rows <= count; i += tile_rows) positions.template operator()<tile_rows>(i);
  for (; i < count; i++) positions.template operator()<1>(i);
}

/// sum (n) = (FIRST ? 0 : sum) + h[0]·rows[0] + h[1]·rows[1] + …, one position: whole rows are streamed.
template <int ROWS, bool FIRST, typename W>
FLICKER_INLINE void add_rows(const W* const* rows, const W* const* next, const float* h, float* sum, int64_t n) {
  int64_t k = 0;
  for (; k + lanes <= n; k += lanes) {
    vf s = FIRST ? vf{} : load(sum + k);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      prefetch(next[r], k);
      s += splat(h[r]) * widen(rows[r] + k);
    }
    store(sum + k, s);
  }
  if (k < n) {
    vf s = FIRST ? vf{} : load_first(sum + k, n - k);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) s += splat(h[r]) * widen_first(rows[r] + k, n - k);
    store_first(sum + k, s, n - k);
  }
}

/// sums (POSITIONS × stride), columns [k, k + VECTORS·lanes) = Σ_i h[i·h_stride + position] · row_at(i), in order of i.
/// With PARTIAL, only `width` (< lanes) columns exist.
template <int POSITIONS, int VECTORS, bool PARTIAL, typename RowAt>
FLICKER_INLINE void add_tile(const RowAt& row_at, const float* h, int64_t h_stride, int64_t count, int64_t k,
                             float* sums, int64_t stride, int64_t width) {
  vf s[POSITIONS][VECTORS] = {};
  for (int64_t i = 0; i < count; i++) {
    const auto* row = row_at(i) + k;
    vf w[VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) w[j] = PARTIAL ? widen_first(row, width) : widen(row + j * lanes);
#pragma GCC unroll 8
    for (int p = 0; p < POSITIONS; p++) {
      const vf factor = splat(h[i * h_stride + p]);
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; j++) s[p][j] += factor * w[j];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < POSITIONS; p++)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) {
      if (PARTIAL)
        store_first(sums + p * stride + k, s[p][j], width);
      else
        store(sums + p * stride + k + j * lanes, s[p][j]);
    }
}

/// sums (batch × stride), n columns = Σ_i h[i·h_stride + position] · row_at(i): register tiles over all rows.
template <typename RowAt>
void weighted_rows(const RowAt& row_at, const float* h, int64_t h_stride, int64_t count, int64_t batch, float* sums,
                   int64_t stride, int64_t n) {
#if FLICKER_LANES == 16 || defined(__aarch64__)
  constexpr int vectors = 4, positions = 6;  // 24 accumulators of 32 registers
#else
  constexpr int vectors = 2, positions = 4;  // 8 of 16
#endif
  const auto columns = [&]<int POSITIONS>(int64_t b) {
    const float* factors = h + b;
    float* to = sums + b * stride;
    int64_t k = 0;
    for (; k + vectors * lanes <= n; k += vectors * lanes)
      add_tile<POSITIONS, vectors, false>(row_at, factors, h_stride, count, k, to, stride, 0);
    for (; k + lanes <= n; k += lanes)
      add_tile<POSITIONS, 1, false>(row_at, factors, h_stride, count, k, to, stride, 0);
    if (k < n) add_tile<POSITIONS, 1, true>(row_at, factors, h_stride, count, k, to, stride, n - k);
  };
  int64_t b = 0;
  for (; b + positions <= batch; b += positions) columns.template operator()<positions>(b);
  for (; b + 2 <= batch; b += 2) columns.template operator()<2>(b);
  for (; b < batch; b++) columns.template operator()<1>(b);
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

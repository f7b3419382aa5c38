// What decoding is made of: dot products of rows with positions, and sums of weighted rows; row_kernels.h has them for
// a few positions at a time, positions.h for any number.
//
// Every sum has one order that depends on the sizes alone, so the result is the same bits for any number of threads,
// any number of positions at a time, and whether inactive neurons are skipped or multiplied by their zero:
// - a dot product runs over its columns in order, in blocks of dot_block columns: `lanes` partial sums per block, which
// are
//   added block by block, then one tree (lane_sums). The processor has several blocks in the works at once: one chain
//   of additions over a whole row would be slower than memory;
// - a block of neurons adds its rows in ascending order onto zero (row sums, weighted_rows): a row times an exact 0
// leaves
//   the sum as it is (unless a weight is infinite or NaN);
// - the blocks' sums are added in block order.
#pragma once

#include "parallel.h"
#include "weight_rows.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t dot_block = lanes < 16 ? 128 : 256;

#ifdef __clang__
#define FLICKER_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FLICKER_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, vi{__VA_ARGS__})
#endif

/// Two vectors of groups of WIDTH lanes: the lower half of each group plus its upper half, those of a before those of
/// b.
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
  // In the order that takes the fewest instructions, within halves of 128 bits where possible: in_order restores it.
  const __m256 x = (__m256)a, y = (__m256)b;
  if constexpr (WIDTH == 8)
    return (vf)_mm256_insertf128_ps(x, _mm256_castps256_ps128(y), 1) + (vf)_mm256_permute2f128_ps(x, y, 0x31);
  else if constexpr (WIDTH == 4)
    return (vf)_mm256_shuffle_ps(x, y, 0x44) + (vf)_mm256_shuffle_ps(x, y, 0xee);
  else
    return (vf)_mm256_shuffle_ps(x, y, 0x88) + (vf)_mm256_shuffle_ps(x, y, 0xdd);
#else
  if constexpr (WIDTH == 4)
    return FLICKER_SHUFFLE(a, b, 0, 1, 4, 5) + FLICKER_SHUFFLE(a, b, 2, 3, 6, 7);
  else
    return FLICKER_SHUFFLE(a, b, 0, 2, 4, 6) + FLICKER_SHUFFLE(a, b, 1, 3, 5, 7);
#endif
}

/// What lane_sums leaves, with sum i in lane i; `count` sums are looked at.
FLICKER_INLINE vf in_order(vf sums, int count) {
#if FLICKER_LANES == 8
  if (count > 1) return FLICKER_SHUFFLE(sums, sums, 0, 4, 1, 5, 2, 6, 3, 7);
#else
  (void)count;
#endif
  return sums;
}

/// Sum i of the result = the lanes of v[i], i < N ≤ lanes, each added in pairs of halves: all sums in one tree. They
/// are in the order that in_order takes.
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

/// out[i] = the lanes of v[i] together, i < N.
template <int N>
FLICKER_INLINE void store_lane_sums(const vf* v, float* out) {
  constexpr int wholes = N / lanes, rest = N % lanes;
#pragma GCC unroll 8
  for (int i = 0; i < wholes; i++) {
    const vf totals = in_order(lane_sums<lanes>(v + i * lanes), lanes);
    store(out + i * lanes, totals);
  }
  if constexpr (rest > 0) {
    const vf totals = in_order(lane_sums<rest>(v + wholes * lanes), rest);
    memcpy(out + wholes * lanes, &totals, rest * 4);
  }
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

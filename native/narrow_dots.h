// What the narrow gate multiplies: codes of one byte with positions in 16 bits, block by block in integers, which
// no order of summation changes. Why the bounds hold: docs/narrow-gate.md.
#pragma once

#include "lane_sums.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Beyond this norm nothing is proven: what stays below it cannot overflow.
constexpr double largest_norm = 0x1p60;

/// The smallest float that is not below x.
inline float rounded_up(double x) {
  float nearest = static_cast<float>(x);
  if (!(static_cast<double>(nearest) < x)) return nearest;
  int32_t bits;
  memcpy(&bits, &nearest, 4);
  bits += nearest >= 0 ? 1 : -1;
  memcpy(&nearest, &bits, 4);
  return nearest;
}

/// Numbers of one block, the rest zeros.
struct Block {
  alignas(64) float values[narrow_block] = {};
};

/// ‖a − scale · b‖ of n values, in f64, where no step over- or underflows.
inline double distance(const Block& a, double scale, const Block& b, int64_t n) {
  typedef float half __attribute__((vector_size(lanes * 2)));
  typedef double vd __attribute__((vector_size(lanes * 4)));
  vd sums[2] = {};
  for (int64_t k = 0; k < n; k += lanes)
    for (int i = 0; i < 2; i++) {
      half x, y;
      memcpy(&x, a.values + k + i * lanes / 2, sizeof x);
      memcpy(&y, b.values + k + i * lanes / 2, sizeof y);
      const vd off = __builtin_convertvector(x, vd) - scale * __builtin_convertvector(y, vd);
      sums[i] += off * off;
    }
  double total = 0;
  for (int i = 0; i < lanes / 2; i++) total += sums[0][i] + sums[1][i];
  return __builtin_sqrt(total);
}

/// `whole` = the block in integers from −most to most; returns what one of them stands for. 0, of all zeros, where
/// that would be subnormal or infinite. What is not a number becomes 0: it shows in the norms.
inline float to_whole(const Block& block, int64_t n, float most, Block& whole) {
  vf largest = {};
  for (int64_t k = 0; k < n; k += lanes) {
    const vf v = load(block.values + k), size = v < 0 ? -v : v;
    largest = size > largest ? size : largest;
  }
  const float step = reduce_max(largest) / most, inverse = 1.f / step;
  const bool usable = step > 0 && inverse > 0 && inverse < __builtin_inff() && step < __builtin_inff();
  for (int64_t k = 0; usable && k < n; k += lanes) {
    // Adding 1.5 · 2²³ rounds to an integer.
    vf v = load(block.values + k) * splat(inverse) + splat(12582912.f) - splat(12582912.f);
    v = v > most ? splat(most) : v;
    v = v < -most ? splat(-most) : v;
    store(whole.values + k, v == v ? v : vf{});
  }
  return usable ? step : 0.f;
}

/// A position as the narrow gate takes it: per block a scale and integers, filled up with zeros, and a norm.
struct NarrowPosition {
  int16_t* whole;  // (blocks · narrow_block)
  float *scales, *norms;

  /// norms: what a row's bounds are to be multiplied by; NaN in all of them where nothing can be proven.
  void set(const float* x, int64_t n) const {
    const Block zeros;
    double all = 0;
    const int64_t blocks = ceil_div(n, narrow_block);
    for (int64_t b = 0; b < blocks; b++) {
      const int64_t first = b * narrow_block, count = min(narrow_block, n - first);
      Block values, near;
      memcpy(values.values, x + first, static_cast<size_t>(count) * 4);
      scales[b] = to_whole(values, count, 32767, near);
      for (int64_t k = 0; k < narrow_block; k++) whole[first + k] = static_cast<int16_t>(near.values[k]);
      const double norm = distance(values, 0, zeros, count), error = distance(values, scales[b], near, count);
      norms[b] = rounded_up((norm + narrow_finer * error) * (1 + 0x1p-30));
      all += norm * norm;
    }
    if (__builtin_sqrt(all) <= largest_norm) return;
    for (int64_t b = 0; b < blocks; b++) norms[b] = __builtin_nanf("");
  }
};

constexpr int64_t step_codes = 2 * lanes;
typedef int16_t vs __attribute__((vector_size(lanes * 4)));

/// step_codes codes as 16 bits each.
FLICKER_INLINE vs widen_codes(const int8_t* p) {
#if FLICKER_LANES == 16
  return (vs)_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif FLICKER_LANES == 8
  return (vs)_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__x86_64__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return (vs)_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
#elif defined(__wasm__)
  return (vs)wasm_i16x8_load8x8(p);
#else
  return (vs)vmovl_s8(vld1_s8(p));
#endif
}

/// sums + a · b, each lane two of the products.
FLICKER_INLINE vi add_products(vi sums, vs a, vs b) {
#if FLICKER_LANES == 16
  return (vi)_mm512_add_epi32((__m512i)sums, _mm512_madd_epi16((__m512i)a, (__m512i)b));
#elif FLICKER_LANES == 8
  return (vi)_mm256_add_epi32((__m256i)sums, _mm256_madd_epi16((__m256i)a, (__m256i)b));
#elif defined(__x86_64__)
  return (vi)_mm_add_epi32((__m128i)sums, _mm_madd_epi16((__m128i)a, (__m128i)b));
#elif defined(__wasm__)
  return sums + (vi)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#else
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  return (vi)vmlal_high_s16(vmlal_s16((int32x4_t)sums, vget_low_s16(x), vget_low_s16(y)), x, y);
#endif
}

/// out[r][c] = narrow row r · narrow position c; rows stand `columns` apart, their scales a row of blocks. `ahead`: how
/// far behind each of several rows the one lies that is asked for meanwhile. A block's sum is at most
/// 256 · 127 · 32767 < 2³¹.
template <int ROWS, int COLUMNS>
FLICKER_INLINE void narrow_dots(const int8_t* codes, const float* scales, int64_t columns, int64_t ahead,
                                const NarrowPosition* positions, float (*out)[COLUMNS]) {
  const int64_t blocks = ceil_div(columns, narrow_block);
  vf totals[ROWS][COLUMNS] = {};
  for (int64_t block = 0; block < blocks; block++) {
    vi sums[ROWS][COLUMNS] = {};
    const int64_t end = min(columns, (block + 1) * narrow_block);
    int64_t k = block * narrow_block;
    const auto step = [&](const int8_t* const* from, int64_t at) {
      vs xs[COLUMNS];
#pragma GCC unroll 8
      for (int c = 0; c < COLUMNS; c++) memcpy(&xs[c], positions[c].whole + at, sizeof xs[c]);
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; r++) {
        const vs w = widen_codes(from[r]);
#pragma GCC unroll 8
        for (int c = 0; c < COLUMNS; c++) sums[r][c] = add_products(sums[r][c], w, xs[c]);
      }
    };
    const auto steps = [&](int64_t at) {
      const int8_t* from[ROWS];
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; r++) from[r] = codes + r * columns + at;
      step(from, at);
    };
    // A cache line of each row at a time.
    for (; k + 64 <= end; k += 64) {
#pragma GCC unroll 8
      for (int r = 0; ROWS > 1 && r < ROWS; r++) __builtin_prefetch(codes + r * columns + ahead + k, 0, 2);
#pragma GCC unroll 8
      for (int64_t j = 0; j < 64; j += step_codes) steps(k + j);
    }
    for (; k + step_codes <= end; k += step_codes) steps(k);
    if (k < end) {
      int8_t last[ROWS][step_codes] = {};
      const int8_t* from[ROWS];
      for (int r = 0; r < ROWS; r++) {
        memcpy(last[r], codes + r * columns + k, static_cast<size_t>(end - k));
        from[r] = last[r];
      }
      step(from, k);
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 8
      for (int c = 0; c < COLUMNS; c++)
        totals[r][c] +=
            splat(scales[r * blocks + block] * positions[c].scales[block]) * __builtin_convertvector(sums[r][c], vf);
  }
  store_lane_sums<ROWS * COLUMNS>(totals[0], out[0]);
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

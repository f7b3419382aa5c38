// Keys and values as a cache stores them: f32, f16, or q8, which is a row of q8_0 (src/kernels/weights/quantized.ts)
// whose scales are not filled up: the f16 scales of the groups of 32, then their int8.
#pragma once

#include "weight_rows.h"

namespace flicker::FLICKER_ISA {
namespace {

/// The nearest f16, ties to even; beyond the largest, infinity.
inline uint16_t narrow_f16(float x) {
#if defined(__F16C__)
  return static_cast<uint16_t>(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT)));
#elif defined(__aarch64__)
  const __fp16 half = static_cast<__fp16>(x);
  uint16_t bits;
  memcpy(&bits, &half, 2);
  return bits;
#else
  uint32_t bits;
  memcpy(&bits, &x, 4);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  // Below the least normal f16, adding ½ leaves the number in units of 2⁻²⁴, rounded, in the lowest bits.
  if (magnitude < 0x38800000) {
    const float shifted = (x < 0 ? -x : x) + 0.5f;
    memcpy(&bits, &shifted, 4);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000));
  }
  const uint32_t rebiased = magnitude - 0x38000000;
  return static_cast<uint16_t>(sign | ((rebiased + 0xfff + (rebiased >> 13 & 1)) >> 13));
#endif
}

/// `lanes` floats as f16.
FLICKER_INLINE void store_f16(vf v, uint16_t* to) {
#if FLICKER_LANES == 16
  const __m256i half = _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT);
  memcpy(to, &half, sizeof half);
#elif FLICKER_LANES == 8
  const __m128i half = _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT);
  memcpy(to, &half, sizeof half);
#else
  for (int i = 0; i < lanes; i++) to[i] = narrow_f16(v[i]);
#endif
}

/// As the quantized weights: scale = largest magnitude / 127, codes to the nearest, halves away from zero.
inline void store_q8(const float* x, int64_t n, uint8_t* row) {
  const int64_t groups = ceil_div(n, 32);
  for (int64_t group = 0; group < groups; group++) {
    alignas(64) float values[32] = {};
    memcpy(values, x + group * 32, static_cast<size_t>(min(32, n - group * 32)) * 4);
    vf most = {};
    for (int i = 0; i < 32; i += lanes) {
      const vf v = load(values + i);
      most = vmax(most, v < 0.f ? -v : v);
    }
    const float scale = reduce_max(most) / 127.f, exact = 1.f / scale;
    // Not the inverse of 0, nor of a scale that is 0 in f16.
    const float inverse = exact <= 3.4028235e38f ? exact : 0.f;
    const uint16_t half = narrow_f16(scale);
    memcpy(row + 2 * group, &half, 2);
    int8_t codes[32];
    for (int i = 0; i < 32; i += lanes) {
      const vf v = load(values + i) * inverse, size = v < 0.f ? -v : v;
      const vi whole = __builtin_convertvector(size, vi);
      const vi rounded = size - __builtin_convertvector(whole, vf) >= 0.5f ? whole + 1 : whole;
      const vi code = v < 0.f ? -rounded : rounded;
      for (int j = 0; j < lanes; j++) codes[i + j] = static_cast<int8_t>(code[j]);
    }
    memcpy(row + 2 * groups + 32 * group, codes, 32);
  }
}

/// One key or value of n elements into its row.
inline void store_cached(CacheType type, const float* x, int64_t n, uint8_t* row) {
  if (type == kCacheQ8) {
    store_q8(x, n, row);
  } else if (type == kCacheF16) {
    for (int64_t k = 0; k < n; k += lanes) {
      const int64_t width = min(lanes, n - k);
      uint16_t half[lanes];
      store_f16(load_first(x + k, width), half);
      memcpy(row + 2 * k, half, static_cast<size_t>(width) * 2);
    }
  } else {
    memcpy(row, x, static_cast<size_t>(n) * 4);
  }
}

/// How rows of n elements are stored.
inline RowStorage stored_as(CacheType type, int64_t n) {
  const WeightType rows[] = {kF32, kF16, kQ8_0};
  static_assert(kCacheF32 == 0 && kCacheF16 == 1 && kCacheQ8 == 2);
  return {rows[type], ceil_div(n, 32) * 2};
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

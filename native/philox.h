// Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011), a vector of counters at a time.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace flicker::FLICKER_ISA {

/// High and low halves of the 64-bit products a·m, lane by lane.
FLICKER_INLINE void multiply_wide(vu a, uint32_t m, vu& high, vu& low) {
#if FLICKER_LANES == 16
  const __m512i x = (__m512i)a, y = _mm512_set1_epi32(static_cast<int>(m));
  const __m512i even = _mm512_mul_epu32(x, y), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), y);
  low = (vu)_mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA);
  high = (vu)_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
#elif FLICKER_LANES == 8
  const __m256i x = (__m256i)a, y = _mm256_set1_epi32(static_cast<int>(m));
  const __m256i even = _mm256_mul_epu32(x, y), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), y);
  low = (vu)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  high = (vu)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
#elif defined(__x86_64__)
  const __m128i x = (__m128i)a, y = _mm_set1_epi32(static_cast<int>(m)), lower = _mm_set1_epi64x(0xffffffff);
  const __m128i even = _mm_mul_epu32(x, y), odd = _mm_mul_epu32(_mm_srli_epi64(x, 32), y);
  low = (vu)_mm_or_si128(_mm_and_si128(even, lower), _mm_slli_epi64(odd, 32));
  high = (vu)_mm_or_si128(_mm_srli_epi64(even, 32), _mm_andnot_si128(lower, odd));
#elif defined(__wasm__)
  const v128_t x = (v128_t)a, y = wasm_i32x4_splat(static_cast<int32_t>(m));
  const v128_t first = wasm_u64x2_extmul_low_u32x4(x, y), last = wasm_u64x2_extmul_high_u32x4(x, y);
  low = (vu)wasm_i32x4_shuffle(first, last, 0, 2, 4, 6);
  high = (vu)wasm_i32x4_shuffle(first, last, 1, 3, 5, 7);
#else
  for (int i = 0; i < lanes; i++) {
    const uint64_t product = static_cast<uint64_t>(a[i]) * m;
    low[i] = static_cast<uint32_t>(product);
    high[i] = static_cast<uint32_t>(product >> 32);
  }
#endif
}

/// The four words for counters (c0 and c1 lane by lane, c2, c3).
FLICKER_INLINE void philox(vu c0, vu c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1, vu words[4]) {
  vu x0 = c0, x1 = c1, x2 = splat_u32(c2), x3 = splat_u32(c3);
  for (int round = 0; round < 10; round++) {
    vu high0, low0, high2, low2;
    multiply_wide(x0, 0xD2511F53u, high0, low0);
    multiply_wide(x2, 0xCD9E8D57u, high2, low2);
    x0 = high2 ^ x1 ^ splat_u32(k0);
    x1 = low2;
    x2 = high0 ^ x3 ^ splat_u32(k1);
    x3 = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  words[0] = x0, words[1] = x1, words[2] = x2, words[3] = x3;
}

/// The 24-bit draws of neurons first … first + 4·lanes − 1 of one row, in neuron order; `first` divisible by 4·lanes.
FLICKER_INLINE void draw_block(const Draw& draw, uint32_t row, uint32_t first, uint32_t out[4 * lanes]) {
  constexpr uint32_t steps[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  vu counter;
  memcpy(&counter, steps, sizeof counter);
  counter += splat_u32(first / 4);
  vu words[4];
  philox(counter, splat_u32(draw.first_row + row), draw.step, draw.tag, draw.seed_low, draw.seed_high, words);
  // Word w of counter i belongs to neuron 4i + w: squares of four words and four counters are transposed.
  float squares[4][lanes];
  for (int j = 0; j < 4; j++) {
    const vu shifted = words[j] >> 8;
    memcpy(squares[j], &shifted, sizeof shifted);
  }
  float* to = reinterpret_cast<float*>(out);
  for (int i = 0; i < lanes; i += 4) transpose_4x4(squares[0] + i, lanes, to + 4 * i, 4);
}

}  // namespace flicker::FLICKER_ISA

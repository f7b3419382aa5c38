// Products of bf16 in pairs: two neighbors along the sum stand in one word of 32 bits, and one instruction adds both
// products to a float (AVX512-BF16, NEON's BF16). Where there is none, the same products by ordinary multiply-adds.
#pragma once

#include "simd.h"

#if FLICKER_LANES == 16
#define FLICKER_BF16_TARGET __attribute__((target("avx512bf16")))
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#define FLICKER_BF16_TARGET __attribute__((target("arch=armv8.2-a+bf16")))
#endif

namespace flicker::FLICKER_ISA {

/// Whether this processor has such an instruction, and these kernels use it.
inline bool has_bf16_products() {
#if FLICKER_LANES == 16
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has;
#elif defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long bf16 = 1 << 14;
  static const bool has = (getauxval(AT_HWCAP2) & bf16) != 0;
  return has;
#else
  return false;
#endif
}

FLICKER_INLINE vu load_words(const float* p) { return (vu)load(p); }
FLICKER_INLINE uint32_t word_at(const float* p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/// Rounded to bf16, ties to even, which is the upper half of each lane; the lower is 0. What is no number stays so.
FLICKER_INLINE vu rounded_bf16(vf v) {
  const vu bits = (vu)v;
  const vu nearest = bits + 0x7fff + (bits >> 16 & 1);
  return (v == v ? nearest : bits | 0x400000) & 0xffff0000;
}

/// The pairs (even, odd), lane by lane.
FLICKER_INLINE vf pairs_of(vf even, vf odd) { return (vf)(rounded_bf16(even) >> 16 | rounded_bf16(odd)); }

FLICKER_INLINE vf add_products(vf sum, vu a, vu b) {
  sum += (vf)(a & 0xffff0000) * (vf)(b & 0xffff0000);
  return sum + (vf)(a << 16) * (vf)(b << 16);
}

#ifdef FLICKER_BF16_TARGET
FLICKER_BF16_TARGET FLICKER_INLINE vf add_products_of_hardware(vf sum, vu a, vu b) {
#if FLICKER_LANES == 16
  return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
  return (vf)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)a, (bfloat16x8_t)b);
#endif
}
#endif

}  // namespace flicker::FLICKER_ISA

// Row types of ggml's K-quants, read as files have them: super-blocks of 256 columns (src/kernels/weights/k-quants.ts
// describes the bytes). Included by weight_rows.h, which says what a row type is.
//
// A chunk is a super-block and a unit half of one, so `at` is 0 or 128. A scale times a code is exact in f32; the
// subtraction of the minimum rounds once, fused or not.
#pragma once

#include "row_kernels.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {
namespace {

/// `lanes` bytes as integers.
FLICKER_INLINE vi widen_uint8(const uint8_t* p) {
#if FLICKER_LANES == 16
  __m128i bytes;
  memcpy(&bytes, p, sizeof bytes);
  return (vi)_mm512_cvtepu8_epi32(bytes);
#elif FLICKER_LANES == 8
  int64_t bytes;
  memcpy(&bytes, p, sizeof bytes);
  return (vi)_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(bytes));
#elif defined(__wasm__)
  return (vi)wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(p)));
#else
  typedef uint8_t vb __attribute__((vector_size(lanes)));
  vb bytes;
  memcpy(&bytes, p, sizeof bytes);
  return __builtin_convertvector(bytes, vi);
#endif
}

/// The f16 at p; the `lanes` halves from there on are memory of the row.
FLICKER_INLINE float float16_at(const uint8_t* p) { return widen_f16(reinterpret_cast<const uint16_t*>(p))[0]; }

/// The f16 in the last two bytes of a row.
FLICKER_INLINE float last_float16(const uint8_t* p) {
#if FLICKER_LANES >= 8
  uint16_t half;
  memcpy(&half, p, 2);
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
#else
  uint16_t half[lanes] = {};
  memcpy(half, p, 2);
  return widen_f16(half)[0];
#endif
}

/// numbers, a byte each = eight scales and eight minimums of 6 bits, out of 12 bytes.
FLICKER_INLINE void six_bit_numbers(const uint8_t* from, uint32_t* numbers) {
  // Words of four numbers each: of scales 0 to 3 and minimums 0 to 3, whose upper two bits belong to the numbers 4 to
  // 7, and the lower four bits of those.
  uint32_t words[3];
  memcpy(words, from, sizeof words);
  numbers[0] = words[0] & 0x3f3f3f3f;
  numbers[1] = (words[2] & 0x0f0f0f0f) | ((words[0] >> 6 & 0x03030303) << 4);
  numbers[2] = words[1] & 0x3f3f3f3f;
  numbers[3] = (words[2] >> 4 & 0x0f0f0f0f) | ((words[1] >> 6 & 0x03030303) << 4);
}

struct SuperBlockRow {
  static constexpr int64_t unit = 128, chunk = super_block;
  const uint8_t* data;
  SuperBlockRow() = default;
  SuperBlockRow(const uint8_t* at, int64_t) : data(at) {}
  const uint8_t* begin() const { return data; }
  int64_t scale_bytes() const { return 0; }
};

/// q4_k, or q5_k with a FIFTH bit.
template <bool FIFTH>
struct MinimumRow : SuperBlockRow {
  using SuperBlockRow::SuperBlockRow;
  static constexpr int64_t block_bytes = FIFTH ? q5_k_bytes : q4_k_bytes, bits_at = 16, codes_at = FIFTH ? 48 : 16;
  /// Of groups of 32 columns: eight scales, then eight minimums.
  struct Scales {
    alignas(64) float of[16];
  };

  FLICKER_INLINE const uint8_t* block(int64_t k) const { return data + k / super_block * block_bytes; }

  FLICKER_INLINE Scales scales(int64_t k) const {
    const uint8_t* from = block(k);
    uint32_t codes[4];
    six_bit_numbers(from + 4, codes);
    const float d = float16_at(from), dmin = float16_at(from + 2);
    Scales s;
    for (int i = 0; i < 16; i += lanes) {
      const vf numbers = __builtin_convertvector(widen_uint8(reinterpret_cast<const uint8_t*>(codes) + i), vf);
#if FLICKER_LANES == 16
      store(s.of, numbers * vf{d, d, d, d, d, d, d, d, dmin, dmin, dmin, dmin, dmin, dmin, dmin, dmin});
#else
      store(s.of + i, numbers * splat(i < 8 ? d : dmin));
#endif
    }
    return s;
  }

  template <int J>
  FLICKER_INLINE vi codes(int64_t k, int64_t at) const {
    constexpr int group = J * lanes / 32, within = J * lanes % 32;
    const uint8_t* from = block(k);
    const vi pairs = widen_uint8(from + codes_at + at / 2 + group / 2 * 32 + within);
    vi code = group % 2 == 0 ? pairs & 15 : pairs >> 4;
    if constexpr (FIFTH) {
      const vi bits = widen_uint8(from + bits_at + within);
      code |= (at == 0 ? bits >> group & 1 : bits >> (group + 4) & 1) << 4;
    }
    return code;
  }
  template <int J>
  FLICKER_INLINE vf vector(int64_t k, const Scales& scales, int64_t at) const {
    const float* scale = scales.of + at / 32 + J * lanes / 32;
    return __builtin_convertvector(codes<J>(k, at), vf) * splat(scale[0]) - splat(scale[8]);
  }
#if FLICKER_LANES == 16
  /// Without a fifth bit the sixteen values of a group are a table that codes choose from.
  FLICKER_INLINE void read(int64_t k, const Scales& scales, int64_t at, vf* out) const {
    unrolled<unit / 32>([&](auto g) FLICKER_UNROLLED {
      if constexpr (FIFTH) {
        out[2 * g] = vector<2 * g>(k, scales, at), out[2 * g + 1] = vector<2 * g + 1>(k, scales, at);
      } else {
        const float* scale = scales.of + at / 32 + g;
        const vf values = vf{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} * splat(scale[0]) - splat(scale[8]);
        const uint8_t* from = block(k) + codes_at + at / 2 + g / 2 * 32;
        // The permutation looks at the lowest four bits alone.
        unrolled<2>([&](auto half) FLICKER_UNROLLED {
          const vi pairs = widen_uint8(from + 16 * half);
          out[2 * g + half] = (vf)_mm512_permutexvar_ps((__m512i)(pairs >> (g % 2 * 4)), (__m512)values);
        });
      }
    });
  }
#endif
  FLICKER_INLINE void prefetch(int64_t k) const {
    const uint8_t* from = block(k) + (k % super_block == 0 ? 0 : block_bytes / 2);
    ask_for(from);
    ask_for(from + 64);
  }
};
struct Q4KRow : MinimumRow<false> {
  using MinimumRow::MinimumRow;
  static constexpr WeightType type = kQ4_k;
};
struct Q5KRow : MinimumRow<true> {
  using MinimumRow::MinimumRow;
  static constexpr WeightType type = kQ5_k;
};

struct Q6KRow : SuperBlockRow {
  using SuperBlockRow::SuperBlockRow;
  static constexpr WeightType type = kQ6_k;
  static constexpr int64_t pairs_at = 128, scales_at = 192, d_at = 208;
  /// Of groups of 16 columns.
  struct Scales {
    alignas(64) float of[16];
  };

  FLICKER_INLINE const uint8_t* block(int64_t k) const { return data + k / super_block * q6_k_bytes; }

  FLICKER_INLINE Scales scales(int64_t k) const {
    const uint8_t* from = block(k);
    const vf d = splat(last_float16(from + d_at));
    Scales s;
    for (int i = 0; i < 16; i += lanes)
      store(s.of + i, widen_int8(reinterpret_cast<const int8_t*>(from + scales_at) + i) * d);
    return s;
  }

  template <int J>
  FLICKER_INLINE vf vector(int64_t k, const Scales& scales, int64_t at) const {
    constexpr int group = J * lanes / 32, within = J * lanes % 32;
    const uint8_t* from = block(k);
    const vi halves = widen_uint8(from + at / 2 + group % 2 * 32 + within);
    const vi pairs = widen_uint8(from + pairs_at + at / 4 + within);
    const vi code = (group < 2 ? halves & 15 : halves >> 4) | (pairs >> 2 * group & 3) << 4;
    return scaled(__builtin_convertvector(code - 32, vf), scales.of + at / 16 + J * lanes / 16);
  }
  FLICKER_INLINE void prefetch(int64_t k) const {
    const uint8_t* from = block(k) + (k % super_block == 0 ? 0 : q6_k_bytes / 2);
    ask_for(from);
    ask_for(from + 64);
  }
};

}  // namespace
}  // namespace flicker::FLICKER_ISA

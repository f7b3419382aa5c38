// Integers of 16 bits, in blocks with a scale each, and their products: what hidden states become for quantized
// weights. Sums of integers are exact in any order; what is done in f32 has one order, eight sums whatever the vector's
// width, and rounds after every operation. So the results are the same bits on every instruction set, and those of
// src/kernels/portable/integer-decoding.ts.
#pragma once

#include "weight_rows.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Columns that share a scale, and columns of a chunk: eight groups.
constexpr int64_t group_columns = 32, chunk_columns = 256, chunk_words = chunk_columns / 2;

// Eight lanes, of one vector or two. AVX-512 has them in half a register.
constexpr int part_lanes = lanes < 8 ? 4 : 8, parts = 8 / part_lanes;
typedef float vpf __attribute__((vector_size(part_lanes * 4)));
typedef int32_t vpi __attribute__((vector_size(part_lanes * 4)));
typedef uint32_t vpu __attribute__((vector_size(part_lanes * 4)));
typedef int16_t vps __attribute__((vector_size(part_lanes * 4)));

template <typename V>
FLICKER_INLINE V load_as(const void* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <typename V>
FLICKER_INLINE void store_as(void* p, V v) {
  memcpy(p, &v, sizeof v);
}

/// A product, rounded here: compilers make no multiply-add of it and of a sum that it goes into.
template <typename V>
FLICKER_INLINE V rounded(V v) {
#if FLICKER_LANES == 16
  asm("" : "+v"(v));
#elif defined(__x86_64__)
  asm("" : "+x"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#endif
  return v;
}

/// part_lanes f16 as floats.
FLICKER_INLINE vpf widen_halves(const uint16_t* p) {
#if FLICKER_LANES == 16
  return (vpf)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  return widen_f16(p);
#endif
}

/// Each lane two of the products.
FLICKER_INLINE vpi pair_products(vps a, vps b) {
#if FLICKER_LANES >= 8
  return (vpi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
  return (vpi)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__wasm__)
  return (vpi)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b);
#else
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  return (vpi)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
#endif
}

/// 2 · part_lanes int8 as 16 bits each.
FLICKER_INLINE vps widen_bytes(const uint8_t* p) {
#if FLICKER_LANES >= 8
  return (vps)_mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__x86_64__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return (vps)_mm_srai_epi16(_mm_unpacklo_epi8(bytes, bytes), 8);
#elif defined(__wasm__)
  return (vps)wasm_i16x8_load8x8(p);
#else
  return (vps)vmovl_s8(vld1_s8(reinterpret_cast<const int8_t*>(p)));
#endif
}

/// part_lanes pairs (a[i], b[i]) of int8, as 16 bits each.
FLICKER_INLINE vps widen_pairs(const uint8_t* a, const uint8_t* b) {
#if FLICKER_LANES >= 8
  const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(a));
  return (vps)_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(x, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(b))));
#else
  int8_t bytes[2 * part_lanes];
  for (int i = 0; i < part_lanes; i++) {
    bytes[2 * i] = static_cast<int8_t>(a[i]);
    bytes[2 * i + 1] = static_cast<int8_t>(b[i]);
  }
  return widen_bytes(reinterpret_cast<const uint8_t*>(bytes));
#endif
}

/// Of part_lanes words of both: bytes 0 and 1 side by side, and bytes 2 and 3.
FLICKER_INLINE vpu lower_halves(vpu a, vpu b) { return (a & 0xffffu) | b << 16; }
FLICKER_INLINE vpu upper_halves(vpu a, vpu b) { return a >> 16 | (b & 0xffff0000u); }

/// Of every four words the four lowest bytes, …, the four highest: word g becomes bytes g of words 0, 2, 1 and 3.
FLICKER_INLINE vpu bytes_by_group(vpu words) {
#if FLICKER_LANES >= 8
  const __m256i order = _mm256_setr_epi8(0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15,  //
                                         0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15);
  return (vpu)_mm256_shuffle_epi8((__m256i)words, order);
#elif defined(__aarch64__)
  const uint8x16_t order = {0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15};
  return (vpu)vqtbl1q_u8((uint8x16_t)words, order);
#elif defined(__wasm__)
  const v128_t v = (v128_t)words;
  return (vpu)wasm_i8x16_shuffle(v, v, 0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15);
#else
  const __m128i low = _mm_unpacklo_epi8((__m128i)words, _mm_shuffle_epi32((__m128i)words, 0xee));
  return (vpu)_mm_unpacklo_epi16(low, _mm_srli_si128(low, 8));
#endif
}

/// of[i] = the lanes of block i together, eight blocks.
FLICKER_INLINE void sums_of_blocks(const vpi* block, vpi* of) {
#if FLICKER_LANES >= 8
  const auto four = [&](int i) {
    const __m256i a = _mm256_hadd_epi32((__m256i)block[i], (__m256i)block[i + 1]);
    return _mm256_hadd_epi32(a, _mm256_hadd_epi32((__m256i)block[i + 2], (__m256i)block[i + 3]));
  };
  const __m256i low = four(0), high = four(4);
  of[0] = (vpi)_mm256_add_epi32(_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31));
#else
  for (int i = 0; i < 8; i++) {
    const vpi v = block[i];
    of[i / 4][i % 4] = v[0] + v[1] + v[2] + v[3];
  }
#endif
}

/// The eight sums of a dot product together.
FLICKER_INLINE float sum_of_eight(const float* sums) {
  typedef float four __attribute__((vector_size(16)));
  const four s = load_as<four>(sums) + load_as<four>(sums + 4);
  return (s[0] + s[2]) + (s[1] + s[3]);
}

/// What one of the integers of a block stands for, and its inverse.
struct Step {
  float size, inverse;
};

/// Of a block whose largest magnitude has these bits: it becomes 32767. A block with a value that is not finite has a
/// step of NaN, one of values too small for a step that is not subnormal a step of 0.
inline Step step_of(int32_t largest_bits) {
  if (largest_bits >= 0x7f800000) return {__builtin_nanf(""), 0};
  float largest;
  memcpy(&largest, &largest_bits, 4);
  const float size = largest / 32767.f, inverse = 1.f / size;
  if (size > 0 && inverse < __builtin_inff()) return {size, inverse};
  return {0, 0};
}

/// The magnitudes of v as bits, which are ordered as they are; those of what is not a number are the largest.
FLICKER_INLINE vpi magnitude_bits(vpf v) { return (vpi)v & 0x7fffffff; }
FLICKER_INLINE vpi larger(vpi a, vpi b) {
#if FLICKER_LANES >= 8
  return (vpi)_mm256_max_epi32((__m256i)a, (__m256i)b);
#else
  return a > b ? a : b;
#endif
}
FLICKER_INLINE int32_t largest_lane(vpi v) {
#if FLICKER_LANES >= 8
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4e));
  return _mm_cvtsi128_si32(_mm_max_epi32(m, _mm_shuffle_epi32(m, 0xb1)));
#else
  int32_t largest = 0;
  for (int i = 0; i < part_lanes; i++) largest = v[i] > largest ? v[i] : largest;
  return largest;
#endif
}

/// part_lanes integers of at most 16 bits as such.
typedef int16_t vpn __attribute__((vector_size(part_lanes * 2)));
FLICKER_INLINE vpn narrowed(vpi v) {
#if FLICKER_LANES >= 8
  const __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
  return (vpn)_mm_packs_epi32(low, high);
#else
  return __builtin_convertvector(v, vpn);
#endif
}

/// v · inverse as integers, to the nearest, ties to even: adding 1.5 · 2²³ rounds, and leaves them in the low bits.
FLICKER_INLINE vpi to_integers(vpf v, vpf inverse) { return (vpi)(rounded(v * inverse) + 12582912.f) - 0x4b400000; }

/// values (N) = those of x in integers; returns their step.
template <int N>
inline float quantize(const float* x, int16_t* values) {
  vpi largest = {};
#pragma GCC unroll 8
  for (int k = 0; k < N; k += part_lanes) largest = larger(largest, magnitude_bits(load_as<vpf>(x + k)));
  const Step step = step_of(largest_lane(largest));
  const vpf inverse = step.inverse - vpf{};
#pragma GCC unroll 8
  for (int k = 0; k < N; k += part_lanes) store_as(values + k, narrowed(to_integers(load_as<vpf>(x + k), inverse)));
  return step.size;
}

/// The sum of a group of 32.
inline int32_t group_sum(const int16_t* values) {
  vpi sum = {};
  for (int k = 0; k < group_columns; k += 2 * part_lanes)
    sum += pair_products(load_as<vps>(values + k), static_cast<int16_t>(1) - vps{});
  int32_t parts_of_sum[part_lanes], all = 0;
  memcpy(parts_of_sum, &sum, sizeof sum);
  for (const int32_t part : parts_of_sum) all += part;
  return all;
}

/// Each group of 32 as its even columns and then its odd ones.
inline void evens_first(const int16_t* values, int16_t* to) {
  for (int g = 0; g < chunk_columns; g += group_columns)
    for (int k = 0; k < group_columns / 2; k += part_lanes) {
      const vpi pairs = load_as<vpi>(values + g + 2 * k);
      store_as(to + g + k, narrowed((vpi)((vpu)pairs << 16) >> 16));
      store_as(to + g + group_columns / 2 + k, narrowed(pairs >> 16));
    }
}

/// Eight groups of 32 as words of two, transposed: word 8·p + g = values 2p and 2p + 1 of group g.
inline void words_by_group(const int16_t* values, int32_t* words) {
  for (int g = 0; g < 8; g += 4)
    for (int p = 0; p < 16; p += 4)
      transpose_4x4(reinterpret_cast<const float*>(values) + 16 * g + p, 16,
                    reinterpret_cast<float*>(words) + 8 * p + g, 8);
}

// Of a register's 128 bits, or of both halves of 256 apart: eight pairs of bytes.
#if FLICKER_LANES >= 8
typedef uint16_t byte_pairs __attribute__((vector_size(32)));
FLICKER_INLINE byte_pairs lower_pairs(byte_pairs a, byte_pairs b) {
  return (byte_pairs)_mm256_unpacklo_epi16((__m256i)a, (__m256i)b);
}
FLICKER_INLINE byte_pairs upper_pairs(byte_pairs a, byte_pairs b) {
  return (byte_pairs)_mm256_unpackhi_epi16((__m256i)a, (__m256i)b);
}
#else
typedef uint16_t byte_pairs __attribute__((vector_size(16)));
#if defined(__clang__)
#define FLICKER_PAIRS(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FLICKER_PAIRS(a, b, ...) __builtin_shuffle(a, b, byte_pairs{__VA_ARGS__})
#endif
FLICKER_INLINE byte_pairs lower_pairs(byte_pairs a, byte_pairs b) {
  return FLICKER_PAIRS(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
FLICKER_INLINE byte_pairs upper_pairs(byte_pairs a, byte_pairs b) {
  return FLICKER_PAIRS(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
#undef FLICKER_PAIRS
#endif

/// The same of eight groups of 32 int8, which become 16 bits each.
inline void words_of_bytes(const uint8_t* codes, int32_t* words) {
  constexpr int at_once = sizeof(byte_pairs) / 2;
  for (int first = 0; first < 16; first += at_once) {
    byte_pairs rows[8], mixed[8];
    unrolled<8>([&](auto g) FLICKER_UNROLLED { rows[g] = load_as<byte_pairs>(codes + g * group_columns + 2 * first); });
    // Rows i and i + 4 interleaved, three times: the eight by eight pairs are transposed.
    const auto mix = [](const byte_pairs* from, byte_pairs* to) FLICKER_UNROLLED {
      unrolled<4>([&](auto i) FLICKER_UNROLLED {
        to[2 * i] = lower_pairs(from[i], from[i + 4]);
        to[2 * i + 1] = upper_pairs(from[i], from[i + 4]);
      });
    };
    mix(rows, mixed);
    mix(mixed, rows);
    mix(rows, mixed);
    unrolled<8>([&](auto p) FLICKER_UNROLLED {
#if FLICKER_LANES >= 8
      const __m256i both = (__m256i)mixed[p];
      store_as(words + 8 * p, _mm256_cvtepi8_epi16(_mm256_castsi256_si128(both)));
      store_as(words + 8 * (p + 8), _mm256_cvtepi8_epi16(_mm256_extracti128_si256(both, 1)));
#else
      uint8_t bytes[16];
      store_as(bytes, mixed[p]);
      for (int part = 0; part < 2; part++) store_as(words + 8 * (first + p) + 4 * part, widen_bytes(bytes + 8 * part));
#endif
    });
  }
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

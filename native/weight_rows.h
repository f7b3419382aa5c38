// Rows of weights, keys and values as vectors of floats, whatever they are stored as. The layout of the quantized types
// is that of src/kernels/weights/quantized.ts.
//
// A row type has its columns in units: vector<J>(k, …) is vector J of the unit that starts at column k, read(k, …) all
// unit / lanes of them. Quantized rows have one f16 scale per 32 columns; those of a chunk of columns are widened
// together, and `at` is how far k is into the chunk. The product of a scale and an int8 or a nibble is exact in f32, so
// a weight is the same number wherever it is used.
// The K-quants are in k_quant_rows.h.
#pragma once

#include "row_kernels.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {
namespace {

typedef uint16_t vh __attribute__((vector_size(lanes * 2)));

/// `lanes` bf16 as floats: a bf16 is the upper half of a float.
FLICKER_INLINE vf widen_bf16(const uint16_t* p) {
#if FLICKER_LANES == 16
  __m256i half;
  memcpy(&half, p, sizeof half);
  return (vf)((vu)_mm512_cvtepu16_epi32(half) << 16);
#elif FLICKER_LANES == 8
  return (vf)((vu)_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))) << 16);
#elif defined(__wasm__)
  return (vf)((vu)wasm_u32x4_load16x4(p) << 16);
#else
  vh half;
  memcpy(&half, p, sizeof half);
  return (vf)(__builtin_convertvector(half, vu) << 16);
#endif
}

/// `lanes` f16 as floats.
FLICKER_INLINE vf widen_f16(const uint16_t* p) {
#if FLICKER_LANES == 16
  __m256i half;
  memcpy(&half, p, sizeof half);
  return (vf)_mm512_cvtph_ps(half);
#elif FLICKER_LANES == 8
  __m128i half;
  memcpy(&half, p, sizeof half);
  return (vf)_mm256_cvtph_ps(half);
#elif defined(__aarch64__)
  uint16x4_t half;
  memcpy(&half, p, sizeof half);
  return (vf)vcvt_f32_f16(vreinterpret_f16_u16(half));
#else
#if defined(__wasm__)
  const vu word = (vu)wasm_u32x4_load16x4(p);
#else
  vh half;
  memcpy(&half, p, sizeof half);
  const vu word = __builtin_convertvector(half, vu);
#endif
  const vu magnitude = (word & splat_u32(0x7fff)) << 13;
  // The exponents differ by 112; the product is exact for subnormals too. 31 is that of infinities and NaN.
  const vu scaled = (vu)((vf)magnitude * splat(0x1p112f));
  const vu special = magnitude >= splat_u32(0x7c00 << 13) ? splat_u32(0x7f800000) : vu{};
  return (vf)(scaled | special | (word & splat_u32(0x8000)) << 16);
#endif
}

/// `lanes` int8 as floats.
FLICKER_INLINE vf widen_int8(const int8_t* p) {
#if FLICKER_LANES == 16
  __m128i bytes;
  memcpy(&bytes, p, sizeof bytes);
  return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
#elif FLICKER_LANES == 8
  int64_t bytes;
  memcpy(&bytes, p, sizeof bytes);
  return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(bytes)));
#elif defined(__wasm__)
  return (vf)wasm_f32x4_convert_i32x4(
      wasm_i32x4_extend_low_i16x8(wasm_i16x8_extend_low_i8x16(wasm_v128_load32_zero(p))));
#else
  typedef int8_t vb __attribute__((vector_size(lanes)));
  vb bytes;
  memcpy(&bytes, p, sizeof bytes);
  return __builtin_convertvector(__builtin_convertvector(bytes, vi), vf);
#endif
}

/// v · *scale. With AVX-512 the factor is an operand straight from memory, which the processor broadcasts for nothing;
/// left to themselves compilers keep it in a vector for the next product, at the price of an instruction that competes
/// with the products.
FLICKER_INLINE vf scaled(vf v, const float* scale) {
#if FLICKER_LANES == 16
  asm("vmulps %2%{1to16%}, %1, %0" : "=v"(v) : "v"(v), "m"(*scale));
  return v;
#else
  return v * splat(*scale);
#endif
}

FLICKER_INLINE void ask_for(const void* p) { __builtin_prefetch(p, 0, 2); }

/// Rows without scales: their columns form one chunk.
struct Unscaled {
  struct Scales {};
  static constexpr int64_t unit = 32, chunk = INT64_MAX / 4;
  Scales scales(int64_t) const { return {}; }
  int64_t scale_bytes() const { return 0; }
};

struct F32Row : Unscaled {
  static constexpr WeightType type = kF32;
  const float* data;
  F32Row() = default;
  F32Row(const uint8_t* at, int64_t) : data(reinterpret_cast<const float*>(at)) {}
  const uint8_t* begin() const { return reinterpret_cast<const uint8_t*>(data); }

  template <int J>
  FLICKER_INLINE vf vector(int64_t k, const Scales&, int64_t) const {
    return load(data + k + J * lanes);
  }
  /// The last n (< unit) columns, the rest of `out` (unit) zero.
  void read_last(int64_t k, int64_t n, const Scales&, int64_t, float* out) const {
    memset(out, 0, unit * 4);
    memcpy(out, data + k, static_cast<size_t>(n) * 4);
  }
  FLICKER_INLINE void prefetch(int64_t k) const {
    ask_for(data + k);
    ask_for(data + k + 16);
  }
};

/// Two bytes per column: WIDEN makes floats of `lanes` of them.
template <vf (*WIDEN)(const uint16_t*)>
struct HalfRow : Unscaled {
  const uint16_t* data;
  HalfRow() = default;
  HalfRow(const uint8_t* at, int64_t) : data(reinterpret_cast<const uint16_t*>(at)) {}
  const uint8_t* begin() const { return reinterpret_cast<const uint8_t*>(data); }

  template <int J>
  FLICKER_INLINE vf vector(int64_t k, const Scales&, int64_t) const {
    return WIDEN(data + k + J * lanes);
  }
  void read_last(int64_t k, int64_t n, const Scales&, int64_t, float* out) const {
    uint16_t half[unit] = {};
    memcpy(half, data + k, static_cast<size_t>(n) * 2);
    for (int j = 0; j < unit / lanes; j++) store(out + j * lanes, WIDEN(half + j * lanes));
  }
  FLICKER_INLINE void prefetch(int64_t k) const { ask_for(data + k); }
};
struct Bf16Row : HalfRow<widen_bf16> {
  using HalfRow::HalfRow;
  static constexpr WeightType type = kBf16;
};
struct F16Row : HalfRow<widen_f16> {
  using HalfRow::HalfRow;
  static constexpr WeightType type = kF16;
};

/// Scales first, one f16 per group of 32 columns, filled up in weights but not in caches. Behind them stand whole
/// units: a row is never shorter than what `scales` reads.
struct ScaledRow {
  static constexpr int64_t group = 32, chunk = 512;
  struct Scales {
    alignas(64) float of[chunk / group];
  };
  const uint16_t* first_scale;
  const uint8_t* data;
  ScaledRow() = default;
  ScaledRow(const uint8_t* at, int64_t scale_bytes)
      : first_scale(reinterpret_cast<const uint16_t*>(at)), data(at + scale_bytes) {}
  const uint8_t* begin() const { return reinterpret_cast<const uint8_t*>(first_scale); }
  int64_t scale_bytes() const { return data - begin(); }

  /// Of the chunk that starts at column k.
  FLICKER_INLINE Scales scales(int64_t k) const {
    Scales s;
    for (int64_t i = 0; i < chunk / group; i += lanes) store(s.of + i, widen_f16(first_scale + k / group + i));
    return s;
  }
};

struct Q8Row : ScaledRow {
  using ScaledRow::ScaledRow;
  static constexpr WeightType type = kQ8_0;
  static constexpr int64_t unit = 32;

  template <int J>
  FLICKER_INLINE vf vector(int64_t k, const Scales& scales, int64_t at) const {
    const vf values = widen_int8(reinterpret_cast<const int8_t*>(data) + k + J * lanes);
    return scaled(values, scales.of + at / group + J * lanes / group);
  }
  FLICKER_INLINE void prefetch(int64_t k) const {
    if (k % 64 == 0) ask_for(data + k);
    if (k % 1024 == 0) ask_for(first_scale + k / group);
  }
};

struct Q4Row : ScaledRow {
  using ScaledRow::ScaledRow;
  static constexpr WeightType type = kQ4_0;
  static constexpr int64_t unit = 128;
#if FLICKER_LANES != 16
  /// The scales, then 24 times each.
  struct Scales {
    alignas(64) float of[2 * chunk / group];
  };
  FLICKER_INLINE Scales scales(int64_t k) const {
    Scales s;
    for (int64_t i = 0; i < chunk / group; i += lanes) {
      const vf scale = widen_f16(first_scale + k / group + i);
      store(s.of + i, scale);
      store(s.of + chunk / group + i, 24.f * scale);
    }
    return s;
  }
#endif

  template <int J>
  FLICKER_INLINE vf vector(int64_t k, const Scales& scales, int64_t at) const {
    constexpr int parts = 16 / lanes, shift = J / parts * 4;
    const float* scale = scales.of + at / group + J * lanes / group;
    vu words;
    memcpy(&words, data + k / 2 + J % parts * lanes * 4, sizeof words);
#if FLICKER_LANES == 16
    // The permutation looks at the lowest four bits alone.
    return (vf)_mm512_permutexvar_ps((__m512i)(words >> shift), (__m512)scaled(halves(), scale));
#else
    // The half becomes the upper bits of a fraction: 16 plus it as a float. Of (16 + half) · scale − 24 · scale neither
    // the products nor, fused or not, the difference rounds.
    constexpr int up = 19 - shift;
    const vu moved = up >= 0 ? words << (up >= 0 ? up : 0) : words >> (up >= 0 ? 0 : -up);
    const vf value = (vf)((moved & splat_u32(15 << 19)) | splat_u32(0x41800000));
    return value * splat(*scale) - splat(scale[chunk / group]);
#endif
  }
#if FLICKER_LANES == 16
  static vf halves() { return vf{-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7}; }
  /// Two vectors have a scale in common.
  FLICKER_INLINE void read(int64_t k, const Scales& scales, int64_t at, vf* out) const {
    vu words;
    memcpy(&words, data + k / 2, sizeof words);
    unrolled<unit / group>([&](auto g) FLICKER_UNROLLED {
      const __m512 values = (__m512)scaled(halves(), scales.of + at / group + g);
      out[2 * g] = (vf)_mm512_permutexvar_ps((__m512i)(words >> (8 * g)), values);
      out[2 * g + 1] = (vf)_mm512_permutexvar_ps((__m512i)(words >> (8 * g + 4)), values);
    });
  }
#endif
  FLICKER_INLINE void prefetch(int64_t k) const {
    ask_for(data + k / 2);
    if (k % 1024 == 0) ask_for(first_scale + k / group);
  }
};

}  // namespace
}  // namespace flicker::FLICKER_ISA

#include "k_quant_rows.h"

namespace flicker::FLICKER_ISA {
namespace {

template <typename Row>
constexpr bool reads_units = requires(const Row& row, const typename Row::Scales& scales, vf* out) {
  row.read(0, scales, 0, out);
};
/// out (unit / lanes) = the unit that starts at column k.
template <typename Row>
FLICKER_INLINE void read(const Row& row, int64_t k, const typename Row::Scales& scales, int64_t at, vf* out) {
  if constexpr (reads_units<Row>)
    row.read(k, scales, at, out);
  else
    unrolled<Row::unit / lanes>(
        [&](auto j) FLICKER_UNROLLED { out[j] = row.template vector<decltype(j)::value>(k, scales, at); });
}

/// Parts of a unit, of 32 columns each: registers hold the vectors of one beside a few sums. Rows that make a unit's
/// vectors together have one.
template <typename Row>
constexpr int sections_of = reads_units<Row> ? 1 : Row::unit / 32;

/// body(j, vector j) for the vectors of one section of the unit that starts at column k, j being an Index.
template <int SECTION, typename Row, typename Body>
FLICKER_INLINE void each_vector_of(const Row& row, int64_t k, const typename Row::Scales& scales, int64_t at,
                                   const Body& body) {
  constexpr int vectors = Row::unit / lanes / sections_of<Row>;
  if constexpr (reads_units<Row>) {
    vf w[vectors];
    row.read(k, scales, at, w);
    unrolled<vectors>([&](auto j) FLICKER_UNROLLED { body(j, w[j]); });
  } else {
    unrolled<vectors>([&](auto i) FLICKER_UNROLLED {
      constexpr int j = SECTION * vectors + decltype(i)::value;
      body(Index<j>{}, row.template vector<j>(k, scales, at));
    });
  }
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

// Rows of ggml's K-quants (src/kernels/weights/k-quants.ts has their bytes) as integers: dot products with positions in
// 16 bits, and sums of rows times 16-bit factors. A chunk is a super-block of 256 columns, in which a position has one
// scale.
//
// A dot product has eight sums. Of each group of 32 columns, sum l takes columns 4l to 4l + 3: the integers scale ·
// code · x. Over a super-block these are below 2³¹ with the 32 columns that a sum takes of q4_k (32 · 63 · 15 · 32767)
// and q5_k (32 · 63 · 31 · 32767), and with the 16 of half a super-block of q6_k (16 · 128 · 32 · 32767). They become
// f32 there, times d · the position's scale, and are added in order. What minimums take away is added to sum l for
// group l: minimum · the sum of x in the group, as an integer (63 · 32 · 32767), times dmin · the position's scale.
#pragma once

#include "integer_rows.h"

namespace flicker::FLICKER_ISA {
namespace {

// As many bytes as fit into part_lanes lanes: the codes of a group, or of a half of one.
constexpr int part_bytes = 4 * part_lanes;

/// Eight pairs of factors of 16 bits: pair g is that of both halves of group g, 16 columns each.
class HalfFactors {
 public:
  /// factor(i) for i from 0 to 15.
  explicit FLICKER_INLINE HalfFactors(const int8_t* factors) {
#if FLICKER_LANES >= 8
    const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(factors));
    words_ = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(bytes, order));
#else
    for (int i = 0; i < 16; i++) words_[i] = factors[i];
#endif
  }
  /// As each_part has the columns of group g.
  template <int G>
  FLICKER_INLINE vps of(int part) const {
#if FLICKER_LANES >= 8
    (void)part;
    return (vps)_mm256_shuffle_epi8(words_, _mm256_set1_epi16(static_cast<int16_t>(2 * G | (2 * G + 1) << 8)));
#else
    return words_[2 * G + part] - vps{};
#endif
  }

 private:
#if FLICKER_LANES >= 8
  __m256i words_;
#else
  int16_t words_[16];
#endif
};

typedef uint16_t vpw __attribute__((vector_size(part_bytes)));

/// What the K-quants have in common. Row gives codes<G>(block, part): those of group G, or of a part of it, as bytes;
/// split<G>(block, part, even, odd): the same, even and odd columns in 16 bits each; Scales, what it reads of a
/// super-block's; factors<G>(scales, part): theirs, for every code in 16 bits; and group_sums.
template <typename Row>
struct SuperBlocks {
  static constexpr Order order_alone = Order::kEvensFirst, order = Order::kEvensFirst;
  static constexpr int64_t position_block = chunk_columns;
  static constexpr bool sums_in_fours = true;

  static int64_t scale_bytes(int64_t) { return 0; }
  static FLICKER_INLINE void ask_for_chunk(const uint8_t* next, int64_t, int64_t c) {
    for (int64_t k = 0; k < Row::chunk_bytes; k += 64) ask_for(next + c * Row::chunk_bytes + k);
  }
  /// Scales are everywhere in a row.
  static FLICKER_INLINE void ask_for_scales(const uint8_t* next, int64_t chunks) {
    for (int64_t k = 0; k < chunks * Row::chunk_bytes; k += 64) ask_for(next + k);
  }

  template <int G>
  static FLICKER_INLINE void split(const uint8_t* block, int part, vps& even, vps& odd) {
    const vpw codes = (vpw)Row::template codes<G>(block, part);
    even = (vps)(codes & 0x00ff) - Row::zero, odd = (vps)(codes >> 8) - Row::zero;
  }

  static FLICKER_INLINE void add_dot(const uint8_t* row, int64_t, int64_t c, int64_t, const PositionChunk& x,
                                     vpf* totals) {
    const uint8_t* block = row + c * Row::chunk_bytes;
    const typename Row::Scales scales(block);
    const float own = x.scales[0];
    constexpr int groups = 8 / Row::chunk_parts;
    unrolled<Row::chunk_parts>([&](auto half) FLICKER_UNROLLED {
      vpi sums[parts] = {};
      unrolled<groups>([&](auto g) FLICKER_UNROLLED {
        constexpr int group = half * groups + g;
#pragma GCC unroll 2
        for (int part = 0; part < parts; part++) {
          vps even, odd;
          Row::template split<group>(block, part, even, odd);
          const int16_t* values = x.values + group * group_columns + part * 2 * part_lanes;
          sums[part] += Row::template group_sums<group>(scales, part, even, odd, load_as<vps>(values),
                                                        load_as<vps>(values + group_columns / 2));
        }
      });
      const vpf size = scales.d * own - vpf{};
#pragma GCC unroll 2
      for (int part = 0; part < parts; part++) totals[part] += rounded(size * __builtin_convertvector(sums[part], vpf));
    });
    if constexpr (Row::has_minimums) {
      const vpf size = scales.dmin * own - vpf{};
#pragma GCC unroll 2
      for (int part = 0; part < parts; part++) {
        const vpi minimum = scales.all_minimums(part) * load_as<vpi>(x.sums + part * part_lanes);
        totals[part] -= rounded(size * __builtin_convertvector(minimum, vpf));
      }
    }
  }

  static FLICKER_INLINE void fill(IntegerTile& tile, int64_t r, const uint8_t* row, int64_t, int64_t c, int64_t) {
    const uint8_t* block = row + c * Row::chunk_bytes;
    const typename Row::Scales scales(block);
    unrolled<8>([&](auto g) FLICKER_UNROLLED {
#pragma GCC unroll 2
      for (int part = 0; part < parts; part++) {
        vps even, odd;
        Row::template split<g>(block, part, even, odd);
        const vps factor = Row::template factors<g>(scales, part);
        int32_t* to = tile.words[r] + g * group_columns / 2 + part * part_lanes;
        store_as(to, even * factor);
        store_as(to + group_columns / 4, odd * factor);
      }
    });
    for (int part = 0; part < parts; part++) {
      store_as(tile.scales[r] + part * part_lanes, scales.d - vpf{});
      if constexpr (Row::has_minimums) store_as(tile.minimums[r] + part * part_lanes, scales.all_minimums(part));
    }
    if constexpr (Row::has_minimums) tile.minimum_scales[r] = scales.dmin;
  }

  /// to (256) = the codes of a super-block, int8.
  static FLICKER_INLINE void bytes(const uint8_t* block, uint8_t* to) {
    typedef int8_t vpb __attribute__((vector_size(part_bytes)));
    unrolled<8>([&](auto g) FLICKER_UNROLLED {
#pragma GCC unroll 2
      for (int part = 0; part < parts; part++)
        store_as(to + g * group_columns + part * part_bytes,
                 (vpb)Row::template codes<g>(block, part) - static_cast<int8_t>(Row::zero));
    });
  }

  static void chunk_pairs(const uint8_t* a, const uint8_t* b, int64_t groups, int32_t* to, int64_t stride) {
    uint8_t codes[2][chunk_columns];
    bytes(a, codes[0]);
    bytes(b, codes[1]);
    for (int64_t k = 0; k < groups * group_columns; k += part_lanes)
      store_as(to + k / Row::factor_columns * stride + k % Row::factor_columns,
               widen_pairs(codes[0] + k, codes[1] + k));
  }

  /// sums += codes, from 0 on, of PAIRS · 2 rows times factors, pairs of them per factor_columns columns, in a chunk.
  /// Of each group of 32 columns come the sums of every fourth column from 0 on, then from 1, 2 and 3.
  template <int PAIRS>
  static FLICKER_INLINE void add_rows(const uint8_t* const* rows, const int32_t* const* factors, int64_t,
                                      int32_t* sums) {
    unrolled<8>([&](auto g) FLICKER_UNROLLED {
#pragma GCC unroll 2
      for (int part = 0; part < parts; part++) {
        int32_t* const to = sums + g * group_columns + part * part_lanes;
        vpi own[4];
#pragma GCC unroll 4
        for (int m = 0; m < 4; m++) own[m] = load_as<vpi>(to + 8 * m);
#pragma GCC unroll 2
        for (int p = 0; p < PAIRS; p++) {
          const vpu a = Row::template codes<g>(rows[2 * p], part), b = Row::template codes<g>(rows[2 * p + 1], part);
          const vps factor = Row::pair_factors(factors[p], g, part);
          const vpw low = (vpw)lower_halves(a, b), high = (vpw)upper_halves(a, b);
          own[0] += pair_products((vps)(low & 0x00ff), factor);
          own[1] += pair_products((vps)(low >> 8), factor);
          own[2] += pair_products((vps)(high & 0x00ff), factor);
          own[3] += pair_products((vps)(high >> 8), factor);
        }
#pragma GCC unroll 4
        for (int m = 0; m < 4; m++) store_as(to + 8 * m, own[m]);
      }
    });
  }
};

/// q4_k, or q5_k with a FIFTH bit.
template <bool FIFTH>
struct IntegerMinimums : SuperBlocks<IntegerMinimums<FIFTH>> {
  static constexpr WeightType type = FIFTH ? kQ5_k : kQ4_k;
  static constexpr int64_t chunk_bytes = FIFTH ? q5_k_bytes : q4_k_bytes, offset = 0, sum_factor = 1,
                           factor_columns = group_columns;
  static constexpr int chunk_parts = 1;
  static constexpr bool has_minimums = true;
  static constexpr int16_t zero = 0;

  static FLICKER_INLINE vps pair_factors(const int32_t* pairs, int g, int) { return (vps)(pairs[g] - vpi{}); }

  struct Scales {
    float d, dmin;

    explicit FLICKER_INLINE Scales(const uint8_t* block) {
#if FLICKER_LANES >= 8
      const __m128i head = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block));
      const __m128 both = _mm_cvtph_ps(head);
      d = _mm_cvtss_f32(both), dmin = _mm_cvtss_f32(_mm_movehdup_ps(both));
      // As six_bit_numbers: words 0, 2, 1 and 2, and the upper bits that belong to the second and fourth.
      const __m128i words = _mm_shuffle_epi32(head, 0b11'10'11'01);
      const __m128i upper = _mm_shuffle_epi32(head, 0b10'10'01'01);
      numbers_ = _mm_or_si128(_mm_and_si128(_mm_srlv_epi32(words, _mm_setr_epi32(0, 0, 0, 4)),
                                            _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f)),
                              _mm_and_si128(_mm_srli_epi32(upper, 2), _mm_setr_epi32(0, 0x30303030, 0, 0x30303030)));
      scales_ = _mm256_broadcastsi128_si256(numbers_);
#else
      d = float16_at(block), dmin = float16_at(block + 2);
      six_bit_numbers(block + 4, numbers_);
#endif
    }

    /// Scale G in every lane, of 32 bits and of 16.
    template <int G>
    FLICKER_INLINE vpi of() const {
#if FLICKER_LANES >= 8
      return (vpi)_mm256_shuffle_epi8(scales_, _mm256_set1_epi32(static_cast<int>(0x80808000u | G)));
#else
      return static_cast<int32_t>(at(G)) - vpi{};
#endif
    }
    template <int G>
    FLICKER_INLINE vps of_pairs() const {
#if FLICKER_LANES >= 8
      return (vps)_mm256_shuffle_epi8(scales_, _mm256_set1_epi16(static_cast<int16_t>(0x8000u | G)));
#else
      return static_cast<int16_t>(at(G)) - vps{};
#endif
    }
    FLICKER_INLINE vpi all_minimums(int part) const {
#if FLICKER_LANES >= 8
      (void)part;
      return (vpi)_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(numbers_, numbers_));
#else
      return widen_uint8(reinterpret_cast<const uint8_t*>(numbers_) + 8 + part * part_lanes);
#endif
    }
    FLICKER_INLINE vpi all_scales(int part) const {
#if FLICKER_LANES >= 8
      (void)part;
      return (vpi)_mm256_cvtepu8_epi32(numbers_);
#else
      return widen_uint8(reinterpret_cast<const uint8_t*>(numbers_) + part * part_lanes);
#endif
    }

   private:
    // Eight scales and eight minimums, a byte each.
#if FLICKER_LANES >= 8
    __m128i numbers_;
    __m256i scales_;
#else
    alignas(16) uint32_t numbers_[4];
    uint8_t at(int i) const { return reinterpret_cast<const uint8_t*>(numbers_)[i]; }
#endif
  };

  template <int G>
  static FLICKER_INLINE vps factors(const Scales& scales, int) {
    return scales.template of_pairs<G>();
  }
  template <int G>
  static FLICKER_INLINE vpi group_sums(const Scales& scales, int, vps even, vps odd, vps x_even, vps x_odd) {
    return (pair_products(even, x_even) + pair_products(odd, x_odd)) * scales.template of<G>();
  }

  template <int G>
  static FLICKER_INLINE void split(const uint8_t* block, int part, vps& even, vps& odd) {
    if constexpr (FIFTH) {
      SuperBlocks<IntegerMinimums>::template split<G>(block, part, even, odd);
    } else {
      const vpw both = load_as<vpw>(block + 16 + G / 2 * 32 + part * part_bytes);
      even = (vps)((G % 2 == 0 ? both : both >> 4) & 0x000f);
      odd = (vps)(G % 2 == 0 ? both >> 8 & 0x000f : both >> 12);
    }
  }
  template <int G>
  static FLICKER_INLINE vpu codes(const uint8_t* block, int part) {
    const vpu both = load_as<vpu>(block + (FIFTH ? 48 : 16) + G / 2 * 32 + part * part_bytes);
    vpu code = (G % 2 == 0 ? both : both >> 4) & 0x0f0f0f0fu;
    if constexpr (FIFTH) {
      const vpu bits = load_as<vpu>(block + 16 + part * part_bytes);
      code |= (G < 4 ? bits << (4 - G % 4) : bits >> (G % 4)) & 0x10101010u;
    }
    return code;
  }

  /// to (8) = the scales, or minimums, of super-block c.
  static FLICKER_INLINE void scales(const uint8_t* row, int64_t c, float* to) {
    const Scales own(row + c * chunk_bytes);
    for (int part = 0; part < parts; part++)
      store_as(to + part * part_lanes, own.d * __builtin_convertvector(own.all_scales(part), vpf));
  }
  static FLICKER_INLINE void minimums(const uint8_t* row, int64_t c, float* to) {
    const Scales own(row + c * chunk_bytes);
    for (int part = 0; part < parts; part++)
      store_as(to + part * part_lanes, own.dmin * __builtin_convertvector(own.all_minimums(part), vpf));
  }
};
using IntegerQ4K = IntegerMinimums<false>;
using IntegerQ5K = IntegerMinimums<true>;

struct IntegerQ6K : SuperBlocks<IntegerQ6K> {
  static constexpr WeightType type = kQ6_k;
  static constexpr int64_t chunk_bytes = q6_k_bytes, offset = 32, sum_factor = 0, factor_columns = 16;
  static constexpr int chunk_parts = 2;
  static constexpr bool has_minimums = false;
  static constexpr int16_t zero = 32;

  static FLICKER_INLINE vps pair_factors(const int32_t* pairs, int g, int part) {
#if FLICKER_LANES >= 8
    (void)part;
    return (vps)_mm256_blend_epi32(_mm256_set1_epi32(pairs[2 * g]), _mm256_set1_epi32(pairs[2 * g + 1]), 0xf0);
#else
    return (vps)(pairs[2 * g + part] - vpi{});
#endif
  }

  struct Scales {
    float d;
    HalfFactors halves;

    explicit FLICKER_INLINE Scales(const uint8_t* block)
        : d(last_float16(block + 208)), halves(reinterpret_cast<const int8_t*>(block + 192)) {}
  };
  template <int G>
  static FLICKER_INLINE vps factors(const Scales& scales, int part) {
    return scales.halves.of<G>(part);
  }
  template <int G>
  static FLICKER_INLINE vpi group_sums(const Scales& scales, int part, vps even, vps odd, vps x_even, vps x_odd) {
    const vps factor = factors<G>(scales, part);
    return pair_products(even * factor, x_even) + pair_products(odd * factor, x_odd);
  }

  template <int G>
  static FLICKER_INLINE vpu codes(const uint8_t* block, int part) {
    constexpr int half = G / 4, group = G % 4;
    const vpu low = load_as<vpu>(block + 64 * half + 32 * (group % 2) + part * part_bytes);
    const vpu high = load_as<vpu>(block + 128 + 32 * half + part * part_bytes);
    const vpu upper = group < 2 ? high << (4 - 2 * (group % 2)) : high >> (2 * (group % 2));
    return ((group < 2 ? low : low >> 4) & 0x0f0f0f0fu) | (upper & 0x30303030u);
  }

  /// to (16) = the scales of super-block c.
  static FLICKER_INLINE void scales(const uint8_t* row, int64_t c, float* to) {
    const uint8_t* block = row + c * chunk_bytes;
    const float d = last_float16(block + 208);
    for (int i = 0; i < 16; i += lanes) store(to + i, widen_int8(reinterpret_cast<const int8_t*>(block + 192 + i)) * d);
  }
  static void minimums(const uint8_t*, int64_t, float*) {}
};

}  // namespace
}  // namespace flicker::FLICKER_ISA

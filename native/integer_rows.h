// Rows of q8_0 and q4_0 (src/kernels/weights/quantized.ts has their layout) as integers: dot products with positions in
// 16 bits, and sums of rows times 16-bit factors. Nothing here overflows: 32 · 127 · 32767 and 256 · 127 · 32767 are
// below 2³¹.
//
// A dot product has eight sums in f32. Group b of 32 columns adds (its scale · the position's) · its integer sum to sum
// b mod 8, in order of b; the eight are added in a tree.
//
// These row types, and those of integer_k_rows.h, are the parameters of integer_products.h and integer_neurons.cc.
#pragma once

#include "integer_vectors.h"

namespace flicker::FLICKER_ISA {
namespace {

/// How the columns of a position lie in a chunk: as they are, by words_by_group, or by evens_first.
enum class Order { kColumns, kByGroup, kEvensFirst };

/// A chunk of a position.
struct PositionChunk {
  const int16_t* values;
  const float* scales;  // (8): of groups of 32 columns
  const int32_t* sums;  // (8): of groups, times sum_factor of the row type
};

/// A chunk of tile_rows rows: their words in the order of a position's, and their scales.
struct IntegerTile {
  int32_t words[tile_rows][chunk_words];
  float scales[tile_rows][8];
  // Of rows with minimums: those of groups, and what they are multiples of.
  int32_t minimums[tile_rows][8];
  float minimum_scales[tile_rows];
};

/// totals += one chunk of a row: its scales times those of a position, times integer sums.
FLICKER_INLINE void add_chunk(const uint16_t* row_scales, const float* scales, const vpi* sums, vpf* totals) {
#pragma GCC unroll 2
  for (int part = 0; part < parts; part++) {
    const vpf scale = widen_halves(row_scales + part * part_lanes) * load_as<vpf>(scales + part * part_lanes);
    totals[part] += rounded(scale * __builtin_convertvector(sums[part], vpf));
  }
}

/// What both types have in common: scales in f16 at the start of a row, one per 32 columns.
template <typename Row>
struct ScaledGroups {
  /// Columns of a position that share its scale; columns of a row that share a factor in sums of rows.
  static constexpr int64_t position_block = group_columns, factor_columns = group_columns;
  /// Parts of a chunk whose products are added as integers, one after the other; whether groups have a minimum.
  static constexpr int chunk_parts = 1;
  static constexpr bool has_minimums = false;
  /// Whether add_rows has sums in another order than that of columns, see SuperBlocks.
  static constexpr bool sums_in_fours = false;

  /// Bytes of a row before its codes.
  static int64_t scale_bytes(int64_t columns) { return weight_scale_bytes(columns); }

  /// Asks for chunk c of the row at `next`.
  static FLICKER_INLINE void ask_for_chunk(const uint8_t* next, int64_t scale_bytes, int64_t c) {
    for (int64_t k = 0; k < Row::chunk_bytes; k += 64) ask_for(next + scale_bytes + c * Row::chunk_bytes + k);
    if (c % 4 == 0) ask_for(next + 16 * c);
  }
  /// Asks for what `scales` will read of a row with so many chunks.
  static FLICKER_INLINE void ask_for_scales(const uint8_t* next, int64_t chunks) {
    for (int64_t c = 0; c < chunks; c += 4) ask_for(next + 16 * c);
  }

  /// totals (8) += chunk c of the row, of so many groups, · x.
  static FLICKER_INLINE void add_dot(const uint8_t* row, int64_t scale_bytes, int64_t c, int64_t groups,
                                     const PositionChunk& x, vpf* totals) {
    vpi sums[parts];
    const uint8_t* codes = row + scale_bytes + c * Row::chunk_bytes;
    if (groups >= 8)
      Row::template dots<true>(codes, x.values, 8, sums);
    else
      Row::template dots<false>(codes, x.values, groups, sums);
    if constexpr (Row::offset != 0)
      for (int part = 0; part < parts; part++) sums[part] -= load_as<vpi>(x.sums + part * part_lanes);
    add_chunk(reinterpret_cast<const uint16_t*>(row) + c * 8, x.scales, sums, totals);
  }

  /// Row r of a tile = chunk c of the row.
  static FLICKER_INLINE void fill(IntegerTile& tile, int64_t r, const uint8_t* row, int64_t scale_bytes, int64_t c,
                                  int64_t groups) {
    Row::words(row + scale_bytes + c * Row::chunk_bytes, groups, tile.words[r]);
    scales(row, c, tile.scales[r]);
  }

  /// to (8) = the scales of chunk c.
  static FLICKER_INLINE void scales(const uint8_t* row, int64_t c, float* to) {
    for (int g = 0; g < 8; g += part_lanes)
      store_as(to + g, widen_halves(reinterpret_cast<const uint16_t*>(row) + c * 8 + g));
  }
  static void minimums(const uint8_t*, int64_t, float*) {}

  /// to + g · stride, 32 words each = pairs of the codes of two rows, in so many groups of a chunk.
  static FLICKER_INLINE void chunk_pairs(const uint8_t* a, const uint8_t* b, int64_t groups, int32_t* to,
                                         int64_t stride) {
    for (int64_t g = 0; g < groups; g++) Row::pairs(a, b, g, to + g * stride);
  }
};

struct IntegerQ8 : ScaledGroups<IntegerQ8> {
  static constexpr WeightType type = kQ8_0;
  /// The order of a position alone, and of one among several.
  static constexpr Order order_alone = Order::kColumns, order = Order::kByGroup;
  /// Bytes of a chunk of columns, what is subtracted from every code, and what the sums of positions are multiplied by.
  static constexpr int64_t chunk_bytes = 256, offset = 0, sum_factor = 0;

  /// sums (8): of `groups` groups the codes times x.
  template <bool WHOLE>
  static FLICKER_INLINE void dots(const uint8_t* codes, const int16_t* x, int64_t groups, vpi* sums) {
    vpi block[8];
#pragma GCC unroll 8
    for (int g = 0; g < 8; g++) {
      block[g] = vpi{};
      if (!WHOLE && g >= groups) continue;
#pragma GCC unroll 4
      for (int k = 0; k < group_columns; k += 2 * part_lanes)
        block[g] += pair_products(widen_bytes(codes + g * group_columns + k), load_as<vps>(x + g * group_columns + k));
    }
    sums_of_blocks(block, sums);
  }

  /// As words_by_group.
  static void words(const uint8_t* codes, int64_t groups, int32_t* to) {
    if (groups == 8) {
      words_of_bytes(codes, to);
      return;
    }
    uint8_t some[chunk_columns] = {};
    memcpy(some, codes, static_cast<size_t>(groups * group_columns));
    words_of_bytes(some, to);
  }

  /// to (32) = pairs of the codes of two rows in group g of a chunk.
  static FLICKER_INLINE void pairs(const uint8_t* a, const uint8_t* b, int64_t g, int32_t* to) {
    for (int k = 0; k < group_columns; k += part_lanes)
      store_as(to + k, widen_pairs(a + g * group_columns + k, b + g * group_columns + k));
  }

  /// sums += the codes of PAIRS · 2 rows times factors, pairs of them per factor_columns columns, in so many groups of
  /// a chunk.
  template <int PAIRS>
  static FLICKER_INLINE void add_rows(const uint8_t* const* rows, const int32_t* const* factors, int64_t groups,
                                      int32_t* sums) {
    for (int64_t g = 0; g < groups; g++) {
      vps factor[PAIRS];
#pragma GCC unroll 2
      for (int i = 0; i < PAIRS; i++) factor[i] = (vps)(factors[i][g] - vpi{});
#pragma GCC unroll 8
      for (int k = 0; k < group_columns; k += part_lanes) {
        const int64_t at = g * group_columns + k;
        vpi sum = load_as<vpi>(sums + at);
#pragma GCC unroll 2
        for (int i = 0; i < PAIRS; i++)
          sum += pair_products(widen_pairs(rows[2 * i] + at, rows[2 * i + 1] + at), factor[i]);
        store_as(sums + at, sum);
      }
    }
  }
};

struct IntegerQ4 : ScaledGroups<IntegerQ4> {
  static constexpr WeightType type = kQ4_0;
  static constexpr Order order_alone = Order::kByGroup, order = Order::kByGroup;
  static constexpr int64_t chunk_bytes = 128, offset = 8, sum_factor = offset;
  static constexpr int64_t unit_bytes = 64;  // of 4 groups

  /// Words 4c … 4c + 3 of both units of a chunk, or of one of them, by group. The second may not be there.
  template <bool WHOLE>
  static FLICKER_INLINE vpu some_words(const uint8_t* codes, int c, int part, int64_t groups) {
#if FLICKER_LANES >= 8
    (void)part;
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + 16 * c));
    const __m128i second = WHOLE || groups > 4
                               ? _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + unit_bytes + 16 * c))
                               : _mm_setzero_si128();
    return bytes_by_group((vpu)_mm256_set_m128i(second, first));
#else
    if (!WHOLE && part == 1 && groups <= 4) return vpu{};
    return bytes_by_group(load_as<vpu>(codes + part * unit_bytes + 16 * c));
#endif
  }

  /// body(place, codes from 0 to 15 in pairs), place counting the words of words_by_group.
  template <bool WHOLE, typename Body>
  static FLICKER_INLINE void each_vector(const uint8_t* codes, int64_t groups, const Body& body) {
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
#pragma GCC unroll 2
      for (int part = 0; part < parts; part++) {
        const vpu words = some_words<WHOLE>(codes, c, part, groups);
        const vpu mask = 0x000f000fu - vpu{};
        const int place = 16 * c + 4 * part;
        body(place, part, (vps)(words & mask));
        body(place + 8, part, (vps)(words >> 8 & mask));
        body(place + 64, part, (vps)(words >> 4 & mask));
        body(place + 72, part, (vps)(words >> 12 & mask));
      }
  }

  template <bool WHOLE>
  static FLICKER_INLINE void dots(const uint8_t* codes, const int16_t* x, int64_t groups, vpi* sums) {
    for (int i = 0; i < parts; i++) sums[i] = vpi{};
    each_vector<WHOLE>(codes, groups, [&](int place, int part, vps values) FLICKER_UNROLLED {
      sums[part] += pair_products(values, load_as<vps>(x + 2 * place));
    });
  }

  static void words(const uint8_t* codes, int64_t groups, int32_t* to) {
    each_vector<false>(codes, groups, [&](int place, int, vps values) FLICKER_UNROLLED {
      store_as(to + place, values - static_cast<int16_t>(offset));
    });
  }

  static FLICKER_INLINE void pairs(const uint8_t* a, const uint8_t* b, int64_t g, int32_t* to) {
    const uint8_t *from_a = a + g / 4 * unit_bytes, *from_b = b + g / 4 * unit_bytes;
    const vpu mask = 0x000f000fu - vpu{};
    for (int k = 0; k < 16; k += part_lanes) {
      const vpu of_a = load_as<vpu>(from_a + 4 * k), of_b = load_as<vpu>(from_b + 4 * k);
      vpu both = g % 4 >= 2 ? upper_halves(of_a, of_b) : lower_halves(of_a, of_b);
      if (g % 2 == 1) both >>= 8;
      store_as(to + k, (vps)(both & mask) - static_cast<int16_t>(offset));
      store_as(to + k + 16, (vps)(both >> 4 & mask) - static_cast<int16_t>(offset));
    }
  }

  /// With codes from 0 to 15: `offset` times the factors is still to be subtracted.
  template <int PAIRS>
  static FLICKER_INLINE void add_rows(const uint8_t* const* rows, const int32_t* const* factors, int64_t groups,
                                      int32_t* sums) {
    const vpu mask = 0x000f000fu - vpu{};
    for (int64_t g = 0; g < groups; g += 4)
      for (int k = 0; k < 16; k += part_lanes)
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
          vpu both[PAIRS];
#pragma GCC unroll 2
          for (int i = 0; i < PAIRS; i++) {
            const int64_t at = g / 4 * unit_bytes + 4 * k;
            const vpu a = load_as<vpu>(rows[2 * i] + at), b = load_as<vpu>(rows[2 * i + 1] + at);
            both[i] = half == 1 ? upper_halves(a, b) : lower_halves(a, b);
          }
#pragma GCC unroll 2
          for (int m = 2 * half; m < 2 * half + 2; m++) {
            int32_t* to = sums + (g + m) * group_columns + k;
            vpi low = load_as<vpi>(to), high = load_as<vpi>(to + 16);
#pragma GCC unroll 2
            for (int i = 0; i < PAIRS; i++) {
              const vpu codes = m % 2 == 1 ? both[i] >> 8 : both[i];
              const vps factor = (vps)(factors[i][g + m] - vpi{});
              low += pair_products((vps)(codes & mask), factor);
              high += pair_products((vps)(codes >> 4 & mask), factor);
            }
            store_as(to, low);
            store_as(to + 16, high);
          }
        }
  }
};

}  // namespace
}  // namespace flicker::FLICKER_ISA

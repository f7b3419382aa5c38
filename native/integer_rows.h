// Rows of q8_0 and q4_0 (src/kernels/weights/quantized.ts has their layout) as integers: dot products with positions in
// 16 bits, and sums of rows times 16-bit factors. Nothing here overflows: 32 · 127 · 32767 and 256 · 127 · 32767 are
// below 2³¹.
//
// A dot product has eight sums in f32. Group b of 32 columns adds (its scale · the position's) · its integer sum to sum
// b mod 8, in order of b; the eight are added in a tree.
#pragma once

#include "integer_vectors.h"
#include "row_jobs.h"

namespace flicker::FLICKER_ISA {
namespace {

struct IntegerQ8 {
  static constexpr WeightType type = kQ8_0;
  /// Whether a position alone is read in the order of its columns; else by words_by_group.
  static constexpr bool in_order = true;
  /// Bytes of a chunk of columns, and what is subtracted from every code.
  static constexpr int64_t chunk_bytes = 256, offset = 0;

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

  /// to (32) = pairs of the codes of two rows in group g.
  static FLICKER_INLINE void pairs(const uint8_t* a, const uint8_t* b, int64_t g, int32_t* to) {
    for (int k = 0; k < group_columns; k += part_lanes)
      store_as(to + k, widen_pairs(a + g * group_columns + k, b + g * group_columns + k));
  }

  /// sums += the codes of PAIRS · 2 rows times factors, pairs of them for each group, in a chunk of at most eight.
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

struct IntegerQ4 {
  static constexpr WeightType type = kQ4_0;
  static constexpr bool in_order = false;
  static constexpr int64_t chunk_bytes = 128, offset = 8;
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

  /// Both rows' bytes 0 and 1, or 2 and 3, of part_lanes words, side by side.
  static FLICKER_INLINE vpu halves(vpu a, vpu b, bool upper) {
    return upper ? a >> 16 | (b & 0xffff0000u) : (a & 0xffffu) | b << 16;
  }

  static FLICKER_INLINE void pairs(const uint8_t* a, const uint8_t* b, int64_t g, int32_t* to) {
    const uint8_t *from_a = a + g / 4 * unit_bytes, *from_b = b + g / 4 * unit_bytes;
    const vpu mask = 0x000f000fu - vpu{};
    for (int k = 0; k < 16; k += part_lanes) {
      vpu both = halves(load_as<vpu>(from_a + 4 * k), load_as<vpu>(from_b + 4 * k), g % 4 >= 2);
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
            both[i] = halves(load_as<vpu>(rows[2 * i] + at), load_as<vpu>(rows[2 * i + 1] + at), half == 1);
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

/// Runs body(Row()) for a type that has integer kernels.
template <typename Body>
void dispatch_integer(WeightType type, const Body& body) {
  if (type == kQ8_0)
    body(IntegerQ8());
  else
    body(IntegerQ4());
}

/// Positions of n columns in integers, chunk by chunk: the same chunk of all positions lies together, so that those of
/// a tile do not fall into one set of the cache.
struct IntegerPositions {
  int64_t count, chunks;
  int64_t step;            // positions from one chunk to the next
  const int16_t* values;   // (chunks, step, 256): in order of columns, or by words_by_group
  const float* scales;     // (chunks, step, 8)
  const int32_t* offsets;  // (chunks, step, 8): what codes that are `offset` too large make too much

  /// One of them.
  IntegerPositions at(int64_t i) const {
    IntegerPositions one = *this;
    one.count = 1, one.values += i * chunk_columns, one.scales += i * 8, one.offsets += i * 8;
    return one;
  }
  const int16_t* values_of(int64_t i, int64_t chunk) const { return values + (chunk * step + i) * chunk_columns; }
  const float* scales_of(int64_t i, int64_t chunk) const { return scales + (chunk * step + i) * 8; }

  /// Bytes of working memory.
  static int64_t bytes(int64_t count, int64_t n) { return count * ceil_div(n, chunk_columns) * (512 + 32 + 32); }

  /// x: (count, n). `memory`: bytes(count, n), on a cache line.
  IntegerPositions(const float* x, int64_t positions, int64_t n, bool in_order, int64_t offset, uint8_t* memory)
      : count(positions), chunks(ceil_div(n, chunk_columns)), step(positions) {
    int16_t* to = reinterpret_cast<int16_t*>(memory);
    float* steps = reinterpret_cast<float*>(to + count * chunks * chunk_columns);
    int32_t* too_much = reinterpret_cast<int32_t*>(steps + count * chunks * 8);
    values = to, scales = steps, offsets = too_much;
    const auto one = [&](int64_t i) {
      const int64_t column = i / count * chunk_columns, left = min(n - column, chunk_columns);
      const float* from = x + i % count * n + column;
      alignas(64) float filled[chunk_columns];
      if (left < chunk_columns) {
        memset(filled, 0, sizeof filled);
        memcpy(filled, from, static_cast<size_t>(left) * 4);
        from = filled;
      }
      int16_t* words = to + i * chunk_columns;
      alignas(64) int16_t chunk[chunk_columns];
      int16_t* const own = in_order ? words : chunk;
      for (int64_t g = 0; g < 8; g++) {
        int16_t* group = own + g * group_columns;
        steps[i * 8 + g] = quantize_group(from + g * group_columns, group);
        if (offset == 0) continue;
        vpi sum = {};
        for (int k = 0; k < group_columns; k += 2 * part_lanes)
          sum += pair_products(load_as<vps>(group + k), static_cast<int16_t>(1) - vps{});
        int32_t parts_of_sum[part_lanes], all = 0;
        memcpy(parts_of_sum, &sum, sizeof sum);
        for (const int32_t part : parts_of_sum) all += part;
        too_much[i * 8 + g] = all * static_cast<int32_t>(offset);
      }
      if (!in_order) words_by_group(chunk, reinterpret_cast<int32_t*>(words));
    };
    const int64_t all = count * chunks;
    constexpr int64_t some = 64;
    if (all < 2 * some)
      for (int64_t i = 0; i < all; i++) one(i);
    else
      parallel_for(ceil_div(all, some), [&](int64_t job) {
        for (int64_t i = job * some; i < min(all, (job + 1) * some); i++) one(i);
      });
  }
};

/// totals += one chunk of a row: its scales times those of a position, times integer sums.
FLICKER_INLINE void add_chunk(const uint16_t* row_scales, const float* scales, const vpi* sums, vpf* totals) {
#pragma GCC unroll 2
  for (int part = 0; part < parts; part++) {
    const vpf scale = widen_halves(row_scales + part * part_lanes) * load_as<vpf>(scales + part * part_lanes);
    totals[part] += rounded(scale * __builtin_convertvector(sums[part], vpf));
  }
}

/// out[r] = row r · the one position of x, n columns; `next` is asked for meanwhile.
template <typename Row, int ROWS>
void integer_dots(const RowPointers& at, const IntegerPositions& x, int64_t n, float* out) {
  vpf totals[ROWS][parts] = {};
  for (int64_t c = 0; c < x.chunks; c++) {
    const int64_t groups = ceil_div(n - c * chunk_columns, group_columns),
                  codes = at.scale_bytes + c * Row::chunk_bytes;
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
      if constexpr (ROWS > 1) {
        for (int64_t k = 0; k < Row::chunk_bytes; k += 64) ask_for(at.next[r] + codes + k);
        if (c % 4 == 0) ask_for(at.next[r] + 16 * c);
      }
      vpi sums[parts];
      const int16_t* values = x.values_of(0, c);
      if (groups >= 8)
        Row::template dots<true>(at.rows[r] + codes, values, 8, sums);
      else
        Row::template dots<false>(at.rows[r] + codes, values, groups, sums);
      if constexpr (Row::offset != 0)
        for (int part = 0; part < parts; part++)
          sums[part] -= load_as<vpi>(x.offsets + c * x.step * 8 + part * part_lanes);
      add_chunk(reinterpret_cast<const uint16_t*>(at.rows[r]) + c * 8, x.scales_of(0, c), sums, totals[r]);
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < ROWS; r++) {
    float sums[8];
    memcpy(sums, totals[r], sizeof sums);
    out[r] = sum_of_eight(sums);
  }
}

// Positions of a tile: with tile_rows rows, their sums stay in registers.
constexpr int tile_integers = part_lanes == 8 ? 2 : 1;

/// A chunk of tile_rows rows: their words, by words_by_group, and scales.
struct IntegerTile {
  int32_t words[tile_rows][chunk_words];
  float scales[tile_rows][8];
};

/// totals (tile_rows, C, 8) += chunk c of the rows · that of positions first + i, whose values are by words_by_group.
template <int C>
void tile_products(const IntegerTile& rows, const IntegerPositions& x, int64_t first, int64_t c, float* totals) {
  vpi sums[tile_rows][C][parts] = {};
  const int16_t* values = x.values_of(first, c);
  const float* scales = x.scales_of(first, c);
#pragma GCC unroll 2
  for (int place = 0; place < chunk_words; place += 8)
#pragma GCC unroll 2
    for (int part = 0; part < parts; part++) {
      vps own[C];
#pragma GCC unroll 4
      for (int i = 0; i < C; i++) own[i] = load_as<vps>(values + i * chunk_columns + 2 * (place + part * part_lanes));
#pragma GCC unroll 4
      for (int r = 0; r < tile_rows; r++) {
        const vps row = load_as<vps>(rows.words[r] + place + part * part_lanes);
#pragma GCC unroll 4
        for (int i = 0; i < C; i++) sums[r][i][part] += pair_products(row, own[i]);
      }
    }
#pragma GCC unroll 4
  for (int r = 0; r < tile_rows; r++)
#pragma GCC unroll 2
    for (int part = 0; part < parts; part++) {
      const vpf scale = load_as<vpf>(rows.scales[r] + part * part_lanes);
#pragma GCC unroll 4
      for (int i = 0; i < C; i++) {
        float* to = totals + (r * C + i) * 8 + part * part_lanes;
        const vpf both = rounded(scale * load_as<vpf>(scales + i * 8 + part * part_lanes));
        store_as(to, load_as<vpf>(to) + rounded(both * __builtin_convertvector(sums[r][i][part], vpf)));
      }
    }
}

/// put(i, position, dot) for `count` rows, row_at(i) being where one starts, and all positions. Uses slot 3.
///
/// Of some rows together one chunk of columns is widened at a time: beside the positions' it fits a level-1 cache.
template <typename Row, typename RowAt, typename Put>
void panel_rows(const RowAt& row_at, int64_t count, const IntegerPositions& x, int64_t n, const Put& put) {
  constexpr int64_t tiles_together = 3, together = tiles_together * tile_rows;
  const int64_t total_floats = tile_rows * x.count * 8;  // of a tile of rows
  uint8_t* memory = static_cast<uint8_t*>(scratch(
      3, static_cast<uint64_t>(tiles_together * (static_cast<int64_t>(sizeof(IntegerTile)) + total_floats * 4))));
  if (memory == nullptr) return;
  IntegerTile* const rows = reinterpret_cast<IntegerTile*>(memory);
  float* const totals = reinterpret_cast<float*>(memory + tiles_together * sizeof(IntegerTile));
  const int64_t scale_bytes = weight_scale_bytes(n);
  const auto each_pair = [&](const auto& body) {
    for (int64_t b = 0; b < x.count; b += tile_integers) body(b, min(tile_integers, x.count - b));
  };
  for (int64_t i = 0; i < count; i += together) {
    const int64_t tiles = ceil_div(min(together, count - i), tile_rows);
    memset(totals, 0, static_cast<size_t>(tiles * total_floats) * 4);
    for (int64_t c = 0; c < x.chunks; c++) {
      const int64_t groups = min(8, ceil_div(n - c * chunk_columns, group_columns));
      for (int64_t r = 0; r < tiles * tile_rows; r++) {
        const uint8_t* row = row_at(min(i + r, count - 1));
        const uint8_t* next =
            c + 1 < x.chunks ? row + (c + 1) * Row::chunk_bytes : row_at(min(i + r + together, count - 1));
        for (int64_t k = 0; k < Row::chunk_bytes; k += 64) ask_for(next + scale_bytes + k);
        if (c + 1 == x.chunks) ask_for(next);
        IntegerTile& tile = rows[r / tile_rows];
        Row::words(row + scale_bytes + c * Row::chunk_bytes, groups, tile.words[r % tile_rows]);
        for (int part = 0; part < 8; part += part_lanes)
          store_as(tile.scales[r % tile_rows] + part,
                   widen_halves(reinterpret_cast<const uint16_t*>(row) + c * 8 + part));
      }
      each_pair([&](int64_t b, int64_t width) {
        for (int64_t t = 0; t < tiles; t++)
          (width == 1 ? tile_products<1> : tile_products<tile_integers>)(rows[t], x, b, c,
                                                                         totals + t * total_floats + b * tile_rows * 8);
      });
    }
    each_pair([&](int64_t b, int64_t width) {
      for (int64_t r = 0; r < min(together, count - i); r++)
        for (int64_t own = 0; own < width; own++) {
          const float* sums = totals + r / tile_rows * total_floats + (b * tile_rows + r % tile_rows * width + own) * 8;
          put(i + r, b + own, sum_of_eight(sums));
        }
    });
  }
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

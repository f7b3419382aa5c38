// Products of rows of integers with positions in 16 bits, whatever the type of the rows: one position at a time, or
// panels of rows with several.
#pragma once

#include "integer_k_rows.h"
#include "integer_rows.h"
#include "row_jobs.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Runs body(Row()) for a type that has integer kernels.
template <typename Body>
void dispatch_integer(WeightType type, const Body& body) {
  switch (type) {
    case kQ8_0:
      return body(IntegerQ8());
    case kQ4_0:
      return body(IntegerQ4());
    case kQ4_k:
      return body(IntegerQ4K());
    case kQ5_k:
      return body(IntegerQ5K());
    case kQ6_k:
      return body(IntegerQ6K());
    default:
      return;
  }
}

/// Positions of n columns in integers, chunk by chunk: the same chunk of all positions lies together, so that those of
/// a tile do not fall into one set of the cache.
struct IntegerPositions {
  int64_t count, chunks;
  int64_t step;           // positions from one chunk to the next
  const int16_t* values;  // (chunks, step, 256): in the order of the row type
  const float* scales;    // (chunks, step, 8)
  const int32_t* sums;    // (chunks, step, 8)

  /// One of them.
  IntegerPositions at(int64_t i) const {
    IntegerPositions one = *this;
    one.count = 1, one.values += i * chunk_columns, one.scales += i * 8, one.sums += i * 8;
    return one;
  }
  PositionChunk chunk_of(int64_t i, int64_t chunk) const {
    const int64_t at = chunk * step + i;
    return {values + at * chunk_columns, scales + at * 8, sums + at * 8};
  }

  /// Bytes of working memory.
  static int64_t bytes(int64_t count, int64_t n) { return count * ceil_div(n, chunk_columns) * (512 + 32 + 32); }
};

/// x (count, n) as integers for rows of this type. `alone`: they are read one by one. `memory`:
/// IntegerPositions::bytes, on a cache line.
template <typename Row>
IntegerPositions integer_positions(const float* x, int64_t count, int64_t n, bool alone, uint8_t* memory) {
  const int64_t chunks = ceil_div(n, chunk_columns), all = count * chunks;
  const Order order = alone ? Row::order_alone : Row::order;
  int16_t* const to = reinterpret_cast<int16_t*>(memory);
  float* const scales = reinterpret_cast<float*>(to + all * chunk_columns);
  int32_t* const sums = reinterpret_cast<int32_t*>(scales + all * 8);
  const auto one = [&](int64_t i) {
    const int64_t column = i / count * chunk_columns, left = min(n - column, chunk_columns);
    const float* from = x + i % count * n + column;
    alignas(64) float filled[chunk_columns];
    if (left < chunk_columns) {
      memset(filled, 0, sizeof filled);
      memcpy(filled, from, static_cast<size_t>(left) * 4);
      from = filled;
    }
    int16_t* const words = to + i * chunk_columns;
    alignas(64) int16_t chunk[chunk_columns];
    int16_t* const own = order == Order::kColumns ? words : chunk;
    constexpr int block = Row::position_block;
    for (int k = 0; k < chunk_columns; k += block) {
      const float scale = quantize<block>(from + k, own + k);
      for (int g = k / group_columns; g < (k + block) / group_columns; g++) scales[i * 8 + g] = scale;
    }
    if constexpr (Row::sum_factor != 0)
      for (int g = 0; g < 8; g++)
        sums[i * 8 + g] = group_sum(own + g * group_columns) * static_cast<int32_t>(Row::sum_factor);
    if (order == Order::kByGroup) words_by_group(chunk, reinterpret_cast<int32_t*>(words));
    if (order == Order::kEvensFirst) evens_first(chunk, words);
  };
  constexpr int64_t some = 64;
  if (all < 2 * some)
    for (int64_t i = 0; i < all; i++) one(i);
  else
    parallel_for(ceil_div(all, some), [&](int64_t job) {
      for (int64_t i = job * some; i < min(all, (job + 1) * some); i++) one(i);
    });
  return {count, chunks, count, to, scales, sums};
}

/// out[r] = row r · the one position of x, n columns; `next` is asked for meanwhile.
template <typename Row, int ROWS>
void integer_dots(const RowPointers& at, const IntegerPositions& x, int64_t n, float* out) {
  vpf totals[ROWS][parts] = {};
  for (int64_t c = 0; c < x.chunks; c++) {
    const int64_t groups = ceil_div(n - c * chunk_columns, group_columns);
    const PositionChunk position = x.chunk_of(0, c);
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
      if constexpr (ROWS > 1) Row::ask_for_chunk(at.next[r], at.scale_bytes, c);
      Row::add_dot(at.rows[r], at.scale_bytes, c, groups, position, totals[r]);
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

/// totals (tile_rows, C, 8) += chunk c of the rows · that of positions first + i.
template <typename Row, int C>
void tile_products(const IntegerTile& rows, const IntegerPositions& x, int64_t first, int64_t c, float* totals) {
  const PositionChunk position = x.chunk_of(first, c);
  constexpr int part_words = chunk_words / Row::chunk_parts;
  for (int start = 0; start < chunk_words; start += part_words) {
    vpi sums[tile_rows][C][parts] = {};
#pragma GCC unroll 2
    for (int place = start; place < start + part_words; place += 8)
#pragma GCC unroll 2
      for (int part = 0; part < parts; part++) {
        vps own[C];
#pragma GCC unroll 4
        for (int i = 0; i < C; i++)
          own[i] = load_as<vps>(position.values + i * chunk_columns + 2 * (place + part * part_lanes));
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
        const int at = part * part_lanes;
        const vpf scale = load_as<vpf>(rows.scales[r] + at);
#pragma GCC unroll 4
        for (int i = 0; i < C; i++) {
          float* to = totals + (r * C + i) * 8 + at;
          const vpf own = load_as<vpf>(position.scales + i * 8 + at);
          vpf total = load_as<vpf>(to) + rounded(rounded(scale * own) * __builtin_convertvector(sums[r][i][part], vpf));
          if constexpr (Row::has_minimums) {
            const vpi minimum = load_as<vpi>(rows.minimums[r] + at) * load_as<vpi>(position.sums + i * 8 + at);
            const vpf size = rounded((rows.minimum_scales[r] - vpf{}) * own);
            total -= rounded(size * __builtin_convertvector(minimum, vpf));
          }
          store_as(to, total);
        }
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
  const int64_t scale_bytes = Row::scale_bytes(n);
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
        const bool last = c + 1 == x.chunks;
        Row::ask_for_chunk(last ? row_at(min(i + r + together, count - 1)) : row, scale_bytes, last ? 0 : c + 1);
        Row::fill(rows[r / tile_rows], r % tile_rows, row, scale_bytes, c, groups);
      }
      each_pair([&](int64_t b, int64_t width) {
        for (int64_t t = 0; t < tiles; t++)
          (width == 1
               ? tile_products<Row, 1>
               : tile_products<Row, tile_integers>)(rows[t], x, b, c, totals + t * total_floats + b * tile_rows * 8);
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

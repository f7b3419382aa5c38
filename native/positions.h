// Products of rows with several positions at a time: rows are widened to floats once, in panels that stay near the
// processor, and register tiles run over panel and positions. Every sum has the order that lane_sums.h gives it for one
// position, so the bits are the same however positions are cut into batches and tiles.
//
// Working memory of the calling thread: slots 1 and 3 of scratch(); slots 0 and 2 are left to the kernel around.
#pragma once

#include "lane_sums.h"
#include "row_jobs.h"

namespace flicker::FLICKER_ISA {

// A tile: tile_rows rows × up to tile_positions positions, or tile_vectors vectors of columns × as many positions.
#if FLICKER_LANES == 16 || defined(__aarch64__)
constexpr int tile_positions = 6, tile_vectors = 4;  // 24 accumulators of 32 registers
#elif FLICKER_LANES == 8
constexpr int tile_positions = 3, tile_vectors = 4;  // 12 of 16
#else
constexpr int tile_positions = 2, tile_vectors = 4;  // 8 of 16: more would need operands straight from memory
#endif
// A panel of weighted rows: so many columns of so many rows fit a level-1 cache.
constexpr int64_t slice = 128, slice_rows = 40;
constexpr int64_t few = 16;  // up to so many positions blocks of neurons have sums of their own

/// Up to so many positions rows of a type are read directly, in tiles of up to max_direct. For more it is less work to
/// widen them once than for every tile.
constexpr int64_t most_direct(WeightType type) { return streams(type) || type == kQ8_0 ? 2 * max_direct : max_direct; }

/// Positions in tiles of nearly equal size.
struct Tiles {
  int64_t positions, count;
  explicit Tiles(int64_t n, int64_t widest = tile_positions) : positions(n), count(ceil_div(n, widest)) {}
  int64_t first(int64_t tile) const { return tile * positions / count; }

  /// body(first position, how many) for every tile.
  template <typename Body>
  FLICKER_INLINE void each(const Body& body) const {
    for (int64_t tile = 0; tile < count; tile++) body(first(tile), first(tile + 1) - first(tile));
  }
};

/// So many positions of n columns that, packed, they fit a usual level-2 cache beside the rows; an integer number of
/// tiles.
inline int64_t positions_at_once(int64_t n) {
  const int64_t tiles = (512 << 10) / 4 / (n + 1) / tile_positions;
  return (tiles < 4 ? 4 : tiles) * tile_positions;
}

/// Floats that `positions` positions of n columns take when packed.
inline int64_t packed_size(int64_t positions, int64_t n) { return positions * ceil_div(n, lanes) * lanes; }

/// Positions [first, first + width) as (steps, width, lanes), columns filled up with zeros; at(b) is position b, n
/// columns.
template <typename At>
FLICKER_INLINE void pack_tile(const At& at, int64_t n, int64_t first, int64_t width, float* out) {
  for (int64_t c = 0; c < width; c++) {
    const float* from = at(first + c);
    float* to = out + c * lanes;
    int64_t k = 0;
    for (; k + lanes <= n; k += lanes, to += width * lanes) store(to, load(from + k));
    if (k < n) store(to, load_first(from + k, n - k));
  }
}

/// totals (tile_rows, positions, lanes) += the lanes of row r · position p in one block of columns, from a panel
/// (steps, tile_rows, lanes) and a packed tile of positions.
using TileDots = void (*)(const float* panel, const float* xs, int64_t steps, float* totals);
/// out[r·positions + p] = the lanes of those totals together.
using TileTotals = void (*)(const float* totals, float* out);
/// sums (positions × stride), `width` (≤ tile_vectors·lanes) columns (+)= Σ_i h[i·h_stride + p] · row i of the panel,
/// whose rows lie `panel_stride` apart.
using TileSums = void (*)(const float* panel, int64_t panel_stride, const float* h, int64_t h_stride, int64_t count,
                          float* sums, int64_t stride, int64_t width, bool add);

/// By number of positions, up to tile_positions.
struct TileKernels {
  TileDots dots[tile_positions + 1];
  TileTotals totals[tile_positions + 1];
  TileSums sums[tile_positions + 1];
};
extern const TileKernels& tile_kernels;

/// Positions, n columns each, packed tile after tile.
struct Packed {
  const float* data;
  Tiles tiles;
  int64_t n;

  const float* tile(int64_t first) const { return data + first * ceil_div(n, lanes) * lanes; }
};

/// put(i, first, width, values) for every one of `count` rows and every tile of positions [first, first + width): their
/// dot products with row i, which starts at row_at(i). Rows up to `last` exist, beyond count too: they are asked for
/// ahead. For many positions.
///
/// Of some rows together a stretch of columns is widened at a time: beside the positions' it fits a level-1 cache.
template <typename RowAt, typename Put>
void packed_dots(RowStorage rows, const RowAt& row_at, int64_t count, int64_t last, Packed x, const Put& put) {
  constexpr int64_t together = 3 * tile_rows, stretch = 256;
  static_assert(stretch % dot_block == 0);
  const int64_t positions = x.tiles.positions;
  float* panel = static_cast<float*>(scratch(3, static_cast<uint64_t>(together * (stretch + positions * lanes)) * 4));
  if (panel == nullptr) return;
  float* const totals = panel + together * stretch;
  const auto totals_of = [&](int64_t tile, int64_t first) {
    return totals + tile_rows * (tile * positions + first) * lanes;
  };
  for (int64_t i = 0; i < count; i += together) {
    const int64_t tiles = ceil_div(min(together, count - i), tile_rows);
    memset(totals, 0, static_cast<size_t>(tiles * tile_rows * positions * lanes) * 4);
    for (int64_t k = 0; k < x.n; k += stretch) {
      const int64_t end = min(x.n, k + stretch), steps = ceil_div(end - k, lanes);
      for (int64_t r = 0; r < tiles * tile_rows; r++) {
        // Beyond the last row: the last again, and the result is dropped.
        const uint8_t* row = row_at(min(i + r, count - 1));
        if (end < x.n)
          row_kernels[rows.type]->ask_for(row, rows.scale_bytes, end, min(x.n, end + stretch));
        else
          row_kernels[rows.type]->ask_for(row_at(min(i + r + together, last - 1)), rows.scale_bytes, 0,
                                          min(x.n, stretch));
        row_kernels[rows.type]->widen(row, rows.scale_bytes, k, end, tile_rows * lanes,
                                      panel + r / tile_rows * tile_rows * stretch + r % tile_rows * lanes);
      }
      x.tiles.each([&](int64_t first, int64_t width) {
        const float* own = x.tile(first) + k * width;
        for (int64_t tile = 0; tile < tiles; tile++)
          for (int64_t step = 0; step < steps; step += dot_block / lanes)
            tile_kernels.dots[width](panel + (tile * stretch + step * lanes) * tile_rows, own + step * width * lanes,
                                     min(dot_block / lanes, steps - step), totals_of(tile, first));
      });
    }
    x.tiles.each([&](int64_t first, int64_t width) {
      for (int64_t tile = 0; tile < tiles; tile++) {
        float out[tile_rows * tile_positions];
        tile_kernels.totals[width](totals_of(tile, first), out);
        for (int64_t r = 0; r < min(tile_rows, count - i - tile * tile_rows); r++)
          put(i + tile * tile_rows + r, first, width, out + r * width);
      }
    });
  }
}

/// Rows [i, i + height), each of `count` the last one where there are no more, and as many of the rows up to `last`
/// that are asked for meanwhile: `ahead` further on, by default the next.
template <typename RowAt>
FLICKER_INLINE RowPointers rows_from(RowStorage rows, const RowAt& row_at, int64_t i, int64_t height, int64_t count,
                                     int64_t last, int64_t ahead = 0) {
  RowPointers at;
  ahead = ahead < height ? height : ahead;
  for (int64_t r = 0; r < height; r++) {
    at.rows[r] = row_at(min(i + r, count - 1));
    at.next[r] = row_at(min(i + r + ahead, last - 1));
  }
  at.scale_bytes = rows.scale_bytes;
  return at;
}

/// As packed_dots, for a few positions in tiles of up to max_direct, or one. `ahead`: see rows_from.
template <typename RowAt, typename Put>
void direct_dots(RowStorage rows, const RowAt& row_at, int64_t count, int64_t last, Packed x, const Put& put,
                 int64_t ahead = 0) {
  constexpr int64_t group = 12;  // an integer of tiles of any height; read for every tile of positions
  for (int64_t start = 0; start < count; start += group) {
    const int64_t end = min(count, start + group);
    x.tiles.each([&](int64_t first, int64_t width) {
      for (int64_t i = start; i < end;) {
        const bool one = width == 1 && end - i == 1;
        const int64_t height = one ? 1 : rows_for(width);
        const RowDots dots = one ? row_kernels[rows.type]->dot_of_one : row_kernels[rows.type]->dots[width];
        float out[sums_in_registers];
        dots(rows_from(rows, row_at, i, height, count, last, ahead), x.tile(first), x.n, out);
        for (int64_t r = 0; r < min(height, end - i); r++) put(i + r, first, width, out + r * width);
        i += height;
      }
    });
  }
}

/// x (batch, n) for the dot products of one call. Several positions are packed once, by the thread that calls the
/// kernel.
struct Positions : Packed {
  /// Uses slot 2 of the calling thread; not ok() when there is no memory.
  Positions(const float* x, int64_t batch, int64_t n, WeightType type)
      : Positions(x, batch <= most_direct(type) ? Tiles(batch, max_direct) : Tiles(batch), n) {}
  Positions(const float* x, Tiles of, int64_t columns) : Packed{x, of, columns} {
    if (tiles.positions == 1) return;
    float* memory = static_cast<float*>(scratch(2, static_cast<uint64_t>(packed_size(tiles.positions, n)) * 4));
    data = memory;
    if (memory == nullptr) return;
    const auto pack = [&](int64_t tile) {
      const int64_t first = tiles.first(tile), width = tiles.first(tile + 1) - first;
      pack_tile([&](int64_t b) { return x + b * n; }, n, first, width, memory + packed_size(first, n));
    };
    if (tiles.count < 4)
      for (int64_t tile = 0; tile < tiles.count; tile++) pack(tile);
    else
      parallel_for(tiles.count, pack);
  }
  bool ok() const { return data != nullptr; }
};

/// As packed_dots, for any number of positions.
template <typename RowAt, typename Put>
FLICKER_INLINE void each_dot(RowStorage rows, const RowAt& row_at, int64_t count, int64_t last, const Positions& x,
                             const Put& put) {
  if (x.tiles.positions <= most_direct(rows.type))
    direct_dots(rows, row_at, count, last, x, put);
  else
    packed_dots(rows, row_at, count, last, x, put);
}

/// panel (count, slice) = columns [first, end), at most `slice`, of rows row_at(i). Rows up to `last` exist.
template <typename RowAt>
void widen_slice(RowStorage rows, const RowAt& row_at, int64_t count, int64_t last, int64_t first, int64_t end,
                 float* panel) {
  constexpr int64_t ahead = 8;
  for (int64_t i = 0; i < count; i++) {
    row_kernels[rows.type]->ask_for(row_at(min(i + ahead, last - 1)), rows.scale_bytes, first, end);
    row_kernels[rows.type]->widen(row_at(i), rows.scale_bytes, first, end, lanes, panel + i * slice);
  }
}

/// sums (batch × stride), n columns, (+)= Σ_i h[i·h_stride + position] · row_at(i), in order of i.
template <typename RowAt>
void weighted_rows(RowStorage rows, const RowAt& row_at, const float* h, int64_t h_stride, int64_t count, int64_t batch,
                   float* sums, int64_t stride, int64_t n, bool add) {
  constexpr int64_t tile_columns = tile_vectors * lanes;
  // Room behind the last row for what a whole tile reads.
  float* panel = static_cast<float*>(scratch(3, static_cast<uint64_t>(slice_rows * slice + tile_columns) * 4));
  if (panel == nullptr) return;
  for (int64_t k = 0; k < n; k += slice) {
    const int64_t end = min(n, k + slice);
    for (int64_t start = 0; start < count; start += slice_rows) {
      const int64_t some = min(slice_rows, count - start);
      widen_slice(
          rows, [&](int64_t i) { return row_at(start + i); }, some, count - start, k, end, panel);
      Tiles(batch).each([&](int64_t first, int64_t width) {
        for (int64_t column = k; column < end; column += tile_columns)
          tile_kernels.sums[width](panel + column - k, slice, h + start * h_stride + first, h_stride, some,
                                   sums + first * stride + column, stride, min(tile_columns, end - column),
                                   add || start > 0);
      });
    }
  }
}

}  // namespace flicker::FLICKER_ISA

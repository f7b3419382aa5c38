// Dot products and weighted sums of a few rows for up to max_direct positions at once: rows are read once, straight
// from memory, and never written down as floats. Orders of summation: lane_sums.h.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace flicker::FLICKER_ISA {

/// Rows that are read side by side, at most.
constexpr int tile_rows = 4;
// A tile of dot products has rows_for(positions) rows, so that its sums stay in registers.
#if FLICKER_LANES == 16 || defined(__aarch64__)
constexpr int max_direct = 8, sums_in_registers = 24;
#elif FLICKER_LANES == 8
constexpr int max_direct = 4, sums_in_registers = 12;
#else
constexpr int max_direct = 2, sums_in_registers = 8;
#endif
constexpr int rows_for(int64_t positions) {
  return positions * tile_rows <= sums_in_registers ? tile_rows : static_cast<int>(sums_in_registers / positions);
}

/// How rows are stored: their type, and the bytes of scales at their start where the type has such (else ignored).
struct RowStorage {
  WeightType type;
  int64_t scale_bytes;
};

/// Rows by where they start. While several are read, `next` are asked for, so that memory is never idle between rows.
struct RowPointers {
  const uint8_t *rows[tile_rows], *next[tile_rows];
  int64_t scale_bytes;
};

/// Rows that follow each other in memory. They are read one after another and, if they are many, best without anything
/// being asked for: the processor's own prefetching brings them, and long rows side by side, or lines asked for, would
/// only disturb it. Few are over before it has noticed; then `next` is memory that is asked for meanwhile, as much of
/// it.
struct RowsInLine {
  const uint8_t* begin;
  int64_t row_bytes, scale_bytes, count;
  const uint8_t* next = nullptr;
};

/// Rows at equal distances.
struct RowMatrix {
  RowStorage storage;
  const uint8_t* data;
  int64_t row_bytes;

  const uint8_t* operator[](int64_t i) const { return data + i * row_bytes; }
  RowsInLine line(int64_t first, int64_t count, const uint8_t* next = nullptr) const {
    return {data + first * row_bytes, row_bytes, storage.scale_bytes, count, next};
  }
};

/// Weights with so many columns.
inline RowMatrix matrix_of(Weights w, int64_t columns) {
  return {
      {w.type, weight_scale_bytes(columns)}, static_cast<const uint8_t*>(w.data), weight_row_bytes(w.type, columns)};
}

/// Columns [first, end) of a row as vectors at distance `stride`; `first` is a multiple of 128, the last vector is
/// filled up with zeros.
using WidenRow = void (*)(const uint8_t* row, int64_t scale_bytes, int64_t first, int64_t end, int64_t stride,
                          float* out);
/// Asks for those columns.
using AskForRow = void (*)(const uint8_t* row, int64_t scale_bytes, int64_t first, int64_t end);

/// out[r·positions + c] = row r · position c, n columns; xs is the position itself, or several as pack_tile leaves
/// them.
using RowDots = void (*)(const RowPointers& at, const float* xs, int64_t n, float* out);
/// sums (positions × stride), columns [first, last) += Σ_r h[r·positions + c] · row r, in order of r; `first` is a
/// multiple of 128.
using RowSums = void (*)(const RowPointers& at, const float* h, float* sums, int64_t stride, int64_t first,
                         int64_t last);

/// out[i] = row i · x, n columns.
using LineDots = void (*)(const RowsInLine& line, const float* x, int64_t n, float* out);
/// sums (n) += Σ_i h[i] · row i, in order of i.
using LineSums = void (*)(const RowsInLine& line, const float* h, float* sums, int64_t n);

/// Whether long rows of a type, read one after another, are widened as fast as memory brings them. Of the others it
/// takes several side by side.
constexpr bool streams(WeightType type) { return !is_quantized(type); }

constexpr bool stands_in_line(WeightType type) { return streams(type) || type == kQ8_0; }

/// The kernels of one type of weights.
struct RowKernels {
  RowDots dots[max_direct + 1];  // of rows_for(positions) rows
  RowSums sums[max_direct + 1];  // of tile_rows rows
  RowDots dot_of_one;            // one row, one position
  RowSums sum_of_one;
  WidenRow widen;
  AskForRow ask_for;
  // Of types that stand in a line only: those that are streamed, and q8_0, which caches have.
  LineDots dots_in_line;
  LineSums sums_in_line;
};
extern const RowKernels f32_rows, bf16_rows, q8_0_rows, q4_0_rows, f16_rows, q4_k_rows, q5_k_rows, q6_k_rows;

/// By type of weights.
extern const RowKernels* const row_kernels[weight_types];

/// body(rows, first, height) for rows [0, n), tile by tile: `height` of them are meant, the rest of a tile repeats the
/// last; a row by itself comes alone. row_at(i) is where row i starts; those from n on are rows that will be read
/// later.
template <typename RowAt, typename Body>
FLICKER_INLINE void each_tile(int64_t n, int64_t scale_bytes, const RowAt& row_at, const Body& body) {
  for (int64_t first = 0; first < n; first += tile_rows) {
    const int64_t height = n - first < tile_rows ? n - first : tile_rows;
    RowPointers tile;
    tile.scale_bytes = scale_bytes;
    for (int64_t r = 0; r < (height == 1 ? 1 : tile_rows); r++) {
      tile.rows[r] = row_at(first + (r < height ? r : height - 1));
      tile.next[r] = row_at(first + tile_rows + r);
    }
    body(tile, first, height);
  }
}

}  // namespace flicker::FLICKER_ISA

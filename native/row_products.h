// The kernels behind row_kernels.h as templates over the type of rows. Included by the files that hold them, by kind of
// row: unscaled_rows.cc, scaled_rows.cc, super_block_rows.cc.
#pragma once

#include "lane_sums.h"
#include "weight_rows.h"

namespace flicker::FLICKER_ISA {
namespace {

/// The rows of one call. Several are read side by side, and then others asked for.
template <typename Row, int ROWS, bool ASK = (ROWS > 1)>
struct Rows {
  Row rows[ROWS], next[ASK ? ROWS : 1];

  FLICKER_INLINE explicit Rows(const RowPointers& at) {
    for (int r = 0; r < ROWS; r++) {
      rows[r] = Row(at.rows[r], at.scale_bytes);
      if constexpr (ASK) next[r] = Row(at.next[r], at.scale_bytes);
    }
  }
  /// Rows i, i + 1, … of a line.
  FLICKER_INLINE Rows(const RowsInLine& line, int64_t i) {
    for (int r = 0; r < ROWS; r++) rows[r] = Row(line.begin + (i + r) * line.row_bytes, line.scale_bytes);
  }
};

/// out (unit) = the unit that starts at column k, by a function that is compiled once: where several positions share
/// the numbers, reading them back from the stack is little, and inlined copies for every number of positions are not.
template <typename Row>
__attribute__((noinline)) void widen_unit(Row row, int64_t k, const typename Row::Scales& scales, int64_t at,
                                          float* out) {
  vf values[Row::unit / lanes];
  read(row, k, scales, at, values);
  memcpy(out, values, sizeof values);
}

/// The same for the last n (< unit) columns, with zeros behind them: quantized rows are filled up to whole units.
template <typename Row>
__attribute__((noinline)) void widen_last(Row row, int64_t k, int64_t n, const typename Row::Scales& scales, int64_t at,
                                          float* out) {
  if constexpr (requires { row.read_last(k, n, scales, at, out); })
    row.read_last(k, n, scales, at, out);
  else
    widen_unit(row, k, scales, at, out);
}

/// Rows whose numbers take many instructions: units of several positions are widened by widen_unit.
template <typename Row>
constexpr bool widened_first = Row::unit > 32;

/// Rows of which any vector can be read by itself: what is left of them behind whole units goes by whole vectors first.
template <typename Row>
constexpr bool vectors_alone = streams(Row::type) && !reads_units<Row>;

/// body(j) for the whole vectors of [k, end), less than a unit. Returns the column behind them.
template <typename Row, typename Body>
FLICKER_INLINE int64_t each_last_vector(int64_t k, int64_t end, const Body& body) {
  if constexpr (vectors_alone<Row>) {
    const int64_t whole = (end - k) / lanes;
    unrolled<Row::unit / lanes - 1>([&](auto j) FLICKER_UNROLLED {
      if (j < whole) body(j);
    });
    return k + whole * lanes;
  }
  return k;
}

template <typename Row, int C, int ROWS, bool ASK>
FLICKER_INLINE void dots_of(const Rows<Row, ROWS, ASK>& of, const float* xs, int64_t n, float* out) {
  constexpr int vectors = Row::unit / lanes;
  vf totals[ROWS * C] = {};
  typename Row::Scales scales[ROWS];
  for (int64_t block = 0; block < n; block += dot_block) {
    const int64_t start = block / Row::chunk * Row::chunk, end = min(n, block + dot_block);
    if (block == start)
      for (int r = 0; r < ROWS; r++) scales[r] = of.rows[r].scales(start);
    vf sums[ROWS * C] = {};
    int64_t k = block;
    for (; k + Row::unit <= end; k += Row::unit) {
      if constexpr (C == 1) {
        if constexpr (ASK)
          for (const Row& row : of.next) row.prefetch(k);
        unrolled<sections_of<Row>>([&](auto section) FLICKER_UNROLLED {
          unrolled<ROWS>([&](auto r) FLICKER_UNROLLED {
            each_vector_of<section>(of.rows[r], k, scales[r], k - start,
                                    [&](auto j, vf w) FLICKER_UNROLLED { sums[r] += w * load(xs + k + j * lanes); });
          });
        });
      } else if constexpr (widened_first<Row>) {
        for (const Row& row : of.next) row.prefetch(k);
        alignas(64) float w[ROWS][Row::unit];
        for (int r = 0; r < ROWS; r++) widen_unit(of.rows[r], k, scales[r], k - start, w[r]);
        for (int j = 0; j < Row::unit; j += lanes) {
          const float* x = xs + (k + j) * C;
#pragma GCC unroll 4
          for (int r = 0; r < ROWS; r++) {
            const vf weight = load(w[r] + j);
#pragma GCC unroll 8
            for (int c = 0; c < C; c++) sums[r * C + c] += weight * load(x + c * lanes);
          }
        }
      } else {
        for (const Row& row : of.next) row.prefetch(k);
        unrolled<vectors>([&](auto j) FLICKER_UNROLLED {
          vf x[C];
#pragma GCC unroll 8
          for (int c = 0; c < C; c++) x[c] = load(xs + (k + j * lanes) * C + c * lanes);
#pragma GCC unroll 4
          for (int r = 0; r < ROWS; r++) {
            const vf w = of.rows[r].template vector<decltype(j)::value>(k, scales[r], k - start);
#pragma GCC unroll 8
            for (int c = 0; c < C; c++) sums[r * C + c] += w * x[c];
          }
        });
      }
    }
    k = each_last_vector<Row>(k, end, [&](auto j) FLICKER_UNROLLED {
      unrolled<ROWS>([&](auto r) FLICKER_UNROLLED {
        const vf w = of.rows[r].template vector<decltype(j)::value>(k, scales[r], k - start);
#pragma GCC unroll 8
        for (int c = 0; c < C; c++) sums[r * C + c] += w * load(xs + (k + j * lanes) * C + c * lanes);
      });
    });
    if (k < end) {
      alignas(64) float last[Row::unit];
#pragma GCC unroll 4
      for (int r = 0; r < ROWS; r++) {
        widen_last(of.rows[r], k, end - k, scales[r], k - start, last);
        for (int64_t j = 0; j < end - k; j += lanes) {
          const int64_t width = min(lanes, end - k - j);
          const vf w = load_first(last + j, width);
#pragma GCC unroll 8
          for (int c = 0; c < C; c++) {
            const float* x = xs + (k + j) * C + c * lanes;
            sums[r * C + c] += w * (C == 1 ? load_first(x, width) : load(x));
          }
        }
      }
    }
#pragma GCC unroll 32
    for (int i = 0; i < ROWS * C; i++) totals[i] += sums[i];
  }
  store_lane_sums<ROWS * C>(totals, out);
}

template <typename Row, int C, int ROWS>
void some_dots(const RowPointers& at, const float* xs, int64_t n, float* out) {
  dots_of<Row, C, ROWS>(Rows<Row, ROWS>(at), xs, n, out);
}

/// Asks for what stands in `next` where rows [i, i + count) stand in the line.
FLICKER_INLINE void ask_for_next(const RowsInLine& line, int64_t i, int64_t count) {
  if (line.next == nullptr) return;
  for (int64_t k = i * line.row_bytes / 64 * 64; k < (i + count) * line.row_bytes; k += 64) ask_for(line.next + k);
}

template <typename Row>
void line_dots(const RowsInLine& line, const float* x, int64_t n, float* out) {
  constexpr int together = lanes == 16 ? 8 : 4;
  int64_t i = 0;
  // Of short ones several have a tree in common.
  for (; n <= dot_block && i + together <= line.count; i += together) {
    ask_for_next(line, i, together);
    dots_of<Row, 1, together>(Rows<Row, together, false>(line, i), x, n, out + i);
  }
  ask_for_next(line, i, line.count - i);
  for (; i < line.count; i++) dots_of<Row, 1, 1>(Rows<Row, 1>(line, i), x, n, out + i);
}

/// UNITS units of columns from k on: their sums stay in registers.
template <typename Row, int UNITS>
FLICKER_INLINE void line_columns(const RowsInLine& line, const float* h, float* sums, int64_t k) {
  constexpr int vectors = Row::unit / lanes;
  const int64_t start = k / Row::chunk * Row::chunk;
  vf s[UNITS * vectors];
#pragma GCC unroll 32
  for (int j = 0; j < UNITS * vectors; j++) s[j] = load(sums + k + j * lanes);
  for (int64_t i = 0; i < line.count; i++) {
    const Row row(line.begin + i * line.row_bytes, line.scale_bytes);
    const typename Row::Scales scales = row.scales(start);
    const vf factor = splat(h[i]);
    if (k == 0) ask_for_next(line, i, 1);
    unrolled<UNITS>([&](auto u) FLICKER_UNROLLED {
      vf w[vectors];
      read(row, k + u * Row::unit, scales, k + u * Row::unit - start, w);
#pragma GCC unroll 32
      for (int j = 0; j < vectors; j++) s[u * vectors + j] += factor * w[j];
    });
  }
#pragma GCC unroll 32
  for (int j = 0; j < UNITS * vectors; j++) store(sums + k + j * lanes, s[j]);
}

/// The COUNT (< unit / lanes) vectors of columns from k on.
template <typename Row, int COUNT>
void line_vectors(const RowsInLine& line, const float* h, float* sums, int64_t k) {
  vf s[COUNT];
#pragma GCC unroll 8
  for (int j = 0; j < COUNT; j++) s[j] = load(sums + k + j * lanes);
  for (int64_t i = 0; i < line.count; i++) {
    const Row row(line.begin + i * line.row_bytes, line.scale_bytes);
    if (k == 0) ask_for_next(line, i, 1);
    const vf factor = splat(h[i]);
    unrolled<COUNT>([&](auto j)
                        FLICKER_UNROLLED { s[j] += factor * row.template vector<decltype(j)::value>(k, {}, 0); });
  }
#pragma GCC unroll 8
  for (int j = 0; j < COUNT; j++) store(sums + k + j * lanes, s[j]);
}

/// Vectors of columns that a factor is loaded for: with one alone, loading factors would take longer than the products.
constexpr int pair = 2;

/// sums (C × stride), `pair` vectors of columns, += Σ_r h[r·C + c] · w[r].
template <int C, int ROWS>
FLICKER_INLINE void add_pair(const vf (&w)[ROWS][pair], const float* h, float* sums, int64_t stride) {
#pragma GCC unroll 8
  for (int c = 0; c < C; c++) {
    float* to = sums + c * stride;
    vf s[pair];
#pragma GCC unroll 2
    for (int i = 0; i < pair; i++) s[i] = load(to + i * lanes);
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++) {
      const vf factor = splat(h[r * C + c]);
#pragma GCC unroll 2
      for (int i = 0; i < pair; i++) s[i] += factor * w[r][i];
    }
#pragma GCC unroll 2
    for (int i = 0; i < pair; i++) store(to + i * lanes, s[i]);
  }
}

template <typename Row, int C, int ROWS>
void some_sums(const RowPointers& at, const float* h, float* sums, int64_t stride, int64_t first, int64_t last) {
  constexpr int vectors = Row::unit / lanes;
  const Rows<Row, ROWS> of(at);
  for (int64_t k = first; k < last;) {
    const int64_t start = k / Row::chunk * Row::chunk, end = min(last, start + Row::chunk);
    typename Row::Scales scales[ROWS];
    for (int r = 0; r < ROWS; r++) scales[r] = of.rows[r].scales(start);
    for (; k + Row::unit <= end; k += Row::unit) {
      if constexpr (C == 1) {
        if constexpr (ROWS > 1)
          for (const Row& row : of.next) row.prefetch(k);
        unrolled<sections_of<Row>>([&](auto section) FLICKER_UNROLLED {
          constexpr int some = vectors / sections_of<Row>, first = section * some;
          vf s[some];
#pragma GCC unroll 32
          for (int j = 0; j < some; j++) s[j] = load(sums + k + (first + j) * lanes);
          unrolled<ROWS>([&](auto r) FLICKER_UNROLLED {
            const vf factor = splat(h[r]);
            each_vector_of<section>(of.rows[r], k, scales[r], k - start,
                                    [&](auto j, vf w) FLICKER_UNROLLED { s[j - first] += factor * w; });
          });
#pragma GCC unroll 32
          for (int j = 0; j < some; j++) store(sums + k + (first + j) * lanes, s[j]);
        });
      } else if constexpr (widened_first<Row>) {
        for (const Row& row : of.next) row.prefetch(k);
        alignas(64) float w[ROWS][Row::unit];
        for (int r = 0; r < ROWS; r++) widen_unit(of.rows[r], k, scales[r], k - start, w[r]);
        for (int j = 0; j < Row::unit; j += pair * lanes) {
          vf own[ROWS][pair];
#pragma GCC unroll 4
          for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 2
            for (int i = 0; i < pair; i++) own[r][i] = load(w[r] + j + i * lanes);
          add_pair<C, ROWS>(own, h, sums + k + j, stride);
        }
      } else {
        for (const Row& row : of.next) row.prefetch(k);
        unrolled<vectors / pair>([&](auto j) FLICKER_UNROLLED {
          vf own[ROWS][pair];
#pragma GCC unroll 4
          for (int r = 0; r < ROWS; r++)
            unrolled<pair>([&](auto i) FLICKER_UNROLLED {
              own[r][i] = of.rows[r].template vector<j * pair + i>(k, scales[r], k - start);
            });
          add_pair<C, ROWS>(own, h, sums + k + j * pair * lanes, stride);
        });
      }
    }
    k = each_last_vector<Row>(k, end, [&](auto j) FLICKER_UNROLLED {
      for (int64_t c = 0; c < C; c++) {
        float* to = sums + c * stride + k + j * lanes;
        vf s = load(to);
        unrolled<ROWS>([&](auto r) FLICKER_UNROLLED {
          s += splat(h[r * C + c]) * of.rows[r].template vector<decltype(j)::value>(k, scales[r], k - start);
        });
        store(to, s);
      }
    });
    if (k < end) {
      alignas(64) float rest[Row::unit];
      for (int r = 0; r < ROWS; r++) {
        widen_last(of.rows[r], k, end - k, scales[r], k - start, rest);
        for (int64_t c = 0; c < C; c++)
          for (int64_t j = 0; j < end - k; j += lanes) {
            const int64_t width = min(lanes, end - k - j);
            float* to = sums + c * stride + k + j;
            store_first(to, load_first(to, width) + splat(h[r * C + c]) * load_first(rest + j, width), width);
          }
      }
      k = end;
    }
  }
}

template <typename Row>
void line_sums(const RowsInLine& line, const float* h, float* sums, int64_t n) {
  constexpr int units = Row::unit < 8 * lanes ? 8 * lanes / Row::unit : 1;
  int64_t k = 0;
  for (; k + units * Row::unit <= n; k += units * Row::unit) line_columns<Row, units>(line, h, sums, k);
  for (; k + Row::unit <= n; k += Row::unit) line_columns<Row, 1>(line, h, sums, k);
  if constexpr (vectors_alone<Row>) {
    const int64_t whole = (n - k) / lanes;
    unrolled<Row::unit / lanes - 1>([&](auto j) FLICKER_UNROLLED {
      if (whole == j + 1) line_vectors<Row, decltype(j)::value + 1>(line, h, sums, k);
    });
    k += whole * lanes;
  }
  if (k == n) return;
  for (int64_t i = 0; i < line.count; i++) {
    RowPointers at;
    at.rows[0] = line.begin + i * line.row_bytes, at.scale_bytes = line.scale_bytes;
    some_sums<Row, 1, 1>(at, h + i, sums, 0, k, n);
  }
}

template <typename Row>
void widen_row(const uint8_t* at, int64_t scale_bytes, int64_t k, int64_t end, int64_t stride, float* out) {
  constexpr int vectors = Row::unit / lanes;
  const Row row(at, scale_bytes);
  while (k < end) {
    const int64_t start = k / Row::chunk * Row::chunk, chunk_end = min(end, start + Row::chunk);
    const typename Row::Scales scales = row.scales(start);
    for (; k + Row::unit <= chunk_end; k += Row::unit, out += vectors * stride) {
      vf w[vectors];
      read(row, k, scales, k - start, w);
#pragma GCC unroll 32
      for (int j = 0; j < vectors; j++) store(out + j * stride, w[j]);
    }
    if (k < chunk_end) {
      alignas(64) float w[Row::unit];
      widen_last(row, k, chunk_end - k, scales, k - start, w);
      for (int64_t j = 0; k + j * lanes < chunk_end; j++) {
        const int64_t width = min(lanes, chunk_end - k - j * lanes);
        store(out + j * stride, load_first(w + j * lanes, width));
      }
      k = chunk_end;
    }
  }
}

template <typename Row>
void ask_for_row(const uint8_t* at, int64_t scale_bytes, int64_t k, int64_t end) {
  const Row row(at, scale_bytes);
  for (; k < end; k += Row::unit) row.prefetch(k);
}

/// The kernels of one type of rows.
template <typename Row>
struct KernelsOf : RowKernels {
  template <int C = max_direct>
  constexpr void fill() {
    dots[C] = some_dots<Row, C, rows_for(C)>;
    sums[C] = some_sums<Row, C, tile_rows>;
    if constexpr (C > 1) fill<C - 1>();
  }
  constexpr KernelsOf() : RowKernels() {
    fill();
    dot_of_one = some_dots<Row, 1, 1>;
    sum_of_one = some_sums<Row, 1, 1>;
    widen = widen_row<Row>;
    ask_for = ask_for_row<Row>;
    if constexpr (stands_in_line(Row::type)) {
      dots_in_line = line_dots<Row>;
      sums_in_line = line_sums<Row>;
    }
  }
};

}  // namespace
}  // namespace flicker::FLICKER_ISA

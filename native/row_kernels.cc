// The kernels behind row_kernels.h, one copy for every type of weights and number of positions.
#include "decode.h"

namespace flicker::FLICKER_ISA {
namespace {

/// The rows of one call.
template <typename Row, int ROWS>
struct Rows {
  Row rows[ROWS], next[ROWS];

  FLICKER_INLINE explicit Rows(const RowPointers& at) {
    for (int r = 0; r < ROWS; r++) {
      rows[r] = Row(at.rows[r], at.scale_bytes);
      next[r] = Row(at.next[r], at.scale_bytes);
    }
  }
};

template <typename Row, int C, int ROWS>
void some_dots(const RowPointers& at, const float* xs, int64_t n, float* out) {
  constexpr int vectors = Row::unit / lanes;
  const Rows<Row, ROWS> of(at);
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
        unrolled<ROWS>([&](auto r) FLICKER_UNROLLED {
          if constexpr (ROWS > 1) of.next[r].prefetch(k);
          vf w[vectors];
          read(of.rows[r], k, scales[r], k - start, w);
#pragma GCC unroll 32
          for (int j = 0; j < vectors; j++) sums[r] += w[j] * load(xs + k + j * lanes);
        });
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
    if (k < end) {
      alignas(64) float last[Row::unit];
#pragma GCC unroll 4
      for (int r = 0; r < ROWS; r++) {
        read_last(of.rows[r], k, end - k, scales[r], k - start, last);
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
void some_sums(const RowPointers& at, const float* h, float* sums, int64_t stride, int64_t first, int64_t last) {
  constexpr int vectors = Row::unit / lanes;
  const Rows<Row, ROWS> of(at);
  for (int64_t k = first; k < last;) {
    const int64_t start = k / Row::chunk * Row::chunk, end = min(last, start + Row::chunk);
    typename Row::Scales scales[ROWS];
    for (int r = 0; r < ROWS; r++) scales[r] = of.rows[r].scales(start);
    for (; k + Row::unit <= end; k += Row::unit) {
      if constexpr (C == 1) {
        vf s[vectors];
#pragma GCC unroll 32
        for (int j = 0; j < vectors; j++) s[j] = load(sums + k + j * lanes);
        unrolled<ROWS>([&](auto r) FLICKER_UNROLLED {
          if constexpr (ROWS > 1) of.next[r].prefetch(k);
          vf w[vectors];
          read(of.rows[r], k, scales[r], k - start, w);
#pragma GCC unroll 32
          for (int j = 0; j < vectors; j++) s[j] += splat(h[r]) * w[j];
        });
#pragma GCC unroll 32
        for (int j = 0; j < vectors; j++) store(sums + k + j * lanes, s[j]);
      } else {
        for (const Row& row : of.next) row.prefetch(k);
        unrolled<vectors>([&](auto j) FLICKER_UNROLLED {
          vf w[ROWS];
#pragma GCC unroll 4
          for (int r = 0; r < ROWS; r++)
            w[r] = of.rows[r].template vector<decltype(j)::value>(k, scales[r], k - start);
#pragma GCC unroll 8
          for (int c = 0; c < C; c++) {
            float* to = sums + c * stride + k + j * lanes;
            vf s = load(to);
#pragma GCC unroll 4
            for (int r = 0; r < ROWS; r++) s += splat(h[r * C + c]) * w[r];
            store(to, s);
          }
        });
      }
    }
    if (k < end) {
      alignas(64) float rest[Row::unit];
      for (int r = 0; r < ROWS; r++) {
        read_last(of.rows[r], k, end - k, scales[r], k - start, rest);
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

struct AllRowKernels : RowKernels {
  template <typename Row, int C = max_direct>
  constexpr void fill() {
    dots[Row::type][C] = some_dots<Row, C, rows_for(C)>;
    sums[Row::type][C] = some_sums<Row, C, tile_rows>;
    if constexpr (C > 1) {
      fill<Row, C - 1>();
    } else {
      dot_of_one[Row::type] = some_dots<Row, 1, 1>;
      sum_of_one[Row::type] = some_sums<Row, 1, 1>;
    }
  }
  constexpr AllRowKernels() : RowKernels() {
    fill<F32Row>();
    fill<Bf16Row>();
    fill<Q8Row>();
    fill<Q4Row>();
    fill<F16Row>();
  }
};
constexpr AllRowKernels all_row_kernels{};

}  // namespace

const RowKernels& row_kernels = all_row_kernels;

}  // namespace flicker::FLICKER_ISA

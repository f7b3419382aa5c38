// The register tiles of a matrix product, and the panels that they read: see gemm.cc.
//
// Of bf16, panels hold pairs of neighbors along k instead of single elements: half as many words, all else is the same.
#pragma once

#include "bf16.h"
#include "simd.h"

namespace flicker::FLICKER_ISA {
namespace {

#if FLICKER_LANES == 16
constexpr int MR = 12, NV = 2;  // 24 accumulators of 32 registers
#elif FLICKER_LANES == 8
constexpr int MR = 6, NV = 2;  // 12 of 16
#elif defined(__aarch64__)
constexpr int MR = 8, NV = 3;  // 24 of 32
#else
constexpr int MR = 6, NV = 2;  // 12 of 16
#endif
constexpr int NR = NV * lanes;
constexpr int64_t KC = 384;  // depth of a block
// Rows of a packed panel of a lie this far apart: off the powers of two, so that they do not fall into one cache set.
constexpr int64_t ROW = KC + 16;

/// What the words of a panel are, and what multiplies them.
enum class Words { f32, bf16, bf16_of_hardware };

/// Words of a panel that is `depth` deep.
template <Words W>
constexpr int64_t words(int64_t depth) {
  return W == Words::f32 ? depth : ceil_div(depth, 2);
}

/// c tile (rows × NVEC vectors) += or = acc.
template <int ROWS, int NVEC>
FLICKER_INLINE void store_tile(const vf (&acc)[ROWS][NVEC], float* c, int64_t ldc, int64_t columns, bool accumulate) {
  if (columns >= NVEC * lanes) {
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 4
      for (int j = 0; j < NVEC; j++) {
        float* p = c + i * ldc + j * lanes;
        store(p, accumulate ? load(p) + acc[i][j] : acc[i][j]);
      }
    return;
  }
  float tile[ROWS][NVEC * lanes];
  memcpy(tile, acc, sizeof tile);
  for (int i = 0; i < ROWS; i++)
    for (int64_t j = 0; j < columns; j++) c[i * ldc + j] = accumulate ? c[i * ldc + j] + tile[i][j] : tile[i][j];
}

/// c tile (rows × NVEC vectors) += or = a panel · b panel. Element (i, k) of a is a[i·lda + k], of a transposed a
/// a[k·MR + i].
template <int ROWS, int NVEC, bool TRANS_A>
void micro(const float* a, int64_t lda, const float* b, float* c, int64_t ldc, int64_t depth, int64_t columns,
           bool accumulate) {
  const float* rows[ROWS];
  for (int i = 0; i < ROWS; i++) rows[i] = a + i * lda;
  vf acc[ROWS][NVEC] = {};
  for (int64_t k = 0; k < depth; k++) {
    vf bv[NVEC];
#pragma GCC unroll 4
    for (int j = 0; j < NVEC; j++) bv[j] = load(b + k * NR + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vf av = splat(TRANS_A ? a[k * MR + i] : rows[i][k]);
#pragma GCC unroll 4
      for (int j = 0; j < NVEC; j++) acc[i][j] += av * bv[j];
    }
  }
  store_tile<ROWS, NVEC>(acc, c, ldc, columns, accumulate);
}

/// The same of pairs; those of a row of a are one behind the other.
template <int ROWS, int NVEC, bool>
void micro_pairs(const float* a, int64_t lda, const float* b, float* c, int64_t ldc, int64_t depth, int64_t columns,
                 bool accumulate) {
  vf acc[ROWS][NVEC] = {};
  for (int64_t k = 0; k < depth; k++) {
    vu bv[NVEC];
#pragma GCC unroll 4
    for (int j = 0; j < NVEC; j++) bv[j] = load_words(b + k * NR + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vu av = splat_u32(word_at(a + i * lda + k));
#pragma GCC unroll 4
      for (int j = 0; j < NVEC; j++) acc[i][j] = add_products(acc[i][j], av, bv[j]);
    }
  }
  store_tile<ROWS, NVEC>(acc, c, ldc, columns, accumulate);
}

#ifdef FLICKER_BF16_TARGET
// Written out again: what a function may use of a processor is said of the function, not of what it is a template of.
template <int ROWS, int NVEC, bool>
FLICKER_BF16_TARGET void micro_hardware(const float* a, int64_t lda, const float* b, float* c, int64_t ldc,
                                        int64_t depth, int64_t columns, bool accumulate) {
  vf acc[ROWS][NVEC] = {};
  for (int64_t k = 0; k < depth; k++) {
    vu bv[NVEC];
#pragma GCC unroll 4
    for (int j = 0; j < NVEC; j++) bv[j] = load_words(b + k * NR + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vu av = splat_u32(word_at(a + i * lda + k));
#pragma GCC unroll 4
      for (int j = 0; j < NVEC; j++) acc[i][j] = add_products_of_hardware(acc[i][j], av, bv[j]);
    }
  }
  store_tile<ROWS, NVEC>(acc, c, ldc, columns, accumulate);
}
#endif

using Micro = void (*)(const float*, int64_t, const float*, float*, int64_t, int64_t, int64_t, bool);

template <int ROWS, int NVEC, bool TRANS_A, Words W>
constexpr Micro micro_of() {
#ifdef FLICKER_BF16_TARGET
  if (W == Words::bf16_of_hardware) return micro_hardware<ROWS, NVEC, TRANS_A>;
#endif
  if constexpr (W == Words::f32)
    return micro<ROWS, NVEC, TRANS_A>;
  else
    return micro_pairs<ROWS, NVEC, TRANS_A>;
}

// For every number of rows up to MR, so that the last panel wastes nothing.
template <int NVEC, bool TRANS_A, Words W>
struct Micros {
  Micro of[17];
  template <int ROWS>
  constexpr void fill() {
    of[ROWS] = micro_of<ROWS, NVEC, TRANS_A, W>();
    if constexpr (ROWS > 1) fill<ROWS - 1>();
  }
  constexpr Micros() : of() { fill<MR>(); }
};
template <int NVEC, bool TRANS_A, Words W>
constexpr Micros<NVEC, TRANS_A, W> micros{};

template <bool TRANS_A, Words W>
Micro pick(int64_t rows, int64_t columns) {
  if (columns <= lanes) return micros<1, TRANS_A, W>.of[rows];
  if (NV > 2 && columns <= 2 * lanes) return micros<2, TRANS_A, W>.of[rows];
  return micros<NV, TRANS_A, W>.of[rows];
}

/// Panels of b one after the other: each depth × NR, columns beyond `columns` zero. Neighbors are packed together, so
/// that a line of memory is fetched once and a page entered once.
void pack_b(const float* b, int64_t ldb, bool trans, int64_t depth, int64_t columns, float* out) {
  const int64_t panel = depth * NR;
  if (!trans) {
    const int64_t whole = columns / NR;
    for (int64_t k = 0; k < depth; k++, b += ldb) {
      float* to = out + k * NR;
      for (int64_t p = 0; p < whole; p++, to += panel)
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) store(to + j * lanes, load(b + p * NR + j * lanes));
      if (whole * NR < columns)
        for (int64_t j = 0; j < NR; j++) to[j] = whole * NR + j < columns ? b[whole * NR + j] : 0.f;
    }
    return;
  }
  // b is columns × depth.
  for (; columns > 0; columns -= NR, b += NR * ldb, out += panel) {
    const int64_t whole_k = depth / 4 * 4, whole_j = min(NR, columns) / 4 * 4;
    for (int64_t k = 0; k < whole_k; k += 4)
      for (int64_t j = 0; j < whole_j; j += 4) transpose_4x4(b + j * ldb + k, ldb, out + k * NR + j, NR);
    for (int64_t k = 0; k < depth; k++)
      for (int64_t j = k < whole_k ? whole_j : 0; j < NR; j++) out[k * NR + j] = j < columns ? b[j * ldb + k] : 0.f;
  }
}

/// Panels of a one after the other at distance MR·ROW: rows contiguous at distance ROW or, transposed, MR values per k.
void pack_a(const float* a, int64_t lda, bool trans, int64_t depth, int64_t rows, float* out) {
  if (!trans) {
    for (int64_t i = 0; i < rows; i++)
      memcpy(out + i / MR * MR * ROW + i % MR * ROW, a + i * lda, static_cast<size_t>(depth) * 4);
    return;
  }
  const int64_t whole = rows / MR, rest = rows % MR;
  for (int64_t k = 0; k < depth; k++, a += lda) {
    float* to = out + k * MR;
    int64_t q = 0;
#if FLICKER_LANES == 8
    // Whole vectors: what one writes too much the next writes over. The last would read and write beyond the ends.
    if (k + 1 < depth && lda >= lanes)
      for (; q < whole; q++, to += MR * ROW) store(to, load(a + q * MR));
#endif
    for (; q < whole; q++, to += MR * ROW) memcpy(to, a + q * MR, MR * 4);
    for (int64_t i = 0; i < rest; i++) to[i] = a[whole * MR + i];
  }
}

/// Two neighbors along k of a packed panel of b become one word, in place.
void pair_b(float* panel, int64_t depth) {
  for (int64_t k = 0; k < depth; k += 2)
    for (int j = 0; j < NR; j += lanes) {
      const vf odd = k + 1 < depth ? load(panel + (k + 1) * NR + j) : vf{};
      store(panel + k / 2 * NR + j, pairs_of(load(panel + k * NR + j), odd));
    }
}

/// The same of a panel of a, into rows that are contiguous at distance ROW, however it was packed.
void pair_a(const float* panel, bool trans, int64_t depth, int64_t rows, float* out) {
  const int64_t row_stride = trans ? 1 : ROW, k_stride = trans ? MR : 1;
  for (int64_t i = 0; i < rows; i++) {
    const float* from = panel + i * row_stride;
    for (int64_t word = 0; word < words<Words::bf16>(depth); word += lanes) {
      float even[lanes], odd[lanes];
      for (int l = 0; l < lanes; l++) {
        const int64_t k = 2 * (word + l);
        even[l] = k < depth ? from[k * k_stride] : 0.f;
        odd[l] = k + 1 < depth ? from[(k + 1) * k_stride] : 0.f;
      }
      store(out + i * ROW + word, pairs_of(load(even), load(odd)));
    }
  }
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

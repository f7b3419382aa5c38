// What the forward and the backward pass of attention share: one register tile for all their products, the blocks
// packed for it, and the exponential. Scores are kept in units of ln 2, which makes the exponential a power of two.
#pragma once

#include "kernels.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {

// The register tile: R rows × NV vectors.
#if FLICKER_LANES == 16 || defined(__aarch64__)
constexpr int R = 8, NV = 2;  // 16 accumulators of 32 registers
#else
constexpr int R = 4, NV = 2;  // 8 of 16
#endif
constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

inline int64_t round_up(int64_t n, int64_t to) { return ceil_div(n, to) * to; }

typedef vf Tile[R][NV];

/// acc[i][j] += Σ_k a(i, k) · b[k·ldb + j·lanes …], with a(i, k) at a[i·lda + k], or a[k·lda + i] when TRANS_A.
template <int N, bool TRANS_A>
FLICKER_INLINE void product(const float* a, int64_t lda, const float* b, int64_t ldb, int64_t depth, Tile& acc) {
  for (int64_t k = 0; k < depth; k++) {
    vf bv[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; j++) bv[j] = load(b + k * ldb + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const vf av = splat(TRANS_A ? a[k * lda + i] : a[i * lda + k]);
#pragma GCC unroll 4
      for (int j = 0; j < N; j++) acc[i][j] += av * bv[j];
    }
  }
}

/// Calls body(first vector, constant of how many) for `vectors` vectors, NV or 1 at a time.
template <int N>
struct Count {
  static constexpr int value = N;
};
template <typename Body>
FLICKER_INLINE void each_group(int64_t vectors, const Body& body) {
  int64_t j = 0;
  for (; j + NV <= vectors; j += NV) body(j, Count<NV>{});
  for (; j < vectors; j++) body(j, Count<1>{});
}

/// 2ˣ for x ≤ about 1; exactly 0 below −126; NaN stays NaN. 2ʳ on |r| ≤ ½ by a polynomial with relative error < 1e-7.
FLICKER_INLINE vf exp2_weight(vf x) {
  const vf magic = splat(12582912.f + 127.f);  // 1.5·2²³: adding it rounds to the nearest integer, here n + 127
  const vf shifted = x + magic, r = x - (shifted - magic);
  vf p = splat(0.00132647273f);
  p = p * r + splat(0.00967151299f);
  p = p * r + splat(0.0555073358f);
  p = p * r + splat(0.240222424f);
  p = p * r + splat(0.693147004f);
  p = p * r + splat(1.f);
  const vf y = p * as_float(as_int(shifted) << 23);
  return x < splat(-126.f) ? vf{} : y;
}

/// Scores in units of 1 / `unit`, capped: cap · tanh(score / cap).
FLICKER_INLINE vf capped(vf score, float cap, float unit) {
  return vtanh(score * splat(1.f / (cap * unit))) * splat(cap * unit);
}

/// 0, 1, 2, …
FLICKER_INLINE vi lane_numbers() {
  vi v;
  for (int i = 0; i < lanes; i++) v[i] = i;
  return v;
}

/// Rows of `dim` floats at distance ld, times scale, as rows of `padded` floats; zeros up to `to_rows` rows.
inline void pack_rows(const float* from, int64_t ld, int64_t rows, int64_t dim, float scale, float* to, int64_t padded,
                      int64_t to_rows) {
  for (int64_t i = 0; i < rows; i++, from += ld, to += padded) {
    int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store(to + c, load(from + c) * scale);
    if (c < dim) store(to + c, load_first(from + c, dim - c) * scale);
  }
  if (to_rows > rows) memset(to, 0, static_cast<size_t>((to_rows - rows) * padded) * 4);
}

/// The transpose of (keys × dim) as dim rows at distance `width`, each filled up with zeros.
inline void pack_columns(const float* from, int64_t ld, int64_t keys, int64_t dim, float* to, int64_t width) {
  if (keys < width) memset(to, 0, static_cast<size_t>(width * dim) * 4);
  int64_t j = 0;
  for (; j + 4 <= keys; j += 4, from += 4 * ld) {
    int64_t c = 0;
    for (; c + 4 <= dim; c += 4) transpose_4x4(from + c, ld, to + c * width + j, width);
    for (; c < dim; c++)
      for (int64_t i = 0; i < 4; i++) to[c * width + j + i] = from[i * ld + c];
  }
  for (; j < keys; j++, from += ld)
    for (int64_t c = 0; c < dim; c++) to[c * width + j] = from[c];
}

/// Strides and counts that every block needs.
struct Layout {
  AttentionShape shape;
  int64_t group;          // query heads per key/value head
  int64_t q_row, kv_row;  // floats from one position to the next
  int64_t padded;         // head_dim in whole vectors
  float scale;            // of scores

  explicit Layout(AttentionShape s)
      : shape(s),
        group(s.heads / s.kv_heads),
        q_row(s.heads * s.head_dim),
        kv_row(s.kv_heads * s.head_dim),
        padded(round_up(s.head_dim, lanes)),
        scale(s.scores.scale_of(s.head_dim)) {}

  int64_t q_at(int64_t batch, int64_t position, int64_t head) const {
    return (batch * shape.seq + position) * q_row + head * shape.head_dim;
  }
  int64_t kv_at(int64_t batch, int64_t position, int64_t kv_head) const {
    return (batch * shape.seq + position) * kv_row + kv_head * shape.head_dim;
  }
  int64_t lse_at(int64_t batch, int64_t position, int64_t head) const {
    return (batch * shape.seq + position) * shape.heads + head;
  }
};

}  // namespace flicker::FLICKER_ISA

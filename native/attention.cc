// Causal attention after FlashAttention (Dao et al. 2022, arXiv 2205.14135): a running softmax over blocks of keys, so
// that memory grows with seq and not with its square.
#include "attention.h"

#include "parallel.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t KEYS = 128;   // keys of a block
constexpr int64_t CHUNK = 128;  // queries of a job

/// R queries against all keys up to the last of them.
/// `columns` holds kᵀ in blocks of (head_dim × KEYS), `values` v as rows of `padded`, `q` the scaled queries.
struct ForwardTile {
  const Layout& layout;
  const float *columns, *values, *q;
  int64_t first;     // position of the first query
  int64_t rows;      // ≤ R
  vf sum[R];         // of the weights, lane by lane
  float largest[R];  // of the scores
  float* weights;    // R × KEYS
  float* output;     // R × padded

  /// weights = scores of q kᵀ for one block of keys, −∞ where the query does not see the key.
  void scores(int64_t key, int64_t vectors) {
    const vi lane = lane_numbers();
    const AttentionScores& of = layout.shape.scores;
    each_group(vectors, [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      Tile acc = {};
      product<N, false>(q, layout.padded, columns + key * layout.shape.head_dim + j * lanes, KEYS,
                        layout.shape.head_dim, acc);
      const int64_t at = key + j * lanes;
      if (of.softcap != 0)
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
#pragma GCC unroll 4
          for (int n = 0; n < N; n++) acc[i][n] = capped(acc[i][n], of.softcap, LOG2_E);
      if (of.oldest(first + R - 1) > at)
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
#pragma GCC unroll 4
          for (int n = 0; n < N; n++) {
            const vi oldest = vi{} + static_cast<int32_t>(of.oldest(first + i) - at - n * lanes);
            acc[i][n] = lane < oldest ? splat(-__builtin_inff()) : acc[i][n];
          }
      if (at + N * lanes > first + 1)
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
#pragma GCC unroll 4
          for (int n = 0; n < N; n++) {
            const vi last = vi{} + static_cast<int32_t>(first + i - at - n * lanes);
            acc[i][n] = lane > last ? splat(-__builtin_inff()) : acc[i][n];
          }
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) store(weights + i * KEYS + (j + n) * lanes, acc[i][n]);
    });
  }

  /// weights = 2^(weights − running maximum); sums and outputs so far shrink as the maximum grows.
  void softmax(int64_t vectors, bool is_first) {
    for (int i = 0; i < R; i++) {
      float* row = weights + i * KEYS;
      vf m = load(row);
      for (int64_t j = 1; j < vectors; j++) m = vmax(m, load(row + j * lanes));
      const float before = largest[i], block = reduce_max(m), top = before > block ? before : block;
      // Nothing yet where all keys so far are before the window of this query.
      const float now = top == -__builtin_inff() ? 0.f : top;
      largest[i] = top;
      vf total = {};
      for (int64_t j = 0; j < vectors; j++) {
        const vf w = exp2_weight(load(row + j * lanes) - splat(now));
        store(row + j * lanes, w);
        total += w;
      }
      if (is_first) {
        sum[i] = total;
        continue;
      }
      const vf shrink = exp2_weight(splat(before - now));
      sum[i] = sum[i] * shrink + total;
      for (int64_t c = 0; c < layout.padded; c += lanes)
        store(output + i * layout.padded + c, load(output + i * layout.padded + c) * shrink);
    }
  }

  void add_values(int64_t key, int64_t keys, bool is_first) {
    const int64_t ld = layout.padded;
    each_group(ld / lanes, [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      float* to = output + j * lanes;
      Tile acc = {};
      if (!is_first)
#pragma GCC unroll 16
        for (int i = 0; i < R; i++)
#pragma GCC unroll 4
          for (int n = 0; n < N; n++) acc[i][n] = load(to + i * ld + n * lanes);
      product<N, false>(weights, KEYS, values + key * ld + j * lanes, ld, keys, acc);
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) store(to + i * ld + n * lanes, acc[i][n]);
    });
  }

  void run(float* out, float* lse) {
    for (int i = 0; i < R; i++) largest[i] = -__builtin_inff();
    const int64_t end = first + rows, begin = layout.shape.scores.oldest(first) / KEYS * KEYS;
    for (int64_t key = begin; key < end; key += KEYS) {
      const int64_t keys = min(KEYS, end - key), vectors = ceil_div(keys, lanes);
      scores(key, vectors);
      softmax(vectors, key == begin);
      add_values(key, keys, key == begin);
    }
    for (int64_t i = 0; i < rows; i++) {
      const float total = reduce_add(sum[i]);
      const vf share = splat(1.f / total);
      const float* from = output + i * layout.padded;
      float* to = out + i * layout.q_row;
      const int64_t dim = layout.shape.head_dim;
      int64_t c = 0;
      for (; c + lanes <= dim; c += lanes) store(to + c, load(from + c) * share);
      if (c < dim) store_first(to + c, load(from + c) * share, dim - c);
      lse[i * layout.shape.heads] = largest[i] * LN_2 + __builtin_logf(total);
    }
  }
};

}  // namespace

void attention(const float* q, const float* k, const float* v, float* out, float* lse, AttentionShape shape) {
  if (shape.batch == 0 || shape.seq == 0 || shape.heads == 0 || shape.head_dim == 0) return;
  const Layout l(shape);
  const int64_t chunks = ceil_div(shape.seq, CHUNK), pairs = shape.batch * shape.kv_heads;
  const int64_t dim = shape.head_dim, all_keys = round_up(shape.seq, KEYS);
  // One job per chunk of queries of a key/value head, the last and longest first.
  parallel_for(chunks * pairs, [&](int64_t job) {
    const int64_t begin = (chunks - 1 - job / pairs) * CHUNK, end = min(shape.seq, begin + CHUNK);
    const int64_t batch = job % pairs / shape.kv_heads, kv_head = job % shape.kv_heads;
    const int64_t floats = all_keys * (dim + l.padded) + R * KEYS + 2 * R * l.padded;
    float* columns = static_cast<float*>(scratch(0, static_cast<uint64_t>(floats) * 4));
    if (columns == nullptr) return;
    float *values = columns + all_keys * dim, *weights = values + all_keys * l.padded;
    float *output = weights + R * KEYS, *packed = output + R * l.padded;
    for (int64_t key = 0; key < end; key += KEYS)
      pack_columns(k + l.kv_at(batch, key, kv_head), l.kv_row, min(KEYS, end - key), dim, columns + key * dim, KEYS);
    pack_rows(v + l.kv_at(batch, 0, kv_head), l.kv_row, end, dim, 1.f, values, l.padded, end);

    for (int64_t head = kv_head * l.group; head < (kv_head + 1) * l.group; head++)
      for (int64_t first = begin; first < end; first += R) {
        const int64_t rows = min(R, end - first), at = l.q_at(batch, first, head);
        pack_rows(q + at, l.q_row, rows, dim, l.scale * LOG2_E, packed, l.padded, R);
        ForwardTile tile = {l, columns, values, packed, first, rows, {}, {}, weights, output};
        tile.run(out + at, lse + l.lse_at(batch, first, head));
      }
  });
}

}  // namespace flicker::FLICKER_ISA

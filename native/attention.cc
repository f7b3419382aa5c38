// Causal attention, forward and backward, after FlashAttention (Dao et al. 2022, arXiv 2205.14135): blocks of keys
// and queries that stay in the caches, a running softmax, and probabilities computed again from `lse` in the
// backward pass, so that memory grows with seq and not with its square.
//
// All products are one register tile of R rows × NV vectors over packed, zero-padded blocks. Scores are kept in
// units of ln 2, which makes the exponential a power of two.
#include "kernels.h"
#include "parallel.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {
namespace {

#if FLICKER_LANES == 16 || defined(__aarch64__)
constexpr int R = 8, NV = 2;  // 16 accumulators of 32 registers
#else
constexpr int R = 4, NV = 2;  // 8 of 16
#endif
constexpr int64_t KEYS = 128;    // keys of a block, forward
constexpr int64_t CHUNK = 128;   // queries of a job, forward
constexpr int64_t BLOCK = 64;    // keys and queries of a block, backward
constexpr int64_t MIN_JOBS = 16;  // of the backward pass, where the shape has that many blocks
constexpr float LOG2_E = 1.44269504f, LN_2 = 0.693147181f;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t round_up(int64_t n, int64_t to) { return ceil_div(n, to) * to; }

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

/// 0, 1, 2, …
FLICKER_INLINE vi lane_numbers() {
  vi v;
  for (int i = 0; i < lanes; i++) v[i] = i;
  return v;
}

/// Rows of `dim` floats at distance ld, times scale, as rows of `padded` floats; zeros behind them up to `to` rows.
void pack_rows(const float* from, int64_t ld, int64_t rows, int64_t dim, float scale, float* to, int64_t padded,
               int64_t to_rows) {
  for (int64_t i = 0; i < rows; i++, from += ld, to += padded) {
    int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store(to + c, load(from + c) * scale);
    if (c < dim) store(to + c, load_first(from + c, dim - c) * scale);
  }
  if (to_rows > rows) memset(to, 0, static_cast<size_t>((to_rows - rows) * padded) * 4);
}

/// The first n floats at p += v; all lanes when n is larger.
FLICKER_INLINE void add_first(float* p, vf v, int64_t n) {
  if (n >= lanes)
    store(p, load(p) + v);
  else
    store_first(p, load_first(p, n) + v, n);
}

/// The transpose of (keys × dim) as dim rows at distance `width`, each filled up with zeros.
void pack_columns(const float* from, int64_t ld, int64_t keys, int64_t dim, float* to, int64_t width) {
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
  int64_t group;            // query heads per key/value head
  int64_t q_row, kv_row;    // floats from one position to the next
  int64_t padded;           // head_dim in whole vectors
  float scale;              // 1 / √head_dim

  explicit Layout(AttentionShape s)
      : shape(s),
        group(s.heads / s.kv_heads),
        q_row(s.heads * s.head_dim),
        kv_row(s.kv_heads * s.head_dim),
        padded(round_up(s.head_dim, lanes)),
        scale(1.f / __builtin_sqrtf(static_cast<float>(s.head_dim))) {}

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

/// R queries against all keys up to the last of them.
/// `columns` holds kᵀ in blocks of (head_dim × KEYS), `values` v as rows of `padded`, `q` the scaled queries.
struct ForwardTile {
  const Layout& layout;
  const float *columns, *values, *q;
  int64_t first;  // position of the first query
  int64_t rows;   // ≤ R
  vf sum[R];      // of the weights, lane by lane
  float largest[R > lanes ? R : lanes];
  float* weights;  // R × KEYS
  float* output;   // R × padded

  /// weights = q kᵀ for one block of keys, −∞ where the key comes after the query.
  void scores(int64_t key, int64_t vectors) {
    const vi lane = lane_numbers();
    each_group(vectors, [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      Tile acc = {};
      product<N, false>(q, layout.padded, columns + key * layout.shape.head_dim + j * lanes, KEYS,
                        layout.shape.head_dim, acc);
      const int64_t at = key + j * lanes;
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
      const float before = largest[i], block = reduce_max(m), now = before > block ? before : block;
      largest[i] = now;
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
    const int64_t end = first + rows;
    for (int64_t key = 0; key < end; key += KEYS) {
      const int64_t keys = min(KEYS, end - key), vectors = ceil_div(keys, lanes);
      scores(key, vectors);
      softmax(vectors, key == 0);
      add_values(key, keys, key == 0);
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

/// One block of queries of one head against one block of keys, in scratch. Rows behind the last query are ignored.
struct BackwardBlock {
  const Layout& layout;
  float *k_columns, *v_columns;     // kᵀ and vᵀ: head_dim × BLOCK
  float *k, *q, *d_out;             // BLOCK × padded; q times 1 / √head_dim
  float *d_k, *d_v;                 // BLOCK × padded, sums over all queries
  float *weights, *d_scores;        // BLOCK × BLOCK: P and P ⊙ (dP − D)
  float lse[BLOCK], dot[BLOCK];     // of the queries; lse in units of ln 2, dot = D = Σ d_out · out
  int64_t queries;
  bool diagonal;                    // queries and keys start at the same position

  static int64_t floats(const Layout& l) {
    return 2 * l.shape.head_dim * BLOCK + 5 * BLOCK * l.padded + 2 * BLOCK * BLOCK;
  }
  BackwardBlock(const Layout& l, float* memory) : layout(l) {
    k_columns = memory;
    v_columns = k_columns + l.shape.head_dim * BLOCK;
    k = v_columns + l.shape.head_dim * BLOCK;
    q = k + BLOCK * l.padded;
    d_out = q + BLOCK * l.padded;
    d_k = d_out + BLOCK * l.padded;
    d_v = d_k + BLOCK * l.padded;
    weights = d_v + BLOCK * l.padded;
    d_scores = weights + BLOCK * BLOCK;
  }

  /// weights and d_scores of R queries from row `row` on.
  void scores(int64_t row) {
    const vi lane = lane_numbers();
    const int64_t depth = layout.shape.head_dim, ld = layout.padded;
    each_group(ceil_div(diagonal ? row + R : BLOCK, lanes), [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      float *to = weights + row * BLOCK + j * lanes, *d_to = d_scores + row * BLOCK + j * lanes;
      Tile acc = {};
      product<N, false>(q + row * ld, ld, k_columns + j * lanes, BLOCK, depth, acc);
      const bool masked = diagonal && (j + N) * lanes > row + 1;
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) {
          vf w = exp2_weight(acc[i][n] * splat(LOG2_E) - splat(lse[row + i]));
          const vi last = vi{} + static_cast<int32_t>(row + i - (j + n) * lanes);
          if (masked) w = lane > last ? vf{} : w;
          store(to + i * BLOCK + n * lanes, w);
        }
      Tile d_acc = {};
      product<N, false>(d_out + row * ld, ld, v_columns + j * lanes, BLOCK, depth, d_acc);
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++)
          store(d_to + i * BLOCK + n * lanes,
                load(to + i * BLOCK + n * lanes) * (d_acc[i][n] - splat(dot[row + i])));
    });
  }

  /// d_q (rows at distance q_row) += d_scores k / √head_dim for R queries from row `row` on.
  void add_d_q(int64_t row, float* d_q) {
    const int64_t ld = layout.padded, dim = layout.shape.head_dim, rows = min(R, queries - row);
    each_group(ld / lanes, [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      Tile acc = {};
      product<N, false>(d_scores + row * BLOCK, BLOCK, k + j * lanes, ld, diagonal ? row + R : BLOCK, acc);
      for (int64_t i = 0; i < rows; i++)
        for (int n = 0; n < N; n++) {
          float* to = d_q + (row + i) * layout.q_row + (j + n) * lanes;
          add_first(to, acc[i][n] * layout.scale, dim - (j + n) * lanes);
        }
    });
  }

  /// sums (BLOCK × padded) += aᵀ b for R keys from `key` on; a is one of the squares.
  void add_transposed(int64_t key, const float* a, const float* b, float* sums) {
    const int64_t ld = layout.padded, first = diagonal ? key : 0;
    each_group(ld / lanes, [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      float* to = sums + key * ld + j * lanes;
      Tile acc = {};
      product<N, true>(a + first * BLOCK + key, BLOCK, b + first * ld + j * lanes, ld, queries - first, acc);
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) store(to + i * ld + n * lanes, load(to + i * ld + n * lanes) + acc[i][n]);
    });
  }

  void run(float* d_q) {
    for (int64_t row = 0; row < queries; row += R) {
      scores(row);
      add_d_q(row, d_q);
    }
    for (int64_t key = 0; key < (diagonal ? queries : BLOCK); key += R) {
      add_transposed(key, weights, d_out, d_v);
      add_transposed(key, d_scores, q, d_k);
    }
  }
};

float dot_product(const float* a, const float* b, int64_t n) {
  vf sum = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum += load(a + i) * load(b + i);
  if (i < n) sum += load_first(a + i, n - i) * load_first(b + i, n - i);
  return reduce_add(sum);
}

/// Rows of `dim` floats at distance ld += rows at distance from_ld.
void add_rows(float* to, int64_t ld, const float* from, int64_t from_ld, int64_t rows, int64_t dim) {
  for (int64_t i = 0; i < rows; i++, to += ld, from += from_ld) {
    int64_t c = 0;
    for (; c + lanes <= dim; c += lanes) store(to + c, load(to + c) + load(from + c));
    for (; c < dim; c++) to[c] += from[c];
  }
}

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
// With P = exp(q kᵀ / √head_dim − lse) and D = Σ d_out · out of each query:
// dV += Pᵀ d_out;  dS = P ⊙ (d_out vᵀ − D) / √head_dim;  dQ += dS k;  dK += dSᵀ q.
//
// One job per key/value head goes through its blocks of keys and, for each, through the queries that see it. With
// few such heads, every parts-th block of keys makes a job of its own, with its own d_q, added up in order at the end.
void attention_backward(const float* d_out, const float* q, const float* k, const float* v, const float* out,
                        const float* lse, float* d_q, float* d_k, float* d_v, AttentionShape shape) {
  if (shape.batch == 0 || shape.seq == 0 || shape.heads == 0 || shape.head_dim == 0) return;
  const Layout l(shape);
  const int64_t pairs = shape.batch * shape.kv_heads, blocks = ceil_div(shape.seq, BLOCK), dim = shape.head_dim;
  const int64_t parts = min(blocks, ceil_div(MIN_JOBS, pairs)), q_floats = shape.batch * shape.seq * l.q_row;
  float* partial = d_q;
  if (parts > 1) {
    partial = static_cast<float*>(scratch(2, static_cast<uint64_t>(parts * q_floats) * 4));
    if (partial == nullptr) return;
  }
  parallel_for(pairs * parts, [&](int64_t job) {
    const int64_t part = job / pairs, batch = job % pairs / shape.kv_heads, kv_head = job % shape.kv_heads;
    const int64_t first_head = kv_head * l.group;
    const int64_t floats = BackwardBlock::floats(l) + l.group * shape.seq;
    float* memory = static_cast<float*>(scratch(0, static_cast<uint64_t>(floats) * 4));
    if (memory == nullptr) return;
    BackwardBlock block(l, memory);
    float* dots = memory + BackwardBlock::floats(l);
    for (int64_t g = 0; g < l.group; g++)
      for (int64_t t = part * BLOCK; t < shape.seq; t++) {
        const int64_t at = l.q_at(batch, t, first_head + g);
        dots[g * shape.seq + t] = dot_product(d_out + at, out + at, dim);
      }
    float* d_q_part = partial + part * q_floats;
    if (parts > 1)
      for (int64_t t = 0; t < shape.seq; t++)
        memset(d_q_part + l.q_at(batch, t, first_head), 0, static_cast<size_t>(l.group * dim) * 4);

    for (int64_t key = part * BLOCK; key < shape.seq; key += parts * BLOCK) {
      const int64_t keys = min(BLOCK, shape.seq - key), at = l.kv_at(batch, key, kv_head);
      pack_columns(k + at, l.kv_row, keys, dim, block.k_columns, BLOCK);
      pack_columns(v + at, l.kv_row, keys, dim, block.v_columns, BLOCK);
      pack_rows(k + at, l.kv_row, keys, dim, 1.f, block.k, l.padded, BLOCK);
      memset(block.d_k, 0, static_cast<size_t>(2 * BLOCK * l.padded) * 4);
      for (int64_t g = 0; g < l.group; g++)
        for (int64_t first = key; first < shape.seq; first += BLOCK) {
          block.queries = min(BLOCK, shape.seq - first);
          block.diagonal = first == key;
          const int64_t rows = block.queries, q_at = l.q_at(batch, first, first_head + g);
          pack_rows(q + q_at, l.q_row, rows, dim, l.scale, block.q, l.padded, BLOCK);
          pack_rows(d_out + q_at, l.q_row, rows, dim, 1.f, block.d_out, l.padded, BLOCK);
          for (int64_t i = 0; i < BLOCK; i++) {
            block.lse[i] = i < rows ? lse[l.lse_at(batch, first + i, first_head + g)] * LOG2_E : 0.f;
            block.dot[i] = i < rows ? dots[g * shape.seq + first + i] : 0.f;
          }
          block.run(d_q_part + q_at);
        }
      add_rows(d_k + at, l.kv_row, block.d_k, l.padded, keys, dim);
      add_rows(d_v + at, l.kv_row, block.d_v, l.padded, keys, dim);
    }
  });
  if (parts == 1) return;
  parallel_for(shape.batch * shape.seq, [&](int64_t row) {
    for (int64_t part = 0; part < parts; part++)
      add_rows(d_q + row * l.q_row, l.q_row, partial + part * q_floats + row * l.q_row, l.q_row, 1, l.q_row);
  });
}

}  // namespace flicker::FLICKER_ISA

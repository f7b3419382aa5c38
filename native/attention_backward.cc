// The backward pass of attention after FlashAttention (Dao et al. 2022, arXiv 2205.14135): the probabilities are
// computed again from `lse`, block by block, so that memory grows with seq and not with its square.
#include "attention.h"
#include "parallel.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t BLOCK = 64;     // keys and queries of a block
constexpr int64_t MIN_JOBS = 16;  // where the shape has that many blocks of keys

/// Beyond this |lse|, exp(score − lse) loses more than 1e-4 to the rounding of either: a row's maximum and sum are then
/// taken again from the scores as they are computed here.
constexpr float LARGEST_LSE = 64;

/// One block of queries of one head against one block of keys, in scratch. Rows behind the last query are ignored.
struct BackwardBlock {
  const Layout& layout;
  float *k_columns, *v_columns;  // kᵀ and vᵀ: head_dim × BLOCK
  float *k, *q, *d_out;          // BLOCK × padded; q times 1 / √head_dim
  float *d_k, *d_v;              // BLOCK × padded, sums over all queries
  float *weights, *d_scores;     // BLOCK × BLOCK: P and P ⊙ (dP − D)
  // Of the queries: P = 2^((score − shift) / ln 2 − lse), with lse in units of ln 2; dot = D = Σ d_out · out.
  float shift[BLOCK], lse[BLOCK], dot[BLOCK];
  int64_t queries;
  int64_t distance;  // of the first query from the first key
  bool diagonal;     // queries and keys start at the same position
  bool start;        // that is the start of the sequence
  bool fresh;        // the first keys for these queries: d_q is set, not added to

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

  /// Sets to `hidden` what lies before the windows of R queries, of which the first is `distance` after key number 0,
  /// in N vectors from key j · lanes on.
  template <int N>
  FLICKER_INLINE void hide(Tile& tile, int64_t from, int64_t j, vf hidden) const {
    const int64_t window = layout.shape.scores.window;
    if (window == 0 || from + R <= window) return;
    const vi lane = lane_numbers();
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) {
        const vi oldest = vi{} + static_cast<int32_t>(from + i - window + 1 - (j + n) * lanes);
        tile[i][n] = lane < oldest ? hidden : tile[i][n];
      }
  }

  /// Caps scores.
  template <int N>
  FLICKER_INLINE void cap(Tile& tile) const {
    const float softcap = layout.shape.scores.softcap;
    if (softcap == 0) return;
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) tile[i][n] = capped(tile[i][n], softcap, 1.f);
  }

  /// weights and d_scores of R queries from row `row` on.
  void scores(int64_t row) {
    const vi lane = lane_numbers();
    const float softcap = layout.shape.scores.softcap;
    const int64_t depth = layout.shape.head_dim, ld = layout.padded;
    each_group(ceil_div(diagonal ? row + R : BLOCK, lanes), [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      float *to = weights + row * BLOCK + j * lanes, *d_to = d_scores + row * BLOCK + j * lanes;
      Tile acc = {};
      product<N, false>(q + row * ld, ld, k_columns + j * lanes, BLOCK, depth, acc);
      cap<N>(acc);
      const bool masked = diagonal && (j + N) * lanes > row + 1;
      Tile probabilities;
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) {
          vf w = exp2_weight((acc[i][n] - splat(shift[row + i])) * splat(LOG2_E) - splat(lse[row + i]));
          const vi last = vi{} + static_cast<int32_t>(row + i - (j + n) * lanes);
          if (masked) w = lane > last ? vf{} : w;
          probabilities[i][n] = w;
        }
      hide<N>(probabilities, distance + row, j, vf{});
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) store(to + i * BLOCK + n * lanes, probabilities[i][n]);
      Tile d_acc = {};
      product<N, false>(d_out + row * ld, ld, v_columns + j * lanes, BLOCK, depth, d_acc);
#pragma GCC unroll 16
      for (int i = 0; i < R; i++)
#pragma GCC unroll 4
        for (int n = 0; n < N; n++) {
          vf d = load(to + i * BLOCK + n * lanes) * (d_acc[i][n] - splat(dot[row + i]));
          if (softcap != 0) {
            const vf share = acc[i][n] * splat(1.f / softcap);
            d *= splat(1.f) - share * share;
          }
          store(d_to + i * BLOCK + n * lanes, d);
        }
    });
  }

  /// Takes shift, lse and dot of the queries marked in `saturated` from their scores with all keys up to the last of
  /// them, which `pack(key)` puts into this block one after the other: with a running maximum, as in the forward pass.
  template <typename Pack>
  void statistics(const bool* saturated, int64_t first, const Pack& pack) {
    float sum[BLOCK] = {}, products[BLOCK] = {}, largest[BLOCK];
    for (int64_t i = 0; i < BLOCK; i++) largest[i] = -__builtin_inff();
    const vi lane = lane_numbers();
    const int64_t depth = layout.shape.head_dim, ld = layout.padded;
    for (int64_t key = 0; key <= first; key += BLOCK) {
      pack(key);
      for (int64_t row = 0; row < queries; row += R)
        each_group(BLOCK / lanes, [&](int64_t j, auto count) {
          constexpr int N = decltype(count)::value;
          Tile acc = {}, d_acc = {};
          product<N, false>(q + row * ld, ld, k_columns + j * lanes, BLOCK, depth, acc);
          product<N, false>(d_out + row * ld, ld, v_columns + j * lanes, BLOCK, depth, d_acc);
          cap<N>(acc);
          hide<N>(acc, first - key + row, j, splat(-__builtin_inff()));
          for (int i = 0; i < R; i++)
            for (int n = 0; n < N; n++) {
              const vi last = vi{} + static_cast<int32_t>(first + row + i - key - (j + n) * lanes);
              const int64_t at = (row + i) * BLOCK + (j + n) * lanes;
              store(weights + at, lane > last ? splat(-__builtin_inff()) : acc[i][n]);
              store(d_scores + at, lane > last ? vf{} : d_acc[i][n]);
            }
        });
      for (int64_t i = 0; i < queries; i++) {
        if (!saturated[i]) continue;
        const float *scores = weights + i * BLOCK, *d_weights = d_scores + i * BLOCK;
        vf m = load(scores);
        for (int64_t j = lanes; j < BLOCK; j += lanes) m = vmax(m, load(scores + j));
        const float now = reduce_max(m) > largest[i] ? reduce_max(m) : largest[i];
        if (now == -__builtin_inff()) continue;
        vf total = {}, product_total = {};
        for (int64_t j = 0; j < BLOCK; j += lanes) {
          const vf w = exp2_weight((load(scores + j) - splat(now)) * splat(LOG2_E));
          total += w;
          product_total += w * load(d_weights + j);
        }
        alignas(64) float shrink[lanes];
        store(shrink, exp2_weight(splat((largest[i] - now) * LOG2_E)));
        sum[i] = sum[i] * shrink[0] + reduce_add(total);
        products[i] = products[i] * shrink[0] + reduce_add(product_total);
        largest[i] = now;
      }
    }
    for (int64_t i = 0; i < queries; i++)
      if (saturated[i]) {
        shift[i] = largest[i];
        lse[i] = __builtin_log2f(sum[i]);
        dot[i] = products[i] / sum[i];
      }
  }

  /// d_q (rows at distance q_row) += or = d_scores k / √head_dim for R queries from row `row` on.
  void add_d_q(int64_t row, float* d_q) {
    const int64_t ld = layout.padded, dim = layout.shape.head_dim, rows = min(R, queries - row);
    each_group(ld / lanes, [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      Tile acc = {};
      product<N, false>(d_scores + row * BLOCK, BLOCK, k + j * lanes, ld, diagonal ? row + R : BLOCK, acc);
      for (int64_t i = 0; i < rows; i++)
        for (int n = 0; n < N; n++) {
          float* to = d_q + (row + i) * layout.q_row + (j + n) * lanes;
          const int64_t columns = min(lanes, dim - (j + n) * lanes);
          const vf sum = acc[i][n] * layout.scale;
          if (columns == lanes) {
            store(to, fresh ? sum : load(to) + sum);
          } else {
            store_first(to, fresh ? sum : load_first(to, columns) + sum, columns);
          }
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
      // The first query sees one key: its probability is 1 whatever its score, whose gradient would be rounding alone.
      if (start && row == 0) memset(d_scores, 0, static_cast<size_t>(BLOCK) * 4);
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

/// to += from, n floats.
void add_to(float* to, const float* from, int64_t n) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) store(to + i, load(to + i) + load(from + i));
  for (; i < n; i++) to[i] += from[i];
}

}  // namespace

// With P = exp(scores − lse) and D = Σ d_out · out of each query:
// dV = Pᵀ d_out;  dS = scale · P ⊙ (d_out vᵀ − D), times 1 − (score / cap)² of capped scores;  dQ = dS k;  dK = dSᵀ q.
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
    const int64_t queries = l.group * shape.seq, floats = BackwardBlock::floats(l) + 3 * queries;
    float* memory = static_cast<float*>(scratch(0, static_cast<uint64_t>(floats) * 4));
    if (memory == nullptr) return;
    BackwardBlock block(l, memory);
    float *dots = memory + BackwardBlock::floats(l), *shifts = dots + queries, *sums = shifts + queries;
    const auto pack_keys = [&](int64_t key) {
      const int64_t keys = min(BLOCK, shape.seq - key), at = l.kv_at(batch, key, kv_head);
      pack_columns(k + at, l.kv_row, keys, dim, block.k_columns, BLOCK);
      pack_columns(v + at, l.kv_row, keys, dim, block.v_columns, BLOCK);
    };
    const auto pack_queries = [&](int64_t g, int64_t first) {
      block.queries = min(BLOCK, shape.seq - first);
      const int64_t q_at = l.q_at(batch, first, first_head + g);
      pack_rows(q + q_at, l.q_row, block.queries, dim, l.scale, block.q, l.padded, BLOCK);
      pack_rows(d_out + q_at, l.q_row, block.queries, dim, 1.f, block.d_out, l.padded, BLOCK);
      return q_at;
    };
    for (int64_t g = 0; g < l.group; g++)
      for (int64_t first = part * BLOCK; first < shape.seq; first += BLOCK) {
        const int64_t rows = min(BLOCK, shape.seq - first), to = g * shape.seq + first;
        bool saturated[BLOCK] = {}, any = false;
        for (int64_t i = 0; i < rows; i++) {
          const int64_t at = l.q_at(batch, first + i, first_head + g);
          const float row_lse = lse[l.lse_at(batch, first + i, first_head + g)];
          dots[to + i] = dot_product(d_out + at, out + at, dim);
          shifts[to + i] = 0;
          sums[to + i] = row_lse * LOG2_E;
          saturated[i] = !(row_lse <= LARGEST_LSE && row_lse >= -LARGEST_LSE);
          any |= saturated[i];
        }
        if (!any) continue;
        pack_queries(g, first);
        block.statistics(saturated, first, pack_keys);
        for (int64_t i = 0; i < rows; i++)
          if (saturated[i]) shifts[to + i] = block.shift[i], sums[to + i] = block.lse[i], dots[to + i] = block.dot[i];
      }
    for (int64_t key = part * BLOCK; key < shape.seq; key += parts * BLOCK) {
      const int64_t keys = min(BLOCK, shape.seq - key), at = l.kv_at(batch, key, kv_head);
      pack_keys(key);
      pack_rows(k + at, l.kv_row, keys, dim, 1.f, block.k, l.padded, BLOCK);
      memset(block.d_k, 0, static_cast<size_t>(2 * BLOCK * l.padded) * 4);
      for (int64_t g = 0; g < l.group; g++)
        for (int64_t first = key; first < shape.seq; first += BLOCK) {
          // These queries, and all after them, see none of these keys.
          const bool unseen = shape.scores.oldest(first) >= key + BLOCK;
          if (unseen && key != part * BLOCK) break;
          const int64_t q_at = pack_queries(g, first), from = g * shape.seq + first;
          block.distance = first - key;
          block.diagonal = first == key;
          block.start = first == 0;
          block.fresh = key == part * BLOCK;
          for (int64_t i = 0; i < BLOCK; i++) {
            const bool own = i < block.queries;
            block.shift[i] = own ? shifts[from + i] : 0.f;
            block.lse[i] = own ? sums[from + i] : 0.f;
            block.dot[i] = own ? dots[from + i] : 0.f;
          }
          block.run(partial + part * q_floats + q_at);
        }
      for (int64_t i = 0; i < keys; i++) {
        memcpy(d_k + at + i * l.kv_row, block.d_k + i * l.padded, static_cast<size_t>(dim) * 4);
        memcpy(d_v + at + i * l.kv_row, block.d_v + i * l.padded, static_cast<size_t>(dim) * 4);
      }
    }
  });
  if (parts == 1) return;
  parallel_for(shape.batch * shape.seq, [&](int64_t row) {
    const int64_t at = row * l.q_row, seen = min(parts, row % shape.seq / BLOCK + 1);
    memcpy(d_q + at, partial + at, static_cast<size_t>(l.q_row) * 4);
    for (int64_t part = 1; part < seen; part++) add_to(d_q + at, partial + part * q_floats + at, l.q_row);
  });
}

}  // namespace flicker::FLICKER_ISA

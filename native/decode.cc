// Decoding: matrices of weights times a few vectors, the neurons of an FFN one by one, and attention over a cache.
//
// Every sum has one order that depends on the sizes alone, so the result is the same bits for any number of threads,
// any number of positions at a time, and whether inactive neurons are skipped or multiplied by their zero:
// - a dot product runs over its columns in order, `lanes` partial sums, then one tree (dots);
// - a block of neurons adds its rows in ascending order onto zero (add_rows, add_tile): a row times an exact 0 leaves
//   the sum as it is (unless a weight is infinite or NaN);
// - the blocks' sums are added in block order.
#include "kernels.h"
#include "parallel.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {
namespace {

// Tile of dot products: `tile_rows` rows of weights × up to `tile_columns` positions, one accumulator each.
constexpr int tile_rows = 4;
#if FLICKER_LANES == 16 || defined(__aarch64__)
constexpr int tile_columns = 6;  // 24 accumulators of 32 registers
#elif FLICKER_LANES == 8
constexpr int tile_columns = 3;  // 12 of 16
#else
constexpr int tile_columns = 2;  // 8 of 16: more would need operands straight from memory, which this set lacks
#endif

constexpr int64_t max_block = 256;  // neurons in a block, at most

int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// `lanes` weights as floats; a bf16 is the upper half of a float.
FLICKER_INLINE vf widen(const float* p) { return load(p); }
FLICKER_INLINE vf widen(const uint16_t* p) {
  typedef uint16_t vh __attribute__((vector_size(lanes * 2)));
  vh half;
  memcpy(&half, p, sizeof half);
  return (vf)(__builtin_convertvector(half, vu) << 16);
}
FLICKER_INLINE vf widen_first(const float* p, int64_t n) { return load_first(p, n); }
FLICKER_INLINE vf widen_first(const uint16_t* p, int64_t n) {
  uint16_t half[lanes] = {};
  memcpy(half, p, static_cast<size_t>(n) * 2);
  return widen(half);
}

#ifdef __clang__
#define FLICKER_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FLICKER_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, vi{__VA_ARGS__})
#endif

/// Two vectors of groups of WIDTH lanes: the lower half of each group plus its upper half, those of a before those of b.
template <int WIDTH>
FLICKER_INLINE vf fold(vf a, vf b) {
#if FLICKER_LANES == 16
  if constexpr (WIDTH == 16)
    return FLICKER_SHUFFLE(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
           FLICKER_SHUFFLE(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  else if constexpr (WIDTH == 8)
    return FLICKER_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) +
           FLICKER_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  else if constexpr (WIDTH == 4)
    return FLICKER_SHUFFLE(a, b, 0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29) +
           FLICKER_SHUFFLE(a, b, 2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31);
  else
    return FLICKER_SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
           FLICKER_SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif FLICKER_LANES == 8
  if constexpr (WIDTH == 8)
    return FLICKER_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + FLICKER_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  else if constexpr (WIDTH == 4)
    return FLICKER_SHUFFLE(a, b, 0, 1, 4, 5, 8, 9, 12, 13) + FLICKER_SHUFFLE(a, b, 2, 3, 6, 7, 10, 11, 14, 15);
  else
    return FLICKER_SHUFFLE(a, b, 0, 2, 4, 6, 8, 10, 12, 14) + FLICKER_SHUFFLE(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
  if constexpr (WIDTH == 4)
    return FLICKER_SHUFFLE(a, b, 0, 1, 4, 5) + FLICKER_SHUFFLE(a, b, 2, 3, 6, 7);
  else
    return FLICKER_SHUFFLE(a, b, 0, 2, 4, 6) + FLICKER_SHUFFLE(a, b, 1, 3, 5, 7);
#endif
}

/// Sum i of the result = the lanes of v[i], i < N ≤ lanes, each added in pairs of halves: all sums in one tree.
template <int N, int WIDTH = lanes>
FLICKER_INLINE vf lane_sums(const vf* v) {
  if constexpr (WIDTH == 1) {
    static_assert(N == 1);
    return v[0];
  } else {
    constexpr int half = (N + 1) / 2;
    vf folded[half];
#pragma GCC unroll 8
    for (int i = 0; i < half; i++) folded[i] = fold<WIDTH>(v[2 * i], v[2 * i + 1 < N ? 2 * i + 1 : 2 * i]);
    return lane_sums<half, WIDTH / 2>(folded);
  }
}

/// Runs body(W pointer) for the weights' type.
template <typename Body>
void dispatch(Weights w, const Body& body) {
  switch (w.type) {
    case kF32: return body(static_cast<const float*>(w.data));
    case kBf16: return body(static_cast<const uint16_t*>(w.data));
  }
}

/// Asks for the cache line that column k stands in, once per line.
template <typename W>
FLICKER_INLINE void prefetch(const W* row, int64_t k) {
  if (k * static_cast<int64_t>(sizeof(W)) % 64 == 0) __builtin_prefetch(row + k, 0, 2);
}

/// out[r][c] = row r · x[c], n columns; x[c] starts at x + c·stride. While a row is read, the row `next` of it is asked
/// for, so that memory is never idle between rows.
template <int ROWS, int COLUMNS, typename W>
FLICKER_INLINE void dots(const W* const* rows, const W* const* next, const float* x, int64_t stride, int64_t n,
                         float (*out)[COLUMNS]) {
  vf sums[ROWS][COLUMNS] = {};
  int64_t k = 0;
  for (; k + lanes <= n; k += lanes) {
    vf xs[COLUMNS];
#pragma GCC unroll 8
    for (int c = 0; c < COLUMNS; c++) xs[c] = load(x + c * stride + k);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      prefetch(next[r], k);
      const vf w = widen(rows[r] + k);
#pragma GCC unroll 8
      for (int c = 0; c < COLUMNS; c++) sums[r][c] += w * xs[c];
    }
  }
  if (k < n) {
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      const vf w = widen_first(rows[r] + k, n - k);
#pragma GCC unroll 8
      for (int c = 0; c < COLUMNS; c++) sums[r][c] += w * load_first(x + c * stride + k, n - k);
    }
  }
  constexpr int all = ROWS * COLUMNS, wholes = all / lanes, rest = all % lanes;
#pragma GCC unroll 4
  for (int i = 0; i < wholes; i++) {
    const vf totals = lane_sums<lanes>(sums[0] + i * lanes);
    store(out[0] + i * lanes, totals);
  }
  if constexpr (rest > 0) {
    const vf totals = lane_sums<rest>(sums[0] + wholes * lanes);
    memcpy(out[0] + wholes * lanes, &totals, rest * 4);
  }
}

/// put(row, position, dot product) for every one of `count` rows and `batch` positions; row_at(i) is row i. Rows up to
/// `last` exist, beyond count too: they are asked for ahead.
template <typename W, typename RowAt, typename Put>
FLICKER_INLINE void each_dot(const RowAt& row_at, int64_t count, int64_t last, const float* x, int64_t batch,
                             int64_t n, const Put& put) {
  const auto some = [&]<int ROWS, int COLUMNS>(int64_t i, int64_t b) {
    const W *rows[ROWS], *next[ROWS];
    for (int r = 0; r < ROWS; r++) {
      rows[r] = row_at(i + r);
      next[r] = row_at(min(i + r + tile_rows, last - 1));
    }
    float out[ROWS][COLUMNS];
    dots<ROWS, COLUMNS>(rows, next, x + b * n, n, n, out);
    for (int r = 0; r < ROWS; r++)
      for (int c = 0; c < COLUMNS; c++) put(i + r, b + c, out[r][c]);
  };
  const auto positions = [&]<int ROWS>(int64_t i) {
    int64_t b = 0;
    for (; b + tile_columns <= batch; b += tile_columns) some.template operator()<ROWS, tile_columns>(i, b);
    for (; b + 2 <= batch; b += 2) some.template operator()<ROWS, 2>(i, b);
    for (; b < batch; b++) some.template operator()<ROWS, 1>(i, b);
  };
  int64_t i = 0;
  for (; i + tile_rows <= count; i += tile_rows) positions.template operator()<tile_rows>(i);
  for (; i < count; i++) positions.template operator()<1>(i);
}

/// sum (n) = (FIRST ? 0 : sum) + h[0]·rows[0] + h[1]·rows[1] + …, one position: whole rows are streamed.
template <int ROWS, bool FIRST, typename W>
FLICKER_INLINE void add_rows(const W* const* rows, const W* const* next, const float* h, float* sum, int64_t n) {
  int64_t k = 0;
  for (; k + lanes <= n; k += lanes) {
    vf s = FIRST ? vf{} : load(sum + k);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      prefetch(next[r], k);
      s += splat(h[r]) * widen(rows[r] + k);
    }
    store(sum + k, s);
  }
  if (k < n) {
    vf s = FIRST ? vf{} : load_first(sum + k, n - k);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) s += splat(h[r]) * widen_first(rows[r] + k, n - k);
    store_first(sum + k, s, n - k);
  }
}

/// sums (POSITIONS × stride), columns [k, k + VECTORS·lanes) = Σ_i h[i·h_stride + position] · row_at(i), in order of i.
/// With PARTIAL, only `width` (< lanes) columns exist.
template <int POSITIONS, int VECTORS, bool PARTIAL, typename RowAt>
FLICKER_INLINE void add_tile(const RowAt& row_at, const float* h, int64_t h_stride, int64_t count, int64_t k,
                             float* sums, int64_t stride, int64_t width) {
  vf s[POSITIONS][VECTORS] = {};
  for (int64_t i = 0; i < count; i++) {
    const auto* row = row_at(i) + k;
    vf w[VECTORS];
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) w[j] = PARTIAL ? widen_first(row, width) : widen(row + j * lanes);
#pragma GCC unroll 8
    for (int p = 0; p < POSITIONS; p++) {
      const vf factor = splat(h[i * h_stride + p]);
#pragma GCC unroll 4
      for (int j = 0; j < VECTORS; j++) s[p][j] += factor * w[j];
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < POSITIONS; p++)
#pragma GCC unroll 4
    for (int j = 0; j < VECTORS; j++) {
      if (PARTIAL)
        store_first(sums + p * stride + k, s[p][j], width);
      else
        store(sums + p * stride + k + j * lanes, s[p][j]);
    }
}

/// sums (batch × stride), n columns = Σ_i h[i·h_stride + position] · row_at(i): register tiles over all rows.
template <typename RowAt>
void weighted_rows(const RowAt& row_at, const float* h, int64_t h_stride, int64_t count, int64_t batch, float* sums,
                   int64_t stride, int64_t n) {
#if FLICKER_LANES == 16 || defined(__aarch64__)
  constexpr int vectors = 4, positions = 6;  // 24 accumulators of 32 registers
#else
  constexpr int vectors = 2, positions = 4;  // 8 of 16
#endif
  const auto columns = [&]<int POSITIONS>(int64_t b) {
    const float* factors = h + b;
    float* to = sums + b * stride;
    int64_t k = 0;
    for (; k + vectors * lanes <= n; k += vectors * lanes)
      add_tile<POSITIONS, vectors, false>(row_at, factors, h_stride, count, k, to, stride, 0);
    for (; k + lanes <= n; k += lanes)
      add_tile<POSITIONS, 1, false>(row_at, factors, h_stride, count, k, to, stride, 0);
    if (k < n) add_tile<POSITIONS, 1, true>(row_at, factors, h_stride, count, k, to, stride, n - k);
  };
  int64_t b = 0;
  for (; b + positions <= batch; b += positions) columns.template operator()<positions>(b);
  for (; b + 2 <= batch; b += 2) columns.template operator()<2>(b);
  for (; b < batch; b++) columns.template operator()<1>(b);
}

/// Neurons per block: some 48 blocks, so that threads share them evenly; a function of the size alone.
int64_t block_size(int64_t neurons) {
  const int64_t wanted = ceil_div(ceil_div(neurons, 48), 32) * 32;
  return wanted < 64 ? 64 : min(wanted, max_block);
}

/// One block of neurons of one FFN.
template <typename W>
struct NeuronBlock {
  const W* weights;  // first neuron of the layer
  const float *activated, *x;
  FfnShape shape;
  int64_t first, count;

  const W* up(int64_t neuron) const { return weights + neuron * (shape.gated ? 2 : 1) * shape.width; }
  const W* down(int64_t neuron) const { return up(neuron) + (shape.gated ? shape.width : 0); }

  bool active(int64_t neuron) const {
    if (!shape.sparse) return true;
    for (int64_t b = 0; b < shape.batch; b++)
      if (!(activated[b * shape.neurons + neuron] == 0.f)) return true;
    return false;
  }

  /// sums (batch × width) = Σ over the block's neurons of hidden · down row.
  void run(float* sums) const {
    int32_t list[max_block];
    int64_t n = 0;
    for (int64_t i = first; i < first + count; i++)
      if (active(i)) list[n++] = static_cast<int32_t>(i);
    if (shape.batch == 1)
      run_one(list, n, sums);
    else
      run_many(list, n, sums);
  }

  void run_one(const int32_t* list, int64_t n, float* sums) const {
    if (n == 0) memset(sums, 0, static_cast<size_t>(shape.width) * 4);
    const auto some = [&]<int ROWS>(int64_t i) {
      const W *ups[ROWS], *downs[ROWS], *next[ROWS];
      float hidden[ROWS];
      for (int r = 0; r < ROWS; r++) {
        ups[r] = up(list[i + r]);
        downs[r] = down(list[i + r]);
        next[r] = up(list[min(i + r + tile_rows, n - 1)]);
        hidden[r] = activated[list[i + r]];
      }
      if (shape.gated) {
        float dot[ROWS][1];
        dots<ROWS, 1>(ups, downs, x, 0, shape.width, dot);
        for (int r = 0; r < ROWS; r++) hidden[r] *= dot[r][0];
      }
      if (i == 0)
        add_rows<ROWS, true>(downs, next, hidden, sums, shape.width);
      else
        add_rows<ROWS, false>(downs, next, hidden, sums, shape.width);
    };
    int64_t i = 0;
    for (; i + tile_rows <= n; i += tile_rows) some.template operator()<tile_rows>(i);
    for (; i < n; i++) some.template operator()<1>(i);
  }

  void run_many(const int32_t* list, int64_t n, float* sums) const {
    const int64_t batch = shape.batch;
    float* hidden = static_cast<float*>(scratch(1, static_cast<uint64_t>(max_block * batch) * 4));
    if (hidden == nullptr) return;
    const auto value = [&](int64_t i, int64_t b) { return activated[b * shape.neurons + list[i]]; };
    if (shape.gated) {
      each_dot<W>([&](int64_t i) { return up(list[i]); }, n, n, x, batch, shape.width,
                  [&](int64_t i, int64_t b, float dot) { hidden[i * batch + b] = value(i, b) * dot; });
    } else {
      for (int64_t i = 0; i < n; i++)
        for (int64_t b = 0; b < batch; b++) hidden[i * batch + b] = value(i, b);
    }
    weighted_rows([&](int64_t i) { return down(list[i]); }, hidden, batch, n, batch, sums, shape.width, shape.width);
  }
};

/// scores (n) → softmax(scale · scores).
void softmax(float* scores, int64_t n, float scale) {
  vf largest = splat(-__builtin_inff());
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const vf s = load(scores + i) * scale;
    store(scores + i, s);
    largest = vmax(largest, s);
  }
  float top = reduce_max(largest);
  for (; i < n; i++) {
    scores[i] *= scale;
    top = scores[i] > top ? scores[i] : top;
  }
  vf total = {};
  for (i = 0; i < n; i += lanes) {
    const int64_t width = min(lanes, n - i);
    const vf weight = vexp(load_first(scores + i, width) - splat(top));
    store_first(scores + i, weight, width);
    total += load_first(scores + i, width);
  }
  const float share = 1.f / reduce_add(total);
  for (i = 0; i < n; i++) scores[i] *= share;
}

}  // namespace

void matvec(Weights w, const float* x, float* y, int64_t rows, int64_t columns, int64_t batch, bool accumulate) {
  if (rows == 0 || batch == 0) return;
  dispatch(w, [&]<typename W>(const W* weights) {
    // Some 64 KiB of weights to a job: enough to hide its start, little enough to share out evenly.
    const int64_t bytes = columns * static_cast<int64_t>(sizeof(W)) + 1;
    const int64_t per_job = ceil_div(ceil_div(65536, bytes), tile_rows) * tile_rows;
    parallel_for(ceil_div(rows, per_job), [&](int64_t job) {
      const int64_t first = job * per_job, count = min(per_job, rows - first);
      each_dot<W>([&](int64_t i) { return weights + (first + i) * columns; }, count, rows - first, x, batch, columns,
                  [&](int64_t i, int64_t b, float dot) {
                    float* to = y + b * rows + first + i;
                    *to = accumulate ? *to + dot : dot;
                  });
    });
  });
}

void ffn_neurons(Weights w, const float* activated, const float* x, float* y, int32_t* active, FfnShape shape) {
  const int64_t size = block_size(shape.neurons), blocks = ceil_div(shape.neurons, size);
  const int64_t sums_size = shape.batch * shape.width;
  if (sums_size == 0 || blocks == 0) return;
  float* sums = static_cast<float*>(scratch(0, static_cast<uint64_t>(blocks * sums_size) * 4));
  if (sums == nullptr) return;
  for (int64_t b = 0; b < shape.batch; b++)
    active[b] = static_cast<int32_t>(shape.neurons - count_zeros(activated + b * shape.neurons, shape.neurons));
  dispatch(w, [&]<typename W>(const W* weights) {
    parallel_for(blocks, [&](int64_t block) {
      const int64_t first = block * size, count = min(size, shape.neurons - first);
      const NeuronBlock<W> neurons = {weights, activated, x, shape, first, count};
      neurons.run(sums + block * sums_size);
    });
  });
  constexpr int64_t columns_per_job = 2048;
  parallel_for(ceil_div(sums_size, columns_per_job), [&](int64_t job) {
    const int64_t end = min(sums_size, (job + 1) * columns_per_job);
    for (int64_t k = job * columns_per_job; k < end; k += lanes) {
      const int64_t width = min(lanes, end - k);
      const bool whole = width == lanes;
      vf total = {};
      for (int64_t block = 0; block < blocks; block++) {
        const float* from = sums + block * sums_size + k;
        total += whole ? load(from) : load_first(from, width);
      }
      if (whole)
        store(y + k, load(y + k) + total);
      else
        store_first(y + k, load_first(y + k, width) + total, width);
    }
  });
}

void cached_attention(float* qkv, const float* cos, const float* sin, float* keys, float* values, float* out,
                      CachedAttentionShape shape) {
  // Not a structured binding: Clang before 16 cannot capture one in a lambda.
  const int64_t batch = shape.batch, position = shape.position, capacity = shape.capacity;
  const int64_t heads = shape.heads, kv_heads = shape.kv_heads, head_dim = shape.head_dim;
  if (batch == 0 || heads == 0 || head_dim == 0) return;
  const int64_t row = (heads + 2 * kv_heads) * head_dim, group = heads / kv_heads, half = head_dim / 2;
  for (int64_t b = 0; b < batch; b++) {
    float* q = qkv + b * row;
    const int64_t at = position + b;
    rope(q, cos + at * half, sin + at * half, q, 1, 1, heads + kv_heads, head_dim, false);
    const float *k = q + heads * head_dim, *v = k + kv_heads * head_dim;
    for (int64_t head = 0; head < kv_heads; head++) {
      const int64_t to = (head * capacity + at) * head_dim;
      memcpy(keys + to, k + head * head_dim, static_cast<size_t>(head_dim) * 4);
      memcpy(values + to, v + head * head_dim, static_cast<size_t>(head_dim) * 4);
    }
  }
  const float scale = 1.f / __builtin_sqrtf(static_cast<float>(head_dim));
  // A few short contexts are not worth waking the other threads for.
  const int64_t jobs = batch * kv_heads, work = (position + batch) * head_dim * group;
  const int64_t per_job = ceil_div(16384, work + 1);
  parallel_for(ceil_div(jobs, per_job), [&](int64_t part) {
    for (int64_t job = part * per_job; job < min(jobs, (part + 1) * per_job); job++) {
      const int64_t b = job / kv_heads, head = job % kv_heads, length = position + b + 1;
      const float *k = keys + head * capacity * head_dim, *v = values + head * capacity * head_dim;
      const float* q = qkv + b * row + head * group * head_dim;
      float* scores = static_cast<float*>(scratch(1, static_cast<uint64_t>(2 * group * length) * 4));
      if (scores == nullptr) return;
      each_dot<float>([&](int64_t i) { return k + i * head_dim; }, length, length, q, group, head_dim,
                      [&](int64_t i, int64_t g, float dot) { scores[g * length + i] = dot; });
      float* weights = scores + group * length;
      for (int64_t g = 0; g < group; g++) {
        softmax(scores + g * length, length, scale);
        for (int64_t i = 0; i < length; i++) weights[i * group + g] = scores[g * length + i];
      }
      weighted_rows([&](int64_t i) { return v + i * head_dim; }, weights, group, length, group,
                    out + (b * heads + head * group) * head_dim, head_dim, head_dim);
    }
  });
}

}  // namespace flicker::FLICKER_ISA

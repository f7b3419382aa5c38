// Products of training where most of a matrix (rows, neurons) is exactly 0: only what is not is computed. Which
// elements those are is read from the matrix itself. Every sum runs over its terms in ascending order, on one thread.
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace flicker::FLICKER_ISA {
namespace {

// What stays in the level-2 cache: a tile of rows beside a tile of neurons.
constexpr int64_t tile_rows = 32, tile_neurons = 128;

/// Bit i: whether value i of `lanes` is not 0; NaN is not.
FLICKER_INLINE uint32_t nonzero_bits(vf v) {
#if FLICKER_LANES == 16
  return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
#elif FLICKER_LANES == 8
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps((__m256)v, _mm256_setzero_ps(), _CMP_NEQ_UQ)));
#elif defined(__x86_64__)
  return static_cast<uint32_t>(_mm_movemask_ps(_mm_cmpneq_ps((__m128)v, _mm_setzero_ps())));
#elif defined(__wasm__)
  return wasm_i32x4_bitmask(wasm_f32x4_ne((v128_t)v, wasm_f32x4_const_splat(0.f)));
#else
  const uint32x4_t bits = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vmvnq_u32(vceqzq_f32((float32x4_t)v)), bits));
#endif
}

/// body(i) for the elements of n values that are not 0, in order.
template <typename Body>
FLICKER_INLINE void each_nonzero(const float* values, int64_t n, const Body& body) {
  for (int64_t i = 0; i < n; i += lanes)
    for (uint32_t bits = nonzero_bits(load_n(values + i, min(lanes, n - i))); bits != 0; bits &= bits - 1)
      body(i + __builtin_ctz(bits));
}

/// Those elements; returns how many.
FLICKER_INLINE int64_t list_nonzero(const float* values, int64_t n, int32_t* list) {
  int64_t count = 0;
  each_nonzero(values, n, [&](int64_t i) { list[count++] = static_cast<int32_t>(i); });
  return count;
}

/// out[r] = x · rows[r], R of them side by side, each in two partial sums of vectors.
template <int R>
FLICKER_INLINE void some_dots(const float* x, const float* const* rows, int64_t width, float* out) {
  vf even[R] = {}, odd[R] = {};
  int64_t k = 0;
  for (; k + 2 * lanes <= width; k += 2 * lanes) {
    const vf a = load(x + k), b = load(x + k + lanes);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
      even[r] += a * load(rows[r] + k);
      odd[r] += b * load(rows[r] + k + lanes);
    }
  }
  for (; k < width; k += lanes) {
    const int64_t n = min(lanes, width - k);
    for (int r = 0; r < R; r++) even[r] += load_n(x + k, n) * load_n(rows[r] + k, n);
  }
  for (int r = 0; r < R; r++) out[r] = reduce_add(even[r] + odd[r]);
}

/// y += Σ factors[r] · rows[r], in order of r.
template <int R>
FLICKER_INLINE void add_some(const float* factors, const float* const* rows, int64_t width, float* y) {
  vf factor[R];
  for (int r = 0; r < R; r++) factor[r] = splat(factors[r]);
  int64_t k = 0;
  for (; k + lanes <= width; k += lanes) {
    vf sum = load(y + k);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) sum += factor[r] * load(rows[r] + k);
    store(y + k, sum);
  }
  if (k == width) return;
  vf sum = load_first(y + k, width - k);
  for (int r = 0; r < R; r++) sum += factor[r] * load_first(rows[r] + k, width - k);
  store_first(y + k, sum, width - k);
}

/// body<R>(i) for groups of R = 4, and then fewer, of n.
template <typename Body>
FLICKER_INLINE void by_fours(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) body.template operator()<4>(i);
  if (n - i == 3)
    body.template operator()<3>(i);
  else if (n - i == 2)
    body.template operator()<2>(i);
  else if (n - i == 1)
    body.template operator()<1>(i);
}

/// Calls body(first, end) for tiles of `size` of n, on all threads.
template <typename Body>
void each_tile_of(int64_t n, int64_t size, const Body& body) {
  parallel_for((n + size - 1) / size, [&](int64_t tile) { body(tile * size, min(n, (tile + 1) * size)); });
}

}  // namespace

void sparse_dots(const float* mask, const float* x, const float* w, float* out, int64_t rows, int64_t neurons,
                 int64_t width) {
  each_tile_of(rows, tile_rows, [&](int64_t first, int64_t end) {
    for (int64_t start = 0; start < neurons; start += tile_neurons)
      for (int64_t t = first; t < end; t++) {
        int32_t list[tile_neurons];
        const int64_t at = t * neurons + start, count = min(tile_neurons, neurons - start);
        const int64_t n = list_nonzero(mask + at, count, list);
        float dots[tile_neurons];
        by_fours(n, [&]<int R>(int64_t i) {
          const float* from[R];
          for (int r = 0; r < R; r++) from[r] = w + (start + list[i + r]) * width;
          some_dots<R>(x + t * width, from, width, dots + i);
        });
        // The mask may be `out`.
        memset(out + at, 0, static_cast<size_t>(count) * 4);
        for (int64_t i = 0; i < n; i++) out[at + list[i]] = dots[i];
      }
  });
}

void sparse_rows(const float* s, const float* w, float* y, int64_t rows, int64_t neurons, int64_t width,
                 bool accumulate) {
  each_tile_of(rows, tile_rows, [&](int64_t first, int64_t end) {
    if (!accumulate) memset(y + first * width, 0, static_cast<size_t>((end - first) * width) * 4);
    for (int64_t start = 0; start < neurons; start += tile_neurons)
      for (int64_t t = first; t < end; t++) {
        int32_t list[tile_neurons];
        const float* values = s + t * neurons + start;
        const int64_t n = list_nonzero(values, min(tile_neurons, neurons - start), list);
        by_fours(n, [&]<int R>(int64_t i) {
          const float* from[R];
          float factors[R];
          for (int r = 0; r < R; r++) from[r] = w + (start + list[i + r]) * width, factors[r] = values[list[i + r]];
          add_some<R>(factors, from, width, y + t * width);
        });
      }
  });
}

void sparse_columns(const float* s, const float* x, float* out, int64_t rows, int64_t neurons, int64_t width,
                    bool accumulate) {
  constexpr int64_t own = 32, together = 64;
  each_tile_of(neurons, own, [&](int64_t first, int64_t end) {
    if (!accumulate) memset(out + first * width, 0, static_cast<size_t>((end - first) * width) * 4);
    for (int64_t start = 0; start < rows; start += together) {
      // Of each neuron the rows in which it is not 0.
      int32_t lists[own][together], counts[own] = {};
      for (int64_t t = start; t < min(rows, start + together); t++)
        each_nonzero(s + t * neurons + first, end - first,
                     [&](int64_t i) { lists[i][counts[i]++] = static_cast<int32_t>(t); });
      for (int64_t neuron = first; neuron < end; neuron++) {
        const int32_t* list = lists[neuron - first];
        by_fours(counts[neuron - first], [&]<int R>(int64_t i) {
          const float* from[R];
          float factors[R];
          for (int r = 0; r < R; r++) from[r] = x + list[i + r] * width, factors[r] = s[list[i + r] * neurons + neuron];
          add_some<R>(factors, from, width, out + neuron * width);
        });
      }
    }
  });
}

void transpose(const float* x, float* out, int64_t rows, int64_t columns, bool accumulate) {
  constexpr int64_t side = 32;
  each_tile_of(columns, side, [&](int64_t first, int64_t end) {
    for (int64_t start = 0; start < rows; start += side)
      for (int64_t c = first; c < end; c++)
        for (int64_t r = start; r < min(rows, start + side); r++) {
          const float value = x[r * columns + c];
          float& to = out[c * rows + r];
          to = accumulate ? to + value : value;
        }
  });
}

}  // namespace flicker::FLICKER_ISA

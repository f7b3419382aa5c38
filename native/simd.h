// One thin vector layer over the compiler's vector extensions (GCC, Clang): `vf` is as many floats as the
// instruction set's registers hold. The kernels are written once against it and compiled once per instruction
// set, each time in its own namespace FLICKER_ISA (see scripts/build-native.mjs). Kernel files must not use
// standard-library templates: their inline code would be shared between instruction sets by the linker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__wasm__)
#include <wasm_simd128.h>
#endif

#ifndef FLICKER_ISA
#error "compile the kernels with -DFLICKER_ISA=<name>"
#endif

#if defined(__AVX512F__)
#define FLICKER_LANES 16
#elif defined(__AVX2__)
#define FLICKER_LANES 8
#else
#define FLICKER_LANES 4
#endif

#define FLICKER_INLINE inline __attribute__((always_inline))
/// Of a lambda: inlined wherever it is called.
#define FLICKER_UNROLLED __attribute__((always_inline))

namespace flicker::FLICKER_ISA {

constexpr int lanes = FLICKER_LANES;
typedef float vf __attribute__((vector_size(lanes * 4)));
typedef int32_t vi __attribute__((vector_size(lanes * 4)));
typedef uint32_t vu __attribute__((vector_size(lanes * 4)));

constexpr int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

FLICKER_INLINE vf load(const float* p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
FLICKER_INLINE void store(float* p, vf v) { memcpy(p, &v, sizeof v); }
FLICKER_INLINE vf splat(float x) { return x - vf{}; }
FLICKER_INLINE vu splat_u32(uint32_t x) { return x - vu{}; }

/// The first n (< lanes) floats at p, the rest zero; reads nothing beyond them.
FLICKER_INLINE vf load_first(const float* p, int64_t n) {
  vf v = {};
  memcpy(&v, p, static_cast<size_t>(n) * 4);
  return v;
}
FLICKER_INLINE void store_first(float* p, vf v, int64_t n) { memcpy(p, &v, static_cast<size_t>(n) * 4); }

/// Sum of all lanes, always in the same order (pairwise halves).
FLICKER_INLINE float reduce_add(vf v) {
  float a[lanes];
  memcpy(a, &v, sizeof a);
  for (int width = lanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) a[i] += a[i + width];
  return a[0];
}
FLICKER_INLINE float reduce_max(vf v) {
#if FLICKER_LANES == 16
  return _mm512_reduce_max_ps((__m512)v);
#elif defined(__aarch64__)
  return vmaxvq_f32((float32x4_t)v);
#else
  float a[lanes];
  memcpy(a, &v, sizeof a);
  float m = a[0];
  for (int i = 1; i < lanes; i++) m = a[i] > m ? a[i] : m;
  return m;
#endif
}

/// The 4×4 square at `from`, rows at distance from_row, transposed to `to`, rows at distance to_row.
FLICKER_INLINE void transpose_4x4(const float* from, int64_t from_row, float* to, int64_t to_row) {
#if defined(__clang__)
#define FLICKER_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FLICKER_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, four_ints{__VA_ARGS__})
  typedef int32_t four_ints __attribute__((vector_size(16)));
#endif
  typedef float four __attribute__((vector_size(16)));
  four a, b, c, d;
  memcpy(&a, from, sizeof a);
  memcpy(&b, from + from_row, sizeof b);
  memcpy(&c, from + 2 * from_row, sizeof c);
  memcpy(&d, from + 3 * from_row, sizeof d);
  const four ab_low = FLICKER_SHUFFLE(a, b, 0, 4, 1, 5), ab_high = FLICKER_SHUFFLE(a, b, 2, 6, 3, 7);
  const four cd_low = FLICKER_SHUFFLE(c, d, 0, 4, 1, 5), cd_high = FLICKER_SHUFFLE(c, d, 2, 6, 3, 7);
  const four rows[4] = {FLICKER_SHUFFLE(ab_low, cd_low, 0, 1, 4, 5), FLICKER_SHUFFLE(ab_low, cd_low, 2, 3, 6, 7),
                        FLICKER_SHUFFLE(ab_high, cd_high, 0, 1, 4, 5), FLICKER_SHUFFLE(ab_high, cd_high, 2, 3, 6, 7)};
#undef FLICKER_SHUFFLE
  for (int i = 0; i < 4; i++) memcpy(to + i * to_row, &rows[i], sizeof rows[i]);
}

/// The lanes of v together.
FLICKER_INLINE int64_t lane_sum(vi v) {
  int64_t sum = 0;
  for (int i = 0; i < lanes; i++) sum += v[i];
  return sum;
}

/// As load and store, of the first n (≤ lanes).
FLICKER_INLINE vf load_n(const float* p, int64_t n) { return n == lanes ? load(p) : load_first(p, n); }
FLICKER_INLINE void store_n(float* p, vf v, int64_t n) {
  if (n == lanes)
    store(p, v);
  else
    store_first(p, v, n);
}
/// Calls body(offset, lanes in use) for every vector of n elements.
template <typename Body>
FLICKER_INLINE void each_vector(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(i, lanes);
  if (i < n) body(i, n - i);
}

/// body(0), …, body(N − 1), each with its own copy of the code: arrays that are indexed by it live in registers.
template <int I>
struct Index {
  static constexpr int value = I;
  constexpr operator int() const { return I; }
};
template <typename T, T... I>
struct Indices {};
// The compilers' own names for the list 0, …, N − 1: no standard-library templates here.
#if defined(__clang__)
template <int N>
using IndicesBelow = __make_integer_seq<Indices, int, N>;
#else
template <int N>
using IndicesBelow = Indices<int, __integer_pack(N)...>;
#endif
template <typename Body, int... I>
FLICKER_INLINE void unrolled_over(const Body& body, Indices<int, I...>) {
  (body(Index<I>{}), ...);
}
template <int N, typename Body>
FLICKER_INLINE void unrolled(const Body& body) {
  unrolled_over(body, IndicesBelow<N>{});
}

FLICKER_INLINE vf as_float(vi v) { return (vf)v; }
FLICKER_INLINE vi as_int(vf v) { return (vi)v; }

}  // namespace flicker::FLICKER_ISA

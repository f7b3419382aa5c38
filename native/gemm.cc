// Matrix product after Goto & van de Geijn 2008: one operand is packed in blocks that stay in the level-2 cache, the
// other in panels that stay near level 1, and a register tile of MR×(NV vectors) accumulates over one block of k.
// The larger operand is the one packed panel by panel: each thread packs what it then uses, without waiting.
//
// Every element of c is the sum over k in one order that depends on the sizes alone (blocks of KC, within a block one
// by one), whatever tile or thread it falls to: so the result does not depend on the number of threads.
//
// Of bf16, panels hold pairs of neighbors along k instead of single elements: half as many words, all else is the same.
#include "bf16.h"
#include "kernels.h"
#include "parallel.h"
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
constexpr int64_t NC = 512;  // columns of a block: KC·NC floats are 3/4 of a usual level-2 cache
constexpr int64_t MC = 512;  // rows of a block, likewise
// A result of at most so many elements with at least four segments of k is summed by segments.
constexpr int64_t SMALL_RESULT = 1 << 16, SEGMENT = 256;
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

/// c tile (rows × NVEC vectors) += or = a panel · b panel. Element (i, k) of a is a[i·row_stride + k·k_stride].
template <int ROWS, int NVEC, bool TRANS_A>
void micro(const float* a, const float* b, float* c, int64_t ldc, int64_t depth, int64_t columns, bool accumulate) {
  constexpr int64_t row_stride = TRANS_A ? 1 : ROW, k_stride = TRANS_A ? MR : 1;
  vf acc[ROWS][NVEC] = {};
  for (int64_t k = 0; k < depth; k++) {
    vf bv[NVEC];
#pragma GCC unroll 4
    for (int j = 0; j < NVEC; j++) bv[j] = load(b + k * NR + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vf av = splat(a[i * row_stride + k * k_stride]);
#pragma GCC unroll 4
      for (int j = 0; j < NVEC; j++) acc[i][j] += av * bv[j];
    }
  }
  store_tile<ROWS, NVEC>(acc, c, ldc, columns, accumulate);
}

/// The same of pairs; those of a row of a are one behind the other.
template <int ROWS, int NVEC, bool>
void micro_pairs(const float* a, const float* b, float* c, int64_t ldc, int64_t depth, int64_t columns,
                 bool accumulate) {
  vf acc[ROWS][NVEC] = {};
  for (int64_t k = 0; k < depth; k++) {
    vu bv[NVEC];
#pragma GCC unroll 4
    for (int j = 0; j < NVEC; j++) bv[j] = load_words(b + k * NR + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vu av = splat_u32(word_at(a + i * ROW + k));
#pragma GCC unroll 4
      for (int j = 0; j < NVEC; j++) acc[i][j] = add_products(acc[i][j], av, bv[j]);
    }
  }
  store_tile<ROWS, NVEC>(acc, c, ldc, columns, accumulate);
}

#ifdef FLICKER_BF16_TARGET
// Written out again: what a function may use of a processor is said of the function, not of what it is a template of.
template <int ROWS, int NVEC, bool>
FLICKER_BF16_TARGET void micro_hardware(const float* a, const float* b, float* c, int64_t ldc, int64_t depth,
                                        int64_t columns, bool accumulate) {
  vf acc[ROWS][NVEC] = {};
  for (int64_t k = 0; k < depth; k++) {
    vu bv[NVEC];
#pragma GCC unroll 4
    for (int j = 0; j < NVEC; j++) bv[j] = load_words(b + k * NR + j * lanes);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      const vu av = splat_u32(word_at(a + i * ROW + k));
#pragma GCC unroll 4
      for (int j = 0; j < NVEC; j++) acc[i][j] = add_products_of_hardware(acc[i][j], av, bv[j]);
    }
  }
  store_tile<ROWS, NVEC>(acc, c, ldc, columns, accumulate);
}
#endif

using Micro = void (*)(const float*, const float*, float*, int64_t, int64_t, int64_t, bool);

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

/// One panel of b: depth × NR, columns beyond `columns` zero.
void pack_b(const float* b, int64_t ldb, bool trans, int64_t depth, int64_t columns, float* out) {
  if (!trans) {
    for (int64_t k = 0; k < depth; k++, out += NR, b += ldb) {
      if (columns == NR) {
#pragma GCC unroll 4
        for (int j = 0; j < NV; j++) store(out + j * lanes, load(b + j * lanes));
      } else {
        for (int64_t j = 0; j < NR; j++) out[j] = j < columns ? b[j] : 0.f;
      }
    }
    return;
  }
  // b is columns × depth.
  const int64_t whole_k = depth / 4 * 4, whole_j = columns / 4 * 4;
  for (int64_t k = 0; k < whole_k; k += 4)
    for (int64_t j = 0; j < whole_j; j += 4) transpose_4x4(b + j * ldb + k, ldb, out + k * NR + j, NR);
  for (int64_t k = 0; k < depth; k++)
    for (int64_t j = k < whole_k ? whole_j : 0; j < NR; j++) out[k * NR + j] = j < columns ? b[j * ldb + k] : 0.f;
}

/// One panel of a: up to MR rows, rows contiguous at distance ROW (or, transposed, MR values per k).
void pack_a(const float* a, int64_t lda, bool trans, int64_t depth, int64_t rows, float* out) {
  if (!trans) {
    for (int64_t i = 0; i < rows; i++) memcpy(out + i * ROW, a + i * lda, static_cast<size_t>(depth) * 4);
    return;
  }
  if (rows == MR) {
    for (int64_t k = 0; k < depth; k++) memcpy(out + k * MR, a + k * lda, MR * 4);
    return;
  }
  for (int64_t k = 0; k < depth; k++)
    for (int64_t i = 0; i < rows; i++) out[k * MR + i] = a[k * lda + i];
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

/// The tile of c at (i, j) += or = packed panel of a · packed panel of b.
template <bool TRANS_A, Words W>
FLICKER_INLINE void tile(const float* panel_a, const float* panel_b, float* c, int64_t i, int64_t j, int64_t m,
                         int64_t n, int64_t depth, bool add) {
  const int64_t rows = min(MR, m - i), columns = min(NR, n - j);
  pick<TRANS_A, W>(rows, columns)(panel_a, panel_b, c + i * n + j, n, words<W>(depth), columns, add);
}

struct Operands {
  const float *a, *b;
  float* c;
  int64_t m, n, k, lda, ldb;
  bool trans_a, trans_b, accumulate;

  template <Words W>
  void pack_a_panel(int64_t i, int64_t k0, int64_t depth, float* out) const {
    const float* from = trans_a ? a + k0 * lda + i : a + i * lda + k0;
    const int64_t rows = min(MR, m - i);
    if constexpr (W == Words::f32) {
      pack_a(from, lda, trans_a, depth, rows, out);
    } else {
      float panel[MR * ROW];
      pack_a(from, lda, trans_a, depth, rows, panel);
      pair_a(panel, trans_a, depth, rows, out);
    }
  }
  template <Words W>
  void pack_b_panel(int64_t j, int64_t k0, int64_t depth, float* out) const {
    pack_b(trans_b ? b + j * ldb + k0 : b + k0 * ldb + j, ldb, trans_b, depth, min(NR, n - j), out);
    if constexpr (W != Words::f32) pair_b(out, depth);
  }
};

/// More rows than columns: blocks of b are packed together and shared, panels of a by the thread that uses them.
template <bool TRANS_A, Words W>
void share_b(const Operands& o) {
  float* packed = static_cast<float*>(scratch(0, KC * (NC + NR) * 4));
  if (packed == nullptr) return;
  // Jobs of some panels × some columns: enough to balance the threads, large enough to reuse a packed panel.
  const int64_t panels = ceil_div(o.m, MR), threads = thread_count();
  const int64_t per_job = threads == 1 ? min(panels, 4) : min(4, ceil_div(panels, 4 * threads));
  const int64_t row_jobs = ceil_div(panels, per_job);
  for (int64_t n0 = 0; n0 < o.n; n0 += NC) {
    const int64_t column_panels = ceil_div(min(NC, o.n - n0), NR);
    const int64_t column_jobs =
        threads > 1 && row_jobs < 8 * threads ? min(column_panels, ceil_div(8 * threads, row_jobs)) : 1;
    for (int64_t k0 = 0; k0 < o.k; k0 += KC) {
      const int64_t depth = min(KC, o.k - k0);
      const bool add = o.accumulate || k0 > 0;
      parallel_for(column_panels,
                   [&](int64_t p) { o.template pack_b_panel<W>(n0 + p * NR, k0, depth, packed + p * NR * KC); });
      parallel_for(row_jobs * column_jobs, [&](int64_t job) {
        float* panel = static_cast<float*>(scratch(1, MR * ROW * 4));
        if (panel == nullptr) return;
        const int64_t part = job % column_jobs, first = (job / column_jobs) * per_job;
        const int64_t p0 = column_panels * part / column_jobs, p1 = column_panels * (part + 1) / column_jobs;
        for (int64_t q = first; q < min(panels, first + per_job); q++) {
          o.template pack_a_panel<W>(q * MR, k0, depth, panel);
          for (int64_t p = p0; p < p1; p++)
            tile<TRANS_A, W>(panel, packed + p * NR * KC, o.c, q * MR, n0 + p * NR, o.m, o.n, depth, add);
        }
      });
    }
  }
}

/// More columns than rows: blocks of a are packed together and shared, panels of b by the thread that uses them.
template <bool TRANS_A, Words W>
void share_a(const Operands& o) {
  float* packed = static_cast<float*>(scratch(0, (MC / MR + 2) * MR * ROW * 4));
  if (packed == nullptr) return;
  constexpr int64_t block = MC / MR * MR;
  for (int64_t m0 = 0; m0 < o.m; m0 += block) {
    const int64_t panels = ceil_div(min(block, o.m - m0), MR);
    for (int64_t k0 = 0; k0 < o.k; k0 += KC) {
      const int64_t depth = min(KC, o.k - k0);
      const bool add = o.accumulate || k0 > 0;
      parallel_for(panels,
                   [&](int64_t q) { o.template pack_a_panel<W>(m0 + q * MR, k0, depth, packed + q * MR * ROW); });
      parallel_for(ceil_div(o.n, NR), [&](int64_t p) {
        float* panel = static_cast<float*>(scratch(1, NR * KC * 4));
        if (panel == nullptr) return;
        o.template pack_b_panel<W>(p * NR, k0, depth, panel);
        for (int64_t q = 0; q < panels; q++)
          tile<TRANS_A, W>(packed + q * MR * ROW, panel, o.c, m0 + q * MR, p * NR, o.m, o.n, depth, add);
      });
    }
  }
}

/// A small result of a long sum (the gradient of a weight): k is cut into at most 16 segments, by size alone, each
/// summed by one thread into a partial result of its own; the partials add up in order. No thread waits for another's
/// packing.
template <bool TRANS_A, Words W>
void split_k(const Operands& o) {
  const int64_t segment = ceil_div(o.k, 16) > SEGMENT ? ceil_div(o.k, 16) : SEGMENT;
  const int64_t segments = ceil_div(o.k, segment), size = o.m * o.n;
  float* partial = static_cast<float*>(scratch(0, static_cast<uint64_t>(segments * size) * 4));
  if (partial == nullptr) return;
  const int64_t panels = ceil_div(o.m, MR), column_panels = ceil_div(o.n, NR);
  parallel_for(segments, [&](int64_t s) {
    const int64_t packed_b = column_panels * NR * KC;
    float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(packed_b + MR * ROW) * 4));
    if (memory == nullptr) return;
    const int64_t first = s * segment, last = min(o.k, first + segment);
    for (int64_t k0 = first; k0 < last; k0 += KC) {
      const int64_t depth = min(KC, last - k0);
      for (int64_t p = 0; p < column_panels; p++) o.template pack_b_panel<W>(p * NR, k0, depth, memory + p * NR * KC);
      for (int64_t q = 0; q < panels; q++) {
        o.template pack_a_panel<W>(q * MR, k0, depth, memory + packed_b);
        for (int64_t p = 0; p < column_panels; p++)
          tile<TRANS_A, W>(memory + packed_b, memory + p * NR * KC, partial + s * size, q * MR, p * NR, o.m, o.n, depth,
                           k0 > first);
      }
    }
  });
  constexpr int64_t block = 1 << 12;
  parallel_for(ceil_div(size, block), [&](int64_t b) {
    const int64_t end = min(size, (b + 1) * block);
    int64_t i = b * block;
    for (; i + lanes <= end; i += lanes) {
      vf sum = o.accumulate ? load(o.c + i) : vf{};
      for (int64_t s = 0; s < segments; s++) sum += load(partial + s * size + i);
      store(o.c + i, sum);
    }
    for (; i < end; i++) {
      float sum = o.accumulate ? o.c[i] : 0.f;
      for (int64_t s = 0; s < segments; s++) sum += partial[s * size + i];
      o.c[i] = sum;
    }
  });
}

template <bool TRANS_A, Words W>
void multiply(const Operands& o) {
  if (o.m <= 0 || o.n <= 0) return;
  if (o.k <= 0) {
    if (!o.accumulate) memset(o.c, 0, static_cast<size_t>(o.m) * static_cast<size_t>(o.n) * 4);
    return;
  }
  if (o.m * o.n <= SMALL_RESULT && o.k >= 4 * SEGMENT)
    split_k<TRANS_A, W>(o);
  else if (o.n > o.m)
    share_a<TRANS_A, W>(o);
  else
    share_b<TRANS_A, W>(o);
}

}  // namespace

void gemm(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,
          bool accumulate) {
  const Operands o = {a, b, c, m, n, k, trans_a ? m : k, trans_b ? k : n, trans_a, trans_b, accumulate};
  trans_a ? multiply<true, Words::f32>(o) : multiply<false, Words::f32>(o);
}

int64_t gemm_bf16(const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,
                  bool accumulate, bool emulated) {
  const Operands o = {a, b, c, m, n, k, trans_a ? m : k, trans_b ? k : n, trans_a, trans_b, accumulate};
#ifdef FLICKER_BF16_TARGET
  if (!emulated && has_bf16_products()) {
    multiply<false, Words::bf16_of_hardware>(o);
    return 1;
  }
#endif
  (void)emulated;
  // Pairs are packed alike whatever a was: its panels are never transposed.
  multiply<false, Words::bf16>(o);
  return 0;
}

}  // namespace flicker::FLICKER_ISA

// Matrix product after Goto & van de Geijn 2008: b is packed in panels that stay in the level-1 cache while some panels
// of a, from level 2, pass by; a register tile of MR×(NV vectors) accumulates over one block of k. Rows of a are read
// where they are, unless k runs along its columns. The smaller operand is shared, of the larger each thread packs what
// it then uses, without waiting, and asks for what it will read next.
//
// Every element of c is the sum over k in one order that depends on the sizes alone (blocks of KC, within a block one
// by one), whatever tile or thread it falls to: so the result does not depend on the number of threads.
#include "gemm_tiles.h"
#include "kernels.h"
#include "parallel.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t NC = 512;  // columns of a block
constexpr int64_t MC = 512;  // rows of a block
// A result of at most so many elements with at least four segments of k is summed by segments.
constexpr int64_t SMALL_RESULT = 1 << 16, SEGMENT = 256;

/// Where the rows of panels of a are.
struct PanelOfA {
  const float* data;
  int64_t row;  // floats from one row to the next

  PanelOfA panel(int64_t q) const { return {data + q * MR * row, row}; }
};

/// Rows that will be read next: some are asked for beside every tile, so that memory works while the processor does.
struct Ahead {
  const float* at;
  int64_t ld, rows, columns;

  /// The part-th of `parts` parts.
  FLICKER_INLINE void ask(int64_t part, int64_t parts) const {
    const int64_t lines = ceil_div(columns, 16), all = rows * lines;
    int64_t i = all * part / parts, row = i / (lines == 0 ? 1 : lines), line = i - row * lines;
    for (const int64_t end = all * (part + 1) / parts; i < end; i++) {
      __builtin_prefetch(at + row * ld + line * 16, 0, 2);
      if (++line == lines) line = 0, row++;
    }
  }
};

struct Operands {
  const float *a, *b;
  float* c;
  int64_t m, n, k, lda, ldb;
  bool trans_a, trans_b, accumulate;

  /// Whether rows of a are read where they are. At a distance of whole pages they would fall into one cache set.
  template <Words W>
  bool reads_a() const {
    return W == Words::f32 && !trans_a && lda % 1024 != 0;
  }
  /// `count` panels from row i on, at distance MR·ROW.
  template <Words W>
  void pack_a_panels(int64_t i, int64_t count, int64_t k0, int64_t depth, float* out) const {
    const float* from = trans_a ? a + k0 * lda + i : a + i * lda + k0;
    const int64_t rows = min(count * MR, m - i);
    if constexpr (W == Words::f32) {
      pack_a(from, lda, trans_a, depth, rows, out);
    } else {
      for (int64_t row = 0; row < rows; row += MR) {
        float panel[MR * ROW];
        pack_a(from + row * (trans_a ? 1 : lda), lda, trans_a, depth, min(MR, rows - row), panel);
        pair_a(panel, trans_a, depth, min(MR, rows - row), out + row * ROW);
      }
    }
  }
  /// Panels of a from row i on: as they are, or packed into `memory`.
  template <Words W>
  PanelOfA panels_of_a(int64_t i, int64_t count, int64_t k0, int64_t depth, float* memory) const {
    if (reads_a<W>()) return {a + i * lda + k0, lda};
    pack_a_panels<W>(i, count, k0, depth, memory);
    return {memory, ROW};
  }
  /// `count` panels from column j on.
  template <Words W>
  void pack_b_panels(int64_t j, int64_t count, int64_t k0, int64_t depth, float* out) const {
    const int64_t columns = min(count * NR, n - j);
    pack_b(trans_b ? b + j * ldb + k0 : b + k0 * ldb + j, ldb, trans_b, depth, columns, out);
    if constexpr (W != Words::f32)
      for (int64_t p = 0; p < ceil_div(columns, NR); p++) pair_b(out + p * NR * depth, depth);
  }
  /// Panels of a, or of b, that will be packed or read.
  Ahead ahead_of_a(int64_t i, int64_t count, int64_t k0, int64_t depth) const {
    if (i >= m) return {a, 0, 0, 0};
    const int64_t rows = min(count * MR, m - i);
    if (trans_a) return {a + k0 * lda + i, lda, depth, rows};
    return {a + i * lda + k0, lda, rows, depth};
  }
  Ahead ahead_of_b(int64_t j, int64_t count, int64_t k0, int64_t depth) const {
    if (j >= n) return {b, 0, 0, 0};
    const int64_t columns = min(count * NR, n - j);
    if (trans_b) return {b + j * ldb + k0, ldb, columns, depth};
    return {b + k0 * ldb + j, ldb, depth, columns};
  }

  /// The tile of `to` (rows at distance n) at (i, j) += or = panel of a · packed panel of b.
  template <bool TRANS_A, Words W>
  FLICKER_INLINE void tile(PanelOfA panel, const float* panel_b, float* to, int64_t i, int64_t j, int64_t depth,
                           bool add) const {
    const int64_t rows = min(MR, m - i), columns = min(NR, n - j);
    pick<TRANS_A, W>(rows, columns)(panel.data, panel.row, panel_b, to + i * n + j, n, words<W>(depth), columns, add);
  }
};

/// Panels that are packed together, so that there are enough such groups for all threads.
int64_t panels_together(int64_t panels) {
  const int64_t threads = thread_count();
  return threads == 1 ? min(panels, 4) : min(4, ceil_div(panels, 4 * threads));
}

/// More rows than columns: blocks of b are packed together and shared, panels of a by the thread that uses them.
template <bool TRANS_A, Words W>
void share_b(const Operands& o) {
  const int64_t widest = ceil_div(min(NC, o.n), NR) * NR;
  float* packed = static_cast<float*>(scratch(0, static_cast<uint64_t>(min(KC, o.k) * widest) * 4));
  if (packed == nullptr) return;
  // Jobs of some panels × some columns: enough to balance the threads, large enough to reuse a packed panel.
  const int64_t panels = ceil_div(o.m, MR), threads = thread_count();
  const int64_t per_job = panels_together(panels), row_jobs = ceil_div(panels, per_job);
  for (int64_t n0 = 0; n0 < o.n; n0 += NC) {
    const int64_t column_panels = ceil_div(min(NC, o.n - n0), NR), packed_at_once = panels_together(column_panels);
    const int64_t column_jobs =
        threads > 1 && row_jobs < 8 * threads ? min(column_panels, ceil_div(8 * threads, row_jobs)) : 1;
    for (int64_t k0 = 0; k0 < o.k; k0 += KC) {
      const int64_t depth = min(KC, o.k - k0);
      const bool add = o.accumulate || k0 > 0;
      parallel_for(ceil_div(column_panels, packed_at_once), [&](int64_t job) {
        const int64_t p = job * packed_at_once, count = min(packed_at_once, column_panels - p);
        o.template pack_b_panels<W>(n0 + p * NR, count, k0, depth, packed + p * NR * depth);
      });
      parallel_for(row_jobs * column_jobs, [&](int64_t job) {
        float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(per_job * MR * ROW) * 4));
        if (memory == nullptr) return;
        const int64_t part = job % column_jobs, first = (job / column_jobs) * per_job;
        const int64_t p0 = column_panels * part / column_jobs, p1 = column_panels * (part + 1) / column_jobs;
        const int64_t count = min(per_job, panels - first);
        const PanelOfA rows = o.template panels_of_a<W>(first * MR, count, k0, depth, memory);
        const Ahead ahead = o.ahead_of_a((first + per_job * threads) * MR, per_job, k0, depth);
        for (int64_t p = p0; p < p1; p++)
          for (int64_t q = 0; q < count; q++) {
            ahead.ask((p - p0) * count + q, count * (p1 - p0));
            o.template tile<TRANS_A, W>(rows.panel(q), packed + p * NR * depth, o.c, (first + q) * MR, n0 + p * NR,
                                        depth, add);
          }
      });
    }
  }
}

/// More columns than rows: blocks of a are shared, packed together where they have to be, panels of b packed by the
/// thread that uses them.
template <bool TRANS_A, Words W>
void share_a(const Operands& o) {
  const bool reads_a = o.template reads_a<W>();
  float* packed = reads_a ? nullptr : static_cast<float*>(scratch(0, (MC / MR + 2) * MR * ROW * 4));
  if (packed == nullptr && !reads_a) return;
  constexpr int64_t block = MC / MR * MR;
  const int64_t column_panels = ceil_div(o.n, NR), per_job = panels_together(column_panels), threads = thread_count();
  for (int64_t m0 = 0; m0 < o.m; m0 += block) {
    const int64_t panels = ceil_div(min(block, o.m - m0), MR), packed_at_once = panels_together(panels);
    for (int64_t k0 = 0; k0 < o.k; k0 += KC) {
      const int64_t depth = min(KC, o.k - k0);
      const bool add = o.accumulate || k0 > 0;
      if (!reads_a)
        parallel_for(ceil_div(panels, packed_at_once), [&](int64_t job) {
          const int64_t q = job * packed_at_once, count = min(packed_at_once, panels - q);
          o.template pack_a_panels<W>(m0 + q * MR, count, k0, depth, packed + q * MR * ROW);
        });
      const PanelOfA rows = reads_a ? PanelOfA{o.a + m0 * o.lda + k0, o.lda} : PanelOfA{packed, ROW};
      parallel_for(ceil_div(column_panels, per_job), [&](int64_t job) {
        const int64_t first = job * per_job, count = min(per_job, column_panels - first);
        float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(per_job * NR * depth) * 4));
        if (memory == nullptr) return;
        o.template pack_b_panels<W>(first * NR, count, k0, depth, memory);
        const Ahead ahead = o.ahead_of_b((first + per_job * threads) * NR, per_job, k0, depth);
        for (int64_t p = 0; p < count; p++)
          for (int64_t q = 0; q < panels; q++) {
            ahead.ask(p * panels + q, count * panels);
            o.template tile<TRANS_A, W>(rows.panel(q), memory + p * NR * depth, o.c, m0 + q * MR, (first + p) * NR,
                                        depth, add);
          }
      });
    }
  }
}

/// k of a small result of a long sum (the gradient of a weight) is cut into at most 16 segments, by size alone: the
/// sums of the segments add up in order.
int64_t segment_of(int64_t k) { return ceil_div(k, 16) > SEGMENT ? ceil_div(k, 16) : SEGMENT; }

/// Such a result on one or two threads: each takes rows or columns of it, whichever are more, and packs what it needs
/// of both operands, segment by segment, without waiting for the other.
template <bool TRANS_A, Words W>
void own_parts(const Operands& o, int64_t segment) {
  constexpr int64_t together = 8;
  const int64_t panels = ceil_div(o.m, MR), column_panels = ceil_div(o.n, NR), parts = thread_count();
  parallel_for(parts, [&](int64_t part) {
    const bool by_rows = o.m >= o.n;
    const int64_t q0 = by_rows ? panels * part / parts : 0, q1 = by_rows ? panels * (part + 1) / parts : panels;
    const int64_t p0 = by_rows ? 0 : column_panels * part / parts;
    const int64_t count = (by_rows ? column_panels : column_panels * (part + 1) / parts) - p0;
    const int64_t packed_b = count * NR * segment;
    float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(packed_b + together * MR * ROW) * 4));
    if (memory == nullptr) return;
    for (int64_t k0 = 0; k0 < o.k; k0 += segment) {
      const int64_t depth = min(segment, o.k - k0), next = k0 + segment, next_depth = min(segment, o.k - next);
      for (int64_t p = 0; p < count; p += 4)
        o.template pack_b_panels<W>((p0 + p) * NR, min(4, count - p), k0, depth, memory + p * NR * depth);
      const Ahead next_b = o.ahead_of_b(p0 * NR, next < o.k ? count : 0, next, next_depth);
      for (int64_t q = q0; q < q1; q += together) {
        const int64_t some = min(together, q1 - q);
        const PanelOfA rows = o.template panels_of_a<W>(q * MR, some, k0, depth, memory + packed_b);
        const bool last = q + together >= q1;
        const Ahead next_a = last ? o.ahead_of_a(q0 * MR, next < o.k ? together : 0, next, next_depth)
                                  : o.ahead_of_a((q + together) * MR, together, k0, depth);
        for (int64_t p = 0; p < count; p++)
          for (int64_t i = 0; i < some; i++) {
            next_a.ask(p * some + i, count * some);
            next_b.ask((q - q0) * count + p * some + i, (q1 - q0) * count);
            o.template tile<TRANS_A, W>(rows.panel(i), memory + p * NR * depth, o.c, (q + i) * MR, (p0 + p) * NR, depth,
                                        o.accumulate || k0 > 0);
          }
      }
    }
  });
}

/// The same on more threads: each segment is summed by one thread into a partial result of its own. No thread waits for
/// another's packing.
template <bool TRANS_A, Words W>
void split_k(const Operands& o, int64_t segment) {
  const int64_t segments = ceil_div(o.k, segment), size = o.m * o.n;
  float* partial = static_cast<float*>(scratch(0, static_cast<uint64_t>(segments * size) * 4));
  if (partial == nullptr) return;
  constexpr int64_t together = 4;
  const int64_t panels = ceil_div(o.m, MR), column_panels = ceil_div(o.n, NR), deepest = min(KC, segment);
  parallel_for(segments, [&](int64_t s) {
    const int64_t packed_b = column_panels * NR * deepest;
    float* memory = static_cast<float*>(scratch(1, static_cast<uint64_t>(packed_b + together * MR * ROW) * 4));
    if (memory == nullptr) return;
    const int64_t first = s * segment, last = min(o.k, first + segment);
    for (int64_t k0 = first; k0 < last; k0 += KC) {
      const int64_t depth = min(KC, last - k0);
      for (int64_t p = 0; p < column_panels; p += together)
        o.template pack_b_panels<W>(p * NR, together, k0, depth, memory + p * NR * depth);
      for (int64_t q = 0; q < panels; q += together) {
        const PanelOfA rows = o.template panels_of_a<W>(q * MR, together, k0, depth, memory + packed_b);
        for (int64_t p = 0; p < column_panels; p++)
          for (int64_t i = 0; i < min(together, panels - q); i++)
            o.template tile<TRANS_A, W>(rows.panel(i), memory + p * NR * depth, partial + s * size, (q + i) * MR,
                                        p * NR, depth, k0 > first);
      }
    }
  });
  constexpr int64_t block = 1 << 12;
  parallel_for(ceil_div(size, block), [&](int64_t b) {
    const int64_t end = min(size, (b + 1) * block);
    const int64_t begin = o.accumulate ? 0 : 1;
    int64_t i = b * block;
    for (; i + lanes <= end; i += lanes) {
      vf sum = load((o.accumulate ? o.c : partial) + i);
      for (int64_t s = begin; s < segments; s++) sum += load(partial + s * size + i);
      store(o.c + i, sum);
    }
    for (; i < end; i++) {
      float sum = (o.accumulate ? o.c : partial)[i];
      for (int64_t s = begin; s < segments; s++) sum += partial[s * size + i];
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
  if (o.m * o.n <= SMALL_RESULT && o.k >= 4 * SEGMENT) {
    const int64_t segment = segment_of(o.k);
    if (thread_count() <= 2 && segment <= KC)
      own_parts<TRANS_A, W>(o, segment);
    else
      split_k<TRANS_A, W>(o, segment);
  } else if (o.n > o.m) {
    share_a<TRANS_A, W>(o);
  } else {
    share_b<TRANS_A, W>(o);
  }
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

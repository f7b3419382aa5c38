// The narrow gate: one byte per weight tells most inactive neurons by a bound that covers all rounding, so that only
// the other rows are read in full. Why the bound holds: docs/narrow-gate.md; its twin: src/kernels/portable/narrow-gate.ts.
#include "decode.h"
#include "philox.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t block_columns = 256;  // NARROW_BLOCK in src/kernels/narrow-index.ts
constexpr int64_t max_job_rows = 256;
/// Beyond this norm nothing is proven: what stays below it cannot overflow on the way.
constexpr double largest_norm = 0x1p60;
constexpr double unit = 0x1p-24;
constexpr int64_t draw_width = 4 * lanes;

// Positions at a time: each of 4 rows has a sum for the block and one for the row.
#if FLICKER_LANES == 16 || defined(__aarch64__)
constexpr int together = 3;  // 24 accumulators of 32 registers
#else
constexpr int together = 2;
#endif

/// `lanes` codes as floats. By intrinsics: GCC takes the compiler's own conversion apart into single bytes.
FLICKER_INLINE vf widen(const int8_t* p) {
#if FLICKER_LANES == 16
  return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif FLICKER_LANES == 8
  return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#elif defined(__x86_64__)
  int32_t four;
  memcpy(&four, p, 4);
  const __m128i zero = _mm_setzero_si128(), words = _mm_unpacklo_epi8(zero, _mm_cvtsi32_si128(four));
  return (vf)_mm_cvtepi32_ps(_mm_srai_epi32(_mm_unpacklo_epi16(zero, words), 24));
#else
  int8_t eight[8] = {};
  memcpy(eight, p, 4);
  return (vf)vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(eight)))));
#endif
}
FLICKER_INLINE vf widen_first(const int8_t* p, int64_t n) {
  int8_t codes[lanes] = {};
  memcpy(codes, p, static_cast<size_t>(n));
  return widen(codes);
}

/// The smallest float that is not below x.
float rounded_up(double x) {
  float nearest = static_cast<float>(x);
  if (!(static_cast<double>(nearest) < x)) return nearest;
  int32_t bits;
  memcpy(&bits, &nearest, 4);
  bits += nearest >= 0 ? 1 : -1;
  memcpy(&nearest, &bits, 4);
  return nearest;
}

/// Σ (a − scale · b)², n terms padded with zeros to a multiple of `lanes`; in f64, where no step over- or underflows.
double squared_distance(const float* a, double scale, const float* b, int64_t n) {
  typedef float half __attribute__((vector_size(lanes * 2)));
  typedef double vd __attribute__((vector_size(lanes * 4)));
  vd sums[2] = {};
  for (int64_t k = 0; k < n; k += lanes)
    for (int i = 0; i < 2; i++) {
      half x, y;
      memcpy(&x, a + k + i * lanes / 2, sizeof x);
      memcpy(&y, b + k + i * lanes / 2, sizeof y);
      const vd off = __builtin_convertvector(x, vd) - scale * __builtin_convertvector(y, vd);
      sums[i] += off * off;
    }
  double total = 0;
  for (int i = 0; i < lanes / 2; i++) total += sums[0][i] + sums[1][i];
  return total;
}

alignas(64) constexpr float no_codes[block_columns] = {};

/// Codes, scale and bound of one block of a row, n columns; adds the squared norms of both to `squares`.
template <typename W>
void index_block(const W* w, int64_t n, double gamma, double slack, int8_t* codes, float* scale, float* bound,
                 double squares[2]) {
  alignas(64) float values[block_columns], near[block_columns];
  vf most = {};
  for (int64_t k = 0; k < n; k += lanes) {
    const vf v = k + lanes <= n ? widen(w + k) : widen_first(w + k, n - k), size = v < 0 ? -v : v;
    store(values + k, v);
    most = size > most ? size : most;
  }
  const float step = reduce_max(most) / 127.f, inverse = 1.f / step;
  // Not where the step is subnormal or infinite; a NaN shows in the norms.
  const bool usable = step > 0 && inverse > 0 && inverse < __builtin_inff() && step < __builtin_inff();
  for (int64_t k = 0; k < n; k += lanes) {
    // Adding 1.5 · 2²³ rounds to a whole number.
    vf code = usable ? load(values + k) * splat(inverse) + splat(12582912.f) - splat(12582912.f) : vf{};
    code = code > 127.f ? splat(127.f) : code;
    code = code < -127.f ? splat(-127.f) : code;
    // What is not a number has no code.
    store(near + k, code == code ? code : vf{});
  }
  for (int64_t k = 0; k < n; k++) codes[k] = static_cast<int8_t>(near[k]);
  *scale = usable ? step : 0.f;
  const double full = squared_distance(values, 0, no_codes, n), narrow = squared_distance(no_codes, *scale, near, n);
  const double error = __builtin_sqrt(squared_distance(values, *scale, near, n));
  *bound = rounded_up((error + gamma * (__builtin_sqrt(full) + __builtin_sqrt(narrow))) * slack);
  squares[0] += full;
  squares[1] += narrow;
}

/// out[i] = the lanes of v[i] together.
template <int N>
FLICKER_INLINE void lane_totals(const vf* v, float* out) {
  constexpr int wholes = N / lanes, rest = N % lanes;
  for (int i = 0; i < wholes; i++) store(out + i * lanes, lane_sums<lanes>(v + i * lanes));
  if constexpr (rest > 0) {
    const vf totals = lane_sums<rest>(v + wholes * lanes);
    memcpy(out + wholes * lanes, &totals, rest * 4);
  }
}

/// out[r][c] = narrow row r · x[c]; rows stand `columns` apart, their scales `blocks` apart. `ahead`: how far behind each
/// row the one lies that is asked for meanwhile.
template <int ROWS, int COLUMNS>
FLICKER_INLINE void narrow_dots(const int8_t* codes, const float* scales, int64_t columns, int64_t ahead,
                                const float* x, float (*out)[COLUMNS]) {
  const int64_t blocks = ceil_div(columns, block_columns);
  vf totals[ROWS][COLUMNS] = {};
  for (int64_t block = 0; block < blocks; block++) {
    vf sums[ROWS][COLUMNS] = {};
    const int64_t end = min(columns, (block + 1) * block_columns);
    int64_t k = block * block_columns;
    const auto vector = [&](int64_t at) {
      vf xs[COLUMNS];
#pragma GCC unroll 8
      for (int c = 0; c < COLUMNS; c++) xs[c] = load(x + c * columns + at);
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; r++) {
        const vf w = widen(codes + r * columns + at);
#pragma GCC unroll 8
        for (int c = 0; c < COLUMNS; c++) sums[r][c] += w * xs[c];
      }
    };
    // A cache line of each row at a time.
    for (; k + 64 <= end; k += 64) {
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; r++) __builtin_prefetch(codes + r * columns + ahead + k, 0, 2);
#pragma GCC unroll 16
      for (int j = 0; j < 64; j += lanes) vector(k + j);
    }
    for (; k + lanes <= end; k += lanes) vector(k);
    if (k < end) {
#pragma GCC unroll 8
      for (int r = 0; r < ROWS; r++) {
        const vf w = widen_first(codes + r * columns + k, end - k);
#pragma GCC unroll 8
        for (int c = 0; c < COLUMNS; c++) sums[r][c] += w * load_first(x + c * columns + k, end - k);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      const vf scale = splat(scales[r * blocks + block]);
#pragma GCC unroll 8
      for (int c = 0; c < COLUMNS; c++) totals[r][c] += scale * sums[r][c];
    }
  }
  lane_totals<ROWS * COLUMNS>(totals[0], out[0]);
}

/// What all rows of a call share.
struct Call {
  NarrowIndex index;
  const float* x;
  float* y;
  NarrowGateShape shape;
  const float* norms;  // (batch × blocks): at least the norm of x in each block; NaN where nothing can be proven
  int64_t blocks;

  /// Is the dot product of `row` with position b below the threshold, given the narrow one?
  bool proven(int64_t row, int64_t b, float dot) const {
    const float *bounds = index.bounds + row * blocks, *norm = norms + b * blocks;
    float bound = static_cast<float>(shape.columns) * 0x1p-140f;
    for (int64_t block = 0; block < blocks; block++) bound += bounds[block] * norm[block];
    return dot + bound < shape.threshold;
  }

  /// verdicts[b·max_job_rows + i] = whether row first + i is proven to be inactive at position b.
  void judge(int64_t first, int64_t count, uint8_t* verdicts) const {
    const auto some = [&]<int ROWS, int COLUMNS>(int64_t i, int64_t b) {
      const int64_t row = first + i, left = shape.rows - row;
      float dots[ROWS][COLUMNS];
      narrow_dots<ROWS, COLUMNS>(index.codes + row * shape.columns, index.scales + row * blocks, shape.columns,
                                 min(tile_rows, left - ROWS) * shape.columns, x + b * shape.columns, dots);
      for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < COLUMNS; c++)
          verdicts[(b + c) * max_job_rows + i + r] = proven(row + r, b + c, dots[r][c]);
    };
    const auto positions = [&]<int ROWS>(int64_t i) {
      int64_t b = 0;
      for (; b + together <= shape.batch; b += together) some.template operator()<ROWS, together>(i, b);
      if (together > 2 && b + 2 <= shape.batch) some.template operator()<ROWS, 2>(i, b), b += 2;
      for (; b < shape.batch; b++) some.template operator()<ROWS, 1>(i, b);
    };
    int64_t i = 0;
    for (; i + tile_rows <= count; i += tile_rows) positions.template operator()<tile_rows>(i);
    for (; i < count; i++) positions.template operator()<1>(i);
    if (shape.draws != nullptr) spare_drawn(first, count, verdicts);
  }

  /// Takes back the verdict on neurons whose draw says that they are not 0 below the threshold.
  void spare_drawn(int64_t first, int64_t count, uint8_t* verdicts) const {
    const uint32_t limit = static_cast<uint32_t>(__builtin_ceil(shape.p * 16777216.0));
    for (int64_t b = 0; b < shape.batch; b++) {
      const Draw& draw = shape.draws[b];
      for (int64_t from = first / draw_width * draw_width; from < first + count; from += draw_width) {
        alignas(64) uint32_t drawn[draw_width];
        draw_block(draw, 0, static_cast<uint32_t>(from), drawn);
        for (int64_t j = 0; j < draw_width; j++) {
          const int64_t i = from + j - first;
          if (i >= 0 && i < count && drawn[j] < limit) verdicts[b * max_job_rows + i] = 0;
        }
      }
    }
  }

  /// Rows [first, first + count) of the result; returns how many rows of `weights` it took.
  template <typename W>
  int64_t run(const W* weights, int64_t first, int64_t count) const {
    uint8_t* verdicts = static_cast<uint8_t*>(scratch(1, static_cast<uint64_t>(max_job_rows * shape.batch)));
    if (verdicts == nullptr) return 0;
    judge(first, count, verdicts);
    // Finite and below the threshold, so that the activation makes an exact 0 of it.
    const float filler = shape.threshold > 0 ? -1.f : 2 * shape.threshold - 1;
    int32_t list[max_job_rows];
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
      bool everywhere = true;
      for (int64_t b = 0; b < shape.batch; b++) {
        const bool inactive = verdicts[b * max_job_rows + i];
        if (inactive) y[b * shape.rows + first + i] = filler;
        everywhere = everywhere && inactive;
      }
      if (!everywhere) list[n++] = static_cast<int32_t>(i);
    }
    each_dot<W>([&](int64_t j) { return weights + (first + list[j]) * shape.columns; }, n, n, x, shape.batch,
                shape.columns, [&](int64_t j, int64_t b, float dot) {
                  if (!verdicts[b * max_job_rows + list[j]]) y[b * shape.rows + first + list[j]] = dot;
                });
    return n;
  }
};

/// norms (blocks): at least ‖x‖₂ in each block, n columns in all; NaN in all of them where nothing can be proven.
void block_norms(const float* x, int64_t n, float* norms) {
  double all = 0;
  const int64_t blocks = ceil_div(n, block_columns);
  for (int64_t block = 0; block < blocks; block++) {
    const int64_t first = block * block_columns, count = min(block_columns, n - first);
    alignas(64) float values[block_columns] = {};
    memcpy(values, x + first, static_cast<size_t>(count) * 4);
    const double sum = squared_distance(values, 0, no_codes, count);
    all += sum;
    // More than 0, for what subnormal products lose.
    norms[block] = rounded_up(__builtin_sqrt(sum) * (1 + 0x1p-30) + 0x1p-120);
  }
  if (__builtin_sqrt(all) <= largest_norm) return;
  for (int64_t block = 0; block < blocks; block++) norms[block] = __builtin_nanf("");
}

}  // namespace

void narrow_index(Weights w, int8_t* codes, float* scales, float* bounds, int64_t rows, int64_t columns) {
  const int64_t blocks = ceil_div(columns, block_columns);
  const double roundings = static_cast<double>(columns + 16) * unit, gamma = roundings / (1 - roundings);
  // For the rounding of the bounds' own sum at run time.
  const double slack = 1 + 2 * static_cast<double>(blocks + 8) * unit;
  dispatch(w, [&]<typename W>(const W* weights) {
    constexpr int64_t rows_per_job = 16;
    parallel_for(ceil_div(rows, rows_per_job), [&](int64_t job) {
      for (int64_t row = job * rows_per_job; row < min(rows, (job + 1) * rows_per_job); row++) {
        double squares[2] = {0, 0};
        for (int64_t block = 0; block < blocks; block++) {
          const int64_t first = row * columns + block * block_columns, at = row * blocks + block;
          index_block(weights + first, min(block_columns, columns - block * block_columns), gamma, slack,
                      codes + first, scales + at, bounds + at, squares);
        }
        const bool provable = __builtin_sqrt(squares[0]) <= largest_norm &&
                              __builtin_sqrt(squares[1]) <= largest_norm && columns < (1 << 20);
        if (provable) continue;
        for (int64_t block = 0; block < blocks; block++) bounds[row * blocks + block] = __builtin_inff();
      }
    });
  });
}

int64_t narrow_gate(Weights w, NarrowIndex index, const float* x, float* y, NarrowGateShape shape) {
  if (shape.rows == 0 || shape.batch == 0) return 0;
  const int64_t blocks = ceil_div(shape.columns, block_columns);
  // Some 64 KiB of codes to a job.
  const int64_t per_job = min(max_job_rows, ceil_div(ceil_div(65536, shape.columns + 1), tile_rows) * tile_rows);
  const int64_t jobs = ceil_div(shape.rows, per_job);
  const uint64_t norms_bytes = static_cast<uint64_t>(shape.batch * blocks * 4 + 63) / 64 * 64;
  char* memory = static_cast<char*>(scratch(0, norms_bytes + static_cast<uint64_t>(jobs) * 8));
  if (memory == nullptr) return 0;
  float* norms = reinterpret_cast<float*>(memory);
  int64_t* counts = reinterpret_cast<int64_t*>(memory + norms_bytes);
  for (int64_t b = 0; b < shape.batch; b++) block_norms(x + b * shape.columns, shape.columns, norms + b * blocks);
  const Call call = {index, x, y, shape, norms, blocks};
  dispatch(w, [&]<typename W>(const W* weights) {
    parallel_for(jobs, [&](int64_t job) {
      const int64_t first = job * per_job;
      counts[job] = call.run(weights, first, min(per_job, shape.rows - first));
    });
  });
  int64_t read = 0;
  for (int64_t job = 0; job < jobs; job++) read += counts[job];
  return read;
}

}  // namespace flicker::FLICKER_ISA

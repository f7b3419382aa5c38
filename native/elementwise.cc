// Elementwise kernels and reductions. Blocks have a fixed size, so partial sums combine in one order whatever the
// number of threads.
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t block_size = 1 << 14;

int64_t blocks_of(int64_t n) { return (n + block_size - 1) / block_size; }

template <typename Body>
void each_block(int64_t n, const Body& body) {
  parallel_for(blocks_of(n),
               [&](int64_t b) { body(b * block_size, (b + 1) * block_size < n ? (b + 1) * block_size : n); });
}

/// Sum over blocks of body(first, end), added in block order.
template <typename Body>
double reduce_blocks(int64_t n, const Body& body) {
  const int64_t blocks = blocks_of(n);
  if (blocks == 0) return 0;
  double* partial = static_cast<double*>(scratch(2, static_cast<uint64_t>(blocks) * 8));
  if (partial == nullptr) return 0;
  parallel_for(blocks, [&](int64_t b) {
    partial[b] = body(b * block_size, (b + 1) * block_size < n ? (b + 1) * block_size : n);
  });
  double total = 0;
  for (int64_t b = 0; b < blocks; b++) total += partial[b];
  return total;
}

}  // namespace

void add(const float* a, const float* b, float* out, int64_t n) {
  each_block(n, [=](int64_t i, int64_t end) {
    for (; i + lanes <= end; i += lanes) store(out + i, load(a + i) + load(b + i));
    for (; i < end; i++) out[i] = a[i] + b[i];
  });
}

void multiply(const float* a, const float* b, float* out, int64_t n) {
  each_block(n, [=](int64_t i, int64_t end) {
    for (; i + lanes <= end; i += lanes) store(out + i, load(a + i) * load(b + i));
    for (; i < end; i++) out[i] = a[i] * b[i];
  });
}

void axpy(float alpha, const float* x, float* y, int64_t n) {
  each_block(n, [=](int64_t i, int64_t end) {
    for (; i + lanes <= end; i += lanes) store(y + i, load(y + i) + load(x + i) * alpha);
    for (; i < end; i++) y[i] += x[i] * alpha;
  });
}

double add_sign(float alpha, const float* x, float* y, int32_t* zeros, int64_t n) {
  const int64_t blocks = blocks_of(n);
  zeros[0] = 0;
  if (blocks == 0) return 0;
  // Of each block the sum of magnitudes and the number of zeros.
  double* partial = static_cast<double*>(scratch(2, static_cast<uint64_t>(blocks) * 16));
  if (partial == nullptr) return 0;
  parallel_for(blocks, [&](int64_t b) {
    int64_t i = b * block_size;
    const int64_t end = (b + 1) * block_size < n ? (b + 1) * block_size : n;
    vf sums = {};
    vi none = {};
    const vf plus = vf{} + alpha, minus = vf{} - alpha;
    for (; i + lanes <= end; i += lanes) {
      const vf at = load(x + i);
      const vi positive = at > vf{}, negative = at < vf{};
      sums += positive ? at : vf{} - at;
      none -= at == vf{};
      store(y + i, load(y + i) + (positive ? plus : negative ? minus : vf{}));
    }
    double total = reduce_add(sums);
    int64_t count = lane_sum(none);
    for (; i < end; i++) {
      total += x[i] > 0.f ? x[i] : -x[i];
      count += x[i] == 0.f;
      if (x[i] > 0.f) y[i] += alpha;
      if (x[i] < 0.f) y[i] -= alpha;
    }
    partial[2 * b] = total;
    partial[2 * b + 1] = static_cast<double>(count);
  });
  double total = 0, count = 0;
  for (int64_t b = 0; b < blocks; b++) {
    total += partial[2 * b];
    count += partial[2 * b + 1];
  }
  zeros[0] = static_cast<int32_t>(count);
  return total;
}

double sum(const float* x, int64_t n) {
  return reduce_blocks(n, [=](int64_t i, int64_t end) {
    vf sums = {};
    for (; i + lanes <= end; i += lanes) sums += load(x + i);
    if (i < end) sums += load_first(x + i, end - i);
    return static_cast<double>(reduce_add(sums));
  });
}

double sum_of_squares(const float* x, int64_t n) {
  return reduce_blocks(n, [=](int64_t first, int64_t end) {
    vf sums = {};
    int64_t i = first;
    for (; i + lanes <= end; i += lanes) sums += load(x + i) * load(x + i);
    if (i < end) sums += load_first(x + i, end - i) * load_first(x + i, end - i);
    const float total = reduce_add(sums);
    if (total <= __FLT_MAX__) return static_cast<double>(total);
    // Squares of finite elements may overflow f32 (from 1.8e19 on), but not double.
    double exact = 0;
    for (i = first; i < end; i++) exact += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return exact;
  });
}

int64_t count_zeros(const float* x, int64_t n) {
  return static_cast<int64_t>(reduce_blocks(n, [=](int64_t i, int64_t end) {
    vi zeros = {};
    for (; i + lanes <= end; i += lanes) zeros -= load(x + i) == vf{};
    int64_t count = lane_sum(zeros);
    for (; i < end; i++) count += x[i] == 0.f;
    return static_cast<double>(count);
  }));
}

void add_bias(float* x, const float* bias, int64_t rows, int64_t width) {
  constexpr int64_t rows_per_block = 64;
  parallel_for((rows + rows_per_block - 1) / rows_per_block, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    for (int64_t r = block * rows_per_block; r < end; r++) {
      float* row = x + r * width;
      int64_t i = 0;
      for (; i + lanes <= width; i += lanes) store(row + i, load(row + i) + load(bias + i));
      for (; i < width; i++) row[i] += bias[i];
    }
  });
}

// Cut by columns: each column is summed over the rows in order.
void column_sums(const float* x, float* out, int64_t rows, int64_t width) {
  constexpr int64_t columns = 64;
  parallel_for((width + columns - 1) / columns, [&](int64_t block) {
    const int64_t first = block * columns, end = first + columns < width ? first + columns : width;
    for (int64_t r = 0; r < rows; r++) {
      const float* row = x + r * width;
      int64_t i = first;
      for (; i + lanes <= end; i += lanes) store(out + i, load(out + i) + load(row + i));
      for (; i < end; i++) out[i] += row[i];
    }
  });
}

}  // namespace flicker::FLICKER_ISA

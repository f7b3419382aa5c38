// RMSNorm (Zhang & Sennrich 2019) and LayerNorm (Ba et al. 2016), forward and backward.
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t rows_per_block = 32;

float dot3(const float* a, const float* b, const float* c, int64_t n) {
  vf sum = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum += load(a + i) * load(b + i) * load(c + i);
  if (i < n) sum += load_first(a + i, n - i) * load_first(b + i, n - i) * load_first(c + i, n - i);
  return reduce_add(sum);
}

float squares(const float* x, int64_t n) {
  vf sum = {};
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) sum += load(x + i) * load(x + i);
  if (i < n) sum += load_first(x + i, n - i) * load_first(x + i, n - i);
  return reduce_add(sum);
}

}  // namespace

void rms_norm(const float* x, const float* weight, float* out, float* rstd, int64_t rows, int64_t width, float eps) {
  parallel_for((rows + rows_per_block - 1) / rows_per_block, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    for (int64_t r = block * rows_per_block; r < end; r++) {
      const float* row = x + r * width;
      float* to = out + r * width;
      const float scale = 1.f / __builtin_sqrtf(squares(row, width) / static_cast<float>(width) + eps);
      rstd[r] = scale;
      int64_t i = 0;
      for (; i + lanes <= width; i += lanes) store(to + i, load(row + i) * scale * load(weight + i));
      for (; i < width; i++) to[i] = row[i] * scale * weight[i];
    }
  });
}

// With y = x·s·w and s = (mean x² + eps)^(−1/2):
// dx = s·(w·dy) − x·s³/width·Σ(w·dy·x);   dw = Σ_rows dy·x·s.
void rms_norm_backward(const float* d_out, const float* x, const float* weight, const float* rstd, float* d_x,
                       float* d_weight, int64_t rows, int64_t width) {
  const int64_t blocks = (rows + rows_per_block - 1) / rows_per_block;
  if (blocks == 0 || width == 0) return;
  // One private row of d_weight per block, added up in block order below.
  float* partial = static_cast<float*>(scratch(2, static_cast<uint64_t>(blocks) * static_cast<uint64_t>(width) * 4));
  if (partial == nullptr) return;
  parallel_for(blocks, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    float* dw = partial + block * width;
    memset(dw, 0, static_cast<size_t>(width) * 4);
    for (int64_t r = block * rows_per_block; r < end; r++) {
      const float *row = x + r * width, *dy = d_out + r * width;
      float* dx = d_x + r * width;
      const float s = rstd[r];
      const float c = dot3(dy, weight, row, width) * s * s * s / static_cast<float>(width);
      int64_t i = 0;
      for (; i + lanes <= width; i += lanes) {
        const vf g = load(dy + i), v = load(row + i);
        store(dx + i, load(dx + i) + (g * load(weight + i) * s - v * c));
        store(dw + i, load(dw + i) + g * v * s);
      }
      for (; i < width; i++) {
        dx[i] += dy[i] * weight[i] * s - row[i] * c;
        dw[i] += dy[i] * row[i] * s;
      }
    }
  });
  column_sums(partial, d_weight, blocks, width);
}

void layer_norm(const float* x, const float* weight, const float* bias, float* out, float* statistics, int64_t rows,
                int64_t width, float eps) {
  parallel_for((rows + rows_per_block - 1) / rows_per_block, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    for (int64_t r = block * rows_per_block; r < end; r++) {
      const float* row = x + r * width;
      float* to = out + r * width;
      vf sum = {};
      int64_t i = 0;
      for (; i + lanes <= width; i += lanes) sum += load(row + i);
      if (i < width) sum += load_first(row + i, width - i);
      const float mean = reduce_add(sum) / static_cast<float>(width);
      vf squares_sum = {};
      for (i = 0; i + lanes <= width; i += lanes) {
        const vf v = load(row + i) - splat(mean);
        squares_sum += v * v;
      }
      float squares_total = reduce_add(squares_sum);
      for (; i < width; i++) squares_total += (row[i] - mean) * (row[i] - mean);
      const float scale = 1.f / __builtin_sqrtf(squares_total / static_cast<float>(width) + eps);
      statistics[2 * r] = mean;
      statistics[2 * r + 1] = scale;
      for (i = 0; i + lanes <= width; i += lanes)
        store(to + i, (load(row + i) - splat(mean)) * scale * load(weight + i) + load(bias + i));
      for (; i < width; i++) to[i] = (row[i] - mean) * scale * weight[i] + bias[i];
    }
  });
}

// With x̂ = (x − mean)·s, y = x̂·w + b and g = w·dy: dx = s·(g − mean(g) − x̂·mean(g·x̂)); dw = Σ_rows dy·x̂; db = Σ_rows
// dy.
void layer_norm_backward(const float* d_out, const float* x, const float* weight, const float* statistics, float* d_x,
                         float* d_weight, float* d_bias, int64_t rows, int64_t width) {
  const int64_t blocks = (rows + rows_per_block - 1) / rows_per_block;
  if (blocks == 0 || width == 0) return;
  // One private row of d_weight per block, added up in block order below.
  float* partial = static_cast<float*>(scratch(2, static_cast<uint64_t>(blocks) * static_cast<uint64_t>(width) * 4));
  if (partial == nullptr) return;
  parallel_for(blocks, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    float* dw = partial + block * width;
    memset(dw, 0, static_cast<size_t>(width) * 4);
    for (int64_t r = block * rows_per_block; r < end; r++) {
      const float *row = x + r * width, *dy = d_out + r * width;
      float* dx = d_x + r * width;
      const float mean = statistics[2 * r], s = statistics[2 * r + 1];
      vf sums = {}, products = {};
      int64_t i = 0;
      for (; i + lanes <= width; i += lanes) {
        const vf g = load(dy + i) * load(weight + i);
        sums += g;
        products += g * (load(row + i) - splat(mean));
      }
      float sum = reduce_add(sums), product = reduce_add(products);
      for (; i < width; i++) {
        sum += dy[i] * weight[i];
        product += dy[i] * weight[i] * (row[i] - mean);
      }
      const float shift = s * sum / static_cast<float>(width), c = product * s * s * s / static_cast<float>(width);
      for (i = 0; i + lanes <= width; i += lanes) {
        const vf dy_i = load(dy + i), v = load(row + i) - splat(mean);
        store(dx + i, load(dx + i) + (dy_i * load(weight + i) * s - splat(shift) - v * c));
        store(dw + i, load(dw + i) + dy_i * v * s);
      }
      for (; i < width; i++) {
        const float v = row[i] - mean;
        dx[i] += dy[i] * weight[i] * s - shift - v * c;
        dw[i] += dy[i] * v * s;
      }
    }
  });
  column_sums(partial, d_weight, blocks, width);
  column_sums(d_out, d_bias, rows, width);
}

}  // namespace flicker::FLICKER_ISA

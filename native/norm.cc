// RMSNorm (Zhang & Sennrich 2019), forward and backward.
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

}  // namespace flicker::FLICKER_ISA

// Attention of new positions over a cache of keys and values. Orders of summation: decode.h.
#include "decode.h"

namespace flicker::FLICKER_ISA {
namespace {

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

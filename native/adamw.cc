// AdamW with decoupled weight decay (Loshchilov & Hutter 2019).
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace flicker::FLICKER_ISA {
namespace {

FLICKER_INLINE vf vsqrt(vf x) {
  for (int i = 0; i < lanes; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
}

}  // namespace

void adam_w(float* param, const float* grad, float* m, float* v, int64_t n, AdamWStep o) {
  const vf beta1 = splat(static_cast<float>(o.beta1)), beta2 = splat(static_cast<float>(o.beta2));
  const vf rest1 = splat(static_cast<float>(1 - o.beta1)), rest2 = splat(static_cast<float>(1 - o.beta2));
  const float correction1 = static_cast<float>(1 - __builtin_pow(o.beta1, o.step));
  const float correction2 = static_cast<float>(1 / __builtin_sqrt(1 - __builtin_pow(o.beta2, o.step)));
  const vf rate = splat(static_cast<float>(o.lr) / correction1);
  const vf keep = splat(static_cast<float>(1 - o.lr * o.weight_decay));
  const vf eps = splat(static_cast<float>(o.eps)), scale = splat(static_cast<float>(o.grad_scale));
  constexpr int64_t block = 1 << 14;
  parallel_for((n + block - 1) / block, [&](int64_t b) {
    const int64_t end = (b + 1) * block < n ? (b + 1) * block : n;
    for (int64_t i = b * block; i < end; i += lanes) {
      const int64_t count = end - i < lanes ? end - i : lanes;
      const bool whole = count == lanes;
      const vf g = (whole ? load(grad + i) : load_first(grad + i, count)) * scale;
      const vf m1 = (whole ? load(m + i) : load_first(m + i, count)) * beta1 + g * rest1;
      const vf v1 = (whole ? load(v + i) : load_first(v + i, count)) * beta2 + g * g * rest2;
      const vf p = whole ? load(param + i) : load_first(param + i, count);
      const vf p1 = p * keep - rate * m1 / (vsqrt(v1) * correction2 + eps);
      if (whole) {
        store(m + i, m1), store(v + i, v1), store(param + i, p1);
      } else {
        store_first(m + i, m1, count), store_first(v + i, v1, count), store_first(param + i, p1, count);
      }
    }
  });
}

}  // namespace flicker::FLICKER_ISA

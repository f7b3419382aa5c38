// Vector elementary functions for f32, accurate to about 2 units in the last place on the ranges that kernels use.
#pragma once

#include "simd.h"

namespace flicker::FLICKER_ISA {

FLICKER_INLINE vf vmax(vf a, vf b) { return a > b ? a : b; }
FLICKER_INLINE vf vmin(vf a, vf b) { return a < b ? a : b; }

/// eˣ; below −87.3 exactly 0, above 88.7 infinity.
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, eˣ = 2ⁿ·eʳ, eʳ by its Taylor polynomial of degree 7 (remainder < 6e-9).
FLICKER_INLINE vf vexp(vf x) {
  const vf magic = splat(12582912.f);  // 1.5·2²³: adding it rounds to the nearest integer
  const vf clamped = vmin(vmax(x, splat(-88.f)), splat(89.f));
  const vf shifted = clamped * splat(1.44269504f) + magic;
  const vf n = shifted - magic;
  vf r = clamped - n * splat(0.693359375f);
  r = r + n * splat(2.12194440e-4f);  // ln 2 in two parts, the first exact in few bits
  vf p = splat(1.98412698e-4f);
  p = p * r + splat(1.38888889e-3f);
  p = p * r + splat(8.33333333e-3f);
  p = p * r + splat(4.16666667e-2f);
  p = p * r + splat(1.66666667e-1f);
  p = p * r + splat(0.5f);
  p = p * r + splat(1.f);
  p = p * r + splat(1.f);
  // Two factors, since 2¹²⁸ is not a float but e⁸⁸·⁷ is.
  const vi exponent = as_int(shifted) - as_int(magic);
  const vi half = exponent >> 1;
  const vf scale = as_float((half + 127) << 23), rest = as_float((exponent - half + 127) << 23);
  vf y = p * scale * rest;
  y = x < splat(-87.33f) ? vf{} : y;
  y = x > splat(88.72f) ? splat(__builtin_inff()) : y;
  return x != x ? x : y;
}

/// 1 / (1 + e⁻ˣ).
FLICKER_INLINE vf vsigmoid(vf x) { return splat(1.f) / (splat(1.f) + vexp(-x)); }

}  // namespace flicker::FLICKER_ISA

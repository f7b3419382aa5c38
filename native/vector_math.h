// Vector elementary functions for f32. Largest errors in units in the last place (ulp), held by
// test/kernels/vector-math.test.ts; results below the smallest normal number (1.2e-38) are 0.
//   exp 1.2, tanh 1.3, erf 1.2, log 1, log1p 1.5, expm1 1.6, softplus 2, atan 2, sigmoid 2.4, φ 2.2, Φ 5.5
//   sin, cos 1.5 for |x| ≤ 3, 3.2 for |x| ≤ 1000
// Polynomials without a name are fitted in 50 digits at Chebyshev nodes; each is good to 2e-8 of its function.
#pragma once

#include "simd.h"

namespace flicker::FLICKER_ISA {

FLICKER_INLINE vf vmax(vf a, vf b) { return a > b ? a : b; }
FLICKER_INLINE vf vmin(vf a, vf b) { return a < b ? a : b; }
FLICKER_INLINE vf vabs(vf x) { return as_float(as_int(x) & 0x7fffffff); }
/// |x| with the sign of s.
FLICKER_INLINE vf with_sign(vf x, vf s) { return as_float((as_int(x) & 0x7fffffff) | (as_int(s) & INT32_MIN)); }

/// c[0] + c[1]·x + … + c[N − 1]·xᴺ⁻¹.
template <int N>
FLICKER_INLINE vf polynomial(vf x, const float (&c)[N]) {
  vf sum = splat(c[N - 1]);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; i--) sum = sum * x + splat(c[i]);
  return sum;
}

/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; n as a float whose last bits are the integer (see exponent_of).
FLICKER_INLINE vf reduce_exponent(vf x, vf& shifted) {
  const vf magic = splat(12582912.f);  // 1.5·2²³: adding it rounds to the nearest integer
  shifted = x * splat(1.44269504f) + magic;
  const vf n = shifted - magic;
  const vf r = x - n * splat(0.693359375f);
  return r + n * splat(2.12194440e-4f);  // ln 2 in two parts, the first exact in few bits
}
FLICKER_INLINE vi exponent_of(vf shifted) { return as_int(shifted) - as_int(splat(12582912.f)); }

/// eʰⁱ⁺ˡᵒ for a small lo; below −87.33 exactly 0, above 88.72 infinity.
/// x = n·ln 2 + r, eˣ = 2ⁿ·eʳ, eʳ by its Taylor polynomial of degree 7 (remainder < 6e-9).
FLICKER_INLINE vf vexp_sum(vf hi, vf lo) {
  vf shifted;
  const vf r = reduce_exponent(hi, shifted) + lo;
  const vf p = polynomial(r, {1.f, 1.f, 0.5f, 1.66666667e-1f, 4.16666667e-2f, 8.33333333e-3f, 1.38888889e-3f,
                              1.98412698e-4f});
  // n, in the last bits of `shifted`, moves to the exponent: within the limits the result is a normal float. Beyond them
  // the sum wraps, which only unsigned numbers may.
  vf y = (vf)((vu)p + ((vu)shifted << 23));
  y = hi < splat(-87.33f) ? vf{} : y;
  return hi <= splat(88.72f) ? y : hi * splat(__builtin_inff());  // NaN too
}
FLICKER_INLINE vf vexp(vf x) { return vexp_sum(x, vf{}); }

/// eˣ − 1, exact near 0.
FLICKER_INLINE vf vexpm1(vf x) {
  const vf clamped = vmin(vmax(x, splat(-30.f)), splat(89.f));
  vf shifted;
  const vf r = reduce_exponent(clamped, shifted);
  const vf p = polynomial(r, {0.5f, 1.66666667e-1f, 4.16666667e-2f, 8.33333333e-3f, 1.38888889e-3f, 1.98412698e-4f});
  const vi exponent = exponent_of(shifted), half = exponent >> 1;
  const vf scale = as_float((half + 127) << 23), rest = as_float((exponent - half + 127) << 23);
  // 2ⁿ·(eʳ − 1) + (2ⁿ − 1), both halves of 2ⁿ kept apart: 2¹²⁸ is not a float.
  const vf y = ((r + r * r * p) * scale + (scale - splat(1.f) / rest)) * rest;
  return x != x ? x : x > splat(88.72f) ? splat(__builtin_inff()) : y;
}

/// 1 / (1 + e⁻ˣ).
FLICKER_INLINE vf vsigmoid(vf x) { return splat(1.f) / (splat(1.f) + vexp(-x)); }

/// ln x: −∞ at 0, NaN below.
FLICKER_INLINE vf vlog(vf x) {
  const vi tiny = x < splat(1.17549435e-38f);
  const vi bits = as_int(tiny ? x * splat(8388608.f) : x);
  // x = 2ᵏ·m with m in [√½, √2).
  const vi k = (bits - 0x3f3504f3) >> 23;
  const vf f = as_float(bits - (k << 23)) - splat(1.f);
  const vf n = __builtin_convertvector(tiny ? k - 23 : k, vf);
  const vf p = polynomial(f, {0.3333333073f, -0.2500030642f, 0.2000104509f, -0.1664128146f, 0.1421449592f,
                              -0.1299818376f, 0.1262231985f, -0.07902743772f});
  const vf square = f * f;
  vf y = f * square * p + n * splat(-2.12194440e-4f);
  y = y - splat(0.5f) * square + f;
  y = y + n * splat(0.693359375f);
  y = x == vf{} ? splat(-__builtin_inff()) : y;
  y = x < vf{} ? splat(__builtin_nanf("")) : y;
  return x < splat(__builtin_inff()) ? y : x;
}

/// ln(1 + x), exact near 0.
FLICKER_INLINE vf vlog1p(vf x) {
  const vf u = splat(1.f) + x;
  // What rounding took from 1 + x, to first order.
  const vf lost = x > splat(1.f) ? splat(1.f) - (u - x) : x - (u - splat(1.f));
  const vf y = vlog(u) + lost / u;
  return x > splat(-1.f) && x < splat(1e30f) ? y : vlog(u);
}

/// ln(1 + eˣ).
FLICKER_INLINE vf vsoftplus(vf x) {
  const vf y = vmax(x, vf{}) + vlog1p(vexp(-vabs(x)));
  return x != x ? x : y;
}

FLICKER_INLINE vf vtanh(vf x) {
  const vf a = vabs(x), z = x * x;
  const vf small = x + x * (z * polynomial(z, {-0.3333333033f, 0.1333291535f, -0.05387394749f, 0.02111095406f,
                                               -0.006269113584f}));
  const vf large = splat(1.f) - splat(2.f) / (vexp(a + a) + splat(1.f));
  return a < splat(0.6f) ? small : x != x ? x : with_sign(large, x);
}

/// e^(−x²·half) for half = 1 or ½, with x² in two parts so that large x lose nothing.
FLICKER_INLINE vf vexp_square(vf x, float half) {
  const vf top = as_float(as_int(x) & ~0xfff);  // 12 bits: its square is exact
  const vf rest = (x - top) * (x + top);
  return vexp_sum(top * top * splat(-half), rest * splat(-half));
}

/// e^(a²)·erfc(a) for a ≥ 0.
FLICKER_INLINE vf scaled_erfc(vf a) {
  const vf t = splat(2.f) / (splat(2.f) + a);
  const vf y = t + t - splat(1.f);
  return t * polynomial(y, {0.5107913559f, 0.3435803092f, 0.1397357948f, 0.01822181732f, -0.0107521843f,
                            -0.003244053095f, 0.001530902844f, 0.0004315480311f, -0.0003015681974f, -3.701364256e-5f,
                            4.309679953e-5f});
}

FLICKER_INLINE vf verf(vf x) {
  const vf a = vabs(x), z = x * x;
  const vf small = x + x * polynomial(z, {0.128379166f, -0.3761262667f, 0.1128359471f, -0.02685421193f, 0.005189087281f,
                                      -0.0008016863154f, 7.875871584e-5f});
  const vf large = splat(1.f) - vexp_square(a, 1.f) * scaled_erfc(a);
  return a < splat(1.f) ? small : x != x ? x : with_sign(large, x);
}

/// Φ(x), and φ(x), the normal distribution's.
FLICKER_INLINE void vnormal(vf x, vf& cdf, vf& pdf) {
  const vf e = vexp_square(x, 0.5f);
  const vf tail = splat(0.5f) * e * scaled_erfc(vabs(x) * splat(0.707106781f));
  cdf = x < vf{} ? tail : x != x ? x : splat(1.f) - tail;
  pdf = e * splat(0.398942280f);
}
FLICKER_INLINE vf vnormal_cdf(vf x) {
  vf cdf, pdf;
  vnormal(x, cdf, pdf);
  return cdf;
}
FLICKER_INLINE vf vnormal_pdf(vf x) { return vexp_square(x, 0.5f) * splat(0.398942280f); }

FLICKER_INLINE vf vatan(vf x) {
  const vf a = vabs(x), one = splat(1.f);
  const vi far = a > splat(2.41421356f), middle = a > splat(0.414213562f);
  // atan a = offset + atan z with |z| ≤ tan(π/8).
  const vf z = far ? -one / a : middle ? (a - one) / (a + one) : a;
  const vf offset = far ? splat(1.57079633f) : middle ? splat(0.785398163f) : vf{};
  const vf lower = far ? splat(-4.37113883e-8f) : middle ? splat(-2.18556941e-8f) : vf{};
  const vf s = z * z;
  const vf p = s * polynomial(s, {-0.3333333169f, 0.199995234f, -0.1426336657f, 0.1073739692f, -0.0643103858f});
  return x != x ? x : with_sign(offset + (z + (z * p + lower)), x);
}

/// sin x (quarter 0) or cos x (quarter 1); |x| up to 10⁵ keeps its meaning.
FLICKER_INLINE vf sine(vf x, int32_t quarter) {
  const vf magic = splat(12582912.f);
  const vf shifted = x * splat(0.636619772f) + magic;
  const vf n = shifted - magic;
  // π/2 in three parts, n times the first two exact.
  vf r = x - n * splat(1.5703125f);
  r = r - n * splat(4.83751297e-4f);
  r = r - n * splat(7.54978995e-8f);
  const vi q = exponent_of(shifted) + quarter;
  const vf z = r * r;
  const vf sin = r + r * (z * polynomial(z, {-0.166666646f, 0.008332736559f, -0.000195853732f}));
  const vf cos = splat(1.f) - splat(0.5f) * z + z * z * polynomial(z, {0.0416666646f, -0.00138882913f, 2.454541907e-5f});
  const vf y = (q & 1) != 0 ? cos : sin;
  return (q & 2) != 0 ? -y : y;
}
FLICKER_INLINE vf vsin(vf x) { return sine(x, 0); }
FLICKER_INLINE vf vcos(vf x) { return sine(x, 1); }

FLICKER_INLINE vf vsqrt(vf x) {
  for (int i = 0; i < lanes; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
}

}  // namespace flicker::FLICKER_ISA

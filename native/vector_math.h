// Vector elementary functions for f32. Largest errors in units in the last place (ulp), held by
// test/kernels/vector-math.test.ts; results below the smallest normal number (1.2e-38) may be 0.
//   exp 1.2, tanh 1.3, erf 1.3, log 1, log1p 1.5, expm1 1.6, softplus 2, atan 2, sigmoid 2, φ 1.3
//   Φ 1.9, 2.3 where there is no fused multiply-add; x·Φ(x) 2.1, its slope 4 for x ≤ −1.5, elsewhere 1 ulp of 1
//   sin, cos 1.5 for |x| ≤ 3, 3.2 for |x| ≤ 1000
// Polynomials and quotients of them without a name are our own fits to values of 40 or 50 digits; each is good to 2e-8
// of its function.
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

/// eˣ; below −87.33 exactly 0, above 88.72 infinity.
/// x = n·ln 2 + r, eˣ = 2ⁿ·eʳ, eʳ by its Taylor polynomial of degree 7 (remainder < 6e-9).
FLICKER_INLINE vf vexp(vf x) {
  vf shifted;
  const vf r = reduce_exponent(x, shifted);
  const vf p =
      polynomial(r, {1.f, 1.f, 0.5f, 1.66666667e-1f, 4.16666667e-2f, 8.33333333e-3f, 1.38888889e-3f, 1.98412698e-4f});
  // n, in the last bits of `shifted`, moves to the exponent: within the limits the result is a normal float. Beyond
  // them the sum wraps, which only unsigned numbers may.
  vf y = (vf)((vu)p + ((vu)shifted << 23));
  y = x < splat(-87.33f) ? vf{} : y;
  return x <= splat(88.72f) ? y : x * splat(__builtin_inff());  // NaN too
}

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

/// 1 / (1 + e⁻ˣ); below −87.33 exactly 0.
FLICKER_INLINE vf vsigmoid(vf x) {
  const vf one = splat(1.f), most = splat(88.f), least = splat(-87.f);
  vf m = -x, shifted;
  m = most < m ? most : m;  // NaN stays
  m = least > m ? least : m;
  // e⁻ˣ = 2ⁿ·(1 + q), added to 1 the smaller parts first.
  const vf r = reduce_exponent(m, shifted);
  const vf q = r * r * polynomial(r, {0.49999994f, 0.1666652f, 0.041668393f, 0.00836878f, 0.0013814487f}) + r;
  const vf scale = (vf)(((vu)shifted << 23) + splat_u32(0x3f800000));
  const vf y = one / (scale + (scale * q + one));
  return x < splat(-87.33f) ? vf{} : y;
}
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
  const vf small =
      x + x * (z * polynomial(z, {-0.3333333033f, 0.1333291535f, -0.05387394749f, 0.02111095406f, -0.006269113584f}));
  const vf large = splat(1.f) - splat(2.f) / (vexp(a + a) + splat(1.f));
  return a < splat(0.6f) ? small : x != x ? x : with_sign(large, x);
}

/// c − a·b, rounded once, where c is a·b but for roundings.
FLICKER_INLINE vf residual(vf c, vf a, vf b) {
#if FLICKER_LANES == 16
  return (vf)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif FLICKER_LANES == 8 && defined(__FMA__)
  return (vf)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (vf)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  // Halves of 12 bits multiply without rounding (Dekker).
  const vf product = a * b;
  const vf a_top = as_float(as_int(a) & ~0xfff), b_top = as_float(as_int(b) & ~0xfff);
  const vf a_rest = a - a_top, b_rest = b - b_top;
  return (c - product) - (((a_top * b_top - product) + a_top * b_rest + a_rest * b_top) + a_rest * b_rest);
#endif
}

/// What Φ(−a), φ(a) and GELU have in common, for a ≥ 0:
///   Φ(−a) = scale·(t + t·z),  φ(a) = scale·φ(0)·(1 + q).
/// What rounding takes from t and from the exponent goes into z, so that the last sum rounds, and little else.
/// scale is 0 from 13.25 on, as are all three.
struct NormalTail {
  vf a, t, z, q, scale;
};
FLICKER_INLINE NormalTail normal_tail(vf x) {
  const vf one = splat(1.f), limit = splat(13.27f);
  const vf size = vabs(x), a = limit < size ? limit : size;  // NaN stays
  // −a²/2 = n·ln 2 + top + rest, the first two exact; e^(−a²/2) = 2ⁿ·(1 + q), q = top + small.
  const vf half = splat(-0.5f) * a, square = a * half, magic = splat(12583039.f);  // 1.5·2²³ + 127: see `scale`
  const vf shifted = square * splat(1.44269504f) + magic, n = shifted - magic, scale = (vf)((vu)shifted << 23);
  const vf top = square - n * splat(0.693359375f), rest = n * splat(2.12194440e-4f) - residual(square, a, half);
  const vf r = top + rest;
  const vf small = r * r * polynomial(r, {0.49999994f, 0.1666652f, 0.041668393f, 0.00836878f, 0.0013814487f}) + rest;
  const vf q = top + small;
  // e^(a²/2)·Φ(−a) = κ/(1 + a)·(1 + g) with g = p/(κ·d) between −0.09 and 0.13.
  const vf kappa = splat(0.46875f), s = one + a, s_rest = a - (s - one);
  const vf p = polynomial(a, {0.14222221f, 0.7019015f, 0.2816605f, 0.022529582f, -0.013579869f, -0.0038204216f});
  const vf d = polynomial(a, {1.f, 1.7013952f, 1.2445725f, 0.49787545f, 0.11144138f, 0.012025669f});
  const vf inverse = kappa / (s * d);
  const vf t = d * inverse, g = p * (s * inverse);
  const vf lost = residual(kappa, t, s) - t * s_rest;
  const vf z = (g * q + ((g + lost * splat(2.133333333f)) + small)) + top;
  return {a, t, z, q, scale};
}

/// Φ(x) and φ(x), the normal distribution's.
FLICKER_INLINE vf vnormal_cdf(vf x) {
  const NormalTail tail = normal_tail(x);
  const vf y = (tail.t + tail.t * tail.z) * tail.scale;
  return x < vf{} ? y : splat(1.f) - y;
}
FLICKER_INLINE vf vnormal_pdf(vf x) {
  const NormalTail tail = normal_tail(x);
  return (splat(0.398942280f) + splat(0.398942280f) * tail.q) * tail.scale;
}

/// x·Φ(x) and, when DERIVATIVE, Φ(x) + x·φ(x).
template <bool DERIVATIVE>
FLICKER_INLINE void vgelu(vf x, vf& value, vf& derivative) {
  const auto [a, t, z, q, scale] = normal_tail(x);
  // a·Φ(−a) = scale·(u + v).
  const vf u = a * t, v = u * z - residual(u, a, t);
  value = ((vf{} < x ? x : vf{}) - u * scale) - v * scale;
  if constexpr (DERIVATIVE) {
    const vf density = splat(0.398942280f) + splat(0.398942280f) * q;
    const vf below = (t + t * z - a * density) * scale;  // at −a
    derivative = x < vf{} ? below : splat(1.f) - below;
  }
}

FLICKER_INLINE vf verf(vf x) {
  const vf a = vabs(x), square = x * x;
  const vf near = x + x * polynomial(square, {0.128379166f, -0.3761262667f, 0.1128359471f, -0.02685421193f,
                                              0.005189087281f, -0.0008016863154f, 7.875871584e-5f});
  // 1 − erfc(a), erfc(a) = 2·Φ(−√2·a).
  const auto [b, t, z, q, scale] = normal_tail(a * splat(1.41421356f));
  const vf far = splat(1.f) - splat(2.f) * (t + t * z) * scale;
  return a < splat(1.f) ? near : with_sign(far, x);
}

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
  const vf cos =
      splat(1.f) - splat(0.5f) * z + z * z * polynomial(z, {0.0416666646f, -0.00138882913f, 2.454541907e-5f});
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

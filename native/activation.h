// The fused activations, a vector at a time: value and derivative for one block of pre-activations and its draws.
#pragma once

#include "philox.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {

constexpr int64_t draw_width = 4 * lanes;

/// 24-bit threshold: SiLU is taken where draw < threshold.
FLICKER_INLINE vi draw_threshold(double p) { return vi{} + static_cast<int32_t>(__builtin_ceil(p * 16777216.0)); }

/// Whether a fused kernel reads draws.
template <int32_t KERNEL>
constexpr bool fused_draws = KERNEL == kStochaIdentity || KERNEL == kStochaSilu || KERNEL == kStochaDrawn;

/// The number of an activation as its kernel compares with it: the threshold of FATReLU, rounded up, so that x < t
/// holds for the same floats as in double precision.
FLICKER_INLINE vf fused_parameter(const Activation& act) {
  float t = static_cast<float>(act.p);
  if (static_cast<double>(t) < act.p) t = __builtin_nextafterf(t, __builtin_inff());
  return splat(t);
}

/// Runs body<kernel>() for the kernel chosen at run time.
template <typename Body>
void dispatch_fused(int32_t kernel, const Body& body) {
  switch (kernel) {
    case kRelu:
      return body.template operator()<kRelu>();
    case kSilu:
      return body.template operator()<kSilu>();
    case kStochaIdentity:
      return body.template operator()<kStochaIdentity>();
    case kStochaSilu:
      return body.template operator()<kStochaSilu>();
    case kStochaDrawn:
      return body.template operator()<kStochaDrawn>();
    case kRelu2:
      return body.template operator()<kRelu2>();
    case kGelu:
      return body.template operator()<kGelu>();
    case kGeluTanh:
      return body.template operator()<kGeluTanh>();
    case kFatrelu:
      return body.template operator()<kFatrelu>();
  }
}

/// f(x) and, when DERIVATIVE, f′(x). `takes_silu` has all bits set in the lanes whose draw chose SiLU; `parameter` is
/// fused_parameter(act).
template <int32_t KERNEL, bool DERIVATIVE>
FLICKER_INLINE void activate(vf x, vi takes_silu, vf parameter, vf& value, vf& derivative) {
  const vf zero = {}, one = splat(1.f);
  // Not `x > 0 ? x : 0`: NaN must pass on, or a broken run would look alive.
  const vf relu = x <= zero ? zero : x, relu_slope = x > zero ? one : zero;
  if constexpr (KERNEL == kRelu) {
    value = relu;
    if constexpr (DERIVATIVE) derivative = relu_slope;
  } else if constexpr (KERNEL == kRelu2) {
    value = relu * relu;
    if constexpr (DERIVATIVE) derivative = relu + relu;
  } else if constexpr (KERNEL == kFatrelu) {
    value = x < parameter ? zero : x;
    if constexpr (DERIVATIVE) derivative = x < parameter ? zero : one;
  } else if constexpr (KERNEL == kGelu) {
    vgelu<DERIVATIVE>(x, value, derivative);
  } else if constexpr (KERNEL == kGeluTanh) {
    // ½·(1 + tanh u) = σ(2u), u = √(2/π)·(x + 0.044715·x³).
    const vf square = x * x;
    const vf s = vsigmoid(x * (splat(1.595769122f) + splat(0.07135481283f) * square));
    value = x * s;
    if constexpr (DERIVATIVE)
      derivative = s + value * (one - s) * (splat(1.595769122f) + splat(0.2140644385f) * square);
  } else {
    const vf s = vsigmoid(x), silu = x * s;
    const vf silu_slope = s + silu * (one - s);
    if constexpr (KERNEL == kSilu) {
      value = silu;
      if constexpr (DERIVATIVE) derivative = silu_slope;
    } else if constexpr (KERNEL == kStochaDrawn) {
      value = takes_silu ? silu : relu;
      if constexpr (DERIVATIVE) derivative = takes_silu ? silu_slope : relu_slope;
    } else {
      const vf negative = takes_silu ? silu : zero, negative_slope = takes_silu ? silu_slope : zero;
      const bool identity = KERNEL == kStochaIdentity;
      value = x > zero ? (identity ? x : silu) : negative;
      if constexpr (DERIVATIVE) derivative = x > zero ? (identity ? one : silu_slope) : negative_slope;
    }
  }
}

}  // namespace flicker::FLICKER_ISA

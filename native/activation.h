// The fused activations, a vector at a time: value and derivative for one block of pre-activations and its draws.
#pragma once

#include "philox.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {

constexpr int64_t draw_width = 4 * lanes;

/// 24-bit threshold: SiLU is taken where draw < threshold.
FLICKER_INLINE vi draw_threshold(double p) {
  return vi{} + static_cast<int32_t>(__builtin_ceil(p * 16777216.0));
}

/// f(x) and, when DERIVATIVE, f′(x). `takes_silu` has all bits set in the lanes whose draw chose SiLU.
template <int32_t KERNEL, bool DERIVATIVE>
FLICKER_INLINE void activate(vf x, vi takes_silu, vf& value, vf& derivative) {
  const vf zero = {}, one = splat(1.f);
  // Not `x > 0 ? x : 0`: NaN must pass on, or a broken run would look alive.
  const vf relu = x <= zero ? zero : x, relu_slope = x > zero ? one : zero;
  if constexpr (KERNEL == kRelu) {
    value = relu;
    if constexpr (DERIVATIVE) derivative = relu_slope;
    return;
  }
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

}  // namespace flicker::FLICKER_ISA

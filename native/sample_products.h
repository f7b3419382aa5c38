// Products of a layer's weights with samples that stand in the lanes: a buffer is (width, stride), `stride` the number
// of samples padded to whole vectors. For layers far too small for the matrix product of gemm.cc.
#pragma once

#include "simd.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Accumulators of a tile: outputs × vectors of samples.
constexpr int tile_outputs = 4, tile_vectors = lanes == 16 ? 4 : 2;

/// out[o] = bias[o] + Σ_i w[o·step_o + i·step_i] · x[i], for O outputs and V vectors of samples.
template <int O, int V>
FLICKER_INLINE void product_tile(const float* w, int64_t step_o, int64_t step_i, const float* bias, const float* x,
                                 int64_t inputs, int64_t stride, float* out) {
  vf sum[O][V];
  for (int o = 0; o < O; o++)
    for (int v = 0; v < V; v++) sum[o][v] = splat(bias == nullptr ? 0.f : bias[o]);
  for (int64_t i = 0; i < inputs; i++) {
    vf in[V];
    for (int v = 0; v < V; v++) in[v] = load(x + i * stride + v * lanes);
    for (int o = 0; o < O; o++) {
      const vf weight = splat(w[o * step_o + i * step_i]);
      for (int v = 0; v < V; v++) sum[o][v] += weight * in[v];
    }
  }
  for (int o = 0; o < O; o++)
    for (int v = 0; v < V; v++) store(out + o * stride + v * lanes, sum[o][v]);
}

template <int O>
void product_rows(const float* w, int64_t step_o, int64_t step_i, const float* bias, const float* x, int64_t inputs,
                  int64_t stride, float* out) {
  int64_t s = 0;
  for (; s + tile_vectors * lanes <= stride; s += tile_vectors * lanes)
    product_tile<O, tile_vectors>(w, step_o, step_i, bias, x + s, inputs, stride, out + s);
  for (; s < stride; s += lanes) product_tile<O, 1>(w, step_o, step_i, bias, x + s, inputs, stride, out + s);
}

/// out (outputs, stride) = weights · x (inputs, stride) + bias.
void product(const float* w, int64_t step_o, int64_t step_i, const float* bias, const float* x, int64_t outputs,
             int64_t inputs, int64_t stride, float* out) {
  int64_t o = 0;
  for (; o + tile_outputs <= outputs; o += tile_outputs)
    product_rows<tile_outputs>(w + o * step_o, step_o, step_i, bias == nullptr ? bias : bias + o, x, inputs, stride,
                               out + o * stride);
  for (; o < outputs; o++)
    product_rows<1>(w + o * step_o, step_o, step_i, bias == nullptr ? bias : bias + o, x, inputs, stride,
                    out + o * stride);
}

template <int O, int I>
FLICKER_INLINE void outer_tile(const float* d_out, const float* x, int64_t inputs, int64_t stride, float* d_w) {
  vf sum[O][I] = {};
  for (int64_t s = 0; s < stride; s += lanes) {
    vf in[I];
    for (int i = 0; i < I; i++) in[i] = load(x + i * stride + s);
    for (int o = 0; o < O; o++) {
      const vf d = load(d_out + o * stride + s);
      for (int i = 0; i < I; i++) sum[o][i] += d * in[i];
    }
  }
  for (int o = 0; o < O; o++)
    for (int i = 0; i < I; i++) d_w[o * inputs + i] = reduce_add(sum[o][i]);
}

template <int O>
void outer_rows(const float* d_out, const float* x, int64_t inputs, int64_t stride, float* d_w) {
  int64_t i = 0;
  for (; i + 4 <= inputs; i += 4) outer_tile<O, 4>(d_out, x + i * stride, inputs, stride, d_w + i);
  for (; i < inputs; i++) outer_tile<O, 1>(d_out, x + i * stride, inputs, stride, d_w + i);
}

/// d_w (outputs, inputs) = Σ over samples of d_out ⊗ x; d_bias = Σ d_out.
void outer_products(const float* d_out, const float* x, int64_t outputs, int64_t inputs, int64_t stride, float* d_w,
                    float* d_bias) {
  int64_t o = 0;
  for (; o + 4 <= outputs; o += 4) outer_rows<4>(d_out + o * stride, x, inputs, stride, d_w + o * inputs);
  for (; o < outputs; o++) outer_rows<1>(d_out + o * stride, x, inputs, stride, d_w + o * inputs);
  for (o = 0; o < outputs; o++) {
    vf sum = {};
    for (int64_t s = 0; s < stride; s += lanes) sum += load(d_out + o * stride + s);
    d_bias[o] = reduce_add(sum);
  }
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

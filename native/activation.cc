// Activations alone and inside the gated FFN, forward and backward. The draws of a stochastic activation are made
// again in the backward pass from their counters; no mask is stored.
#include "activation.h"

#include "kernels.h"
#include "parallel.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t rows_per_block = 16;

/// Calls body(offset, vectors' lane count, takes_silu) for every vector of every row.
template <int32_t KERNEL, typename Body>
void each_vector(int64_t rows, int64_t width, double p, const Draw& draw, const Body& body) {
  const vi threshold = fused_draws<KERNEL> ? draw_threshold(p) : vi{};
  parallel_for((rows + rows_per_block - 1) / rows_per_block, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    for (int64_t r = block * rows_per_block; r < end; r++) {
      if constexpr (fused_draws<KERNEL>) {
        for (int64_t j = 0; j < width; j += draw_width) {
          alignas(64) uint32_t drawn[draw_width];
          draw_block(draw, static_cast<uint32_t>(r), static_cast<uint32_t>(j), drawn);
          for (int64_t i = j; i < width && i < j + draw_width; i += lanes) {
            vi d;
            memcpy(&d, drawn + (i - j), sizeof d);
            body(r * width + i, width - i < lanes ? width - i : lanes, d < threshold);
          }
        }
      } else {
        for (int64_t i = 0; i < width; i += lanes) body(r * width + i, width - i < lanes ? width - i : lanes, vi{});
      }
    }
  });
}

/// Calls body(offset, lane count) for every vector of n elements.
template <typename Body>
void each_block(int64_t n, const Body& body) {
  constexpr int64_t block = 16384;
  parallel_for((n + block - 1) / block, [&](int64_t b) {
    const int64_t end = (b + 1) * block < n ? (b + 1) * block : n;
    for (int64_t at = b * block; at < end; at += lanes) body(at, end - at < lanes ? end - at : lanes);
  });
}

}  // namespace

void activation(Activation act, const float* x, float* out, int64_t rows, int64_t width, Draw draw) {
  const vf parameter = fused_parameter(act);
  dispatch_fused(act.kernel, [&]<int32_t KERNEL>() {
    each_vector<KERNEL>(rows, width, act.p, draw, [=](int64_t at, int64_t n, vi takes_silu) {
      vf value, slope;
      activate<KERNEL, false>(load_n(x + at, n), takes_silu, parameter, value, slope);
      store_n(out + at, value, n);
    });
  });
}

void activation_backward(Activation act, const float* d_out, const float* x, float* d_x, int64_t rows, int64_t width,
                         Draw draw) {
  const vf parameter = fused_parameter(act);
  dispatch_fused(act.kernel, [&]<int32_t KERNEL>() {
    each_vector<KERNEL>(rows, width, act.p, draw, [=](int64_t at, int64_t n, vi takes_silu) {
      vf value, slope;
      activate<KERNEL, true>(load_n(x + at, n), takes_silu, parameter, value, slope);
      store_n(d_x + at, slope * load_n(d_out + at, n), n);
    });
  });
}

void gate(Activation act, const float* gate, const float* up, float* out, int64_t rows, int64_t width, Draw draw) {
  const vf parameter = fused_parameter(act);
  dispatch_fused(act.kernel, [&]<int32_t KERNEL>() {
    each_vector<KERNEL>(rows, width, act.p, draw, [=](int64_t at, int64_t n, vi takes_silu) {
      vf value, slope;
      activate<KERNEL, false>(load_n(gate + at, n), takes_silu, parameter, value, slope);
      store_n(out + at, value * load_n(up + at, n), n);
    });
  });
}

void gate_backward(Activation act, const float* d_out, const float* gate, const float* up, float* d_gate, float* d_up,
                   int64_t rows, int64_t width, Draw draw) {
  const vf parameter = fused_parameter(act);
  dispatch_fused(act.kernel, [&]<int32_t KERNEL>() {
    each_vector<KERNEL>(rows, width, act.p, draw, [=](int64_t at, int64_t n, vi takes_silu) {
      vf value, slope;
      activate<KERNEL, true>(load_n(gate + at, n), takes_silu, parameter, value, slope);
      const vf g = load_n(d_out + at, n);
      store_n(d_gate + at, slope * load_n(up + at, n) * g, n);
      store_n(d_up + at, value * g, n);
    });
  });
}

void drelu(const float* gate, const float* up, float* out, int64_t n) {
  const vf zero = {};
  each_block(n, [=](int64_t at, int64_t count) {
    const vf g = load_n(gate + at, count), u = load_n(up + at, count);
    store_n(out + at, (g <= zero ? zero : g) * (u <= zero ? zero : u), count);
  });
}

void drelu_backward(const float* d_out, const float* gate, const float* up, float* d_gate, float* d_up, int64_t n) {
  const vf zero = {};
  each_block(n, [=](int64_t at, int64_t count) {
    const vf g = load_n(gate + at, count), u = load_n(up + at, count), d = load_n(d_out + at, count);
    store_n(d_gate + at, g > zero ? (u <= zero ? zero : u) * d : zero, count);
    store_n(d_up + at, u > zero ? (g <= zero ? zero : g) * d : zero, count);
  });
}

}  // namespace flicker::FLICKER_ISA

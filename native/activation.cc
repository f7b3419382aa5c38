// Activations alone and inside the gated FFN, forward and backward. The draws of a stochastic activation are made
// again in the backward pass from their counters; no mask is stored.
#include "activation.h"

#include "kernels.h"
#include "parallel.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t rows_per_block = 16;

template <int32_t KERNEL>
constexpr bool draws = KERNEL == kStochaIdentity || KERNEL == kStochaSilu || KERNEL == kStochaDrawn;

/// Calls body(offset, vectors' lane count, takes_silu) for every vector of every row.
template <int32_t KERNEL, typename Body>
void each_vector(int64_t rows, int64_t width, double p, const Draw& draw, const Body& body) {
  const vi threshold = draw_threshold(p);
  parallel_for((rows + rows_per_block - 1) / rows_per_block, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    for (int64_t r = block * rows_per_block; r < end; r++) {
      if constexpr (draws<KERNEL>) {
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
        for (int64_t i = 0; i < width; i += lanes)
          body(r * width + i, width - i < lanes ? width - i : lanes, vi{});
      }
    }
  });
}

FLICKER_INLINE vf load_n(const float* p, int64_t n) { return n == lanes ? load(p) : load_first(p, n); }
FLICKER_INLINE void store_n(float* p, vf v, int64_t n) {
  if (n == lanes)
    store(p, v);
  else
    store_first(p, v, n);
}

/// Runs body<kernel>() for the kernel chosen at run time.
template <typename Body>
void dispatch(int32_t kernel, const Body& body) {
  switch (kernel) {
    case kRelu: return body.template operator()<kRelu>();
    case kSilu: return body.template operator()<kSilu>();
    case kStochaIdentity: return body.template operator()<kStochaIdentity>();
    case kStochaSilu: return body.template operator()<kStochaSilu>();
    case kStochaDrawn: return body.template operator()<kStochaDrawn>();
  }
}

}  // namespace

void activation(Activation act, const float* x, float* out, int64_t rows, int64_t width, Draw draw) {
  dispatch(act.kernel, [&]<int32_t KERNEL>() {
    each_vector<KERNEL>(rows, width, act.p, draw, [=](int64_t at, int64_t n, vi takes_silu) {
      vf value, slope;
      activate<KERNEL, false>(load_n(x + at, n), takes_silu, value, slope);
      store_n(out + at, value, n);
    });
  });
}

void activation_backward(Activation act, const float* d_out, const float* x, float* d_x, int64_t rows, int64_t width,
                         Draw draw) {
  dispatch(act.kernel, [&]<int32_t KERNEL>() {
    each_vector<KERNEL>(rows, width, act.p, draw, [=](int64_t at, int64_t n, vi takes_silu) {
      vf value, slope;
      activate<KERNEL, true>(load_n(x + at, n), takes_silu, value, slope);
      store_n(d_x + at, slope * load_n(d_out + at, n), n);
    });
  });
}

void gate(Activation act, const float* gate, const float* up, float* out, int64_t rows, int64_t width, Draw draw) {
  dispatch(act.kernel, [&]<int32_t KERNEL>() {
    each_vector<KERNEL>(rows, width, act.p, draw, [=](int64_t at, int64_t n, vi takes_silu) {
      vf value, slope;
      activate<KERNEL, false>(load_n(gate + at, n), takes_silu, value, slope);
      store_n(out + at, value * load_n(up + at, n), n);
    });
  });
}

void gate_backward(Activation act, const float* d_out, const float* gate, const float* up, float* d_gate, float* d_up,
                   int64_t rows, int64_t width, Draw draw) {
  dispatch(act.kernel, [&]<int32_t KERNEL>() {
    each_vector<KERNEL>(rows, width, act.p, draw, [=](int64_t at, int64_t n, vi takes_silu) {
      vf value, slope;
      activate<KERNEL, true>(load_n(gate + at, n), takes_silu, value, slope);
      const vf g = load_n(d_out + at, n);
      store_n(d_gate + at, slope * load_n(up + at, n) * g, n);
      store_n(d_up + at, value * g, n);
    });
  });
}

}  // namespace flicker::FLICKER_ISA

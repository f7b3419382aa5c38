// A small stack of linear layers with an activation between them, forward and backward for one batch in one call.
// Samples stand in the lanes: a buffer of a layer is (width, samples), so that layers of four neurons fill vectors too.
// Everything runs on the calling thread: the lab trains one network per thread.
#include "activation.h"
#include "kernels.h"
#include "parallel.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Accumulators of a tile: outputs × vectors of samples.
constexpr int tile_outputs = 4, tile_vectors = lanes == 16 ? 4 : 2;
/// Samples that the forward pass alone takes at a time; a multiple of every number of lanes.
constexpr int64_t forward_block = 128;

int64_t padded(int64_t samples) { return (samples + lanes - 1) / lanes * lanes; }

// Products. `stride` is the distance of rows: the samples, padded to whole vectors.

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

// Data in, loss out.

/// into (features, stride) = rows of x, one sample per column; columns beyond `samples` are zero. `order` may be null.
void gather(const float* x, const int32_t* order, int64_t samples, int64_t features, int64_t stride, float* into) {
  for (int64_t s = 0; s < stride; s++) {
    const float* row = s < samples ? x + (order == nullptr ? s : order[s]) * features : nullptr;
    for (int64_t i = 0; i < features; i++) into[i * stride + s] = row == nullptr ? 0.f : row[i];
  }
}

/// Over the logits (classes, stride) their gradient of the mean loss; 0 in columns beyond `samples`. Returns the sum of
/// the losses.
double cross_entropy_columns(float* logits, const int32_t* y, const int32_t* order, int64_t samples, int64_t classes,
                             int64_t stride) {
  double total = 0;
  const vf share = splat(1.f / static_cast<float>(samples));
  for (int64_t s = 0; s < stride; s += lanes) {
    float* column = logits + s;
    int32_t target[lanes];
    for (int i = 0; i < lanes; i++) target[i] = s + i < samples ? y[order[s + i]] : -1;
    vi wanted;
    memcpy(&wanted, target, sizeof target);
    vf largest = load(column), at_target = {}, sum = {};
    for (int64_t c = 1; c < classes; c++) largest = vmax(largest, load(column + c * stride));
    for (int64_t c = 0; c < classes; c++) {
      const vf shifted = load(column + c * stride) - largest, e = vexp(shifted);
      at_target = wanted == vi{} + static_cast<int32_t>(c) ? shifted : at_target;
      sum += e;
      store(column + c * stride, e);
    }
    const vf factor = wanted < vi{} ? vf{} : share / sum;
    for (int64_t c = 0; c < classes; c++) {
      const vf p = load(column + c * stride) * factor;
      store(column + c * stride, wanted == vi{} + static_cast<int32_t>(c) ? p - share : p);
    }
    for (int i = 0; i < lanes && s + i < samples; i++) total += __builtin_logf(sum[i]) - at_target[i];
  }
  return total;
}

// Draws. Counters as in src/kernels/kernels.ts (`Draw`), with samples in the lanes.

/// words[k] = the random words of neuron 4·quad + k for samples first … first + lanes − 1 of the call.
FLICKER_INLINE void sample_draws(const Draw& draw, int32_t unit, uint32_t quad, int64_t first, vu words[4]) {
  const bool by_neuron = unit == kDrawElement || unit == kDrawNeuron;
  const bool by_sample = unit != kDrawNeuron && unit != kDrawBatch;
  vu row = {};
  if (by_sample)
    for (int i = 0; i < lanes; i++) row[i] = draw.first_row + static_cast<uint32_t>(first + i);
  philox(splat_u32(by_neuron ? quad : 0), row, draw.step, draw.tag, draw.seed_low, draw.seed_high, words);
  if (!by_neuron) words[1] = words[2] = words[3] = words[0];
}

/// Calls body(neuron, first sample, words) for every vector of a layer.
template <typename Body>
void each_drawn(const Draw& draw, int32_t unit, int64_t width, int64_t stride, const Body& body) {
  for (int64_t quad = 0; quad * 4 < width; quad++)
    for (int64_t s = 0; s < stride; s += lanes) {
      vu words[4];
      sample_draws(draw, unit, static_cast<uint32_t>(quad), s, words);
      for (int64_t k = 0; k < 4 && quad * 4 + k < width; k++) body(quad * 4 + k, s, words[k]);
    }
}

/// values ⊙= 0 with probability p, else 1/(1 − p).
void drop(const MlpCall& call, int64_t layer, int64_t width, int64_t stride, float* values) {
  Draw draw = call.draw;
  draw.tag = call.dropout_tag + static_cast<uint32_t>(layer);
  const vi threshold = draw_threshold(call.dropout);
  const vf scale = splat(static_cast<float>(1 / (1 - call.dropout)));
  each_drawn(draw, kDrawElement, width, stride, [=](int64_t neuron, int64_t s, vu words) {
    float* at = values + neuron * stride + s;
    store(at, (vi)(words >> 8) < threshold ? vf{} : load(at) * scale);
  });
}

// Activations. `z` are the pre-activations of one layer; the forward pass leaves the derivative of a fused activation
// in their place, since nothing else is needed of them.

template <int32_t KERNEL>
constexpr bool kernel_draws = KERNEL == kStochaIdentity || KERNEL == kStochaSilu || KERNEL == kStochaDrawn;

template <int32_t KERNEL>
void fused_forward(const MlpCall& call, int64_t layer, int64_t width, int64_t stride, float* z, float* h,
                   bool keep_z) {
  const auto apply = [=](int64_t at, vi takes_silu) {
    vf value, slope;
    activate<KERNEL, true>(load(z + at), takes_silu, value, slope);
    store(h + at, value);
    if (!keep_z) store(z + at, slope);
  };
  if constexpr (kernel_draws<KERNEL>) {
    Draw draw = call.draw;
    draw.tag += static_cast<uint32_t>(layer);
    const vi threshold = draw_threshold(call.activation.p);
    each_drawn(draw, kDrawElement, width, stride, [=](int64_t neuron, int64_t s, vu words) {
      apply(neuron * stride + s, (vi)(words >> 8) < threshold);
    });
  } else {
    for (int64_t at = 0; at < width * stride; at += lanes) apply(at, vi{});
  }
}

void activate_layer(const MlpCall& call, int64_t layer, int64_t width, int64_t stride, float* z, float* h,
                    bool keep_z) {
  switch (call.activation.kernel) {
    case kRelu: return fused_forward<kRelu>(call, layer, width, stride, z, h, keep_z);
    case kSilu: return fused_forward<kSilu>(call, layer, width, stride, z, h, keep_z);
    case kStochaIdentity: return fused_forward<kStochaIdentity>(call, layer, width, stride, z, h, keep_z);
    case kStochaSilu: return fused_forward<kStochaSilu>(call, layer, width, stride, z, h, keep_z);
    case kStochaDrawn: return fused_forward<kStochaDrawn>(call, layer, width, stride, z, h, keep_z);
  }
}

/// d ⊙= the derivative that the forward pass left in place of z.
void activate_layer_backward(int64_t width, int64_t stride, const float* slope, float* d) {
  for (int64_t at = 0; at < width * stride; at += lanes) store(d + at, load(d + at) * load(slope + at));
}

/// One layer: where its numbers stand, and its buffers for one batch.
struct Layer {
  int64_t inputs, outputs;
  /// Offsets into the parameters.
  int64_t weight, bias;
  /// (inputs, stride): what comes in; (outputs, stride): pre-activations, at last the logits.
  float *in, *z;
};

struct Buffers {
  Layer* layers;
  /// (widest, stride) each.
  float *d, *d_next;
};

/// Lays out the buffers for `stride` samples; false when there is no memory.
bool lay_out(const MlpCall& call, int64_t stride, Buffers& buffers) {
  int64_t rows = call.widths[0], widest = call.widths[0];
  for (int64_t l = 1; l <= call.layers; l++) {
    rows += 2 * static_cast<int64_t>(call.widths[l]);
    widest = call.widths[l] > widest ? call.widths[l] : widest;
  }
  buffers.layers = static_cast<Layer*>(scratch(0, static_cast<uint64_t>(call.layers) * sizeof(Layer)));
  float* free = static_cast<float*>(scratch(1, static_cast<uint64_t>(rows + 2 * widest) * static_cast<uint64_t>(stride) * 4));
  if (buffers.layers == nullptr || free == nullptr) return false;
  const auto take = [&free, stride](int64_t width) {
    float* taken = free;
    free += width * stride;
    return taken;
  };
  float* in = take(call.widths[0]);
  int64_t at = 0;
  for (int64_t l = 0; l < call.layers; l++) {
    const int64_t inputs = call.widths[l], outputs = call.widths[l + 1];
    buffers.layers[l] = {inputs, outputs, at, at + inputs * outputs, in, take(outputs)};
    in = take(outputs);
    at += (inputs + 1) * outputs;
  }
  buffers.d = take(widest);
  buffers.d_next = take(widest);
  return true;
}

/// From the first layer's input to the logits. `keep_z`: leave the pre-activations as they are.
void forward(const MlpCall& call, const float* params, const Layer* layers, int64_t stride, bool keep_z) {
  for (int64_t l = 0; l < call.layers; l++) {
    const Layer& layer = layers[l];
    product(params + layer.weight, layer.inputs, 1, params + layer.bias, layer.in, layer.outputs, layer.inputs, stride,
            layer.z);
    if (l + 1 == call.layers) break;
    float* h = layers[l + 1].in;
    activate_layer(call, l, layer.outputs, stride, layer.z, h, keep_z);
    if (call.dropout > 0) drop(call, l, layer.outputs, stride, h);
  }
}

/// Columns of `from` (width, stride) to columns first … first + samples − 1 of `to` (width, all).
void copy_columns(const float* from, int64_t width, int64_t stride, int64_t samples, float* to, int64_t all,
                  int64_t first) {
  for (int64_t j = 0; j < width; j++)
    memcpy(to + j * all + first, from + j * stride, static_cast<size_t>(samples) * 4);
}

}  // namespace

double mlp_gradients(MlpCall call, const float* params, float* grads, const float* x, const int32_t* y,
                     const int32_t* order, int64_t samples) {
  const int64_t stride = padded(samples);
  Buffers buffers;
  if (samples == 0 || !lay_out(call, stride, buffers)) return 0;
  const Layer* layers = buffers.layers;
  gather(x, order, samples, call.widths[0], stride, layers[0].in);
  forward(call, params, layers, stride, false);
  float* logits = layers[call.layers - 1].z;
  const double loss = cross_entropy_columns(logits, y, order, samples, call.widths[call.layers], stride);

  const float* d = logits;
  for (int64_t l = call.layers - 1;; l--) {
    const Layer& layer = layers[l];
    outer_products(d, layer.in, layer.outputs, layer.inputs, stride, grads + layer.weight, grads + layer.bias);
    if (l == 0) break;
    product(params + layer.weight, 1, layer.inputs, nullptr, d, layer.inputs, layer.outputs, stride, buffers.d_next);
    float* kept = buffers.d;
    buffers.d = buffers.d_next;
    buffers.d_next = kept;
    if (call.dropout > 0) drop(call, l - 1, layer.inputs, stride, buffers.d);
    activate_layer_backward(layer.inputs, stride, layers[l - 1].z, buffers.d);
    d = buffers.d;
  }
  return loss;
}

void mlp_forward(MlpCall call, const float* params, const float* x, int64_t samples, float* pre, float* hidden,
                 float* logits) {
  const int64_t first_row = call.draw.first_row;
  for (int64_t first = 0; first < samples; first += forward_block) {
    const int64_t n = samples - first < forward_block ? samples - first : forward_block, stride = padded(n);
    Buffers buffers;
    if (!lay_out(call, stride, buffers)) return;
    const Layer* layers = buffers.layers;
    call.draw.first_row = static_cast<uint32_t>(first_row + first);
    gather(x + first * call.widths[0], nullptr, n, call.widths[0], stride, layers[0].in);
    forward(call, params, layers, stride, true);
    int64_t at = 0;
    for (int64_t l = 0; l + 1 < call.layers; l++) {
      const int64_t width = layers[l].outputs;
      if (pre != nullptr) copy_columns(layers[l].z, width, stride, n, pre + at, samples, first);
      if (hidden != nullptr) copy_columns(layers[l + 1].in, width, stride, n, hidden + at, samples, first);
      at += width * samples;
    }
    const Layer& last = layers[call.layers - 1];
    for (int64_t s = 0; s < n; s++)
      for (int64_t c = 0; c < last.outputs; c++) logits[(first + s) * last.outputs + c] = last.z[c * stride + s];
  }
}

}  // namespace flicker::FLICKER_ISA

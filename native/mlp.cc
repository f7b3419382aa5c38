// A small stack of linear layers with an activation between them, forward and backward for one batch in one call.
// Samples stand in the lanes: a buffer of a layer is (width, samples), so that layers of four neurons fill vectors too.
// Everything runs on the calling thread: the lab trains one network per thread.
#include "activation.h"
#include "activation_program.h"
#include "kernels.h"
#include "parallel.h"
#include "sample_products.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Samples that the forward pass alone takes at a time; a multiple of every number of lanes.
constexpr int64_t forward_block = 128;

int64_t padded(int64_t samples) { return (samples + lanes - 1) / lanes * lanes; }

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

// Draws. Counters as in src/kernels/interface/training.ts (`Draw`), with samples in the lanes.

/// words[k] = the random words of neuron 4·quad + k for samples first … first + lanes − 1 of the call.
FLICKER_INLINE void sample_draws(const Draw& draw, int32_t per, uint32_t quad, int64_t first, vu words[4]) {
  const bool by_neuron = per == kPerElement || per == kPerNeuron;
  const bool by_sample = per != kPerNeuron && per != kPerBatch;
  vu row = {};
  if (by_sample)
    for (int i = 0; i < lanes; i++) row[i] = draw.first_row + static_cast<uint32_t>(first + i);
  philox(splat_u32(by_neuron ? quad : 0), row, draw.step, draw.tag, draw.seed_low, draw.seed_high, words);
  if (!by_neuron) words[1] = words[2] = words[3] = words[0];
}

/// Calls body(first element, the 24-bit draws) for every vector of a layer.
template <typename Body>
void each_drawn(const Draw& draw, int32_t per, int64_t width, int64_t stride, const Body& body) {
  for (int64_t quad = 0; quad * 4 < width; quad++)
    for (int64_t s = 0; s < stride; s += lanes) {
      vu words[4];
      sample_draws(draw, per, static_cast<uint32_t>(quad), s, words);
      for (int64_t k = 0; k < 4 && quad * 4 + k < width; k++) body((quad * 4 + k) * stride + s, (vi)(words[k] >> 8));
    }
}

/// The draws of hidden layer `layer`, whose tag is that many more than the first one's.
Draw of_layer(Draw draw, uint32_t tag, int64_t layer) {
  draw.tag = tag + static_cast<uint32_t>(layer);
  return draw;
}

/// values ⊙= 0 with probability p, else 1/(1 − p).
void drop(const MlpCall& call, int64_t layer, int64_t width, int64_t stride, float* values) {
  const vi threshold = draw_threshold(call.dropout);
  const vf scale = splat(static_cast<float>(1 / (1 - call.dropout)));
  each_drawn(of_layer(call.draw, call.dropout_tag, layer), kPerElement, width, stride,
             [=](int64_t at, vi draws) { store(values + at, draws < threshold ? vf{} : load(values + at) * scale); });
}

/// One layer: the offsets of its parameters, and its buffers for one batch.
struct Layer {
  int64_t inputs, outputs;
  /// Offsets into the parameters.
  int64_t weight, bias, learned;
  /// (inputs, stride): what comes in; (outputs, stride): pre-activations, at last the logits.
  float *in, *z;
  /// (channels, outputs, stride): uniform draws of the activation, where a program reads them.
  float* draws;
  /// (learned parameters, outputs, stride): derivatives of the activation by each of them.
  float* by_learned;
};

// Activations. While training the forward pass also computes the derivatives: that by z replaces z, of which
// nothing else is needed.

template <int32_t KERNEL>
void fused_forward(const MlpCall& call, int64_t l, const Layer& layer, int64_t stride, float* h, bool train) {
  float* z = layer.z;
  const vf parameter = fused_parameter(call.activation);
  const auto apply = [=](int64_t at, vi takes_silu) {
    vf value, slope;
    activate<KERNEL, true>(load(z + at), takes_silu, parameter, value, slope);
    store(h + at, value);
    if (train) store(z + at, slope);
  };
  if constexpr (fused_draws<KERNEL>) {
    const vi threshold = draw_threshold(call.activation.p);
    each_drawn(of_layer(call.draw, call.draw.tag, l), kPerElement, layer.outputs, stride,
               [=](int64_t at, vi drawn) { apply(at, drawn < threshold); });
  } else {
    for (int64_t at = 0; at < layer.outputs * stride; at += lanes) apply(at, vi{});
  }
}

alignas(64) constexpr float no_draws[lanes] = {};

void fill_draws(const MlpCall& call, int64_t l, const Layer& layer, int64_t stride) {
  if (call.draw_unit == kNoDraws) return;
  for (int64_t c = 0; c < call.channels; c++) {
    float* into = layer.draws + c * layer.outputs * stride;
    const Draw draw = of_layer(call.draw, call.draw.tag + (static_cast<uint32_t>(c) << 24), l);
    each_drawn(draw, call.draw_unit, layer.outputs, stride, [=](int64_t at, vi drawn) {
      store(into + at, __builtin_convertvector(drawn, vf) * splat(5.9604644775390625e-8f));
    });
  }
}

/// Runs `program` over the layer and calls body(machine, first element, elements) after each block. Blocks stay within
/// one neuron where neurons have learned parameters, else they run on over all of them.
template <typename Body>
void run_program(const MlpCall& call, const MlpProgram& program, int64_t l, const Layer& layer, const float* params,
                 int64_t stride, const Body& body) {
  float* memory = static_cast<float*>(scratch(2, static_cast<uint64_t>(program_memory(program.code)) * 4));
  if (memory == nullptr) return;
  ProgramMachine machine(program.code, program.uniforms + l * program.code[0], memory);
  const bool by_neuron = call.neuron_learned > 0;
  const int64_t rows = by_neuron ? layer.outputs : 1, length = by_neuron ? stride : layer.outputs * stride;
  for (int64_t j = 0; j < rows; j++) {
    alignas(64) float numbers[max_program_slots / 8][lanes];
    for (int64_t start = 0; start < length; start += program_block) {
      const int64_t at = j * length + start, n = length - start < program_block ? length - start : program_block;
      for (int i = 0; i < machine.inputs; i++) {
        const int32_t index = machine.input_index(i);
        switch (machine.input_kind(i)) {
          case kInputX:
            machine.set_input(i, {layer.z + at, -1});
            break;
          case kInputDraw:
            machine.set_input(i, call.draw_unit == kNoDraws
                                     ? Operand{no_draws, 0}
                                     : Operand{layer.draws + index * layer.outputs * stride + at, -1});
            break;
          case kInputNeuron:
            store(numbers[index], splat(params[layer.learned + call.shared_learned + index * layer.outputs + j]));
            machine.set_input(i, {numbers[index], 0});
        }
      }
      machine.run(n);
      body(machine, at, n);
    }
  }
}

/// to[0 … n) = an output of a program.
FLICKER_INLINE void copy_output(Operand from, int64_t n, float* to) {
  for (int64_t i = 0; i < n; i += lanes) store(to + i, load(from.values + (i & from.mask)));
}

/// out = output 0 of the program.
void program_values(const MlpCall& call, const MlpProgram& program, int64_t l, const Layer& layer, const float* params,
                    int64_t stride, float* out) {
  run_program(call, program, l, layer, params, stride,
              [=](ProgramMachine& machine, int64_t at, int64_t n) { copy_output(machine.output(0), n, out + at); });
}

/// The value to h, the derivatives to where the backward pass finds them.
void program_values_and_slopes(const MlpCall& call, int64_t l, const Layer& layer, const float* params, int64_t stride,
                               float* h) {
  const int64_t numbers = call.shared_learned + call.neuron_learned, size = layer.outputs * stride;
  run_program(call, call.backward, l, layer, params, stride, [=](ProgramMachine& machine, int64_t at, int64_t n) {
    copy_output(machine.output(0), n, h + at);
    for (int64_t k = 0; k < numbers; k++)
      copy_output(machine.output(static_cast<int>(2 + k)), n, layer.by_learned + k * size + at);
    // Last, since any output may be z itself.
    copy_output(machine.output(1), n, layer.z + at);
  });
}

/// h = f(z), and while training the derivatives.
void activate_layer(const MlpCall& call, int64_t l, const Layer& layer, const float* params, int64_t stride, float* h,
                    bool train) {
  if (call.forward.code != nullptr) {
    fill_draws(call, l, layer, stride);
    return train ? program_values_and_slopes(call, l, layer, params, stride, h)
                 : program_values(call, call.forward, l, layer, params, stride, h);
  }
  dispatch_fused(call.activation.kernel,
                 [&]<int32_t KERNEL>() { fused_forward<KERNEL>(call, l, layer, stride, h, train); });
}

/// Σ over n elements of a ⊙ b.
float dot(const float* a, const float* b, int64_t n) {
  vf sum = {};
  for (int64_t i = 0; i < n; i += lanes) sum += load(a + i) * load(b + i);
  return reduce_add(sum);
}

/// The gradients of the learned parameters; d: from the gradient of h to that of z.
void activate_layer_backward(const MlpCall& call, const Layer& layer, int64_t stride, float* d, float* grads) {
  const int64_t size = layer.outputs * stride;
  const float* slopes = layer.by_learned;
  float* learned = grads + layer.learned;
  for (int64_t k = 0; k < call.shared_learned; k++, slopes += size) *learned++ = dot(d, slopes, size);
  for (int64_t k = 0; k < call.neuron_learned * layer.outputs; k++, slopes += stride)
    *learned++ = dot(d + k % layer.outputs * stride, slopes, stride);
  for (int64_t at = 0; at < size; at += lanes) store(d + at, load(d + at) * load(layer.z + at));
}

struct Buffers {
  Layer* layers;
  /// (widest, stride) each.
  float *d, *d_next;
};

/// Lays out the buffers for `stride` samples; false when there is no memory.
bool lay_out(const MlpCall& call, int64_t stride, bool train, Buffers& buffers) {
  const int64_t channels = call.forward.code == nullptr || call.draw_unit == kNoDraws ? 0 : call.channels;
  const int64_t numbers = train ? call.shared_learned + call.neuron_learned : 0;
  int64_t rows = call.widths[0], widest = call.widths[0];
  for (int64_t l = 1; l <= call.layers; l++) {
    rows += (2 + channels + numbers) * call.widths[l];
    widest = call.widths[l] > widest ? call.widths[l] : widest;
  }
  const uint64_t bytes = static_cast<uint64_t>(rows + 2 * widest) * static_cast<uint64_t>(stride) * 4;
  buffers.layers = static_cast<Layer*>(scratch(0, static_cast<uint64_t>(call.layers) * sizeof(Layer)));
  float* free = static_cast<float*>(scratch(1, bytes));
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
    const int64_t bias = at + inputs * outputs, learned = bias + outputs;
    buffers.layers[l] = {
        inputs, outputs, at, bias, learned, in, take(outputs), take(channels * outputs), take(numbers * outputs)};
    in = take(outputs);
    at = learned + (l + 1 < call.layers ? call.shared_learned + call.neuron_learned * outputs : 0);
  }
  buffers.d = take(widest);
  buffers.d_next = take(widest);
  return true;
}

/// From the first layer's input to the logits; visit(l, layer) after each hidden layer.
template <typename Visit>
void forward(const MlpCall& call, const float* params, const Layer* layers, int64_t stride, bool train,
             const Visit& visit) {
  for (int64_t l = 0; l < call.layers; l++) {
    const Layer& layer = layers[l];
    product(params + layer.weight, layer.inputs, 1, params + layer.bias, layer.in, layer.outputs, layer.inputs, stride,
            layer.z);
    if (l + 1 == call.layers) break;
    float* h = layers[l + 1].in;
    activate_layer(call, l, layer, params, stride, h, train);
    if (call.dropout > 0) drop(call, l, layer.outputs, stride, h);
    visit(l, layer);
  }
}

/// Columns of `from` (width, stride) to columns first … first + samples − 1 of `to` (width, all).
void copy_columns(const float* from, int64_t width, int64_t stride, int64_t samples, float* to, int64_t all,
                  int64_t first) {
  for (int64_t j = 0; j < width; j++) memcpy(to + j * all + first, from + j * stride, static_cast<size_t>(samples) * 4);
}

}  // namespace

double mlp_gradients(MlpCall call, const float* params, float* grads, const float* x, const int32_t* y,
                     const int32_t* order, int64_t samples) {
  const int64_t stride = padded(samples);
  Buffers buffers;
  if (samples == 0 || !lay_out(call, stride, true, buffers)) return 0;
  const Layer* layers = buffers.layers;
  gather(x, order, samples, call.widths[0], stride, layers[0].in);
  forward(call, params, layers, stride, true, [](int64_t, const Layer&) {});
  float* logits = layers[call.layers - 1].z;
  const double loss = cross_entropy_columns(logits, y, order, samples, call.widths[call.layers], stride);

  const float* d = logits;
  for (int64_t l = call.layers - 1;; l--) {
    const Layer& layer = layers[l];
    outer_products(d, layer.in, layer.outputs, layer.inputs, stride, grads + layer.weight, grads + layer.bias);
    if (l == 0) break;
    float* before = l % 2 == 0 ? buffers.d : buffers.d_next;
    product(params + layer.weight, 1, layer.inputs, nullptr, d, layer.inputs, layer.outputs, stride, before);
    if (call.dropout > 0) drop(call, l - 1, layer.inputs, stride, before);
    activate_layer_backward(call, layers[l - 1], stride, before, grads);
    d = before;
  }
  return loss;
}

void mlp_forward(MlpCall call, const float* params, const float* x, int64_t samples, float* gates, float* hidden,
                 float* logits) {
  const uint32_t first_row = call.draw.first_row;
  for (int64_t first = 0; first < samples; first += forward_block) {
    const int64_t n = samples - first < forward_block ? samples - first : forward_block, stride = padded(n);
    Buffers buffers;
    if (!lay_out(call, stride, false, buffers)) return;
    const Layer* layers = buffers.layers;
    call.draw.first_row = first_row + static_cast<uint32_t>(first);
    gather(x + first * call.widths[0], nullptr, n, call.widths[0], stride, layers[0].in);
    int64_t at = 0;
    forward(call, params, layers, stride, false, [&](int64_t l, const Layer& layer) {
      copy_columns(layers[l + 1].in, layer.outputs, stride, n, hidden + at, samples, first);
      if (gates != nullptr) {
        program_values(call, call.gate, l, layer, params, stride, buffers.d);
        copy_columns(buffers.d, layer.outputs, stride, n, gates + at, samples, first);
      }
      at += layer.outputs * samples;
    });
    const Layer& last = layers[call.layers - 1];
    for (int64_t s = 0; s < n; s++)
      for (int64_t c = 0; c < last.outputs; c++) logits[(first + s) * last.outputs + c] = last.z[c * stride + s];
  }
}

}  // namespace flicker::FLICKER_ISA

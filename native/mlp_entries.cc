// The native functions of the lab's network.
#include "program_check.h"

namespace flicker::contract {
namespace {

/// Takes the next of the programs that follow each other at `code`, which holds `length` integers: null without
/// one. `uniforms` go on behind its own, one set for every hidden layer.
template <typename With>
MlpProgram next_program(const With& with, Arguments& in, const MlpCall& call, int64_t length, const int32_t*& code,
                        const float*& uniforms) {
  if (length == 0 || !in.ok()) return {nullptr, nullptr};
  const MlpProgram program = {code, uniforms};
  in.require(program_is_sound(code, length, call.neuron_learned), with.at_programs, "is not a program");
  if (!in.ok()) return {nullptr, nullptr};
  code += length;
  uniforms += (call.layers - 1) * program.code[0];
  return program;
}

/// Uniforms of a program that has not been checked yet; 0 where it cannot be one.
int64_t uniforms_of(const int32_t* code, int64_t length) { return length > 0 && code[0] > 0 ? code[0] : 0; }

/// The programs are one array: learned values of a layer, of a neuron, what shares a draw, draws per element, lengths
/// of the forward, backward and gate programs, then these; or it is empty, and the fused activation runs.
template <typename With>
MlpCall mlp_call(const With& with, Arguments& in) {
  MlpCall call = {};
  call.layers = with.layers;
  call.widths = with.widths;
  call.activation = activation_of(with, in);
  call.draw = draw_of(with);
  call.dropout = with.dropout;
  call.dropout_tag = with.dropout_tag;
  call.draw_unit = kNoDraws;
  in.require(call.layers >= 1, with.at_layers, "must be positive");
  in.require(call.dropout >= 0 && call.dropout < 1, with.at_dropout, "must lie in [0, 1)");
  if (!in.ok() || !in_range(in, with.at_widths, call.widths, call.layers + 1, 1, INT64_MAX, "holds a width below 1"))
    return call;

  const int64_t length = in.length_of(with.at_programs);
  if (length == 0) return call;
  const int32_t* head = with.programs;
  constexpr int64_t head_length = 7;
  const bool whole = length >= head_length && head[4] >= 0 && head[5] >= 0 && head[6] >= 0 &&
                     length == head_length + int64_t{head[4]} + head[5] + head[6];
  const bool counts = whole && head[0] >= 0 && head[1] >= 0 && int64_t{head[0]} + head[1] <= most_mlp_learned &&
                      head[2] >= 0 && head[2] <= kNoDraws && head[3] >= 0 && head[3] < most_channels;
  in.require(counts, with.at_programs, "has a head that does not fit it");
  if (!in.ok()) return call;
  call.shared_learned = head[0], call.neuron_learned = head[1];
  call.draw_unit = static_cast<DrawUnit>(head[2]), call.channels = head[3];
  const int32_t* code = head + head_length;
  const int64_t per_layer = uniforms_of(code, head[4]) + uniforms_of(code + head[4], head[5]) +
                            uniforms_of(code + head[4] + head[5], head[6]);
  in.require_elements(with.at_uniforms, {call.layers - 1, per_layer});
  const float* uniforms = with.uniforms;
  call.forward = next_program(with, in, call, head[4], code, uniforms);
  call.backward = next_program(with, in, call, head[5], code, uniforms);
  call.gate = next_program(with, in, call, head[6], code, uniforms);
  if (!in.ok()) return call;
  for (const MlpProgram& program : {call.forward, call.backward, call.gate})
    for (int32_t i = 0; program.code != nullptr && i < program.code[1]; i++)
      in.require(program.code[5 + 2 * i] != kInputDraw || program.code[6 + 2 * i] < call.channels, with.at_programs,
                 "draws from more channels than it says");
  const int64_t outputs = 2 + call.shared_learned + call.neuron_learned;
  in.require(call.forward.code == nullptr || (call.backward.code != nullptr && call.backward.code[4] == outputs),
             with.at_programs, "has no backward program that fits");
  return call;
}

/// How many values the network's parameters are; no memory holds 2³¹ or more of them here.
int64_t parameter_count(const MlpCall& call) {
  constexpr int64_t too_many = int64_t{1} << 47;
  int64_t total = 0;
  for (int64_t l = 0; l < call.layers; l++) {
    const int64_t outputs = call.widths[l + 1];
    total += (int64_t{call.widths[l]} + 1) * outputs;
    if (l + 1 < call.layers) total += call.shared_learned + call.neuron_learned * outputs;
    if (total > int64_t{1} << 31) return too_many;
  }
  return total;
}

/// Σ widths of the hidden layers.
int64_t hidden_count(const MlpCall& call) {
  int64_t total = 0;
  for (int64_t l = 1; l < call.layers; l++) total += call.widths[l];
  return total;
}

}  // namespace

double call(const MlpGradients& with, Arguments& in, const Kernels& kernels) {
  const MlpCall call = mlp_call(with, in);
  if (!in.ok()) return 0;
  in.require_elements(with.at_parameters, {parameter_count(call)});
  in.require_elements(with.at_gradients, {parameter_count(call)});
  in.require_elements(with.at_x, {with.total, call.widths[0]});
  const int32_t* order = with.order + with.first;
  if (!in.ok() || !in_range(in, with.at_order, order, with.samples, 0, with.total, "holds a sample outside the data"))
    return 0;
  for (int64_t s = 0; s < with.samples; s++) {
    const int32_t label = with.y[order[s]];
    in.require(label >= 0 && label < call.widths[call.layers], with.at_y, "holds a class without an output");
  }
  if (!in.ok()) return 0;
  return kernels.mlp_gradients(call, with.parameters, with.gradients, with.x, with.y, order, with.samples);
}

double call(const MlpForward& with, Arguments& in, const Kernels& kernels) {
  const MlpCall call = mlp_call(with, in);
  if (!in.ok()) return 0;
  in.require_elements(with.at_parameters, {parameter_count(call)});
  in.require_elements(with.at_x, {with.samples, call.widths[0]});
  in.require_elements(with.at_hidden, {with.samples, hidden_count(call)});
  in.require_elements(with.at_logits, {with.samples, call.widths[call.layers]});
  if (with.gates != nullptr) {
    in.require_elements(with.at_gates, {with.samples, hidden_count(call)});
    in.require(call.gate.code != nullptr, with.at_programs, "has no gate program");
  }
  if (in.ok()) kernels.mlp_forward(call, with.parameters, with.x, with.samples, with.gates, with.hidden, with.logits);
  return 0;
}

}  // namespace flicker::contract

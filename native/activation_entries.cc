// The native functions of activations: fused, of a program, of whole rows; alone and inside the gated FFN.
#include "program_check.h"

namespace flicker::contract {

double call(const Activation& with, Arguments& in, const Kernels& kernels) {
  const auto act = activation_of(with, in);
  if (in.ok()) kernels.activation(act, with.x, with.out, with.rows, with.width, draw_of(with));
  return 0;
}

double call(const ActivationBackward& with, Arguments& in, const Kernels& kernels) {
  const auto act = activation_of(with, in);
  if (in.ok()) kernels.activation_backward(act, with.d_out, with.x, with.d_x, with.rows, with.width, draw_of(with));
  return 0;
}

double call(const Gate& with, Arguments& in, const Kernels& kernels) {
  const auto act = activation_of(with, in);
  if (in.ok()) kernels.gate(act, with.gate, with.up, with.out, with.rows, with.width, draw_of(with));
  return 0;
}

double call(const GateBackward& with, Arguments& in, const Kernels& kernels) {
  const auto act = activation_of(with, in);
  if (in.ok())
    kernels.gate_backward(act, with.d_out, with.gate, with.up, with.d_gate, with.d_up, with.rows, with.width,
                          draw_of(with));
  return 0;
}

double call(const DRelu& with, Arguments&, const Kernels& kernels) {
  kernels.drelu(with.gate, with.up, with.out, with.n);
  return 0;
}

double call(const DReluBackward& with, Arguments&, const Kernels& kernels) {
  kernels.drelu_backward(with.d_out, with.gate, with.up, with.d_gate, with.d_up, with.n);
  return 0;
}

namespace {

/// What a program is run with; `code` has been checked, and with the programs beside it it has so many uniforms.
template <typename With>
ActivationProgram program_with(const With& with, Arguments& in, const int32_t* code, int64_t uniforms) {
  in.require_elements(with.at_uniforms, {uniforms});
  if (with.shared + with.neurons > 0)
    in.require_elements(with.at_parameters, {with.shared + with.neurons * with.width});
  in.require(with.draw_unit <= kNoDraws, with.at_draw_unit, "is not a unit of draws");
  in.require(with.rows_per_sample > 0, with.at_rows_per_sample, "must be positive");
  if (!in.ok()) return {};
  return {code,
          with.uniforms,
          with.parameters,
          with.shared,
          static_cast<DrawUnit>(with.draw_unit),
          static_cast<uint32_t>(with.rows_per_sample)};
}

template <typename With>
ActivationProgram program_of(const With& with, Arguments& in) {
  const bool sound = program_is_sound(with.code, in.length_of(with.at_code), with.neurons);
  in.require(sound, with.at_code, "is not a program");
  return in.ok() ? program_with(with, in, with.code, with.code[0]) : ActivationProgram{};
}

/// A plan: whether neighbors are read, how many statistics, for each its rank and whether it has derivatives, then the
/// lengths of all programs, then these: the main one, and for each statistic values and derivatives.
template <typename With>
RowProgram row_program_of(const With& with, Arguments& in) {
  RowProgram row = {};
  const int64_t length = in.length_of(with.at_code);
  const int32_t* plan = with.code;
  constexpr int64_t most = sizeof row.ranks / sizeof *row.ranks;
  const bool has_head = length >= 2 && plan[1] >= 0 && plan[1] <= most && length >= 3 + 4 * int64_t{plan[1]};
  in.require(has_head, with.at_code, "is not a plan");
  if (!in.ok()) return row;
  row.neurons = with.neurons, row.neighbors = plan[0] != 0, row.statistics = plan[1];
  const int32_t* lengths = plan + 2 + 2 * row.statistics;
  int64_t at = 3 + 4 * int64_t{row.statistics}, uniforms = 0;
  const auto next = [&](int32_t code_length, int32_t statistics) -> const int32_t* {
    const bool fits = code_length >= 5 && code_length <= length - at;
    in.require(fits && program_is_sound(plan + at, code_length, with.neurons, statistics), with.at_code,
               "is not a plan");
    if (!in.ok()) return nullptr;
    const int32_t* code = plan + at;
    at += code_length, uniforms += code[0];
    return code;
  };
  row.main.code = next(lengths[0], row.statistics);
  for (int32_t s = 0; in.ok() && s < row.statistics; s++) {
    row.ranks[s] = plan[2 + 2 * s];
    row.values[s] = next(lengths[1 + 2 * s], s);
    if (in.ok() && plan[3 + 2 * s] != 0) row.derivatives[s] = next(lengths[2 + 2 * s], s);
    in.require(row.ranks[s] >= 0 && row.ranks[s] <= with.width, with.at_code, "has a rank beyond the row");
  }
  if (in.ok()) row.main = program_with(with, in, row.main.code, uniforms);
  return row;
}

}  // namespace

double call(const ProgramForward& with, Arguments& in, const Kernels& kernels) {
  const ActivationProgram program = program_of(with, in);
  if (in.ok()) kernels.program_forward(program, with.x, with.up, with.out, with.rows, with.width, draw_of(with));
  return 0;
}

double call(const ProgramBackward& with, Arguments& in, const Kernels& kernels) {
  const ActivationProgram program = program_of(with, in);
  if (!in.ok()) return 0;
  in.require(program.code[4] == 2 + with.shared + with.neurons, with.at_code, "is not a backward program");
  if (in.ok())
    kernels.program_backward(program, with.d_out, with.x, with.up, with.d_x, with.d_up, with.d_parameters, with.rows,
                             with.width, draw_of(with));
  return 0;
}

double call(const RowProgramForward& with, Arguments& in, const Kernels& kernels) {
  const RowProgram program = row_program_of(with, in);
  if (in.ok()) kernels.row_program_forward(program, with.x, with.up, with.out, with.rows, with.width, draw_of(with));
  return 0;
}

double call(const RowProgramBackward& with, Arguments& in, const Kernels& kernels) {
  const RowProgram program = row_program_of(with, in);
  if (!in.ok()) return 0;
  const int64_t learned = with.shared + with.neurons;
  bool complete = program.main.code[4] == 2 + learned + (program.neighbors ? 2 : 0) + program.statistics;
  for (int32_t s = 0; s < program.statistics; s++)
    complete = complete && (program.derivatives[s] == nullptr || program.derivatives[s][4] == 1 + learned + s);
  in.require(complete, with.at_code, "is not a backward plan");
  if (in.ok())
    kernels.row_program_backward(program, with.d_out, with.x, with.up, with.d_x, with.d_up, with.d_parameters,
                                 with.rows, with.width, draw_of(with));
  return 0;
}

namespace {

template <typename With>
RowSelection selection_of(const With& with, Arguments& in) {
  in.require(with.keep < kept_neurons, with.at_keep, "is not a way to keep neurons");
  in.require(with.apply < kept_activations, with.at_apply, "is not what can be applied to kept neurons");
  in.require(std::fabs(with.at) < 1e30, with.at_at, "must be a finite number");
  const bool ranked = with.at >= 1 && with.at <= static_cast<double>(with.width);
  in.require(with.keep == kKeepAbove || with.width == 0 || ranked, with.at_at, "is not a rank in a row");
  if (!in.ok()) return {};
  return {static_cast<KeptNeurons>(with.keep), static_cast<KeptActivation>(with.apply), with.at};
}

}  // namespace

double call(const RowSelectionForward& with, Arguments& in, const Kernels& kernels) {
  const RowSelection selection = selection_of(with, in);
  if (in.ok()) kernels.row_selection_forward(selection, with.x, with.up, with.out, with.rows, with.width);
  return 0;
}

double call(const RowSelectionBackward& with, Arguments& in, const Kernels& kernels) {
  const RowSelection selection = selection_of(with, in);
  if (in.ok())
    kernels.row_selection_backward(selection, with.d_out, with.x, with.up, with.d_x, with.d_up, with.rows, with.width);
  return 0;
}

}  // namespace flicker::contract

// The native functions of decoding.
#include "cached_sequences.h"
#include "read_file.h"

namespace flicker::contract {

double call(const Matvec& with, Arguments&, const Kernels& kernels) {
  kernels.matvec(with.w, with.x, with.y, with.rows, with.columns, with.batch, with.accumulate, with.bias);
  return 0;
}

double call(const SelectedRows& with, Arguments&, const Kernels& kernels) {
  kernels.selected_rows(with.w, with.chosen, with.x, with.y, with.rows, with.columns, with.batch);
  return 0;
}

double call(const FfnNeurons& with, Arguments& in, const Kernels& kernels) {
  if (with.row_of != nullptr)
    in_range(in, with.at_row_of, with.row_of, with.neurons, -1, INT64_MAX, "holds a row below -1");
  if (!in.ok()) return 0;
  const FfnShape shape = {with.neurons, with.width,      with.up_width, with.batch,
                          with.gated,   with.max_active, with.row_of};
  return static_cast<double>(kernels.ffn_neurons(with.w, with.activated, with.x, with.y, with.active, shape));
}

double call(const IntegerMatvec& with, Arguments&, const Kernels& kernels) {
  kernels.integer_matvec(with.w, with.chosen, with.x, with.y, with.rows, with.columns, with.batch, with.accumulate,
                         with.bias);
  return 0;
}

double call(const IntegerNeurons& with, Arguments& in, const Kernels& kernels) {
  if (with.row_of != nullptr)
    in_range(in, with.at_row_of, with.row_of, with.neurons, -1, INT64_MAX, "holds a row below -1");
  if (!in.ok()) return 0;
  const FfnShape shape = {with.neurons, with.width,      with.up_width, with.batch,
                          with.gated,   with.max_active, with.row_of};
  return static_cast<double>(kernels.integer_neurons(with.w, with.activated, with.x, with.y, with.active, shape));
}

double call(const NarrowIndex& with, Arguments&, const Kernels& kernels) {
  kernels.narrow_index(with.w, with.codes, with.scales, with.bounds, with.rows, with.columns);
  return 0;
}

double call(const NarrowGate& with, Arguments&, const Kernels& kernels) {
  static_assert(sizeof(Draw) == 5 * sizeof(int32_t), "draws come as five words each");
  const Draw* draws = with.p > 0 ? reinterpret_cast<const Draw*>(with.draws) : nullptr;
  const float threshold = static_cast<float>(with.threshold);
  const NarrowGateShape shape = {with.rows, with.columns, with.batch, threshold, with.bias, with.p, draws};
  return static_cast<double>(
      kernels.narrow_gate(with.w, {with.codes, with.scales, with.bounds}, with.x, with.y, shape));
}

namespace {

/// Bytes of a row as files have it: ggml's blocks.
int64_t file_row_bytes(WeightType type, int64_t columns) {
  if (type == kQ8_0) return columns / 32 * 34;
  if (type == kQ4_0) return columns / 32 * 18;
  return weight_row_bytes(type, columns);
}

/// Blames `columns` where rows of a file are not whole blocks of `type`. Returns whether all is well.
bool file_blocks_fit(Arguments& in, WeightType type, int64_t columns, int at_columns) {
  const bool plain = type == kF32 || type == kBf16 || type == kF16;
  const int64_t block = plain ? 1 : type == kQ8_0 || type == kQ4_0 ? 32 : super_block;
  in.require(columns % block == 0, at_columns, "must be whole blocks");
  return in.ok();
}

/// Bytes that rows `step` apart take, the last without what would follow it.
int64_t rows_bytes(int64_t rows, int64_t step, int64_t row_bytes) {
  return rows == 0 ? 0 : (rows - 1) * step + row_bytes;
}

}  // namespace

double call(const BlocksToRows& with, Arguments& in, const Kernels& kernels) {
  if (!file_blocks_fit(in, with.type, with.columns, with.at_columns)) return 0;
  const int64_t row_bytes = weight_row_bytes(with.type, with.columns);
  in.require(with.step >= row_bytes, with.at_step, "is shorter than a row");
  if (!in.ok()) return 0;
  in.require_elements(with.at_from, {with.rows, file_row_bytes(with.type, with.columns)});
  in.require_elements(with.at_out, {rows_bytes(with.rows, with.step, row_bytes)});
  if (!in.ok()) return 0;
  kernels.blocks_to_rows(with.type, reinterpret_cast<const uint8_t*>(with.from), with.rows, with.columns,
                         reinterpret_cast<uint8_t*>(with.out), with.step);
  return 0;
}

double call(const ColumnsToRows& with, Arguments& in, const Kernels& kernels) {
  const bool plain = with.type == kF32 || with.type == kBf16 || with.type == kF16;
  in.require(plain ? with.to == with.type : with.to == kQ6_k || with.to == kQ8_0, with.at_to,
             "cannot be made of this type");
  if (!file_blocks_fit(in, with.type, with.columns, with.at_columns)) return 0;
  const int64_t row_bytes = weight_row_bytes(with.to, with.total);
  in.require(with.step >= row_bytes, with.at_step, "is shorter than a row");
  const uintptr_t size = with.type == kF32 ? 4 : 2;
  const auto aligned = [&](const void* p) { return !plain || reinterpret_cast<uintptr_t>(p) % size == 0; };
  in.require(aligned(with.from), with.at_from, "is not aligned");
  in.require(aligned(with.out) && (!plain || with.step % static_cast<int64_t>(size) == 0), with.at_out,
             "is not aligned");
  if (!in.ok()) return 0;
  in.require_elements(with.at_from, {with.rows, file_row_bytes(with.type, with.columns)});
  in.require_elements(with.at_out, {rows_bytes(with.columns, with.step, row_bytes)});
  if (!in.ok()) return 0;
  return static_cast<double>(kernels.columns_to_rows(with.type, reinterpret_cast<const uint8_t*>(with.from), with.rows,
                                                     with.columns, with.to, reinterpret_cast<uint8_t*>(with.out),
                                                     with.step, with.first, with.total));
}

double call(const ReadFile& with, Arguments&, const Kernels&) {
  return static_cast<double>(read_file(static_cast<int>(with.file), with.offset, with.out, with.bytes));
}

double call(const CachedAttention& with, Arguments& in, const Kernels& kernels) {
  const CachedSequences cached(with, in);
  in.require_elements(with.at_cos, {cached.end, with.head_dim / 2});
  in.require_elements(with.at_sin, {cached.end, with.head_dim / 2});
  if (in.ok()) cached.attend(with, kernels);
  return 0;
}

}  // namespace flicker::contract

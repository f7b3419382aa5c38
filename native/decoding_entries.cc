// The native functions of decoding.
#include "contract.h"
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

namespace {

/// The sequences of one call, read and checked: every position that the kernel will touch lies in its segment.
struct CachedSequences {
  std::vector<CacheSegment> segments;
  std::vector<CachedSequence> sequences;
  /// One beyond the last position.
  int64_t end = 0;

  /// `buffers`: keys and values of each segment. `segments`: of each sequence its count, position and number of
  /// segments, then of each segment start and capacity. An error throws and leaves in.ok() false.
  CachedSequences(const CachedAttention& with, Arguments& in) {
    const int64_t row_bytes = cache_row_bytes(with.cache_type, with.head_dim);
    const uintptr_t alignment = with.cache_type == kCacheF32 ? 4 : 2;
    const int64_t length = in.length_of(with.at_segments);
    int64_t rows = 0, at = 0;
    const auto require = [&](bool condition, const char* otherwise) {
      in.require(condition, with.at_segments, otherwise);
      return in.ok();
    };
    for (int64_t s = 0; in.ok() && s < with.sequences; s++) {
      if (!require(length - at >= 3, "is too short for its sequences")) return;
      const int64_t count = with.segments[at], position = with.segments[at + 1], n = with.segments[at + 2];
      if (!require(count >= 0 && position >= 0 && n >= 1, "holds a sequence of no segments")) return;
      if (!require(length - at - 3 >= 2 * n, "is too short for its segments")) return;
      const int32_t* list = with.segments + at + 3;
      for (int64_t i = 0; i < n; i++) {
        const int64_t start = list[2 * i], capacity = list[2 * i + 1];
        const int64_t stop = i + 1 < n ? list[2 * i + 2] : position + count;
        if (!require(i == 0 ? start == 0 : start >= 0, "holds a sequence that does not start at 0")) return;
        const bool fits = capacity >= 0 && stop >= start && stop - start <= capacity && start <= position;
        if (!require(fits, "holds a segment with too little room")) return;
        const size_t buffer = 2 * segments.size();
        const Shape shape = {with.kv_heads, capacity, row_bytes};
        uint8_t* keys = in.bytes_in(with.at_buffers, with.buffers, buffer, shape, alignment);
        uint8_t* values = in.bytes_in(with.at_buffers, with.buffers, buffer + 1, shape, alignment);
        if (!in.ok()) return;
        segments.push_back({keys, values, capacity, start});
      }
      sequences.push_back({count, position, n, nullptr});
      rows += count;
      at += 3 + 2 * n;
      end = position + count > end ? position + count : end;
    }
    if (!require(rows == with.batch, "holds sequences that are not the batch")) return;
    const CacheSegment* next = segments.data();
    for (CachedSequence& sequence : sequences) {
      sequence.segments = next;
      next += sequence.segment_count;
    }
  }
};

}  // namespace

double call(const CachedAttention& with, Arguments& in, const Kernels& kernels) {
  const CachedSequences cached(with, in);
  in.require_elements(with.at_cos, {cached.end, with.head_dim / 2});
  in.require_elements(with.at_sin, {cached.end, with.head_dim / 2});
  if (!in.ok()) return 0;
  const AttentionScores scores = {static_cast<float>(with.scale), static_cast<float>(with.softcap), with.window};
  const CachedAttentionShape shape = {with.batch,    with.sequences,  with.heads, with.kv_heads,
                                      with.head_dim, with.cache_type, scores};
  kernels.cached_attention(with.qkv, with.cos, with.sin, cached.sequences.data(), with.out, shape);
  return 0;
}

}  // namespace flicker::contract

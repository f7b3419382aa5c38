// Calls that were made once as always, and are then made again many at a time: their arguments have been read and
// checked, and for each token only its position is new. What recorded_calls.cc exports is used by
// src/kernels/native/recorder.ts.
//
// That the arrays of a recorded call are still there is checked at every replay: their buffers are referred to weakly,
// and one that was collected, detached or resized ends it with an error before anything is computed.
#pragma once

#include <memory>

#include "cached_sequences.h"

namespace flicker {

class RecordedCall {
 public:
  virtual ~RecordedCall() = default;
  /// Whether its arrays hold what the token at `position` needs.
  virtual bool fits(int64_t) const { return true; }
  /// Makes the call for the token at `position`. Returns whether its arguments are still valid, and the call's result
  /// in *result.
  virtual bool run(int64_t position, double* result) = 0;

  const Kernels* kernels = nullptr;
  bool returns = false;
};

namespace contract {

// Those of which every check is made in the constructor of their arguments, or again by `call`.
template <typename With>
constexpr bool repeatable = false;
template <>
inline constexpr bool repeatable<RmsNorm> = true;
template <>
inline constexpr bool repeatable<LayerNorm> = true;
template <>
inline constexpr bool repeatable<AddBias> = true;
template <>
inline constexpr bool repeatable<Multiply> = true;
template <>
inline constexpr bool repeatable<Axpy> = true;
template <>
inline constexpr bool repeatable<contract::Activation> = true;
template <>
inline constexpr bool repeatable<ProgramForward> = true;
template <>
inline constexpr bool repeatable<RowProgramForward> = true;
template <>
inline constexpr bool repeatable<RowSelectionForward> = true;
template <>
inline constexpr bool repeatable<Matvec> = true;
template <>
inline constexpr bool repeatable<IntegerMatvec> = true;
template <>
inline constexpr bool repeatable<FfnNeurons> = true;
template <>
inline constexpr bool repeatable<IntegerNeurons> = true;
template <>
inline constexpr bool repeatable<NarrowGate> = true;

/// A call of one row: its draws are those of the token's position.
template <typename With>
class Repeated : public RecordedCall {
 public:
  Repeated(const With& with, const Arguments& in, const char* name) : with_(with), name_(name) {
    for (size_t i = 0; i < With::count; i++) lengths_[i] = in.length_or_zero(i);
    if constexpr (requires { with.draws; }) {
      if (with.p > 0) memcpy(draws_, with.draws, sizeof draws_);
      with_.draws = draws_;
    }
  }

  bool run(int64_t position, double* result) override {
    if constexpr (requires { with_.first_row; }) with_.first_row = static_cast<uint32_t>(position);
    draws_[4] = static_cast<int32_t>(position);
    Arguments in(name_, With::names, With::count, lengths_);
    *result = call(with_, in, *kernels);
    return in.ok();
  }

 private:
  With with_;
  const char* name_;
  int64_t lengths_[With::count];
  /// Of the narrow gate: a `Draw`.
  int32_t draws_[5] = {};
};

/// Attention of one new position of one sequence.
class RepeatedAttention : public RecordedCall {
 public:
  RepeatedAttention(const CachedAttention& with, Arguments& in) : with_(with), cached_(with, in) {
    if (cached_.segments.empty()) return;
    const CacheSegment& last = cached_.segments.back();
    first_ = last.start;
    end_ = last.start + last.capacity;
    for (const size_t table : {with.at_cos, with.at_sin}) {
      const int64_t positions = with.head_dim == 0 ? end_ : in.length_of(table) / (with.head_dim / 2);
      if (positions < end_) end_ = positions;
    }
  }

  bool fits(int64_t position) const override { return position >= first_ && position < end_; }
  bool run(int64_t position, double*) override {
    cached_.sequences[0].position = position;
    cached_.attend(with_, *kernels);
    return true;
  }

 private:
  CachedAttention with_;
  CachedSequences cached_;
  int64_t first_ = 0, end_ = 0;
};

/// The call as it can be made again; null where it cannot.
template <typename With>
std::unique_ptr<RecordedCall> recorded(const With& with, Arguments& in, const char* name) {
  if constexpr (std::is_same_v<With, CachedAttention>) {
    if (with.batch != 1 || with.sequences != 1) return nullptr;
    return std::make_unique<RepeatedAttention>(with, in);
  } else if constexpr (repeatable<With>) {
    // What an index names was compared with a length, and both could have changed.
    if constexpr (requires { with.row_of; })
      if (with.row_of != nullptr) return nullptr;
    if constexpr (requires { with.draws; })
      if (with.batch != 1) return nullptr;
    return std::make_unique<Repeated<With>>(with, in, name);
  } else {
    return nullptr;
  }
}

}  // namespace contract

/// What is recorded now; the functions of contract.h are told of by `keep`.
class Recording {
 public:
  explicit Recording(napi_env env) : env_(env) {}
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// The one that calls of this thread are recorded into; null for none.
  static Recording* current();

  /// Calls from now on belong to a new section.
  void begin();
  /// Ends the section; returns its number, or −1 where it is not `wanted` or one of its calls cannot be repeated: then
  /// nothing of it is kept.
  int64_t end(bool wanted);
  /// A call that was just made, null for one that cannot be repeated, and the buffers that its arrays lie in.
  void keep(std::unique_ptr<RecordedCall> call, const std::vector<napi_value>& buffers);

  using Section = std::vector<std::unique_ptr<RecordedCall>>;
  const Section* section(int64_t number) const;
  /// Whether all buffers are as they were when they were recorded.
  bool buffers_remain() const;

 private:
  struct Buffer {
    napi_ref reference;
    void* data;
    size_t bytes;
  };
  bool keep(napi_value buffer);

  napi_env env_;
  std::vector<Section> sections_;
  std::vector<Buffer> buffers_;
  /// Those of the sections before the one that is being recorded.
  size_t earlier_buffers_ = 0;
  bool repeatable_ = true;
};

/// Adds `newRecording`, `beginSection`, `endSection` and `replay` to what JavaScript can call.
void export_recorded_calls(napi_env env, napi_value exports);

}  // namespace flicker

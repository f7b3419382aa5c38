// The arguments of one call from JavaScript, checked as they are read. contract.h says which function takes what, in
// which order it is read, and how much each array must hold.
//
// Nothing that a caller does can make a kernel read or write outside its arrays:
// - elements of lists, which may be getters, are read before anything else: after that no JavaScript runs;
// - arrays in shared memory, which another thread could change after a check, are refused;
// - arrays whose values are checked (indices, programs) may not share memory with an array that the call writes to;
// - sizes are below 2³¹, and the product of a shape, zeros left out, must be below 2⁴⁷: no smaller product overflows.
#pragma once

#include <node_api.h>

#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <vector>

#include "kernels.h"

namespace flicker {

/// The factors of a number of elements.
using Shape = std::initializer_list<int64_t>;

/// What an array argument may be.
enum ArrayRule : uint32_t {
  kStrict = 0,
  kOptional = 1,  // null may stand for it
  kShared = 2,    // it may lie in shared memory
};

/// Which types of weights a kernel takes.
enum class Types { kAll, kWide };

/// A list of values, as they were when it was read.
struct Elements {
  std::vector<napi_value> values;
};

/// Reads the arguments of one call. The first wrong one throws a RangeError that names the function and the argument;
/// `ok` is then false, and what is read afterwards is null or 0.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info, const char* function, const char* const* names, size_t known)
      : env_(env), function_(function), names_(names), known_(known) {
    if (napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr) != napi_ok) count_ = 0;
  }
  /// Arguments that were read before, of which only the lengths of arrays can be asked for. What is wrong then throws
  /// nothing: `ok` is false.
  Arguments(const char* function, const char* const* names, size_t known, const int64_t* lengths)
      : env_(nullptr), function_(function), names_(names), known_(known), count_(0), lengths_(lengths) {}

  bool ok() const { return ok_; }
  /// From now on `ok` is false: the caller throws an error of its own.
  void stop() { ok_ = false; }

  double number(size_t i) {
    double value = 0;
    if (i >= count_ || napi_get_value_double(env_, values_[i], &value) != napi_ok) fail(i, "must be a number");
    return value;
  }

  /// An integer in [0, 2³¹).
  int64_t size(size_t i) {
    const double value = number(i);
    if (!(value >= 0 && value < 2147483648.0 && value == std::floor(value))) {
      fail(i, "must be an integer in [0, 2^31)");
      return 0;
    }
    return static_cast<int64_t>(value);
  }

  uint32_t word(size_t i) {
    const double value = number(i);
    if (!(value >= 0 && value < 4294967296.0)) {
      fail(i, "must be an unsigned 32-bit integer");
      return 0;
    }
    return static_cast<uint32_t>(value);
  }

  bool flag(size_t i) {
    bool value = false;
    if (i >= count_ || napi_get_value_bool(env_, values_[i], &value) != napi_ok) fail(i, "must be a boolean");
    return value;
  }

  WeightType weight_type(size_t i) { return static_cast<WeightType>(id(i, weight_types, "is not a type of weights")); }
  CacheType cache_type(size_t i) { return static_cast<CacheType>(id(i, cache_types, "is not a type of cache")); }
  /// An integer in [0, count).
  int64_t id(size_t i, int64_t count, const char* otherwise) {
    const int64_t value = size(i);
    if (value < count) return value;
    fail(i, otherwise);
    return 0;
  }

  const float* input(size_t i, Shape shape, uint32_t rule = kStrict) {
    return static_cast<const float*>(array(i, napi_float32_array, "Float32Array", shape, rule));
  }
  float* output(size_t i, Shape shape, uint32_t rule = kStrict) {
    return static_cast<float*>(written(i, napi_float32_array, "Float32Array", shape, rule));
  }
  /// An Int32Array whose values will be checked.
  const int32_t* indices(size_t i, Shape shape, uint32_t rule = kStrict) {
    const void* data = array(i, napi_int32_array, "Int32Array", shape, rule);
    if (data != nullptr) ranges_[checked_++] = {data, last_bytes_, i};
    return static_cast<const int32_t*>(data);
  }
  const int32_t* integers(size_t i, Shape shape, uint32_t rule = kStrict) {
    return static_cast<const int32_t*>(array(i, napi_int32_array, "Int32Array", shape, rule));
  }
  int32_t* counts(size_t i, Shape shape, uint32_t rule = kStrict) {
    return static_cast<int32_t*>(written(i, napi_int32_array, "Int32Array", shape, rule));
  }
  const int8_t* codes(size_t i, Shape shape, uint32_t rule = kStrict) {
    return static_cast<const int8_t*>(array(i, napi_int8_array, "Int8Array", shape, rule));
  }
  int8_t* codes_out(size_t i, Shape shape, uint32_t rule = kStrict) {
    return static_cast<int8_t*>(written(i, napi_int8_array, "Int8Array", shape, rule));
  }

  /// Rows of weights: f32 in a Float32Array, bf16 in a Uint16Array, the other types in a Uint8Array. `more`: the
  /// columns of another row before each.
  Weights weights(size_t i, WeightType type, int64_t rows, int64_t columns, int64_t more, Types types) {
    if (types == Types::kWide && is_quantized(type)) fail(i + 1, "must be f32, bf16 or f16");
    switch (type) {
      case kF32:
        return {array(i, napi_float32_array, "Float32Array", {rows, columns + more}, kStrict), type};
      case kBf16:
        return {array(i, napi_uint16_array, "Uint16Array", {rows, columns + more}, kStrict), type};
      default:
        break;
    }
    const int64_t bytes = weight_row_bytes(type, columns) + weight_row_bytes(type, more);
    return {bytes_of(i < count_ ? values_[i] : nullptr, i, {rows, bytes}, 2), type};
  }
  Weights weights(size_t i, WeightType type, int64_t rows, int64_t columns, Types types) {
    return weights(i, type, rows, columns, 0, types);
  }

  /// The elements of a list, at most 2¹⁷. Reading them may run JavaScript.
  Elements list(size_t i) {
    Elements elements;
    uint32_t length = 0;
    if (i >= count_ || napi_get_array_length(env_, values_[i], &length) != napi_ok || length > (1u << 17)) {
      fail(i, "must be a list of at most 2^17 elements");
      return elements;
    }
    for (uint32_t at = 0; ok_ && at < length; at++) {
      napi_value value = nullptr;
      if (napi_get_element(env_, values_[i], at, &value) != napi_ok) fail(i, "has an element that cannot be read");
      elements.values.push_back(value);
    }
    return elements;
  }
  /// An element of list i: a Uint8Array that the call writes to, at a multiple of `alignment` bytes.
  uint8_t* bytes_in(size_t i, const Elements& elements, size_t at, Shape shape, uintptr_t alignment) {
    void* data = bytes_of(at < elements.values.size() ? elements.values[at] : nullptr, i, shape, alignment);
    check_overlap(data, last_bytes_, i);
    return static_cast<uint8_t*>(data);
  }

  /// What `weights` and the other readers have not checked of array i: that it holds `shape` elements.
  void require_elements(size_t i, Shape shape) {
    if (!ok_) return;
    int64_t needed = 0;
    const int64_t length = length_of(i);
    if (!elements_of(i, shape, needed)) return;
    if (needed > length) too_short(i, static_cast<size_t>(length), needed);
  }
  /// Elements of the typed array that is argument i.
  int64_t length_of(size_t i) {
    if (lengths_ != nullptr) return lengths_[i];
    size_t length = 0;
    if (i >= count_ ||
        napi_get_typedarray_info(env_, values_[i], nullptr, &length, nullptr, nullptr, nullptr) != napi_ok)
      fail(i, "must be a typed array");
    return static_cast<int64_t>(length);
  }

  /// From now on `buffers` receives the ArrayBuffer of every array that is read.
  void collect(std::vector<napi_value>* buffers) { buffers_ = buffers; }
  /// Elements of argument i where that is a typed array, else 0: for arguments that are read once and used again.
  int64_t length_or_zero(size_t i) const {
    size_t length = 0;
    if (i < count_) napi_get_typedarray_info(env_, values_[i], nullptr, &length, nullptr, nullptr, nullptr);
    return static_cast<int64_t>(length);
  }

  void require(bool condition, size_t i, const char* must) {
    if (!condition) fail(i, must);
  }

  /// After the last argument: that there is none more, and that no checked array shares memory with one that is
  /// written.
  void finish(size_t count) {
    for (size_t i = count; i < count_; i++) fail(count - 1, "must be the last");
    for (size_t w = 0; w < written_; w++) check_overlap(writes_[w].data, writes_[w].bytes, writes_[w].argument);
  }

  void fail(size_t i, const char* what) {
    if (!ok_) return;
    ok_ = false;
    if (env_ == nullptr) return;
    bool pending = false;
    if (napi_is_exception_pending(env_, &pending) == napi_ok && pending) return;
    char message[240];
    snprintf(message, sizeof message, "native %s: argument %zu (%s) %s", function_, i, i < known_ ? names_[i] : "?",
             what);
    napi_throw_range_error(env_, "NATIVE_ARGUMENT", message);
  }

 private:
  struct Range {
    const void* data;
    size_t bytes, argument;
  };

  /// The product of a shape; false, and an error, where it or a product of some of its factors cannot be counted.
  bool elements_of(size_t i, Shape shape, int64_t& product) {
    constexpr int64_t most = int64_t{1} << 47;
    int64_t positive = 1;
    product = shape.size() == 0 ? 0 : 1;
    for (const int64_t factor : shape) {
      if (factor < 0 || (factor > 0 && __builtin_mul_overflow(positive, factor, &positive)) || positive > most) {
        fail(i, "has a shape that no memory can hold");
        return false;
      }
      if (factor == 0) product = 0;
    }
    product *= positive;
    return true;
  }

  void too_short(size_t i, size_t length, int64_t needed) {
    char what[120];
    snprintf(what, sizeof what, "has %zu elements, needs %lld", length, static_cast<long long>(needed));
    fail(i, what);
  }

  void* array(size_t i, napi_typedarray_type wanted, const char* name, Shape shape, uint32_t rule) {
    napi_valuetype type = napi_undefined;
    if (i < count_) napi_typeof(env_, values_[i], &type);
    if (type == napi_null && (rule & kOptional) != 0) return nullptr;
    return typed_array(i < count_ ? values_[i] : nullptr, i, wanted, name, shape, rule);
  }

  void* written(size_t i, napi_typedarray_type wanted, const char* name, Shape shape, uint32_t rule) {
    void* data = array(i, wanted, name, shape, rule);
    if (data != nullptr) writes_[written_++] = {data, last_bytes_, i};
    return data;
  }

  void* bytes_of(napi_value value, size_t i, Shape shape, uintptr_t alignment) {
    void* data = typed_array(value, i, napi_uint8_array, "Uint8Array", shape, kStrict);
    if (reinterpret_cast<uintptr_t>(data) % alignment != 0)
      fail(i, "does not start at a multiple of its element's size");
    return ok_ ? data : nullptr;
  }

  /// The memory of a typed array of this type that holds `shape` elements; null, and an error, for anything else.
  void* typed_array(napi_value value, size_t i, napi_typedarray_type wanted, const char* name, Shape shape,
                    uint32_t rule) {
    napi_typedarray_type type = wanted;
    size_t length = 0;
    void* data = nullptr;
    napi_value buffer = nullptr;
    int64_t needed = 0;
    last_bytes_ = 0;
    if (!ok_) return nullptr;
    if (value == nullptr || napi_get_typedarray_info(env_, value, &type, &length, &data, &buffer, nullptr) != napi_ok ||
        type != wanted) {
      char what[60];
      snprintf(what, sizeof what, "must be a %s", name);
      fail(i, what);
      return nullptr;
    }
    bool unshared = false;
    napi_is_arraybuffer(env_, buffer, &unshared);
    if (!unshared && (rule & kShared) == 0) fail(i, "lies in shared memory, where another thread could change it");
    if (!ok_ || !elements_of(i, shape, needed)) return nullptr;
    if (static_cast<size_t>(needed) > length) {
      too_short(i, length, needed);
      return nullptr;
    }
    if (buffers_ != nullptr) buffers_->push_back(buffer);
    last_bytes_ = length * (wanted == napi_float32_array || wanted == napi_int32_array ? 4
                            : wanted == napi_uint16_array                              ? 2
                                                                                       : 1);
    return data;
  }

  void check_overlap(const void* data, size_t bytes, size_t i) {
    const uintptr_t from = reinterpret_cast<uintptr_t>(data);
    for (size_t c = 0; c < checked_; c++) {
      const uintptr_t other = reinterpret_cast<uintptr_t>(ranges_[c].data);
      if (from < other + ranges_[c].bytes && other < from + bytes)
        fail(i, "shares memory with indices of the same call");
    }
  }

  static constexpr size_t max_arguments = 24;
  napi_env env_;
  const char* function_;
  const char* const* names_;
  size_t known_;
  size_t count_ = max_arguments;
  napi_value values_[max_arguments] = {};
  /// Arrays whose values are checked, and arrays that are written to.
  Range ranges_[max_arguments] = {}, writes_[max_arguments] = {};
  size_t checked_ = 0, written_ = 0;
  /// Of the typed array that was read last.
  size_t last_bytes_ = 0;
  const int64_t* lengths_ = nullptr;
  std::vector<napi_value>* buffers_ = nullptr;
  bool ok_ = true;
};

/// Whether n indices all lie in [from, end). Checked here so that the kernels need not.
inline bool in_range(Arguments& in, size_t i, const int32_t* indices, int64_t n, int64_t from, int64_t end,
                     const char* otherwise) {
  for (int64_t k = 0; in.ok() && k < n; k++)
    if (indices[k] < from || indices[k] >= end) in.fail(i, otherwise);
  return in.ok();
}

/// How many rows of weights `row_of` names: 1 + the largest; all neurons without it.
inline int64_t stored_rows(const int32_t* row_of, int64_t neurons) {
  if (row_of == nullptr) return neurons;
  int64_t stored = 0;
  for (int64_t k = 0; k < neurons; k++)
    if (row_of[k] >= stored) stored = int64_t{row_of[k]} + 1;
  return stored;
}

inline int64_t narrow_blocks(int64_t columns) { return (columns + narrow_block - 1) / narrow_block; }

/// Five words become a draw here only; `drawWords` in src/kernels/native/arguments.ts is its inverse.
template <typename With>
Draw draw_of(const With& with) {
  return {with.seed_low, with.seed_high, with.tag, with.step, with.first_row};
}

}  // namespace flicker

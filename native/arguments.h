// The arguments of one call from JavaScript, checked as they are read.
#pragma once

#include <node_api.h>

#include <cmath>
#include <cstdio>

#include "kernels.h"

namespace flicker {

/// Reads the arguments of one call. The first wrong one throws a RangeError that names the kernel, and `ok` is false.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info, const char* kernel) : env_(env), kernel_(kernel) {
    napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr);
  }

  bool ok() const { return ok_; }

  double number(size_t i) {
    double value = 0;
    if (i >= count_ || napi_get_value_double(env_, values_[i], &value) != napi_ok) fail(i, "must be a number");
    return value;
  }

  /// A size: an integer in [0, 2³¹).
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

  /// A Float32Array of at least rows·columns elements.
  float* floats(size_t i, int64_t rows, int64_t columns = 1) {
    return static_cast<float*>(array(i, napi_float32_array, "Float32Array", rows, columns));
  }
  float* floats_or_null(size_t i, int64_t rows, int64_t columns) {
    napi_valuetype type = napi_undefined;
    if (i < count_) napi_typeof(env_, values_[i], &type);
    return type == napi_null ? nullptr : floats(i, rows, columns);
  }
  int32_t* ints(size_t i, int64_t n) {
    return static_cast<int32_t*>(array(i, napi_int32_array, "Int32Array", n, 1));
  }
  /// Where n rows are stored, −1 for nowhere, or null; `stored` becomes how many rows that takes.
  const int32_t* places(size_t i, int64_t n, int64_t& stored) {
    napi_valuetype type = napi_undefined;
    if (i < count_) napi_typeof(env_, values_[i], &type);
    if (type == napi_null) return nullptr;
    const int32_t* at = ints(i, n);
    stored = 0;
    for (int64_t k = 0; ok_ && k < n; k++) {
      if (at[k] < -1) fail(i, "holds a place below -1");
      if (at[k] >= stored) stored = at[k] + 1;
    }
    return at;
  }

  /// Weights of the type numbered by argument `type_at`: rows of f32 (Float32Array), bf16 (Uint16Array), q8_0, q4_0 or f16
  /// (Uint8Array). Before each row there may be another, of `more` columns.
  Weights weights(size_t i, size_t type_at, int64_t rows, int64_t columns, int64_t more = 0) {
    const int64_t type = size(type_at);
    if (type > kF16) fail(type_at, "is not a type of weights");
    if (!ok_ || type <= kBf16) return weights(i, rows, columns + more);
    const WeightType packed = static_cast<WeightType>(type);
    const int64_t bytes = weight_row_bytes(packed, columns) + weight_row_bytes(packed, more);
    return {array(i, napi_uint8_array, "Uint8Array", rows, bytes), packed};
  }
  /// A Float32Array (f32) or a Uint16Array (bf16) of at least rows·columns elements.
  Weights weights(size_t i, int64_t rows, int64_t columns) {
    napi_typedarray_type type = napi_float32_array;
    if (i < count_) napi_get_typedarray_info(env_, values_[i], &type, nullptr, nullptr, nullptr, nullptr);
    if (type == napi_uint16_array) return {array(i, type, "Uint16Array", rows, columns), kBf16};
    return {array(i, napi_float32_array, "Float32Array or Uint16Array", rows, columns), kF32};
  }

  /// Weights that are not quantized.
  Weights wide_weights(size_t i, size_t type_at, int64_t rows, int64_t columns) {
    const Weights w = weights(i, type_at, rows, columns);
    if (ok_ && (w.type == kQ8 || w.type == kQ4)) fail(type_at, "must be f32, bf16 or f16");
    return w;
  }
  /// An Int8Array of at least rows·columns elements.
  int8_t* codes(size_t i, int64_t rows, int64_t columns) {
    return static_cast<int8_t*>(array(i, napi_int8_array, "Int8Array", rows, columns));
  }

  CacheType cache_type(size_t i) {
    const int64_t type = size(i);
    if (type > kCacheQ8) fail(i, "is not a type of cache");
    return static_cast<CacheType>(type);
  }
  /// Element `at` of an array of Uint8Arrays, of at least rows·columns bytes.
  uint8_t* bytes_in(size_t i, uint32_t at, int64_t rows, int64_t columns) {
    napi_value element = nullptr;
    if (i >= count_ || napi_get_element(env_, values_[i], at, &element) != napi_ok) {
      fail(i, "must be an array");
      return nullptr;
    }
    return static_cast<uint8_t*>(array_of(element, i, napi_uint8_array, "Uint8Array", rows, columns));
  }

  Draw draw(size_t i) {
    return {word(i), word(i + 1), word(i + 2), word(i + 3), word(i + 4)};
  }
  Activation activation(size_t i) {
    const int64_t kernel = size(i);
    const double p = number(i + 1);
    const bool draws = kernel >= kStochaIdentity && kernel <= kStochaDrawn;
    if (kernel > kFatRelu) fail(i, "is not a fused activation");
    if (!(std::fabs(p) < 1e30)) fail(i + 1, "must be a finite number");
    if (draws && !(p >= 0 && p <= 1)) fail(i + 1, "must be a probability");
    return {static_cast<int32_t>(kernel), p};
  }
  /// Seven arguments from i on: code, uniforms, parameters (or null), how many of them the layer shares, what shares a
  /// draw, rows per sample, learned rows of neurons.
  ActivationProgram program(size_t i, int64_t width) {
    const int64_t length = length_of(i), neurons = size(i + 6);
    const int32_t* code = ints(i, length);
    if (ok_ && !program_is_sound(code, length, neurons)) fail(i, "is not a program");
    return ok_ ? program_with(code, i, code[0], width) : ActivationProgram{};
  }
  /// The same, the first being a plan: neighbors, statistics, for each a rank and whether it has derivatives, then the
  /// lengths of all codes, then the codes: main, and for each statistic values and derivatives.
  RowProgram row_program(size_t i, int64_t width) {
    RowProgram row = {};
    const int64_t length = length_of(i), neurons = size(i + 6);
    const int32_t* plan = ints(i, length);
    constexpr int64_t most = sizeof row.ranks / sizeof *row.ranks;
    if (ok_ && (length < 2 || plan[1] < 0 || plan[1] > most || length < 3 + 4 * plan[1])) fail(i, "is not a plan");
    if (!ok_) return row;
    row.neurons = neurons, row.neighbors = plan[0] != 0, row.statistics = plan[1];
    const int32_t* lengths = plan + 2 + 2 * row.statistics;
    int64_t at = 3 + 4 * row.statistics, uniforms = 0;
    const auto next = [&](int32_t code_length, int statistics) -> const int32_t* {
      const bool fits = code_length >= 5 && code_length <= length - at;
      if (!fits || !program_is_sound(plan + at, code_length, neurons, statistics)) fail(i, "is not a plan");
      if (!ok_) return nullptr;
      const int32_t* code = plan + at;
      at += code_length, uniforms += code[0];
      return code;
    };
    row.main.code = next(lengths[0], row.statistics);
    for (int s = 0; ok_ && s < row.statistics; s++) {
      row.ranks[s] = plan[2 + 2 * s];
      row.values[s] = next(lengths[1 + 2 * s], s);
      if (ok_ && plan[3 + 2 * s] != 0) row.derivatives[s] = next(lengths[2 + 2 * s], s);
      if (row.ranks[s] < 0 || row.ranks[s] > width) fail(i, "has a rank beyond the row");
    }
    if (ok_) row.main = program_with(row.main.code, i, uniforms, width);
    return row;
  }
  /// Three arguments from i on, for rows of this width.
  RowSelection row_selection(size_t i, int64_t width) {
    const int64_t keep = size(i), then = size(i + 1);
    const double at = number(i + 2);
    if (keep > kKeepAbove) fail(i, "is not a way to keep neurons");
    if (then > kThenSilu) fail(i + 1, "is not what can be applied to kept neurons");
    if (!(std::fabs(at) < 1e30)) fail(i + 2, "must be a finite number");
    const bool ranked = at >= 1 && at <= static_cast<double>(width);
    if (keep != kKeepAbove && width > 0 && !ranked) fail(i + 2, "is not a rank in a row");
    return {static_cast<int32_t>(keep), static_cast<int32_t>(then), at};
  }
  AttentionShape attention_shape(size_t i) {
    const AttentionShape s = {size(i), size(i + 1), size(i + 2), size(i + 3), size(i + 4)};
    if (ok_ && (s.kv_heads == 0 || s.heads % s.kv_heads != 0)) fail(i + 3, "must divide the number of heads");
    return s;
  }

  void fail(size_t i, const char* what) {
    if (!ok_) return;
    ok_ = false;
    char message[200];
    snprintf(message, sizeof message, "native %s: argument %zu %s", kernel_, i, what);
    napi_throw_range_error(env_, "NATIVE_ARGUMENT", message);
  }

  /// Elements of the typed array that is argument i.
  int64_t length_of(size_t i) {
    size_t length = 0;
    if (i >= count_ || napi_get_typedarray_info(env_, values_[i], nullptr, &length, nullptr, nullptr, nullptr) != napi_ok)
      fail(i, "must be a typed array");
    return static_cast<int64_t>(length);
  }

  /// Whether the machine of activation_program.h may run this code: every slot, operation and input exists, and only
  /// temporaries are written to. Of statistics there are so many; −1: neither these nor neighbors may be read.
  static bool program_is_sound(const int32_t* code, int64_t length, int64_t neurons, int64_t statistics = -1) {
    constexpr int64_t most = 512;  // max_program_slots
    if (length < 5) return false;
    for (int i = 0; i < 5; i++)
      if (code[i] < 0 || code[i] > 10000) return false;
    const int64_t uniforms = code[0], inputs = code[1], temporaries = code[2], steps = code[3], outputs = code[4];
    const int64_t slots = uniforms + inputs + temporaries;
    if (slots > most || outputs == 0 || length < 5 + 2 * inputs + outputs + 5 * steps) return false;
    const int32_t* at = code + 5;
    for (int64_t i = 0; i < inputs; i++, at += 2) {
      const bool x = at[0] == 0 && at[1] == 0, draw = at[0] == 3 && at[1] >= 0 && at[1] < 200;
      const bool neuron = at[0] == 4 && at[1] >= 0 && at[1] < neurons;
      const bool neighbor = (at[0] == 1 || at[0] == 2) && statistics >= 0;
      const bool statistic = at[0] == 5 && at[1] >= 0 && at[1] < statistics;
      if (!x && !draw && !neuron && !neighbor && !statistic) return false;
    }
    for (int64_t i = 0; i < outputs; i++, at++)
      if (*at < 0 || *at >= slots) return false;
    for (int64_t i = 0; i < steps; i++, at += 5) {
      if (at[0] < 0 || at[0] > 26 || at[1] < uniforms + inputs || at[1] >= slots) return false;
      for (int operand = 2; operand < 5; operand++)
        if (at[operand] < 0 || at[operand] >= slots) return false;
    }
    return true;
  }

 private:
  /// A program's code with arguments i + 1 … i + 6, see program().
  ActivationProgram program_with(const int32_t* code, size_t i, int64_t uniform_count, int64_t width) {
    const int64_t shared = size(i + 3), neurons = size(i + 6);
    const float* uniforms = floats(i + 1, uniform_count);
    const float* parameters = shared + neurons == 0 ? nullptr : floats(i + 2, shared + neurons * width);
    const int64_t draw_per = size(i + 4), rows_per_sample = size(i + 5);
    if (draw_per > kNoDraws) fail(i + 4, "is not a unit of draws");
    if (rows_per_sample == 0) fail(i + 5, "must be positive");
    return {code, uniforms, parameters, shared, static_cast<int32_t>(draw_per), static_cast<uint32_t>(rows_per_sample)};
  }

  void* array(size_t i, napi_typedarray_type wanted, const char* name, int64_t rows, int64_t columns) {
    return array_of(i < count_ ? values_[i] : nullptr, i, wanted, name, rows, columns);
  }
  void* array_of(napi_value value, size_t i, napi_typedarray_type wanted, const char* name, int64_t rows,
                 int64_t columns) {
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (value == nullptr || napi_get_typedarray_info(env_, value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
        type != wanted) {
      char what[60];
      snprintf(what, sizeof what, "must be a %s", name);
      fail(i, what);
      return nullptr;
    }
    int64_t needed = 0;
    if (__builtin_mul_overflow(rows, columns, &needed) || needed < 0 || static_cast<size_t>(needed) > length) {
      char what[120];
      snprintf(what, sizeof what, "has %zu elements, needs %lld x %lld", length, static_cast<long long>(rows),
               static_cast<long long>(columns));
      fail(i, what);
    }
    return data;
  }

  static constexpr size_t max_arguments = 24;
  napi_env env_;
  const char* kernel_;
  size_t count_ = max_arguments;
  napi_value values_[max_arguments] = {};
  bool ok_ = true;
};

}  // namespace flicker

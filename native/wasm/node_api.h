// The part of Node-API that arguments.h uses, for WebAssembly: there arguments.h and what reads arguments through it
// are compiled as they are. A value lies in the module's memory, written there by src/kernels/wasm/arguments.ts; arrays
// have been copied into that memory if they were not in it already.
#pragma once

#include <cstdint>
#include <cstring>

/// Kinds of values; `kinds` in src/kernels/wasm/arguments.ts.
enum FlickerKind : uint32_t {
  kUndefinedValue,
  kNullValue,
  kNumberValue,
  kBooleanValue,
  kFloat32Value,
  kInt32Value,
  kInt8Value,
  kUint8Value,
  kUint16Value,
  kOtherArrayValue,
  kListValue,
};

/// 24 bytes; of arrays and lists `data` is an address and `length` counts elements, which of a list are values.
struct FlickerValue {
  FlickerKind kind;
  uint32_t data, length, unused;
  double number;
};

/// One call: written by JavaScript up to the values; the result and what went wrong are read from it.
struct FlickerCall {
  double result;
  /// Empty: nothing. Else the message of a RangeError or, with `fatal`, of another one.
  char error[248];
  uint32_t fatal, count;
  FlickerValue values[24];
};

typedef FlickerCall* napi_env;
typedef FlickerCall* napi_callback_info;
typedef FlickerValue* napi_value;
enum napi_status { napi_ok, napi_invalid_arg };
enum napi_valuetype { napi_undefined, napi_null, napi_other };
enum napi_typedarray_type {
  napi_float32_array = kFloat32Value,
  napi_int32_array = kInt32Value,
  napi_int8_array = kInt8Value,
  napi_uint8_array = kUint8Value,
  napi_uint16_array = kUint16Value,
};

inline napi_status napi_get_cb_info(napi_env, napi_callback_info call, size_t* count, napi_value* values, void*,
                                    void**) {
  const size_t room = *count;
  *count = call->count;
  for (size_t i = 0; i < room && i < call->count; i++) values[i] = &call->values[i];
  return napi_ok;
}
inline napi_status napi_get_value_double(napi_env, napi_value value, double* to) {
  if (value->kind != kNumberValue) return napi_invalid_arg;
  *to = value->number;
  return napi_ok;
}
inline napi_status napi_get_value_bool(napi_env, napi_value value, bool* to) {
  if (value->kind != kBooleanValue) return napi_invalid_arg;
  *to = value->number != 0;
  return napi_ok;
}
inline napi_status napi_typeof(napi_env, napi_value value, napi_valuetype* type) {
  *type = value->kind == kUndefinedValue ? napi_undefined : value->kind == kNullValue ? napi_null : napi_other;
  return napi_ok;
}
inline napi_status napi_get_array_length(napi_env, napi_value value, uint32_t* length) {
  if (value->kind != kListValue) return napi_invalid_arg;
  *length = value->length;
  return napi_ok;
}
inline napi_status napi_get_element(napi_env, napi_value value, uint32_t at, napi_value* element) {
  *element = reinterpret_cast<napi_value>(static_cast<uintptr_t>(value->data)) + at;
  return napi_ok;
}
inline napi_status napi_get_typedarray_info(napi_env, napi_value value, napi_typedarray_type* type, size_t* length,
                                            void** data, napi_value* buffer, size_t*) {
  if (value->kind < kFloat32Value || value->kind > kOtherArrayValue) return napi_invalid_arg;
  if (type != nullptr) *type = static_cast<napi_typedarray_type>(value->kind);
  if (length != nullptr) *length = value->length;
  if (data != nullptr) *data = reinterpret_cast<void*>(static_cast<uintptr_t>(value->data));
  if (buffer != nullptr) *buffer = value;
  return napi_ok;
}
/// The module's memory is written by its own thread alone while a call runs.
inline napi_status napi_is_arraybuffer(napi_env, napi_value, bool* unshared) {
  *unshared = true;
  return napi_ok;
}
inline napi_status napi_is_exception_pending(napi_env call, bool* pending) {
  *pending = call->error[0] != 0;
  return napi_ok;
}
inline napi_status napi_throw_range_error(napi_env call, const char*, const char* message) {
  strncpy(call->error, message, sizeof call->error - 1);
  return napi_ok;
}

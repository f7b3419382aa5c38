// Recordings as JavaScript holds and replays them.
#include "recorded_calls.h"

#include "parallel.h"

namespace flicker {
namespace {

thread_local Recording* recording = nullptr;

constexpr napi_type_tag tag = {0x6f1c83b0a3d24f17, 0x9d1e50c7b2a86e43};

Recording* recording_of(napi_env env, napi_value value) {
  bool is_recording = false;
  void* data = nullptr;
  napi_valuetype type = napi_undefined;
  if (value == nullptr || napi_typeof(env, value, &type) != napi_ok || type != napi_object ||
      napi_check_object_type_tag(env, value, &tag, &is_recording) != napi_ok || !is_recording ||
      napi_unwrap(env, value, &data) != napi_ok)
    return nullptr;
  return static_cast<Recording*>(data);
}

napi_value number(napi_env env, int64_t value) {
  napi_value result = nullptr;
  napi_create_int64(env, value, &result);
  return result;
}

napi_value refused(napi_env env, const char* why) {
  napi_throw_range_error(env, "NATIVE_ARGUMENT", why);
  return nullptr;
}

/// newRecording(): an object that the other functions take.
napi_value new_recording(napi_env env, napi_callback_info) {
  napi_value object = nullptr;
  if (napi_create_object(env, &object) != napi_ok) return nullptr;
  auto made = std::make_unique<Recording>(env);
  const auto release = [](napi_env, void* data, void*) { delete static_cast<Recording*>(data); };
  if (napi_wrap(env, object, made.get(), release, nullptr, nullptr) != napi_ok) return nullptr;
  made.release();
  napi_type_tag_object(env, object, &tag);
  return object;
}

/// beginSection(recording): calls of this thread are recorded from now on.
napi_value begin_section(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr;
  napi_get_cb_info(env, info, &count, &value, nullptr, nullptr);
  Recording* of = count == 1 ? recording_of(env, value) : nullptr;
  if (of == nullptr) return refused(env, "native beginSection: argument 0 must be a recording");
  if (recording != nullptr) return refused(env, "native beginSection: a section is being recorded already");
  of->begin();
  recording = of;
  return nullptr;
}

/// endSection(wanted): the number of the section; −1 where one of its calls cannot be repeated, none was begun, or it
/// is not wanted.
napi_value end_section(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr;
  bool wanted = false;
  napi_get_cb_info(env, info, &count, &value, nullptr, nullptr);
  if (count == 1) napi_get_value_bool(env, value, &wanted);
  Recording* of = recording;
  recording = nullptr;
  return number(env, of == nullptr ? -1 : of->end(wanted));
}

/// replay(recording, sections: Int32Array, count, position, results: Float64Array): makes the calls of the first
/// `count` sections again, for the token at `position`. `results` receives what those return that return a number;
/// returns how many.
napi_value replay(napi_env env, napi_callback_info info) {
  size_t given = 5;
  napi_value values[5] = {};
  napi_get_cb_info(env, info, &given, values, nullptr, nullptr);
  Recording* of = given == 5 ? recording_of(env, values[0]) : nullptr;
  if (of == nullptr) return refused(env, "native replay: argument 0 must be a recording");
  if (recording != nullptr) return refused(env, "native replay: a section is being recorded");
  napi_typedarray_type kinds[2] = {};
  size_t lengths[2] = {};
  void *list = nullptr, *to = nullptr;
  double count = -1, position = -1;
  if (napi_get_typedarray_info(env, values[1], &kinds[0], &lengths[0], &list, nullptr, nullptr) != napi_ok ||
      kinds[0] != napi_int32_array)
    return refused(env, "native replay: argument 1 must be an Int32Array");
  if (napi_get_value_double(env, values[2], &count) != napi_ok || !(count >= 0 && count <= lengths[0]))
    return refused(env, "native replay: argument 2 must be a number of sections");
  if (napi_get_value_double(env, values[3], &position) != napi_ok || !(position >= 0 && position < 2147483648.0))
    return refused(env, "native replay: argument 3 must be a position");
  if (napi_get_typedarray_info(env, values[4], &kinds[1], &lengths[1], &to, nullptr, nullptr) != napi_ok ||
      kinds[1] != napi_float64_array)
    return refused(env, "native replay: argument 4 must be a Float64Array");
  if (!of->buffers_remain()) return refused(env, "native replay: an array of a recorded call is gone");

  const int32_t* numbers = static_cast<const int32_t*>(list);
  const int64_t sections = static_cast<int64_t>(count), at = static_cast<int64_t>(position);
  size_t results = 0;
  for (int64_t i = 0; i < sections; i++) {
    const Recording::Section* section = of->section(numbers[i]);
    if (section == nullptr) return refused(env, "native replay: argument 1 has a number without a section");
    for (const auto& call : *section) {
      if (!call->fits(at)) return refused(env, "native replay: a recorded call has no room for this position");
      results += call->returns;
    }
  }
  if (results > lengths[1]) return refused(env, "native replay: argument 4 is too short for the results");
  double* next = static_cast<double*>(to);
  for (int64_t i = 0; i < sections; i++)
    for (const auto& call : *of->section(numbers[i])) {
      double result = 0;
      if (!call->run(at, &result)) return refused(env, "native replay: arguments of a recorded call have changed");
      if (call->returns) *next++ = result;
    }
  if (take_out_of_memory()) {
    napi_throw_error(env, "NATIVE_OUT_OF_MEMORY", "native kernels: no memory for the working buffers");
    return nullptr;
  }
  return number(env, static_cast<int64_t>(results));
}

}  // namespace

Recording* Recording::current() { return recording; }

Recording::~Recording() {
  if (recording == this) recording = nullptr;
  for (const Buffer& buffer : buffers_) napi_delete_reference(env_, buffer.reference);
}

void Recording::begin() {
  sections_.emplace_back();
  earlier_buffers_ = buffers_.size();
  repeatable_ = true;
}

int64_t Recording::end(bool wanted) {
  if (wanted && repeatable_) return static_cast<int64_t>(sections_.size()) - 1;
  sections_.pop_back();
  // Their arrays may be collected: replays of other sections must not look for them.
  for (; buffers_.size() > earlier_buffers_; buffers_.pop_back())
    napi_delete_reference(env_, buffers_.back().reference);
  return -1;
}

void Recording::keep(std::unique_ptr<RecordedCall> call, const std::vector<napi_value>& buffers) {
  repeatable_ = repeatable_ && call != nullptr;
  for (const napi_value buffer : buffers) repeatable_ = repeatable_ && keep(buffer);
  if (repeatable_) sections_.back().push_back(std::move(call));
}

bool Recording::keep(napi_value value) {
  Buffer buffer = {};
  // Not for shared memory.
  if (napi_get_arraybuffer_info(env_, value, &buffer.data, &buffer.bytes) != napi_ok) return false;
  for (const Buffer& other : buffers_)
    if (other.data == buffer.data && other.bytes == buffer.bytes) {
      napi_value same = nullptr;
      bool is_same = false;
      napi_get_reference_value(env_, other.reference, &same);
      if (same != nullptr && napi_strict_equals(env_, same, value, &is_same) == napi_ok && is_same) return true;
    }
  if (napi_create_reference(env_, value, 0, &buffer.reference) != napi_ok) return false;
  buffers_.push_back(buffer);
  return true;
}

const Recording::Section* Recording::section(int64_t number) const {
  const bool is_there = number >= 0 && number < static_cast<int64_t>(sections_.size());
  return is_there ? &sections_[static_cast<size_t>(number)] : nullptr;
}

bool Recording::buffers_remain() const {
  for (const Buffer& buffer : buffers_) {
    napi_value value = nullptr;
    void* data = nullptr;
    size_t bytes = 0;
    if (napi_get_reference_value(env_, buffer.reference, &value) != napi_ok || value == nullptr ||
        napi_get_arraybuffer_info(env_, value, &data, &bytes) != napi_ok || data != buffer.data ||
        bytes != buffer.bytes)
      return false;
  }
  return true;
}

void export_recorded_calls(napi_env env, napi_value exports) {
  const struct {
    const char* name;
    napi_callback callback;
  } functions[] = {{"newRecording", new_recording},
                   {"beginSection", begin_section},
                   {"endSection", end_section},
                   {"replay", replay}};
  for (const auto& [name, callback] : functions) {
    napi_value function = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
}

}  // namespace flicker

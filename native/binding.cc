// The functions that JavaScript can call. Those of contract.h read and check every argument before they call the chosen
// instruction set's kernel: an array that is too short, a size that is negative or an index outside its table throws a
// RangeError and touches nothing.
#include <node_api.h>

#include <cstring>

#include "contract.h"
#include "cpu.h"
#include "parallel.h"
#include "recorded_calls.h"

namespace flicker {
namespace {

const InstructionSet* selected = nullptr;

napi_value number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

/// One function of contract.h.
template <typename With, bool RETURNS>
napi_value run(napi_env env, napi_callback_info info) {
  void* name = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &name);
  if (selected == nullptr) {
    napi_throw_error(env, "NO_NATIVE_KERNELS", "native kernels: none were compiled for this processor");
    return nullptr;
  }
  Arguments in(env, info, static_cast<const char*>(name), With::names, With::count);
  std::vector<napi_value> buffers;
  Recording* recording = Recording::current();
  if (recording != nullptr) in.collect(&buffers);
  const With with(in);
  const double result = in.ok() ? contract::call(with, in, *selected->kernels) : 0;
  if (recording != nullptr) {
    auto again = in.ok() ? contract::recorded(with, in, static_cast<const char*>(name)) : nullptr;
    if (again != nullptr) again->kernels = selected->kernels, again->returns = RETURNS;
    recording->keep(std::move(again), buffers);
  }
  if (take_out_of_memory() && in.ok()) {
    in.stop();
    napi_throw_error(env, "NATIVE_OUT_OF_MEMORY", "native kernels: no memory for the working buffers");
  }
  return RETURNS && in.ok() ? number(env, result) : nullptr;
}

/// Names of the compiled instruction sets that this processor can run, best first.
napi_value instruction_sets(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  uint32_t i = 0;
  for (const InstructionSet* set = all_instruction_sets(); set->name != nullptr; set++) {
    if (!set->usable()) continue;
    napi_value name = nullptr;
    napi_create_string_utf8(env, set->name, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, list, i++, name);
  }
  return list;
}

/// contractDigest(): by which the library recognizes an addon that was compiled from other sources.
napi_value contract_digest(napi_env env, napi_callback_info) {
  napi_value digest = nullptr;
  napi_create_string_utf8(env, contract::digest, NAPI_AUTO_LENGTH, &digest);
  return digest;
}

/// select(name): use this instruction set's kernels from now on.
napi_value select(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr;
  char name[32] = "";
  napi_get_cb_info(env, info, &count, &value, nullptr, nullptr);
  if (count == 1) napi_get_value_string_utf8(env, value, name, sizeof name, nullptr);
  for (const InstructionSet* set = all_instruction_sets(); set->name != nullptr; set++)
    if (strcmp(set->name, name) == 0 && set->usable()) {
      selected = set;
      return nullptr;
    }
  napi_throw_range_error(env, "NATIVE_ARGUMENT", "native select: no such instruction set on this processor");
  return nullptr;
}

napi_value set_threads(napi_env env, napi_callback_info info) {
  static constexpr const char* names[] = {"threads"};
  Arguments in(env, info, "setThreads", names, 1);
  const int64_t n = in.size(0);
  in.require(n >= 1 && n <= 256, 0, "must be in [1, 256]");
  if (in.ok()) set_thread_count(static_cast<int>(n));
  return nullptr;
}

/// aligned(bytes): a zeroed ArrayBuffer that starts on a cache line, freed with its last view.
napi_value aligned(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr, result = nullptr;
  double bytes = -1;
  napi_get_cb_info(env, info, &count, &value, nullptr, nullptr);
  if (count == 1) napi_get_value_double(env, value, &bytes);
  if (!(bytes >= 0 && bytes < 9007199254740992.0)) {
    napi_throw_range_error(env, "NATIVE_ARGUMENT", "native aligned: argument 0 must be a size in bytes");
    return nullptr;
  }
  void* data = allocate_pages(static_cast<uint64_t>(bytes));
  if (data == nullptr) {
    napi_throw_error(env, "NATIVE_OUT_OF_MEMORY", "native aligned: no memory");
    return nullptr;
  }
  const napi_status status = napi_create_external_arraybuffer(
      env, data, static_cast<size_t>(bytes),
      [](napi_env, void* memory, void* size) { free_pages(memory, reinterpret_cast<uintptr_t>(size)); },
      reinterpret_cast<void*>(static_cast<uintptr_t>(bytes)), &result);
  if (status != napi_ok) {
    free_pages(data, static_cast<uint64_t>(bytes));
    napi_throw_error(env, "NATIVE_OUT_OF_MEMORY", "native aligned: this runtime refuses external buffers");
    return nullptr;
  }
  return result;
}

void export_function(napi_env env, napi_value exports, const char* name, napi_callback callback, void* data) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function);
  napi_set_named_property(env, exports, name, function);
}

}  // namespace
}  // namespace flicker

NAPI_MODULE_INIT() {
  using namespace flicker;
  for (const InstructionSet* set = all_instruction_sets(); set->name != nullptr && selected == nullptr; set++)
    if (set->usable()) selected = set;
#define FLICKER_EXPORT(name, With, returns) \
  export_function(env, exports, #name, run<contract::With, returns>, const_cast<char*>(#name));
  FLICKER_ENTRIES(FLICKER_EXPORT)
#undef FLICKER_EXPORT
  export_function(env, exports, "instructionSets", instruction_sets, nullptr);
  export_function(env, exports, "contractDigest", contract_digest, nullptr);
  export_function(env, exports, "select", select, nullptr);
  export_function(env, exports, "setThreads", set_threads, nullptr);
  export_function(env, exports, "aligned", aligned, nullptr);
  export_recorded_calls(env, exports);
  return exports;
}

// What the WebAssembly module exports: one function that runs an entry of contract.h, by its number, and memory.
#include <cstdlib>
#include <cstring>

#include "contract.h"
#include "parallel.h"

namespace flicker {
namespace wasm {
extern const Kernels table;
}
namespace {

template <typename With>
double run(FlickerCall* call, const char* name) {
  Arguments in(call, call, name, With::names, With::count);
  const With with(in);
  const double result = in.ok() ? contract::call(with, in, wasm::table) : 0;
  if (take_out_of_memory() && in.ok()) {
    call->fatal = 1;
    strcpy(call->error, "no memory for the working buffers");
  }
  return result;
}

using Run = double (*)(FlickerCall*, const char*);
struct Entry {
  const char* name;
  Run run;
};
#define FLICKER_ENTRY(name, With, returns) {#name, run<contract::With>},
constexpr Entry entries[] = {FLICKER_ENTRIES(FLICKER_ENTRY)};
#undef FLICKER_ENTRY

}  // namespace
}  // namespace flicker

#define FLICKER_EXPORT(name) extern "C" __attribute__((export_name(name)))

/// Runs entry `index` of FLICKER_ENTRIES; the result is in `call`.
FLICKER_EXPORT("run") void flicker_run(uint32_t index, FlickerCall* call) {
  using namespace flicker;
  constexpr uint32_t count = sizeof entries / sizeof entries[0];
  call->error[0] = 0;
  call->fatal = 0;
  if (index < count) call->result = entries[index].run(call, entries[index].name);
}

/// contractDigest() of src/kernels/native/signatures.ts, ended by a 0.
FLICKER_EXPORT("digest") const char* flicker_digest() { return flicker::contract::digest; }

/// Zeroed memory at a multiple of 64 bytes; null where there is none. `release` gives it back.
FLICKER_EXPORT("allocate") void* flicker_allocate(uint32_t bytes) {
  const uint32_t rounded = bytes == 0 ? 64 : (bytes + 63) / 64 * 64;
  void* memory = rounded < bytes ? nullptr : aligned_alloc(64, rounded);
  if (memory != nullptr) memset(memory, 0, rounded);
  return memory;
}
FLICKER_EXPORT("release") void flicker_release(void* memory) { free(memory); }

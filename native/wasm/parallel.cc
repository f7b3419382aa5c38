// parallel.h for WebAssembly: the calling thread does all the work.
#include "parallel.h"

#include <cstdlib>

namespace flicker {
namespace {

bool out_of_memory = false;

struct Scratch {
  void* data;
  uint64_t bytes;
};

}  // namespace

void parallel_run(int64_t n, void (*fn)(void*, int64_t), void* context) {
  for (int64_t i = 0; i < n; i++) fn(context, i);
}

int thread_count() { return 1; }
void set_thread_count(int) {}

void* scratch(int slot, uint64_t bytes) {
  static Scratch slots[4];
  Scratch& s = slots[slot];
  if (s.bytes < bytes) {
    free(s.data);
    s.bytes = (bytes + 63) / 64 * 64;
    s.data = s.bytes > UINT32_MAX ? nullptr : aligned_alloc(64, static_cast<size_t>(s.bytes));
    if (s.data == nullptr) {
      s.bytes = 0;
      out_of_memory = true;
    }
  }
  return s.data;
}

bool take_out_of_memory() {
  const bool was = out_of_memory;
  out_of_memory = false;
  return was;
}

}  // namespace flicker

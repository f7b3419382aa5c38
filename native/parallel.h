// The thread pool. Compiled once, used by every instruction set's kernels.
#pragma once

#include <cstdint>

namespace flicker {

/// Calls fn(context, i) once for every i in [0, n) on all threads and returns when all are done. The caller takes
/// part. Which thread runs which i is not fixed, so results must not depend on it.
void parallel_run(int64_t n, void (*fn)(void* context, int64_t i), void* context);

/// Threads in use, the caller's included.
int thread_count();
/// Starts or stops workers so that `n` (≥ 1) threads work; waits for the old ones to end.
void set_thread_count(int n);

/// Scratch memory of the calling thread, 64-byte aligned, at least `bytes` long; kept for the next call. `slot`
/// (0…3) tells apart buffers that live at the same time. Returns null when memory is exhausted; the kernel then returns
/// early and the binding, which asks take_out_of_memory(), throws.
void* scratch(int slot, uint64_t bytes);

/// Whether a scratch() has failed since the last call.
bool take_out_of_memory();

}  // namespace flicker

// A lambda as the body. A template in an unnamed namespace: each instruction set gets its own copy.
namespace {
template <typename Body>
inline void parallel_for(int64_t n, const Body& body) {
  if (n == 1) {
    body(static_cast<int64_t>(0));
    return;
  }
  flicker::parallel_run(
      n, [](void* context, int64_t i) { (*static_cast<const Body*>(context))(i); },
      const_cast<void*>(static_cast<const void*>(&body)));
}
}  // namespace

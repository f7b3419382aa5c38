// What this machine can do at most, measured with this instruction set: the limits that benchmarks compare with.
#if !defined(__wasm__)
#include <time.h>
#endif

#include "kernels.h"
#include "parallel.h"
#include "simd.h"

#if defined(__wasm__)
/// Seconds: src/kernels/wasm/instance.ts.
extern "C" __attribute__((import_module("flicker"), import_name("now"))) double flicker_now();
#endif

namespace flicker::FLICKER_ISA {
namespace {

#if defined(__wasm__)
double now() { return flicker_now(); }
#else
double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}
#endif

/// Independent chains of multiply-adds in registers: only the arithmetic units limit them.
double fma_rate(double seconds) {
  constexpr int chains = 12;
  vf a[chains];
  for (int i = 0; i < chains; i++) a[i] = splat(static_cast<float>(i));
  vf b = splat(0.999f), c = splat(0.001f);
  const double start = now();
  double elapsed = 0, flops = 0;
  while (elapsed < seconds) {
    for (int k = 0; k < 100000; k++) {
      // The compiler may not see through this, else it would fold the loop.
#if defined(__x86_64__)
      asm volatile("" : "+v"(b));
#elif defined(__aarch64__)
      asm volatile("" : "+w"(b));
#endif
#pragma GCC unroll 12
      for (int i = 0; i < chains; i++) a[i] = a[i] * b + c;
    }
    flops += 100000.0 * chains * lanes * 2;
    elapsed = now() - start;
  }
  volatile float sink = 0;
  for (int i = 0; i < chains; i++) sink = sink + reduce_add(a[i]);
  return flops / elapsed;
}

}  // namespace

/// Multiply-adds per second ×2 (FLOP/s) of all threads together over about `seconds`.
double fma_peak(double seconds) {
  double rates[256] = {};
  const int threads = thread_count() < 256 ? thread_count() : 256;
  parallel_for(threads, [&](int64_t i) { rates[i] = fma_rate(seconds); });
  double total = 0;
  for (int i = 0; i < threads; i++) total += rates[i];
  return total;
}

/// Reads n floats once with all threads (for the streaming bandwidth); returns their sum so that it must be done.
double read_sum(const float* x, int64_t n) {
  constexpr int64_t block = 1 << 16;
  const int64_t blocks = (n + block - 1) / block;
  double* partial = static_cast<double*>(scratch(2, static_cast<uint64_t>(blocks + 1) * 8));
  if (partial == nullptr) return 0;
  parallel_for(blocks, [&](int64_t b) {
    const int64_t end = (b + 1) * block < n ? (b + 1) * block : n;
    vf sums[8] = {};
    int64_t i = b * block;
    for (; i + 8 * lanes <= end; i += 8 * lanes)
#pragma GCC unroll 8
      for (int j = 0; j < 8; j++) sums[j] += load(x + i + j * lanes);
    vf total = {};
    for (int j = 0; j < 8; j++) total += sums[j];
    partial[b] = static_cast<double>(reduce_add(total));
  });
  double total = 0;
  for (int64_t b = 0; b < blocks; b++) total += partial[b];
  return total;
}

}  // namespace flicker::FLICKER_ISA

// parallel.h for WebAssembly. Threads are workers that instantiate this module over the memory of the first instance
// (src/kernels/wasm/threads.ts) and stay in `flicker_work`; a page that may not share memory has none of them. They
// join when they are ready, and nobody waits for one that is not.
#include "parallel.h"

#include <cstdlib>

/// Seconds: src/kernels/wasm/instance.ts.
extern "C" __attribute__((import_module("flicker"), import_name("now"))) double flicker_now();

namespace flicker {
namespace {

// Without template libraries of threads, which WASI's C++ library lacks: every access is sequentially consistent.
template <typename T>
struct Shared {
  T value;
  T load() const { return __atomic_load_n(&value, __ATOMIC_SEQ_CST); }
  void store(T to) { __atomic_store_n(&value, to, __ATOMIC_SEQ_CST); }
  T add(T by) { return __atomic_add_fetch(&value, by, __ATOMIC_SEQ_CST); }
  T exchange(T to) { return __atomic_exchange_n(&value, to, __ATOMIC_SEQ_CST); }
  /// Sleeps while the value is `seen`, of 32 bits, until `wake`.
  void sleep(T seen) { __builtin_wasm_memory_atomic_wait32(&value, seen, -1); }
  void wake() { __builtin_wasm_memory_atomic_notify(&value, UINT32_MAX); }
};

/// Looks that a thread takes before it asks for the time, or sleeps until others have done their jobs.
constexpr int looks = 64, patience = 4000;
/// Kernels follow each other within microseconds, and waking a thread takes longer than most of them.
constexpr double spin_seconds = 200e-6;

// A run of n jobs is one word: (generation, n, next job), as in ../parallel.cc. Taking a job adds one to it, whether
// there is one or not, so that the next job may be a little beyond n. With a compare-and-exchange here and n in a local
// variable, callers in Node 20 (V8 11.3) were seen to go on before the others had done their jobs: in 6 of 14 processes
// on a busy machine, in their first calls. In this form in none of 14; the cause is not proven.
constexpr uint64_t next_mask = (1 << 20) - 1;
constexpr int64_t max_jobs = (1 << 20) - (1 << 16);
constexpr uint64_t jobs_of(uint64_t ticket) { return ticket >> 20 & next_mask; }
constexpr uint64_t next_of(uint64_t ticket) { return ticket & next_mask; }

void (*job)(void*, int64_t);
void* job_context;
int threads = 1;
alignas(64) Shared<uint64_t> ticket;
alignas(64) Shared<int32_t> done;
/// Jobs of the run, in memory for the reason above.
Shared<int32_t> wanted;
Shared<int32_t> caller_sleeps;
alignas(64) Shared<int32_t> sleeping;
/// Jobs that others than the caller have done.
Shared<int32_t> taken_by_others;
/// Counts what sleeping threads are woken for.
Shared<int32_t> news;
Shared<int32_t> active{1};
Shared<int32_t> out_of_memory;
/// Held by who allocates within a job: the C library believes that there is one thread.
Shared<int32_t> allocating;

struct Scratch {
  void* data;
  uint64_t bytes;
};

bool has_jobs() {
  const uint64_t now = ticket.load();
  return next_of(now) < jobs_of(now);
}

/// Returns how many it has done.
int32_t take_jobs() {
  int32_t taken = 0;
  while (has_jobs()) {
    const uint64_t now = ticket.add(1) - 1;
    if (next_of(now) >= jobs_of(now)) break;
    job(job_context, static_cast<int64_t>(next_of(now)));
    done.add(1);
    if (caller_sleeps.load() != 0) done.wake();
    taken++;
  }
  return taken;
}

/// n ≤ max_jobs.
void run(int64_t n, void (*fn)(void*, int64_t), void* context) {
  job = fn;
  job_context = context;
  wanted.store(static_cast<int32_t>(n));
  done.store(0);
  const uint64_t generation = (ticket.load() >> 40) + 1;
  ticket.store(generation << 40 | static_cast<uint64_t>(n) << 20);
  if (sleeping.load() > 0) {
    news.add(1);
    news.wake();
  }
  take_jobs();
  for (int i = 0; i < patience; i++)
    if (done.load() == wanted.load()) return;
  caller_sleeps.store(1);
  for (int32_t seen; (seen = done.load()) < wanted.load();) done.sleep(seen);
  caller_sleeps.store(0);
}

/// Returns when there may be jobs for thread `index`.
void await_jobs(int index) {
  if (index < active.load()) {
    const double start = flicker_now();
    do {
      for (int i = 0; i < looks; i++)
        if (has_jobs()) return;
    } while (flicker_now() - start < spin_seconds);
  }
  const int32_t seen = news.load();
  sleeping.add(1);
  if (index >= active.load() || !has_jobs()) news.sleep(seen);
  sleeping.add(-1);
}

}  // namespace

void parallel_run(int64_t n, void (*fn)(void*, int64_t), void* context) {
  if (threads <= 1 || n <= 1) {
    for (int64_t i = 0; i < n; i++) fn(context, i);
    return;
  }
  // More jobs than a ticket counts: in pieces.
  struct Piece {
    void (*fn)(void*, int64_t);
    void* context;
    int64_t first;
  } piece = {fn, context, 0};
  for (; piece.first < n; piece.first += max_jobs)
    run(
        n - piece.first < max_jobs ? n - piece.first : max_jobs,
        [](void* p, int64_t i) {
          const Piece& of = *static_cast<Piece*>(p);
          of.fn(of.context, of.first + i);
        },
        &piece);
}

int thread_count() { return threads; }

void set_thread_count(int n) {
  threads = n < 1 ? 1 : n;
  active.store(threads);
  news.add(1);
  news.wake();
}

void* scratch(int slot, uint64_t bytes) {
  static thread_local Scratch slots[4];
  Scratch& s = slots[slot];
  if (s.bytes < bytes) {
    while (allocating.exchange(1) != 0) {
    }
    free(s.data);
    s.bytes = (bytes + 63) / 64 * 64;
    s.data = s.bytes > UINT32_MAX ? nullptr : aligned_alloc(64, static_cast<size_t>(s.bytes));
    allocating.store(0);
    if (s.data == nullptr) {
      s.bytes = 0;
      out_of_memory.store(1);
    }
  }
  return s.data;
}

bool take_out_of_memory() { return out_of_memory.exchange(0) != 0; }

}  // namespace flicker

#define FLICKER_EXPORT(name) extern "C" __attribute__((export_name(name)))

/// How many threads take jobs, the caller's included; those that are not there yet join when they are.
FLICKER_EXPORT("setThreads") void flicker_set_threads(int32_t n) { flicker::set_thread_count(n); }

/// The life of thread `index` (1, 2, …), in its own instance.
FLICKER_EXPORT("work") void flicker_work(int32_t index) {
  for (;;) {
    flicker::await_jobs(index);
    if (index < flicker::active.load()) flicker::taken_by_others.add(flicker::take_jobs());
  }
}
FLICKER_EXPORT("jobsOfOthers") int32_t flicker_jobs_of_others() { return flicker::taken_by_others.load(); }

// A pool of workers that spin for a moment before they sleep: kernels follow each other within microseconds in a
// training step, and waking a sleeping thread costs more than most of them take.
#include "parallel.h"

#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "aligned_memory.h"

namespace flicker {
namespace {

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A run of n jobs is published as one word: (generation, n, next job). A thread claims a job by raising `next` in that
// word; the claim can only succeed while the run is still going on, so a worker that was not running when a run came
// and went does no harm, and nobody waits for it.
constexpr int64_t max_jobs = (1 << 20) - 1;
constexpr uint64_t next_mask = max_jobs;

constexpr uint64_t make_ticket(uint64_t generation, uint64_t jobs) { return generation << 40 | jobs << 20; }
constexpr uint64_t jobs_of(uint64_t ticket) { return ticket >> 20 & next_mask; }
constexpr uint64_t next_of(uint64_t ticket) { return ticket & next_mask; }
constexpr uint64_t generation_of(uint64_t ticket) { return ticket >> 40; }

class Pool {
 public:
  ~Pool() { resize(1); }

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  void resize(int n) {
    if (n == size()) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
    workers_.clear();
    stop_ = false;
    for (int i = 1; i < n; i++) workers_.emplace_back([this] { work(); });
  }

  /// n ≤ max_jobs.
  void run(int64_t n, void (*fn)(void*, int64_t), void* context) {
    if (workers_.empty() || n <= 1) {
      for (int64_t i = 0; i < n; i++) fn(context, i);
      return;
    }
    fn_ = fn;
    context_ = context;
    done_.store(0, std::memory_order_relaxed);
    ticket_.store(make_ticket(generation_of(ticket_.load()) + 1, static_cast<uint64_t>(n)), std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_all();
    }
    take_jobs();
    for (Spin spin; done_.load(std::memory_order_acquire) < n;) spin.once();
  }

 private:
  /// Busy waiting that yields after a while: on a machine with other work the awaited thread may not be running.
  struct Spin {
    int count = 0;
    void once() {
      if (++count < 2000)
        pause();
      else
        sched_yield();
    }
  };

  bool has_jobs() const {
    const uint64_t ticket = ticket_.load(std::memory_order_seq_cst);  // against sleeping_, see run()
    return next_of(ticket) < jobs_of(ticket);
  }

  void take_jobs() {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    while (next_of(ticket) < jobs_of(ticket)) {
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel, std::memory_order_acquire))
        continue;
      fn_(context_, static_cast<int64_t>(next_of(ticket)));
      done_.fetch_add(1, std::memory_order_release);
      ticket = ticket_.load(std::memory_order_acquire);
    }
  }

  void work() {
    while (await_jobs()) take_jobs();
  }

  /// Returns once there are jobs to take; false when the pool stops.
  bool await_jobs() {
    const auto start = std::chrono::steady_clock::now();
    Spin spin;
    for (int i = 0;; i++) {
      if (has_jobs()) return true;
      if (stop_) return false;
      spin.once();
      if ((i & 63) == 63 && std::chrono::steady_clock::now() - start > std::chrono::microseconds(200)) break;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [&] { return stop_ || has_jobs(); });
    sleeping_.fetch_sub(1, std::memory_order_relaxed);
    return !stop_;
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  void (*fn_)(void*, int64_t) = nullptr;
  void* context_ = nullptr;
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int64_t> done_{0};
  alignas(64) std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
};

Pool& pool() {
#if defined(_WIN32)
  // Never destroyed: Windows ends the workers before it unloads the library, and one may hold the pool's mutex then.
  static Pool& instance = *new Pool;
#else
  static Pool instance;
#endif
  return instance;
}

// One caller at a time: kernels may be called from several JavaScript worker threads.
std::mutex& turn() {
  static std::mutex instance;
  return instance;
}

std::atomic<bool> out_of_memory{false};

struct Scratch {
  void* data = nullptr;
  uint64_t bytes = 0;
  ~Scratch() { free_aligned(data); }
};

}  // namespace

void parallel_run(int64_t n, void (*fn)(void*, int64_t), void* context) {
  std::lock_guard<std::mutex> lock(turn());
  if (n <= max_jobs) {
    pool().run(n, fn, context);
    return;
  }
  // More jobs than a ticket counts: in pieces.
  struct Piece {
    void (*fn)(void*, int64_t);
    void* context;
    int64_t first;
  } piece = {fn, context, 0};
  for (; piece.first < n; piece.first += max_jobs)
    pool().run(
        n - piece.first < max_jobs ? n - piece.first : max_jobs,
        [](void* p, int64_t i) {
          const Piece& of = *static_cast<Piece*>(p);
          of.fn(of.context, of.first + i);
        },
        &piece);
}

int thread_count() { return pool().size(); }

void set_thread_count(int n) {
  std::lock_guard<std::mutex> lock(turn());
  pool().resize(n < 1 ? 1 : n);
}

void* scratch(int slot, uint64_t bytes) {
  thread_local Scratch slots[4];
  Scratch& s = slots[slot];
  if (s.bytes < bytes) {
    free_aligned(s.data);
    s.bytes = (bytes + 63) / 64 * 64;
    s.data = allocate_aligned(64, s.bytes);
    if (s.data == nullptr) {
      s.bytes = 0;
      out_of_memory = true;
      return nullptr;
    }
  }
#if defined(__SANITIZE_ADDRESS__)
  // What an earlier, larger call has left behind the end is as forbidden as other memory.
  ASAN_UNPOISON_MEMORY_REGION(s.data, bytes);
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(s.data) + bytes, s.bytes - bytes);
#endif
  return s.data;
}

bool take_out_of_memory() { return out_of_memory.exchange(false); }

}  // namespace flicker

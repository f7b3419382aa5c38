// A pool of workers that spin for a moment before they sleep: kernels follow each other within microseconds in a
// training step, and waking a sleeping thread costs more than most of them take.
#include "parallel.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include <sched.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace flicker {
namespace {

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct Job {
  int64_t n = 0;
  void (*fn)(void*, int64_t) = nullptr;
  void* context = nullptr;
};

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
    for (int i = 1; i < n; i++) workers_.emplace_back([this, seen = generation_.load()] { work(seen); });
  }

  void run(int64_t n, void (*fn)(void*, int64_t), void* context) {
    if (workers_.empty() || n <= 1) {
      for (int64_t i = 0; i < n; i++) fn(context, i);
      return;
    }
    job_ = {n, fn, context};
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_all();
    }
    take(job_);
    // On a machine with other work the last worker may not even be running: then give way to it.
    for (int spins = 0; busy_.load(std::memory_order_acquire) > 0; spins++) {
      if (spins < 4000)
        pause();
      else
        sched_yield();
    }
  }

 private:
  void take(const Job& job) {
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < job.n;) job.fn(job.context, i);
  }

  void work(uint64_t seen) {
    for (;;) {
      if (!await(seen)) return;
      seen++;
      take(job_);
      busy_.fetch_sub(1, std::memory_order_release);
    }
  }

  /// Returns once a generation after `seen` has begun; false when the pool stops.
  bool await(uint64_t seen) {
    const auto start = std::chrono::steady_clock::now();
    for (int spins = 0;; spins++) {
      if (generation_.load(std::memory_order_acquire) != seen) return true;
      if (stop_) return false;
      pause();
      if ((spins & 63) == 63 && std::chrono::steady_clock::now() - start > std::chrono::microseconds(200)) break;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(lock, [&] { return stop_ || generation_.load(std::memory_order_seq_cst) != seen; });
    sleeping_.fetch_sub(1, std::memory_order_relaxed);
    return !stop_;
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  Job job_;
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) std::atomic<int> busy_{0};
  alignas(64) std::atomic<uint64_t> generation_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
};

Pool& pool() {
  static Pool instance;
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
  ~Scratch() { free(data); }
};

}  // namespace

void parallel_run(int64_t n, void (*fn)(void*, int64_t), void* context) {
  std::lock_guard<std::mutex> lock(turn());
  pool().run(n, fn, context);
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
    free(s.data);
    s.bytes = 0;
    s.data = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (s.data != nullptr)
      s.bytes = bytes;
    else
      out_of_memory = true;
  }
  return s.data;
}

bool take_out_of_memory() { return out_of_memory.exchange(false); }

}  // namespace flicker

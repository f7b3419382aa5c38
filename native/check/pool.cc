// The thread pool under LeakSanitizer (scripts/test-native-asan.mjs): pools of several sizes come and go, each with
// working memory on all its threads, and every job runs exactly once.
#include <cstdio>
#include <cstring>
#include <initializer_list>

#include "../parallel.h"

int main() {
  constexpr int64_t jobs = 1000;
  static int runs[jobs];
  int expected = 0;
  for (int threads : {1, 4, 2, 8, 1, 3}) {
    flicker::set_thread_count(threads);
    for (uint64_t bytes : {100u, 100000u, 5u}) {
      parallel_for(jobs, [=](int64_t i) {
        for (int slot = 0; slot < 4; slot++) {
          void* memory = flicker::scratch(slot, bytes);
          if (memory != nullptr) memset(memory, 1, bytes);
        }
        runs[i]++;
      });
      expected++;
      for (int64_t i = 0; i < jobs; i++)
        if (runs[i] != expected) {
          printf("job %lld of %d threads ran %d times instead of %d\n", static_cast<long long>(i), threads, runs[i],
                 expected);
          return 1;
        }
    }
  }
  if (flicker::take_out_of_memory()) {
    printf("scratch() failed\n");
    return 1;
  }
  return 0;
}

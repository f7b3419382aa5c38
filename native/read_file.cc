// Reading a file on several threads: one thread alone copies from the page cache at a fraction of the memory's rate,
// and waits for each new page of a fresh buffer to be cleared.
#include "read_file.h"

#include "parallel.h"

#if defined(_WIN32) || defined(__wasm__)

namespace flicker {

// On Windows Node's descriptors belong to another C runtime than ours, and a page has no files.
int64_t read_file(int, double, int8_t*, int64_t) { return -1; }

}  // namespace flicker

#else

#include <unistd.h>

#include <cerrno>

namespace flicker {

int64_t read_file(int file, double offset, int8_t* out, int64_t bytes) {
  // Cut where huge pages begin: two threads that write into one new page at the same time would both clear it.
  constexpr int64_t piece = 2 << 20;
  const int64_t before = static_cast<int64_t>(reinterpret_cast<uintptr_t>(out) % piece);
  int64_t read_in_all = 0;
  bool failed = false;
  parallel_for((before + bytes + piece - 1) / piece, [&](int64_t job) {
    const int64_t start = job == 0 ? 0 : job * piece - before;
    const int64_t next = (job + 1) * piece - before, end = next < bytes ? next : bytes;
    int64_t done = start;
    while (done < end) {
      const off_t at = static_cast<off_t>(offset) + static_cast<off_t>(done);
      const ssize_t got = pread(file, out + done, static_cast<size_t>(end - done), at);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
      if (got <= 0) break;
      done += got;
    }
    __atomic_fetch_add(&read_in_all, done - start, __ATOMIC_RELAXED);
  });
  return failed ? -1 : read_in_all;
}

}  // namespace flicker

#endif

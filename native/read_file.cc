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
  constexpr int64_t piece = 1 << 20;
  int64_t read_in_all = 0;
  bool failed = false;
  parallel_for((bytes + piece - 1) / piece, [&](int64_t job) {
    const int64_t end = (job + 1) * piece < bytes ? (job + 1) * piece : bytes;
    int64_t done = job * piece;
    while (done < end) {
      const off_t at = static_cast<off_t>(offset) + static_cast<off_t>(done);
      const ssize_t got = pread(file, out + done, static_cast<size_t>(end - done), at);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) __atomic_store_n(&failed, true, __ATOMIC_RELAXED);
      if (got <= 0) break;
      done += got;
    }
    __atomic_fetch_add(&read_in_all, done - job * piece, __ATOMIC_RELAXED);
  });
  return failed ? -1 : read_in_all;
}

}  // namespace flicker

#endif

// Memory at a multiple of `align` (a power of two), freed with free_aligned(). Windows has no aligned_alloc.
#pragma once

#include <cstdint>
#include <cstdlib>
#if defined(_WIN32)
#include <malloc.h>
#endif

namespace flicker {

/// `bytes` is a multiple of `align`; null when there is no memory.
inline void* allocate_aligned(uint64_t align, uint64_t bytes) {
#if defined(_WIN32)
  return _aligned_malloc(bytes, align);
#else
  return aligned_alloc(align, bytes);
#endif
}

inline void free_aligned(void* memory) {
#if defined(_WIN32)
  _aligned_free(memory);
#else
  free(memory);
#endif
}

}  // namespace flicker

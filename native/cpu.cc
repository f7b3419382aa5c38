#include "cpu.h"

#include <cstring>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "aligned_memory.h"

namespace flicker {

// Calls its argument for every instruction set that was compiled; the build script defines it. A clone compiles its
// machine's own alone, and the program that finds out which one that is (check/instruction_sets.cc) none.
#ifndef FLICKER_COMPILED
#define FLICKER_COMPILED(each)
#endif

#define FLICKER_TABLE(isa)    \
  namespace isa {             \
  extern const Kernels table; \
  }
FLICKER_COMPILED(FLICKER_TABLE)
#undef FLICKER_TABLE

namespace {

/// The kernels of an instruction set, or null when they were not compiled.
const Kernels* compiled([[maybe_unused]] const char* isa) {
#define FLICKER_TABLE(name) \
  if (strcmp(isa, #name) == 0) return &name::table;
  FLICKER_COMPILED(FLICKER_TABLE)
#undef FLICKER_TABLE
  return nullptr;
}

}  // namespace

const InstructionSet* all_instruction_sets() {
  static const InstructionSet sets[] = {
#if defined(__x86_64__)
    {"avx512", compiled("avx512"),
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
              __builtin_cpu_supports("fma") && true;
     }},
    {"avx2", compiled("avx2"), [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && true; }},
    {"x86-64", compiled("x86_64"), [] { return true; }},
#else
    {"neon", compiled("neon"), [] { return true; }},
#endif
    {nullptr, nullptr, nullptr},
  };
  return sets;
}

namespace {

constexpr uint64_t huge_page = 2u << 20;

#if defined(__linux__)
/// New pages are zero. They are made when they are first written, on the thread that does it: clearing them here would
/// double the work, on one thread.
void* map_huge_pages(uint64_t bytes) {
  const uint64_t length = bytes + huge_page;
  void* mapped = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  uint8_t* const begin = static_cast<uint8_t*>(mapped);
  const uint64_t before = (huge_page - reinterpret_cast<uintptr_t>(begin) % huge_page) % huge_page;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + bytes, length - before - bytes);
  madvise(begin + before, bytes, MADV_HUGEPAGE);
  return begin + before;
}
#endif

uint64_t rounded_up(uint64_t bytes, uint64_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

void* allocate_pages(uint64_t bytes) {
  if (bytes > UINT64_MAX - 2 * huge_page) return nullptr;
#if defined(__linux__)
  if (bytes >= huge_page) return map_huge_pages(rounded_up(bytes, huge_page));
#endif
  const uint64_t align = bytes >= huge_page ? huge_page : 64;
  const uint64_t rounded = bytes == 0 ? align : rounded_up(bytes, align);
  void* memory = allocate_aligned(align, rounded);
  if (memory != nullptr) memset(memory, 0, rounded);
  return memory;
}

void free_pages(void* memory, uint64_t bytes) {
#if defined(__linux__)
  if (bytes >= huge_page) {
    munmap(memory, rounded_up(bytes, huge_page));
    return;
  }
#else
  (void)bytes;
#endif
  free_aligned(memory);
}

}  // namespace flicker

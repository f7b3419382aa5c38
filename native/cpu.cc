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

void* allocate_pages(uint64_t bytes) {
  constexpr uint64_t huge = 2u << 20;
  const uint64_t align = bytes >= huge ? huge : 64;
  if (bytes > UINT64_MAX - align) return nullptr;
  const uint64_t rounded = (bytes + align - 1) / align * align;
  void* memory = allocate_aligned(align, rounded == 0 ? align : rounded);
  if (memory == nullptr) return nullptr;
#if defined(__linux__)
  if (align == huge) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  memset(memory, 0, rounded);
  return memory;
}

void free_pages(void* memory) { free_aligned(memory); }

}  // namespace flicker

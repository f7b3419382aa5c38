#include "cpu.h"

#include <cstdlib>
#include <cstring>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace flicker {

#if defined(__x86_64__)
namespace avx512 {
extern const Kernels table;
}
namespace avx2 {
extern const Kernels table;
}
namespace x86_64 {
extern const Kernels table;
}
#else
namespace neon {
extern const Kernels table;
}
#endif

const InstructionSet* all_instruction_sets() {
  static const InstructionSet sets[] = {
#if defined(__x86_64__)
      {"avx512", &avx512::table,
       [] {
         return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("fma") && true;
       }},
      {"avx2", &avx2::table, [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && true; }},
      {"x86-64", &x86_64::table, [] { return true; }},
#else
      {"neon", &neon::table, [] { return true; }},
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
  void* memory = aligned_alloc(align, rounded == 0 ? align : rounded);
  if (memory == nullptr) return nullptr;
#if defined(__linux__)
  if (align == huge) madvise(memory, rounded, MADV_HUGEPAGE);
#endif
  memset(memory, 0, rounded);
  return memory;
}

void free_pages(void* memory) { free(memory); }

}  // namespace flicker

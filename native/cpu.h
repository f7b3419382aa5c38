// Which instruction sets were compiled in, and which of them this processor runs.
#pragma once

#include "kernels.h"

namespace flicker {

struct InstructionSet {
  const char* name;
  const Kernels* kernels;
  bool (*supported)();
};

/// Best first; ends with an entry whose name is null.
const InstructionSet* all_instruction_sets();

/// Zeroed memory on its own pages (huge ones where the system gives them), or null. For buffers that are streamed.
void* allocate_pages(uint64_t bytes);
void free_pages(void* memory);

}  // namespace flicker

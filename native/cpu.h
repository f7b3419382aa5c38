// The instruction sets of this architecture: which were compiled in, and which this processor runs.
#pragma once

#include "kernels.h"

namespace flicker {

struct InstructionSet {
  const char* name;
  /// null when they were not compiled
  const Kernels* kernels;
  /// whether this processor has the instructions
  bool (*supported)();

  bool usable() const { return kernels != nullptr && supported(); }
};

/// Best first; ends with an entry whose name is null.
const InstructionSet* all_instruction_sets();

/// Zeroed memory on its own pages (huge ones where the system gives them), or null. For buffers that are streamed.
void* allocate_pages(uint64_t bytes);
/// Frees what allocate_pages(bytes) gave.
void free_pages(void* memory, uint64_t bytes);

}  // namespace flicker

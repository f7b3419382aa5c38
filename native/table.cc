// Gathers this instruction set's kernels into one table for the binding.
#include "kernels.h"

namespace flicker::FLICKER_ISA {
extern const Kernels table;
#define FLICKER_ENTRY(result, name, parameters) name,
const Kernels table = {FLICKER_KERNELS(FLICKER_ENTRY)};
#undef FLICKER_ENTRY
}  // namespace flicker::FLICKER_ISA

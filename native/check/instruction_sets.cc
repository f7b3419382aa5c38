// Prints the instruction sets that this processor runs, best first, one per line; the build script compiles it with
// cpu.cc to find out which kernels to compile.
#include <cstdio>

#include "../cpu.h"

int main() {
  for (const flicker::InstructionSet* set = flicker::all_instruction_sets(); set->name != nullptr; set++)
    if (set->supported()) puts(set->name);
}

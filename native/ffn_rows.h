// The FFN's neurons by rows, where few of them are active: each position reads and adds only its own.
#pragma once

#include "kernels.h"

namespace flicker::FLICKER_ISA {

/// Positions that go by rows together, and blocks of neurons, at most.
constexpr int64_t most_by_rows = 16, most_blocks = 256;

/// The neurons that are active at one position or more, ascending.
struct ActiveNeurons {
  const int32_t* list;
  int64_t count;
  /// Where the neurons of each block begin in the list; one more than there are blocks.
  const int32_t* block_begin;
  int64_t blocks;
};

/// As ffn_neurons, for at most most_by_rows positions and most_blocks blocks: y += Σ over the blocks, in order, of
/// their neurons' sums, each in order from zero. Blocks in which nothing is active at a position are left out for it.
/// Uses slot 1 of scratch().
void ffn_by_rows(Weights w, ActiveNeurons active, const float* activated, const float* x, float* y, FfnShape shape);

}  // namespace flicker::FLICKER_ISA

// Blocks of an FFN's neurons, and which neurons are active.
#pragma once

#include "weight_rows.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t max_block = 256;  // neurons in a block, at most

/// Neurons per block, a function of the size alone: some 24 blocks, which threads share evenly; more would have more
/// sums. `neuronBlock` in src/kernels/portable/integer-decoding.ts is the same.
inline int64_t block_size(int64_t neurons) {
  const int64_t wanted = ceil_div(ceil_div(neurons, 24), 32) * 32;
  return wanted < 64 ? 64 : min(wanted, max_block);
}

/// Neurons that are not 0 at one position or more; what is not a number is not 0.
inline int64_t count_anywhere(const float* activated, int64_t batch, int64_t neurons) {
  vi counts = {};
  int64_t i = 0;
  for (; i + lanes <= neurons; i += lanes) {
    vi anywhere = {};
    for (int64_t b = 0; b < batch; b++) anywhere |= ~(load(activated + b * neurons + i) == vf{});
    counts -= anywhere;
  }
  int64_t count = lane_sum(counts);
  for (; i < neurons; i++) {
    bool anywhere = false;
    for (int64_t b = 0; b < batch; b++) anywhere |= !(activated[b * neurons + i] == 0.f);
    count += anywhere;
  }
  return count;
}

}  // namespace
}  // namespace flicker::FLICKER_ISA

// Softmax and cross-entropy in one pass over the logits, with the gradient where the logits stood.
#include "kernels.h"
#include "parallel.h"
#include "vector_math.h"

namespace flicker::FLICKER_ISA {

void cross_entropy(const float* logits, const int32_t* targets, float* losses, float* d_logits, int64_t rows,
                   int64_t vocab, float scale) {
  constexpr int64_t rows_per_block = 16;
  parallel_for((rows + rows_per_block - 1) / rows_per_block, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    for (int64_t r = block * rows_per_block; r < end; r++) {
      const float* row = logits + r * vocab;
      float* gradient = d_logits == nullptr ? nullptr : d_logits + r * vocab;
      const int32_t target = targets[r];
      if (target < 0) {
        losses[r] = 0.f;
        if (gradient != nullptr) memset(gradient, 0, static_cast<size_t>(vocab) * 4);
        continue;
      }
      vf largest = splat(-__builtin_inff());
      int64_t i = 0;
      for (; i + lanes <= vocab; i += lanes) largest = vmax(largest, load(row + i));
      float max = reduce_max(largest);
      for (; i < vocab; i++) max = row[i] > max ? row[i] : max;

      const float at_target = row[target];
      vf sums = {};
      for (i = 0; i < vocab; i += lanes) {
        const int64_t n = vocab - i < lanes ? vocab - i : lanes;
        vf e = vexp((n == lanes ? load(row + i) : load_first(row + i, n)) - splat(max));
        if (n < lanes) {
          vf masked = {};
          memcpy(&masked, &e, static_cast<size_t>(n) * 4);
          e = masked;
        }
        sums += e;
        if (gradient != nullptr) {
          if (n == lanes)
            store(gradient + i, e);
          else
            store_first(gradient + i, e, n);
        }
      }
      const float sum = reduce_add(sums);
      losses[r] = __builtin_logf(sum) + max - at_target;
      if (gradient == nullptr) continue;
      const float factor = scale / sum;
      for (i = 0; i + lanes <= vocab; i += lanes) store(gradient + i, load(gradient + i) * factor);
      for (; i < vocab; i++) gradient[i] *= factor;
      gradient[target] -= scale;
    }
  });
}

}  // namespace flicker::FLICKER_ISA

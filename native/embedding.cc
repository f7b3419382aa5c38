// Token embedding: rows of a table, and their gradients added back.
#include "kernels.h"
#include "parallel.h"
#include "simd.h"

namespace flicker::FLICKER_ISA {

void embedding(const int32_t* tokens, const float* table, float* out, int64_t rows, int64_t width) {
  constexpr int64_t rows_per_block = 64;
  parallel_for((rows + rows_per_block - 1) / rows_per_block, [&](int64_t block) {
    const int64_t end = (block + 1) * rows_per_block < rows ? (block + 1) * rows_per_block : rows;
    for (int64_t r = block * rows_per_block; r < end; r++)
      memcpy(out + r * width, table + tokens[r] * width, static_cast<size_t>(width) * 4);
  });
}

// Cut by columns, not rows: two rows with the same token then always add in row order.
void embedding_backward(const int32_t* tokens, const float* d_out, float* d_table, int64_t rows, int64_t width) {
  constexpr int64_t columns = 32;
  parallel_for((width + columns - 1) / columns, [&](int64_t block) {
    const int64_t first = block * columns, end = first + columns < width ? first + columns : width;
    for (int64_t r = 0; r < rows; r++) {
      const float* from = d_out + r * width;
      float* to = d_table + tokens[r] * width;
      int64_t i = first;
      for (; i + lanes <= end; i += lanes) store(to + i, load(to + i) + load(from + i));
      for (; i < end; i++) to[i] += from[i];
    }
  });
}

}  // namespace flicker::FLICKER_ISA

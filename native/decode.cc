// Decoding: matrices of weights times a few vectors. Orders of summation: decode.h.
#include "decode.h"

namespace flicker::FLICKER_ISA {

void matvec(Weights w, const float* x, float* y, int64_t rows, int64_t columns, int64_t batch, bool accumulate) {
  if (rows == 0 || batch == 0) return;
  dispatch(w, [&]<typename W>(const W* weights) {
    // Some 64 KiB of weights to a job: enough to hide its start, little enough to share out evenly.
    const int64_t bytes = columns * static_cast<int64_t>(sizeof(W)) + 1;
    const int64_t per_job = ceil_div(ceil_div(65536, bytes), tile_rows) * tile_rows;
    parallel_for(ceil_div(rows, per_job), [&](int64_t job) {
      const int64_t first = job * per_job, count = min(per_job, rows - first);
      each_dot<W>([&](int64_t i) { return weights + (first + i) * columns; }, count, rows - first, x, batch, columns,
                  [&](int64_t i, int64_t b, float dot) {
                    float* to = y + b * rows + first + i;
                    *to = accumulate ? *to + dot : dot;
                  });
    });
  });
}

}  // namespace flicker::FLICKER_ISA

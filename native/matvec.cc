// Matrices of weights times a few positions or many: all rows, or those whose neurons are active. Orders of summation:
// lane_sums.h.
#include "positions.h"

namespace flicker::FLICKER_ISA {

void matvec(Weights w, const float* x, float* y, int64_t rows, int64_t columns, int64_t batch, bool accumulate,
            const float* bias) {
  if (rows == 0 || batch == 0) return;
  const int64_t at_once = positions_at_once(columns);
  const RowMatrix weights = matrix_of(w, columns);
  const int64_t per_job = rows_per_job(rows, weights.row_bytes);
  for (int64_t start = 0; start < batch; start += at_once) {
    const Positions positions(x + start * columns, min(at_once, batch - start), columns, w.type);
    if (!positions.ok()) return;
    float* to = y + start * rows;
    parallel_for(ceil_div(rows, per_job), [&](int64_t job) {
      const int64_t first = job * per_job, count = min(per_job, rows - first);
      const auto row_at = [&](int64_t i) { return weights[first + i]; };
      const auto put = [&](int64_t i, int64_t b, int64_t width, const float* dots) {
        for (int64_t c = 0; c < width; c++) {
          const int64_t at = (b + c) * rows + first + i;
          const float value = bias == nullptr ? dots[c] : dots[c] + bias[first + i];
          to[at] = accumulate ? to[at] + value : value;
        }
      };
      if (positions.tiles.positions > 1 || !streams(w.type)) {
        each_dot(weights.storage, row_at, count, rows - first, positions, put);
        return;
      }
      constexpr int64_t some = 16;
      float dots[some];
      for (int64_t i = 0; i < count; i += some) {
        const int64_t n = min(some, count - i);
        row_kernels[w.type]->dots_in_line(weights.line(first + i, n), positions.data, columns, dots);
        for (int64_t r = 0; r < n; r++) put(i + r, 0, 1, dots + r);
      }
    });
  }
}

void selected_rows(Weights w, const float* chosen, const float* x, float* y, int64_t rows, int64_t columns,
                   int64_t batch) {
  if (rows == 0 || batch == 0) return;
  constexpr int64_t per_job = 128;
  const int64_t at_once = positions_at_once(columns);
  const RowMatrix weights = matrix_of(w, columns);
  for (int64_t start = 0; start < batch; start += at_once) {
    const int64_t count = min(at_once, batch - start);
    const Positions positions(x + start * columns, count, columns, w.type);
    if (!positions.ok()) return;
    const float* values = chosen + start * rows;
    float* to = y + start * rows;
    parallel_for(ceil_div(rows, per_job), [&](int64_t job) {
      const int64_t first = job * per_job, end = min(rows, first + per_job);
      bool active[per_job] = {};
      for (int64_t b = 0; b < count; b++)
        for (int64_t i = first; i < end; i++) {
          active[i - first] |= !(values[b * rows + i] == 0.f);
          to[b * rows + i] = 0.f;
        }
      int32_t list[per_job];
      int64_t n = 0;
      for (int64_t i = first; i < end; i++)
        if (active[i - first]) list[n++] = static_cast<int32_t>(i);
      if (n == 0) return;
      each_dot(
          weights.storage, [&](int64_t i) { return weights[list[i]]; }, n, n, positions,
          [&](int64_t i, int64_t b, int64_t width, const float* dots) {
            for (int64_t c = 0; c < width; c++) to[(b + c) * rows + list[i]] = dots[c];
          });
    });
  }
}

}  // namespace flicker::FLICKER_ISA

// Matrices of quantized weights times positions in 16-bit integers: all rows, or those of active neurons.
#include "integer_products.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Positions whose integers stay in a level-2 cache beside a panel.
int64_t positions_together(int64_t n) {
  const int64_t fit = (256 << 10) / (2 * n + 1);
  return fit < 16 ? 16 : fit / tile_integers * tile_integers;
}

/// Rows of one job: as they stand, or those that are chosen at one position or more.
struct Rows {
  static constexpr int64_t most_chosen = 128;
  int64_t first, count;
  bool all;
  int32_t list[most_chosen];

  int64_t operator[](int64_t i) const { return all ? first + i : list[i]; }
};

}  // namespace

void integer_matvec(Weights w, const float* chosen, const float* x, float* y, int64_t rows, int64_t columns,
                    int64_t batch, bool accumulate, const float* bias) {
  if (rows == 0 || batch == 0) return;
  const int64_t row_bytes = weight_row_bytes(w.type, columns);
  const int64_t per_job = chosen == nullptr ? rows_per_job(rows, row_bytes) : Rows::most_chosen;
  const int64_t at_once = positions_together(columns);
  const uint8_t* data = static_cast<const uint8_t*>(w.data);
  uint8_t* memory =
      static_cast<uint8_t*>(scratch(2, static_cast<uint64_t>(IntegerPositions::bytes(min(at_once, batch), columns))));
  if (memory == nullptr) return;
  dispatch_integer(w.type, [&]<typename Row>(Row) {
    const int64_t scale_bytes = Row::scale_bytes(columns);
    for (int64_t start = 0; start < batch; start += at_once) {
      const int64_t together = min(at_once, batch - start);
      const IntegerPositions positions =
          integer_positions<Row>(x + start * columns, together, columns, together == 1, memory);
      const float* values = chosen == nullptr ? nullptr : chosen + start * rows;
      float* to = y + start * rows;
      parallel_for(ceil_div(rows, per_job), [&](int64_t job) {
        Rows own;
        own.first = job * per_job, own.count = min(per_job, rows - own.first), own.all = chosen == nullptr;
        if (!own.all) {
          const int64_t end = own.first + own.count;
          own.count = 0;
          for (int64_t i = own.first; i < end; i++) {
            bool active = false;
            for (int64_t b = 0; b < together; b++) {
              active |= !(values[b * rows + i] == 0.f);
              to[b * rows + i] = 0.f;
            }
            if (active) own.list[own.count++] = static_cast<int32_t>(i);
          }
        }
        const auto put = [&](int64_t i, int64_t b, float dot) {
          const int64_t row = own[i], at = b * rows + row;
          const float value = bias == nullptr ? dot : dot + bias[row];
          to[at] = accumulate ? to[at] + value : value;
        };
        // Behind the rows of a job stand those of another.
        const auto row_at = [&](int64_t i) {
          return data + (own.all ? min(own.first + i, rows - 1) : own[min(i, own.count - 1)]) * row_bytes;
        };
        if (together > 1) {
          panel_rows<Row>(row_at, own.count, positions, columns, put);
          return;
        }
        each_tile(own.count, scale_bytes, row_at, [&](const RowPointers& at, int64_t i, int64_t height) {
          float dots[tile_rows];
          if (height == 1)
            integer_dots<Row, 1>(at, positions, columns, dots);
          else
            integer_dots<Row, tile_rows>(at, positions, columns, dots);
          for (int64_t r = 0; r < height; r++) put(i + r, 0, dots[r]);
        });
      });
    }
  });
}

}  // namespace flicker::FLICKER_ISA

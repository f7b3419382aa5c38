// The kernel behind ffn_rows.h. Hidden values come first, shared out evenly whatever the blocks hold; then each block
// adds its rows into sums of its own; then the sums of the blocks that have any. Orders of summation: lane_sums.h.
#include "ffn_rows.h"

#include "lane_sums.h"
#include "row_kernels.h"

namespace flicker::FLICKER_ISA {
namespace {

/// Rows that stay in the level-2 cache while one position after the other goes through them.
constexpr int64_t most_together = 32;

/// Those of [first, end) whose value is not 0, into `own`; returns how many.
int64_t list_nonzero(const float* values, int64_t first, int64_t end, int32_t* own) {
  int64_t n = 0;
  for (int64_t i = first; i < end; i++) {
    own[n] = static_cast<int32_t>(i);
    n += !(values[i] == 0.f);
  }
  return n;
}

struct Call {
  Weights w;
  ActiveNeurons active;
  const float *activated, *x;
  FfnShape shape;
  float* hidden;  // (batch, active.count)
  int64_t up_bytes, neuron_bytes;

  const uint8_t* up(int64_t i) const {
    const int32_t neuron = active.list[i];
    const int64_t place = shape.row_of == nullptr ? neuron : shape.row_of[neuron];
    return static_cast<const uint8_t*>(w.data) + place * neuron_bytes;
  }
  const uint8_t* down(int64_t i) const { return up(i) + up_bytes; }

  /// Which of the whole list the i-th of `own`, n of them, is; after those come the ones from `later` on, which likely
  /// are this thread's next.
  int64_t listed(const int32_t* own, int64_t n, int64_t i, int64_t later) const {
    return i < n ? own[i] : min(later + i - n, active.count - 1);
  }

  /// Hidden values of [first, end) of the list.
  void set_hidden(int64_t first, int64_t end, int64_t later) const {
    for (int64_t b = 0; b < shape.batch; b++) {
      float* to = hidden + b * active.count;
      for (int64_t i = first; i < end; i++) to[i] = activated[b * shape.neurons + active.list[i]];
      if (!shape.gated) continue;
      int32_t own[most_together];
      const int64_t n = list_nonzero(to, first, end, own);
      const auto row_at = [&](int64_t i) { return up(listed(own, n, i, later)); };
      each_tile(n, weight_scale_bytes(shape.up_width), row_at, [&](const RowPointers& ups, int64_t at, int64_t height) {
        float dots[tile_rows];
        (height == 1 ? row_kernels[w.type]->dot_of_one : row_kernels[w.type]->dots[1])(ups, x + b * shape.up_width,
                                                                                       shape.up_width, dots);
        for (int64_t r = 0; r < height; r++) to[own[at + r]] *= dots[r];
      });
    }
  }

  /// sums (batch × width) of [first, end) of the list; written where any[b] comes out true.
  void add_block(int64_t first, int64_t end, int64_t later, float* sums, bool* any) const {
    for (int64_t b = 0; b < shape.batch; b++) any[b] = false;
    for (int64_t start = first; start < end; start += most_together)
      for (int64_t b = 0; b < shape.batch; b++) {
        const float* from = hidden + b * active.count;
        float* to = sums + b * shape.width;
        int32_t own[most_together];
        const int64_t stop = min(end, start + most_together), n = list_nonzero(from, start, stop, own);
        if (n == 0) continue;
        if (!any[b]) memset(to, 0, static_cast<size_t>(shape.width) * 4);
        any[b] = true;
        const auto row_at = [&](int64_t i) { return down(listed(own, n, i, stop < end ? stop : later)); };
        each_tile(n, weight_scale_bytes(shape.width), row_at,
                  [&](const RowPointers& downs, int64_t at, int64_t height) {
                    // Rows that only fill up a tile are added 0 times.
                    float factors[tile_rows] = {};
                    for (int64_t r = 0; r < height; r++) factors[r] = from[own[at + r]];
                    (height == 1 ? row_kernels[w.type]->sum_of_one : row_kernels[w.type]->sums[1])(downs, factors, to,
                                                                                                   0, 0, shape.width);
                  });
      }
  }
};

/// y, columns [first, end) of one position, += the sums of the blocks that have any, `size` apart, in order.
void add_sums(const float* sums, int64_t size, const bool* any, int64_t batch, int64_t blocks, int64_t first,
              int64_t end, float* y) {
  for (int64_t k = first; k < end; k += lanes) {
    const int64_t width = min(lanes, end - k);
    vf total = {};
    for (int64_t block = 0; block < blocks; block++) {
      if (!any[block * batch]) continue;
      const float* from = sums + block * size + k;
      total += load_n(from, width);
    }
    store_n(y + k, load_n(y + k, width) + total, width);
  }
}

/// The blocks that are not empty: in order, and the largest first.
struct FilledBlocks {
  int32_t list[most_blocks], largest_first[most_blocks];
  int64_t count = 0;

  explicit FilledBlocks(const ActiveNeurons& active) {
    const auto size = [&](int64_t i) { return active.block_begin[list[i] + 1] - active.block_begin[list[i]]; };
    for (int64_t block = 0; block < active.blocks; block++) {
      list[count] = static_cast<int32_t>(block);
      if (size(count) == 0) continue;
      int64_t at = count++;
      for (; at > 0 && size(largest_first[at - 1]) < size(count - 1); at--) largest_first[at] = largest_first[at - 1];
      largest_first[at] = static_cast<int32_t>(count - 1);
    }
  }
};

}  // namespace

void ffn_by_rows(Weights w, ActiveNeurons active, const float* activated, const float* x, float* y, FfnShape shape) {
  const FilledBlocks filled(active);
  if (filled.count == 0) return;
  const int64_t size = shape.batch * shape.width, hidden_bytes = ceil_div(shape.batch * active.count * 4, 64) * 64;
  uint8_t* memory = static_cast<uint8_t*>(scratch(1, static_cast<uint64_t>(hidden_bytes + filled.count * size * 4)));
  if (memory == nullptr) return;
  const int64_t up_bytes = shape.gated ? weight_row_bytes(w.type, shape.up_width) : 0;
  const Call call = {w,         active,
                     activated, x,
                     shape,     reinterpret_cast<float*>(memory),
                     up_bytes,  up_bytes + weight_row_bytes(w.type, shape.width)};

  const int64_t threads = thread_count();
  // Few rows to a job where there are few, so that all threads have some; the cut changes no sum.
  const int64_t together = min(most_together, ceil_div(ceil_div(active.count, 8 * threads), tile_rows) * tile_rows);
  parallel_for(ceil_div(active.count, together), [&](int64_t job) {
    const int64_t first = job * together;
    call.set_hidden(first, min(active.count, first + together), first + threads * together);
  });
  float* sums = reinterpret_cast<float*>(memory + hidden_bytes);
  bool any[most_blocks * most_by_rows];
  const auto begin_of = [&](int64_t i) { return active.block_begin[filled.list[i]]; };
  // The largest first, so that threads end together.
  parallel_for(filled.count, [&](int64_t job) {
    const int64_t i = filled.largest_first[job], next = filled.largest_first[min(job + threads, filled.count - 1)];
    call.add_block(begin_of(i), active.block_begin[filled.list[i] + 1], begin_of(next), sums + i * size,
                   any + i * shape.batch);
  });
  constexpr int64_t columns_per_job = 1024;
  const int64_t parts = ceil_div(shape.width, columns_per_job);
  parallel_for(parts * shape.batch, [&](int64_t job) {
    const int64_t b = job / parts, first = job % parts * columns_per_job;
    add_sums(sums + b * shape.width, size, any + b, shape.batch, filled.count, first,
             min(shape.width, first + columns_per_job), y + b * shape.width);
  });
}

}  // namespace flicker::FLICKER_ISA

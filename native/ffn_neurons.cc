// The FFN after its activation: neurons one by one, the inactive ones skipped. Orders of summation: lane_sums.h.
//
// Neurons stand in blocks. For one position or a few, each block adds its rows into sums of its own, which are then
// added in block order: every row is read from memory once, up and down one after the other. For many positions the
// hidden values come first, then each job takes some columns and goes through all blocks in order. Where few neurons
// are active, each position goes through its own rows alone (ffn_rows.h). The additions are the same.
#include "ffn_rows.h"
#include "neuron_blocks.h"
#include "positions.h"

namespace flicker::FLICKER_ISA {
namespace {

// Bytes of a neuron from which on those of a dense block are read one after another. With shorter ones it takes several
// side by side, so that their sums do not wait for each other.
constexpr int64_t least_streamed = 6 << 10;
constexpr int64_t many_at_once = 256;  // positions whose hidden values are kept at a time

/// The neurons of one FFN at some positions.
struct Neurons {
  RowMatrix ups, downs;    // each neuron's two rows stand next to each other
  const float* activated;  // (batch, neurons)
  FfnShape shape;
  int64_t block;

  const uint8_t* up(int64_t neuron) const { return ups[place(neuron)]; }
  const uint8_t* down(int64_t neuron) const { return downs[place(neuron)]; }
  int64_t place(int64_t neuron) const { return shape.row_of == nullptr ? neuron : shape.row_of[neuron]; }
  int64_t blocks() const { return ceil_div(shape.neurons, block); }
  /// Sums of different positions must not fall into one set of the cache, as at a distance of a power of two.
  int64_t sums_stride() const { return shape.batch == 1 ? shape.width : shape.width + 80; }
  float value(int64_t neuron, int64_t b) const { return activated[b * shape.neurons + neuron]; }

  /// The neurons of a block that are not skipped; returns how many.
  int64_t list_active(int64_t number, int32_t* list) const {
    int64_t n = 0;
    const int64_t first = number * block, end = min(shape.neurons, first + block);
    for (int64_t i = first; i < end; i++)
      // One that is stored nowhere is inactive.
      if (place(i) >= 0 && (!shape.sparse || active(i))) list[n++] = static_cast<int32_t>(i);
    return n;
  }
  bool active(int64_t neuron) const {
    for (int64_t b = 0; b < shape.batch; b++)
      if (!(value(neuron, b) == 0.f)) return true;
    return false;
  }

  /// sums (width) = Σ over a block's neurons of hidden · down row, for one position: up and down rows side by side.
  /// Where all of the block are active, long rows one after another as they stand in memory.
  void run_one(int64_t number, const float* x, float* sums) const {
    int32_t list[max_block];
    const int64_t n = list_active(number, list);
    const WeightType type = ups.storage.type;
    const bool stream =
        streams(type) && n == min(block, shape.neurons - number * block) && ups.row_bytes >= least_streamed;
    memset(sums, 0, static_cast<size_t>(shape.width) * 4);
    for (int64_t i = 0; i < n;) {
      const bool one = stream || n - i < tile_rows;
      const int64_t height = one ? 1 : tile_rows;
      RowPointers up_rows, down_rows;
      float hidden[tile_rows], dots[tile_rows];
      up_rows.scale_bytes = ups.storage.scale_bytes, down_rows.scale_bytes = downs.storage.scale_bytes;
      for (int64_t r = 0; r < height; r++) {
        hidden[r] = activated[list[i + r]];
        up_rows.rows[r] = up(list[i + r]);
        up_rows.next[r] = down_rows.rows[r] = down(list[i + r]);
        down_rows.next[r] = up(list[min(i + r + height, n - 1)]);
      }
      if (shape.gated) {
        (one ? row_kernels[type]->dot_of_one : row_kernels[type]->dots[1])(up_rows, x, shape.up_width, dots);
        for (int64_t r = 0; r < height; r++) hidden[r] *= dots[r];
      }
      (one ? row_kernels[type]->sum_of_one : row_kernels[type]->sums[1])(down_rows, hidden, sums, 0, 0, shape.width);
      i += height;
    }
  }

  /// sums (batch × sums_stride) = Σ over a block's neurons of hidden · down row, for a few positions.
  void run_few(int64_t number, const Positions& x, float* sums) const {
    int32_t list[max_block];
    const int64_t n = list_active(number, list), batch = shape.batch;
    float hidden[max_block * few];  // (n, batch)
    for (int64_t i = 0; i < n; i++)
      for (int64_t b = 0; b < batch; b++) hidden[i * batch + b] = value(list[i], b);
    if (shape.gated)
      each_dot(
          ups.storage, [&](int64_t i) { return up(list[i]); }, n, n, x,
          [&](int64_t i, int64_t first, int64_t width, const float* dots) {
            for (int64_t c = 0; c < width; c++) hidden[i * batch + first + c] *= dots[c];
          });
    const Tiles tiles(batch, max_direct);
    memset(sums, 0, static_cast<size_t>(batch * sums_stride()) * 4);
    // So many columns at a time that their sums stay in the level-1 cache.
    const int64_t columns = 4096 / batch / slice * slice;
    for (int64_t k = 0; k < shape.width; k += columns)
      for (int64_t i = 0; i < n; i += tile_rows) {
        const RowPointers rows = rows_from(
            downs.storage, [&](int64_t j) { return down(list[j]); }, i, tile_rows, n, n);
        tiles.each([&](int64_t first, int64_t width) {
          // Rows that are missing from the last tile have zeros.
          float factors[tile_rows * max_direct] = {};
          for (int64_t r = 0; r < min(tile_rows, n - i); r++)
            for (int64_t c = 0; c < width; c++) factors[r * width + c] = hidden[(i + r) * batch + first + c];
          row_kernels[downs.storage.type]->sums[width](rows, factors, sums + first * sums_stride(), sums_stride(), k,
                                                       min(shape.width, k + columns));
        });
      }
  }
};

/// One position or a few: blocks with sums of their own.
void by_blocks(const Neurons& neurons, const float* x, float* y) {
  const FfnShape& shape = neurons.shape;
  const int64_t blocks = neurons.blocks(), stride = neurons.sums_stride(), sums_size = shape.batch * stride;
  float* sums = static_cast<float*>(scratch(0, static_cast<uint64_t>(blocks * sums_size) * 4));
  const Positions positions(x, shape.gated ? shape.batch : 1, shape.up_width, neurons.ups.storage.type);
  if (sums == nullptr || !positions.ok()) return;
  parallel_for(blocks, [&](int64_t block) {
    if (shape.batch == 1)
      neurons.run_one(block, x, sums + block * sums_size);
    else
      neurons.run_few(block, positions, sums + block * sums_size);
  });
  constexpr int64_t columns_per_job = 2048;
  const int64_t jobs_per_row = ceil_div(shape.width, columns_per_job);
  parallel_for(shape.batch * jobs_per_row, [&](int64_t job) {
    const int64_t b = job / jobs_per_row, first = job % jobs_per_row * columns_per_job;
    for (int64_t k = first; k < min(shape.width, first + columns_per_job); k += lanes) {
      const int64_t width = min(lanes, shape.width - k);
      const float* from = sums + b * stride + k;
      vf total = {};
      for (int64_t block = 0; block < blocks; block++, from += sums_size) total += load_n(from, width);
      float* to = y + b * shape.width + k;
      store_n(to, load_n(to, width) + total, width);
    }
  });
}

/// Many positions, at most many_at_once.
void by_columns(const Neurons& neurons, const float* x, float* y) {
  const FfnShape& shape = neurons.shape;
  const int64_t batch = shape.batch, width = shape.width, block = neurons.block, blocks = neurons.blocks();
  // Of each block the active neurons, and their hidden values as (tile of positions, neuron, position).
  const int64_t list_bytes = ceil_div((shape.neurons + blocks) * 4, 64) * 64;
  uint8_t* memory = static_cast<uint8_t*>(scratch(0, static_cast<uint64_t>(list_bytes + batch * shape.neurons * 4)));
  if (memory == nullptr) return;
  int32_t *lists = reinterpret_cast<int32_t*>(memory), *counts = lists + shape.neurons;
  float* hidden = reinterpret_cast<float*>(memory + list_bytes);
  parallel_for(blocks, [&](int64_t b) { counts[b] = static_cast<int32_t>(neurons.list_active(b, lists + b * block)); });
  const int64_t at_once = positions_at_once(shape.up_width);
  for (int64_t start = 0; start < batch; start += at_once) {
    const int64_t some = min(at_once, batch - start);
    const Tiles tiles(some);
    const Positions positions(x + start * shape.up_width, shape.gated ? tiles : Tiles(1), shape.up_width);
    if (!positions.ok()) return;
    parallel_for(blocks, [&](int64_t number) {
      const int32_t* list = lists + number * block;
      const int64_t n = counts[number];
      float* to = hidden + number * block * batch + start * n;
      const auto put = [&](int64_t i, int64_t first, int64_t tile_width, const float* factors) {
        float* its = to + first * n + i * tile_width;
        for (int64_t c = 0; c < tile_width; c++) {
          const float value = neurons.value(list[i], start + first + c);
          its[c] = factors == nullptr ? value : value * factors[c];
        }
      };
      if (shape.gated)
        packed_dots(
            neurons.ups.storage, [&](int64_t i) { return neurons.up(list[i]); }, n, n, positions, put);
      else
        for (int64_t i = 0; i < n; i++)
          tiles.each([&](int64_t first, int64_t tile_width) { put(i, first, tile_width, nullptr); });
    });
  }
  parallel_for(ceil_div(width, slice), [&](int64_t job) {
    constexpr int64_t tile_columns = tile_vectors * lanes;
    const int64_t first_column = job * slice, end = min(width, first_column + slice);
    // Of all blocks so far, and of the rows of one so far.
    float* totals = static_cast<float*>(scratch(1, static_cast<uint64_t>(2 * batch * slice) * 4));
    float* panel = static_cast<float*>(scratch(3, static_cast<uint64_t>((slice_rows + 1) * slice) * 4));
    if (totals == nullptr || panel == nullptr) return;
    float* const sums = totals + batch * slice;
    memset(totals, 0, static_cast<size_t>(batch * slice) * 4);
    for (int64_t number = 0; number < blocks; number++) {
      const int32_t* list = lists + number * block;
      const int64_t n = counts[number];
      for (int64_t row = 0; row < n; row += slice_rows) {
        const int64_t rows = min(slice_rows, n - row);
        widen_slice(
            neurons.downs.storage, [&](int64_t i) { return neurons.down(list[row + i]); }, rows, n - row, first_column,
            end, panel);
        for (int64_t start = 0; start < batch; start += at_once)
          Tiles(min(at_once, batch - start)).each([&](int64_t first, int64_t tile_width) {
            const float* h = hidden + number * block * batch + (start + first) * n + row * tile_width;
            for (int64_t column = 0; column < end - first_column; column += tile_columns)
              tile_kernels.sums[tile_width](panel + column, slice, h, tile_width, rows,
                                            sums + (start + first) * slice + column, slice, tile_columns, row > 0);
          });
      }
      for (int64_t k = 0; n > 0 && k < batch * slice; k += lanes) store(totals + k, load(totals + k) + load(sums + k));
    }
    for (int64_t b = 0; b < batch; b++)
      for (int64_t k = first_column; k < end; k += lanes) {
        const int64_t columns = min(lanes, end - k);
        float* to = y + b * width + k;
        store_first(to, load_first(to, columns) + load(totals + b * slice + k - first_column), columns);
      }
  });
}

/// The neurons that are not 0 at some of the positions, into `memory` (2·neurons + blocks + 1), and where blocks begin.
ActiveNeurons find_active(const float* activated, const FfnShape& shape, int64_t block, int32_t* memory) {
  const int64_t neurons = shape.neurons, blocks = ceil_div(neurons, block);
  int32_t *list = memory, *anywhere = memory + neurons, *begin = anywhere + neurons;
  for (int64_t b = 0; b < shape.batch; b++) {
    const float* from = activated + b * neurons;
    for (int64_t i = 0; i < neurons; i++) {
      // True for what is not a number.
      const int32_t here = !(from[i] == 0.f);
      anywhere[i] = b == 0 ? here : anywhere[i] | here;
    }
  }
  // One that is stored nowhere is inactive.
  for (int64_t i = 0; shape.row_of != nullptr && i < neurons; i++) anywhere[i] &= shape.row_of[i] >= 0;
  int64_t n = 0;
  for (int64_t number = 0; number < blocks; number++) {
    begin[number] = static_cast<int32_t>(n);
    for (int64_t i = number * block, end = min(neurons, i + block); i < end; i++) {
      list[n] = static_cast<int32_t>(i);
      n += anywhere[i];
    }
  }
  begin[blocks] = static_cast<int32_t>(n);
  return {list, n, begin, blocks};
}

/// Goes by rows where that is less work: there a row costs as often as it is active, else as often as there are
/// positions, but `cost` times less. Returns whether it did.
bool went_by_rows(Weights w, const float* activated, const float* x, float* y, const int32_t* counts, FfnShape shape) {
  const int64_t block = block_size(shape.neurons), blocks = ceil_div(shape.neurons, block), batch = shape.batch;
  int64_t pairs = 0;
  for (int64_t b = 0; b < batch; b++) pairs += counts[b];
  const int64_t cost = batch == 1 ? 2 : batch <= most_by_rows ? 3 : 4;
  if (!shape.sparse || blocks > most_blocks || cost * pairs > shape.neurons * batch) return false;
  int32_t* memory = static_cast<int32_t*>(scratch(0, static_cast<uint64_t>(2 * shape.neurons + blocks + 1) * 4));
  if (memory == nullptr) return true;
  for (int64_t start = 0; start < batch; start += most_by_rows) {
    FfnShape some = shape;
    some.batch = min(most_by_rows, batch - start);
    const float* own = activated + start * shape.neurons;
    const ActiveNeurons found = find_active(own, some, block, memory);
    // Positions that need the same neurons are better off together.
    if (batch > 1 && batch <= most_by_rows && cost * pairs > found.count * batch) return false;
    ffn_by_rows(w, found, own, x + start * shape.up_width, y + start * shape.width, some);
  }
  return true;
}

}  // namespace

int64_t ffn_neurons(Weights w, const float* activated, const float* x, float* y, int32_t* active, FfnShape shape) {
  if (shape.batch * shape.width == 0 || shape.neurons == 0) return 0;
  for (int64_t b = 0; b < shape.batch; b++)
    active[b] = static_cast<int32_t>(count_anywhere(activated + b * shape.neurons, 1, shape.neurons));
  const int64_t anywhere = shape.batch == 1 ? active[0] : count_anywhere(activated, shape.batch, shape.neurons);
  shape.sparse = anywhere <= shape.max_active;
  if (went_by_rows(w, activated, x, y, active, shape)) return anywhere;
  const RowMatrix weights = matrix_of(w, shape.width);
  const int64_t up_bytes = shape.gated ? weight_row_bytes(w.type, shape.up_width) : 0;
  const int64_t step = up_bytes + weights.row_bytes;
  const RowMatrix ups = {{w.type, weight_scale_bytes(shape.up_width)}, weights.data, step};
  const RowMatrix downs = {weights.storage, weights.data + up_bytes, step};
  const int64_t at_once = shape.batch <= few ? few : many_at_once;
  for (int64_t start = 0; start < shape.batch; start += at_once) {
    Neurons neurons = {ups, downs, activated + start * shape.neurons, shape, block_size(shape.neurons)};
    neurons.shape.batch = min(at_once, shape.batch - start);
    (neurons.shape.batch <= few ? by_blocks : by_columns)(neurons, x + start * shape.up_width, y + start * shape.width);
  }
  return anywhere;
}

}  // namespace flicker::FLICKER_ISA

// The FFN after its activation: neurons one by one, the inactive ones skipped. Orders of summation: decode.h.
#include "decode.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t max_block = 256;  // neurons in a block, at most

/// Neurons per block: some 48 blocks, so that threads share them evenly; a function of the size alone.
int64_t block_size(int64_t neurons) {
  const int64_t wanted = ceil_div(ceil_div(neurons, 48), 32) * 32;
  return wanted < 64 ? 64 : min(wanted, max_block);
}

/// One block of neurons of one FFN.
template <typename W>
struct NeuronBlock {
  const W* weights;  // first neuron of the layer
  const float *activated, *x;
  FfnShape shape;
  int64_t first, count;

  const W* up(int64_t neuron) const { return weights + neuron * (shape.gated ? 2 : 1) * shape.width; }
  const W* down(int64_t neuron) const { return up(neuron) + (shape.gated ? shape.width : 0); }

  bool active(int64_t neuron) const {
    if (!shape.sparse) return true;
    for (int64_t b = 0; b < shape.batch; b++)
      if (!(activated[b * shape.neurons + neuron] == 0.f)) return true;
    return false;
  }

  /// sums (batch × width) = Σ over the block's neurons of hidden · down row.
  void run(float* sums) const {
    int32_t list[max_block];
    int64_t n = 0;
    for (int64_t i = first; i < first + count; i++)
      if (active(i)) list[n++] = static_cast<int32_t>(i);
    if (shape.batch == 1)
      run_one(list, n, sums);
    else
      run_many(list, n, sums);
  }

  void run_one(const int32_t* list, int64_t n, float* sums) const {
    if (n == 0) memset(sums, 0, static_cast<size_t>(shape.width) * 4);
    const auto some = [&]<int ROWS>(int64_t i) {
      const W *ups[ROWS], *downs[ROWS], *next[ROWS];
      float hidden[ROWS];
      for (int r = 0; r < ROWS; r++) {
        ups[r] = up(list[i + r]);
        downs[r] = down(list[i + r]);
        next[r] = up(list[min(i + r + tile_rows, n - 1)]);
        hidden[r] = activated[list[i + r]];
      }
      if (shape.gated) {
        float dot[ROWS][1];
        dots<ROWS, 1>(ups, downs, x, 0, shape.width, dot);
        for (int r = 0; r < ROWS; r++) hidden[r] *= dot[r][0];
      }
      if (i == 0)
        add_rows<ROWS, true>(downs, next, hidden, sums, shape.width);
      else
        add_rows<ROWS, false>(downs, next, hidden, sums, shape.width);
    };
    int64_t i = 0;
    for (; i + tile_rows <= n; i += tile_rows) some.template operator()<tile_rows>(i);
    for (; i < n; i++) some.template operator()<1>(i);
  }

  void run_many(const int32_t* list, int64_t n, float* sums) const {
    const int64_t batch = shape.batch;
    float* hidden = static_cast<float*>(scratch(1, static_cast<uint64_t>(max_block * batch) * 4));
    if (hidden == nullptr) return;
    const auto value = [&](int64_t i, int64_t b) { return activated[b * shape.neurons + list[i]]; };
    if (shape.gated) {
      each_dot<W>([&](int64_t i) { return up(list[i]); }, n, n, x, batch, shape.width,
                  [&](int64_t i, int64_t b, float dot) { hidden[i * batch + b] = value(i, b) * dot; });
    } else {
      for (int64_t i = 0; i < n; i++)
        for (int64_t b = 0; b < batch; b++) hidden[i * batch + b] = value(i, b);
    }
    weighted_rows([&](int64_t i) { return down(list[i]); }, hidden, batch, n, batch, sums, shape.width, shape.width);
  }
};

}  // namespace

void ffn_neurons(Weights w, const float* activated, const float* x, float* y, int32_t* active, FfnShape shape) {
  const int64_t size = block_size(shape.neurons), blocks = ceil_div(shape.neurons, size);
  const int64_t sums_size = shape.batch * shape.width;
  if (sums_size == 0 || blocks == 0) return;
  float* sums = static_cast<float*>(scratch(0, static_cast<uint64_t>(blocks * sums_size) * 4));
  if (sums == nullptr) return;
  for (int64_t b = 0; b < shape.batch; b++)
    active[b] = static_cast<int32_t>(shape.neurons - count_zeros(activated + b * shape.neurons, shape.neurons));
  dispatch(w, [&]<typename W>(const W* weights) {
    parallel_for(blocks, [&](int64_t block) {
      const int64_t first = block * size, count = min(size, shape.neurons - first);
      const NeuronBlock<W> neurons = {weights, activated, x, shape, first, count};
      neurons.run(sums + block * sums_size);
    });
  });
  constexpr int64_t columns_per_job = 2048;
  parallel_for(ceil_div(sums_size, columns_per_job), [&](int64_t job) {
    const int64_t end = min(sums_size, (job + 1) * columns_per_job);
    for (int64_t k = job * columns_per_job; k < end; k += lanes) {
      const int64_t width = min(lanes, end - k);
      const bool whole = width == lanes;
      vf total = {};
      for (int64_t block = 0; block < blocks; block++) {
        const float* from = sums + block * sums_size + k;
        total += whole ? load(from) : load_first(from, width);
      }
      if (whole)
        store(y + k, load(y + k) + total);
      else
        store_first(y + k, load_first(y + k, width) + total, width);
    }
  });
}

}  // namespace flicker::FLICKER_ISA

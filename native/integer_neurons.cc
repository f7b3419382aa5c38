// The FFN after its activation with quantized weights and integers of 16 bits; integer_rows.h has the products.
//
// Neurons stand in blocks, each the work of one job: hidden values, then their down rows. A down row has a scale per
// group of 32 columns, so what is quantized are the products of hidden values and scales, for each group over the
// neurons of a block: whether neurons that are 0 take part changes nothing. The sums over a block are exact; blocks are
// added in their order, in f32.
#include "integer_rows.h"
#include "neuron_blocks.h"

namespace flicker::FLICKER_ISA {
namespace {

constexpr int64_t most_positions = 64;  // whose sums are kept for every block

int64_t aligned(int64_t bytes) { return ceil_div(bytes, 64) * 64; }

template <typename Row>
struct Neurons {
  const uint8_t* data;
  const float* activated;  // (batch, neurons)
  FfnShape shape;
  const IntegerPositions& x;
  int64_t block, up_bytes, neuron_bytes, groups;
  float* sums;  // (blocks, batch, width)
  bool* any;    // (blocks, batch): whether the sums of a block are written

  const uint8_t* up(int64_t neuron) const {
    return data + (shape.row_of == nullptr ? neuron : shape.row_of[neuron]) * neuron_bytes;
  }
  const uint8_t* down(int64_t neuron) const { return up(neuron) + up_bytes; }
  float value(int64_t b, int64_t neuron) const { return activated[b * shape.neurons + neuron]; }
  float* sums_of(int64_t number, int64_t b) const { return sums + (number * shape.batch + b) * shape.width; }

  /// The neurons of a block that are not skipped for positions [first, end); returns how many.
  int64_t list_active(int64_t number, int64_t first, int64_t end, int32_t* list) const {
    int64_t n = 0;
    for (int64_t i = number * block, last = min(shape.neurons, i + block); i < last; i++) {
      // One that is stored nowhere is inactive.
      if (shape.row_of != nullptr && shape.row_of[i] < 0) continue;
      bool active = !shape.sparse;
      for (int64_t b = first; !active && b < end; b++) active = !(value(b, i) == 0.f);
      list[n] = static_cast<int32_t>(i);
      n += active;
    }
    return n;
  }

  /// Factors of one position's hidden values: pairs (ceil(n / 2), padded groups) of them, and steps (padded groups).
  void factors(const int32_t* list, int64_t n, const float* hidden, int32_t* pairs, Step* steps,
               int32_t* totals) const {
    const int64_t padded = ceil_div(groups, 8) * 8;
    const auto products = [&](int64_t i, int64_t g) {
      return widen_halves(reinterpret_cast<const uint16_t*>(down(list[i])) + g) * (hidden[i] - vpf{});
    };
    for (int64_t g = 0; g < padded; g += part_lanes) {
      vpi largest = {};
      for (int64_t i = 0; i < n; i++) largest = larger(largest, magnitude_bits(products(i, g)));
      vpf inverse;
      for (int j = 0; j < part_lanes; j++) {
        steps[g + j] = step_of(largest[j]);
        inverse[j] = steps[g + j].inverse;
      }
      vpi total = {};
      for (int64_t i = 0; i < n; i += 2) {
        const vpi even = to_integers(products(i, g), inverse);
        const vpi odd = i + 1 < n ? to_integers(products(i + 1, g), inverse) : vpi{};
        total += even + odd;
        store_as(pairs + i / 2 * padded + g, (even & 0xffff) | odd << 16);
      }
      store_as(totals + g, total);
    }
  }

  /// Memory of run_one.
  int64_t bytes_of_one() const {
    const int64_t padded = ceil_div(groups, 8) * 8;
    return aligned((max_block / 2 + 4) * padded * 4) + aligned(padded * 32 * 4);
  }

  /// The sums of one block at one position.
  void run_one(int64_t number, int64_t b, uint8_t* memory) const {
    int32_t list[max_block];
    const int64_t n = list_active(number, b, b + 1, list), padded = ceil_div(groups, 8) * 8;
    any[number * shape.batch + b] = n > 0;
    if (n == 0) return;
    float hidden[max_block];
    for (int64_t i = 0; i < n; i++) hidden[i] = value(b, list[i]);
    if (shape.gated) {
      const IntegerPositions own = x.at(b);
      const auto row_at = [&](int64_t i) { return i < n ? up(list[i]) : down(list[min(i - n, n - 1)]); };
      each_tile(n, weight_scale_bytes(shape.up_width), row_at, [&](const RowPointers& at, int64_t i, int64_t height) {
        float dots[tile_rows];
        for (int64_t r = 0; r < height; r++)
          for (int64_t g = 0; g < groups; g += 32) ask_for(down(list[i + r]) + 2 * g);
        if (height == 1)
          integer_dots<Row, 1>(at, own, shape.up_width, dots);
        else
          integer_dots<Row, tile_rows>(at, own, shape.up_width, dots);
        for (int64_t r = 0; r < height; r++) hidden[i + r] *= dots[r];
      });
    }
    int32_t* pairs = reinterpret_cast<int32_t*>(memory);
    int32_t* const totals = pairs + (max_block / 2) * padded;
    Step* const steps = reinterpret_cast<Step*>(totals + padded);
    int32_t* const columns = reinterpret_cast<int32_t*>(memory + aligned((max_block / 2 + 4) * padded * 4));
    factors(list, n, hidden, pairs, steps, totals);
    memset(columns, 0, static_cast<size_t>(padded) * 32 * 4);
    const int64_t first = weight_scale_bytes(shape.width);
    int64_t i = 0;
    const auto some = [&]<int PAIRS>() {
      for (int64_t c = 0; c * 8 < groups; c++) {
        const int64_t at = first + c * Row::chunk_bytes;
        const uint8_t* rows[2 * PAIRS];
        const int32_t* factor[PAIRS];
        for (int r = 0; r < 2 * PAIRS; r++) {
          rows[r] = down(list[min(i + r, n - 1)]) + at;
          const uint8_t* next = down(list[min(i + r + 2 * PAIRS, n - 1)]) + at;
          for (int64_t k = 0; k < Row::chunk_bytes; k += 64) ask_for(next + k);
        }
        for (int r = 0; r < PAIRS; r++) factor[r] = pairs + (i / 2 + r) * padded + c * 8;
        Row::template add_rows<PAIRS>(rows, factor, min(8, groups - c * 8), columns + c * chunk_columns);
      }
      i += 2 * PAIRS;
    };
    while (n - i > 2) some.template operator()<2>();
    while (i < n) some.template operator()<1>();
    float* to = sums_of(number, b);
    for (int64_t g = 0; g < groups; g++) {
      const vpi offset = static_cast<int32_t>(Row::offset) * totals[g] - vpi{};
      const vpf size = steps[g].size - vpf{};
      const int64_t width = min(group_columns, shape.width - g * group_columns);
      alignas(32) float group[group_columns];
      for (int k = 0; k < group_columns; k += part_lanes) {
        const vpi sum = load_as<vpi>(columns + g * group_columns + k) - offset;
        store_as(group + k, size * __builtin_convertvector(sum, vpf));
      }
      memcpy(to + g * group_columns, group, static_cast<size_t>(width) * 4);
    }
  }

  // Of run_together: rows that are widened at a time, a chunk of columns each, and how far apart the values of two
  // positions lie, or two groups' scales.
  static constexpr int64_t together = 32, stride = max_block + 8;

  /// Memory of run_together.
  struct Together {
    float *hidden, *scales;  // (batch, stride), (8, stride)
    int16_t* factors;        // (8, batch, stride)
    float* sizes;            // (8, batch): of the factors' steps
    int32_t *sums, *panel;   // (batch, chunk_columns), (8, together / 2, group_columns)

    static int64_t bytes(int64_t batch) {
      return aligned(batch * stride * 4) + aligned(8 * stride * 4) + aligned(8 * batch * stride * 2) +
             aligned(8 * batch * 4) + batch * chunk_columns * 4 + together / 2 * chunk_columns * 4;
    }
    Together(uint8_t* memory, int64_t batch) {
      const auto take = [&](int64_t size) {
        uint8_t* const at = memory;
        memory += aligned(size);
        return at;
      };
      hidden = reinterpret_cast<float*>(take(batch * stride * 4));
      scales = reinterpret_cast<float*>(take(8 * stride * 4));
      factors = reinterpret_cast<int16_t*>(take(8 * batch * stride * 2));
      sizes = reinterpret_cast<float*>(take(8 * batch * 4));
      sums = reinterpret_cast<int32_t*>(take(batch * chunk_columns * 4));
      panel = reinterpret_cast<int32_t*>(take(together / 2 * chunk_columns * 4));
    }
  };
  int64_t bytes_of_many() const { return Together::bytes(shape.batch); }

  /// The sums of one block at all positions, each of its rows read once: a chunk of columns at a time.
  void run_together(int64_t number, uint8_t* memory) const {
    int32_t list[max_block];
    const int64_t n = list_active(number, 0, shape.batch, list), batch = shape.batch;
    for (int64_t b = 0; b < batch; b++) any[number * batch + b] = n > 0;
    if (n == 0) return;
    const Together own(memory, batch);
    for (int64_t b = 0; b < batch; b++)
      for (int64_t i = 0; i < n + 8; i++) own.hidden[b * stride + i] = i < n ? value(b, list[i]) : 0.f;
    if (shape.gated)
      panel_rows<Row>([&](int64_t i) { return up(list[i]); }, n, x, shape.up_width,
                      [&](int64_t i, int64_t b, float dot) { own.hidden[b * stride + i] *= dot; });
    for (int64_t g = 0; g < 8; g++) memset(own.scales + g * stride + n, 0, 32);
    const int64_t first = weight_scale_bytes(shape.width);
    const auto codes = [&](int64_t i) { return down(list[min(i, n - 1)]) + first; };
    for (int64_t c = 0; c * 8 < groups; c++) {
      const int64_t count = min(8, groups - c * 8);
      for (int64_t i = 0; i < n; i++) {
        float scales[8];
        const uint16_t* halves = reinterpret_cast<const uint16_t*>(down(list[i])) + c * 8;
        for (int g = 0; g < 8; g += part_lanes) store_as(scales + g, widen_halves(halves + g));
        for (int g = 0; g < 8; g++) own.scales[g * stride + i] = scales[g];
      }
      for (int64_t g = 0; g < count; g++)
        for (int64_t b = 0; b < batch; b++) {
          int16_t* to = own.factors + (g * batch + b) * stride;
          own.sizes[g * batch + b] = set_factors(n, own.hidden + b * stride, own.scales + g * stride, to);
        }
      memset(own.sums, 0, static_cast<size_t>(batch * chunk_columns) * 4);
      for (int64_t start = 0; start < n; start += together) {
        const int64_t rows = min(together, n - start);
        const bool last = start + together >= n;
        if (!last || c * 8 + 8 < groups)
          for (int64_t i = 0; i < together; i++) {
            const uint8_t* next = codes(last ? i : start + together + i) + (last ? c + 1 : c) * Row::chunk_bytes;
            for (int64_t k = 0; k < Row::chunk_bytes; k += 64) ask_for(next + k);
          }
        for (int64_t i = 0; i < rows; i += 2) {
          const uint8_t *even = codes(start + i), *odd = codes(start + i + 1);
          for (int64_t g = 0; g < count; g++)
            Row::pairs(even, odd, c * 8 + g, own.panel + (g * (together / 2) + i / 2) * group_columns);
        }
        for (int64_t g = 0; g < count; g++)
          for (int64_t b = 0; b < batch; b += tile_integers)
            (batch - b < tile_integers ? add_rows<1>
                                       : add_rows<tile_integers>)(own.panel + g * (together / 2) * group_columns,
                                                                  own.factors + (g * batch + b) * stride + start, rows,
                                                                  own.sums + b * chunk_columns + g * group_columns);
      }
      for (int64_t b = 0; b < batch; b++)
        for (int64_t g = 0; g < count; g++) {
          alignas(32) float group[group_columns];
          const vpf size = own.sizes[g * batch + b] - vpf{};
          for (int k = 0; k < group_columns; k += part_lanes) {
            const vpi sum = load_as<vpi>(own.sums + b * chunk_columns + g * group_columns + k);
            store_as(group + k, size * __builtin_convertvector(sum, vpf));
          }
          const int64_t at = (c * 8 + g) * group_columns, width = min(group_columns, shape.width - at);
          memcpy(sums_of(number, b) + at, group, static_cast<size_t>(width) * 4);
        }
    }
  }

  /// factors (n, and a 0 behind an odd number) = hidden values times a group's scales in integers; returns the size of
  /// their step. Of both, lanes behind n are 0.
  static float set_factors(int64_t n, const float* hidden, const float* scales, int16_t* factors) {
    vpi largest = {};
    for (int64_t i = 0; i < n; i += part_lanes)
      largest = larger(largest, magnitude_bits(load_as<vpf>(hidden + i) * load_as<vpf>(scales + i)));
    const Step step = step_of(largest_lane(largest));
    const vpf inverse = step.inverse - vpf{};
    for (int64_t i = 0; i < n; i += part_lanes)
      store_as(factors + i, narrowed(to_integers(load_as<vpf>(hidden + i) * load_as<vpf>(scales + i), inverse)));
    if (n % 2 == 1) factors[n] = 0;
    return step.size;
  }

  /// sums (C, chunk_columns), a group of columns, += the panel's pairs of rows times factors (C, stride).
  template <int C>
  static void add_rows(const int32_t* panel, const int16_t* factors, int64_t rows, int32_t* sums) {
    constexpr int vectors = group_columns / part_lanes;
    vpi s[C][vectors];
    unrolled<C * vectors>([&](auto k) FLICKER_UNROLLED {
      s[k / vectors][k % vectors] = load_as<vpi>(sums + k / vectors * chunk_columns + k % vectors * part_lanes);
    });
    for (int64_t i = 0; i < rows; i += 2) {
      vps both[C];
#pragma GCC unroll 2
      for (int c = 0; c < C; c++) both[c] = (vps)(load_as<int32_t>(factors + c * stride + i) - vpi{});
#pragma GCC unroll 8
      for (int k = 0; k < vectors; k++) {
        const vps two = load_as<vps>(panel + i / 2 * group_columns + k * part_lanes);
#pragma GCC unroll 2
        for (int c = 0; c < C; c++) s[c][k] += pair_products(two, both[c]);
      }
    }
    unrolled<C * vectors>([&](auto k) FLICKER_UNROLLED {
      store_as(sums + k / vectors * chunk_columns + k % vectors * part_lanes, s[k / vectors][k % vectors]);
    });
  }

  /// y (batch, width) += the sums of the blocks, in their order.
  void add_sums(int64_t blocks, float* y) const {
    constexpr int64_t columns_per_job = 1024;
    const int64_t each = ceil_div(shape.width, columns_per_job);
    parallel_for(shape.batch * each, [&](int64_t job) {
      const int64_t b = job / each, first = job % each * columns_per_job;
      for (int64_t k = first, end = min(shape.width, first + columns_per_job); k < end; k += lanes) {
        const int64_t width = min(lanes, end - k);
        vf total = {};
        for (int64_t number = 0; number < blocks; number++)
          if (any[number * shape.batch + b]) total += load_n(sums_of(number, b) + k, width);
        float* to = y + b * shape.width + k;
        store_n(to, load_n(to, width) + total, width);
      }
    });
  }
};

/// Whether positions do less work by going through their own neurons alone than all through those of any.
bool goes_by_rows(const int32_t* counts, int64_t anywhere, const FfnShape& shape) {
  if (shape.batch == 1) return true;
  int64_t pairs = 0;
  for (int64_t b = 0; b < shape.batch; b++) pairs += counts[b];
  return shape.sparse && 3 * pairs <= anywhere * shape.batch;
}

}  // namespace

int64_t integer_neurons(Weights w, const float* activated, const float* x, float* y, int32_t* active, FfnShape shape) {
  if (shape.batch * shape.width == 0 || shape.neurons == 0) return 0;
  for (int64_t b = 0; b < shape.batch; b++)
    active[b] = static_cast<int32_t>(count_anywhere(activated + b * shape.neurons, 1, shape.neurons));
  const int64_t anywhere = shape.batch == 1 ? active[0] : count_anywhere(activated, shape.batch, shape.neurons);
  shape.sparse = anywhere <= shape.max_active;
  const int64_t block = block_size(shape.neurons), blocks = ceil_div(shape.neurons, block);
  const int64_t up_bytes = shape.gated ? weight_row_bytes(w.type, shape.up_width) : 0;
  const int64_t neuron_bytes = up_bytes + weight_row_bytes(w.type, shape.width);
  const int64_t at_once = min(shape.batch, most_positions);
  const int64_t sum_bytes = aligned(blocks * at_once * shape.width * 4);
  const int64_t position_bytes = shape.gated ? IntegerPositions::bytes(at_once, shape.up_width) : 0;
  float* sums = static_cast<float*>(scratch(0, static_cast<uint64_t>(sum_bytes + blocks * at_once)));
  uint8_t* positions = static_cast<uint8_t*>(scratch(2, static_cast<uint64_t>(position_bytes)));
  if (sums == nullptr || (positions == nullptr && position_bytes > 0)) return anywhere;
  bool* any = reinterpret_cast<bool*>(reinterpret_cast<uint8_t*>(sums) + sum_bytes);
  dispatch_integer(w.type, [&]<typename Row>(Row) {
    for (int64_t start = 0; start < shape.batch; start += at_once) {
      FfnShape some = shape;
      some.batch = min(at_once, shape.batch - start);
      const bool by_rows = goes_by_rows(active + start, anywhere, some);
      const IntegerPositions own(x + start * shape.up_width, shape.gated ? some.batch : 0, shape.up_width,
                                 Row::in_order && by_rows, Row::offset, positions);
      const Neurons<Row> neurons = {static_cast<const uint8_t*>(w.data),
                                    activated + start * shape.neurons,
                                    some,
                                    own,
                                    block,
                                    up_bytes,
                                    neuron_bytes,
                                    ceil_div(shape.width, group_columns),
                                    sums,
                                    any};
      parallel_for(blocks, [&](int64_t number) {
        const int64_t bytes = by_rows ? neurons.bytes_of_one() : neurons.bytes_of_many();
        uint8_t* memory = static_cast<uint8_t*>(scratch(1, static_cast<uint64_t>(bytes)));
        if (memory == nullptr) return;
        if (!by_rows)
          neurons.run_together(number, memory);
        else
          for (int64_t b = 0; b < some.batch; b++) neurons.run_one(number, b, memory);
      });
      neurons.add_sums(blocks, y + start * shape.width);
    }
  });
  return anywhere;
}

}  // namespace flicker::FLICKER_ISA

// The FFN after its activation with quantized weights and integers of 16 bits; integer_products.h has the products.
//
// Neurons stand in blocks, each the work of one job: hidden values, then their down rows. A down row has a scale per
// group of 32 columns (q6_k: 16), so what is quantized are the products of hidden values and scales, for each group
// over the neurons of a block: whether neurons that are 0 take part changes nothing. The sums over a block are exact;
// blocks are added in their order, in f32. Minimums of q4_k and q5_k times hidden values are added in f32, in order of
// neurons.
#include "integer_products.h"
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
  int64_t block, up_bytes, neuron_bytes;
  float* sums;  // (blocks, batch, width)
  bool* any;    // (blocks, batch): whether the sums of a block are written

  // Columns that share a factor, and how many such groups a chunk has.
  static constexpr int64_t factor_columns = Row::factor_columns, per_chunk = chunk_columns / factor_columns;

  int64_t chunks() const { return ceil_div(shape.width, chunk_columns); }
  /// Groups of 32 columns in chunk c.
  int64_t groups_in(int64_t c) const { return min(8, ceil_div(shape.width - c * chunk_columns, group_columns)); }

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

  /// Memory of run_one.
  struct One {
    vpi* largest;             // (chunks, per_chunk): the largest products of hidden values and scales, as bits
    float *sizes, *inverses;  // (chunks, per_chunk): of the factors' steps
    int32_t* totals;          // (chunks, per_chunk): of the factors
    float* minimums;          // (chunks, 8): hidden values times minimums
    int32_t* columns;         // (chunks, chunk_columns)

    static int64_t bytes(int64_t chunks) { return chunks * (per_chunk * 16 + (8 + chunk_columns) * 4); }
    One(uint8_t* memory, int64_t chunks) {
      largest = reinterpret_cast<vpi*>(memory);
      columns = reinterpret_cast<int32_t*>(largest + chunks * per_chunk / part_lanes);
      totals = columns + chunks * chunk_columns;
      minimums = reinterpret_cast<float*>(totals + chunks * per_chunk);
      sizes = minimums + chunks * 8;
      inverses = sizes + chunks * per_chunk;
      memset(memory, 0, static_cast<size_t>(bytes(chunks)));
    }
  };
  int64_t bytes_of_one() const { return One::bytes(chunks()); }

  /// The products of a hidden value and the scales of chunk c.
  static FLICKER_INLINE void products(const uint8_t* row, int64_t c, float hidden, vpf* to) {
    float scales[per_chunk];
    Row::scales(row, c, scales);
    for (int g = 0; g < per_chunk; g += part_lanes) to[g / part_lanes] = load_as<vpf>(scales + g) * (hidden - vpf{});
  }

  /// The steps of the factors, and what minimums take away, of n rows.
  void set_steps(const int32_t* list, int64_t n, const float* hidden, const One& own) const {
    constexpr int64_t vectors = per_chunk / part_lanes, ahead = 3;
    for (int64_t i = 0; i < n; i++) {
      const uint8_t* row = down(list[i]);
      if (i + ahead < n) Row::ask_for_scales(down(list[i + ahead]), chunks());
      for (int64_t c = 0; c < chunks(); c++) {
        vpf of_row[vectors];
        products(row, c, hidden[i], of_row);
        for (int64_t v = 0; v < vectors; v++) {
          vpi& largest = own.largest[c * vectors + v];
          largest = larger(largest, magnitude_bits(of_row[v]));
        }
        if constexpr (Row::has_minimums) {
          float minimums[8];
          Row::minimums(row, c, minimums);
          for (int part = 0; part < 8; part += part_lanes) {
            float* const to = own.minimums + c * 8 + part;
            store_as(to, load_as<vpf>(to) + rounded(load_as<vpf>(minimums + part) * (hidden[i] - vpf{})));
          }
        }
      }
    }
    for (int64_t g = 0; g < chunks() * per_chunk; g++) {
      const Step step = step_of(load_as<int32_t>(reinterpret_cast<const int32_t*>(own.largest) + g));
      own.sizes[g] = step.size, own.inverses[g] = step.inverse;
    }
  }

  /// Adds chunk c of rows i to i + 2 · PAIRS to the columns, where there are so many.
  template <int PAIRS>
  FLICKER_INLINE void add_chunk(const int32_t* list, int64_t n, const float* hidden, int64_t i, int64_t c,
                                const One& own) const {
    const int64_t at = Row::scale_bytes(shape.width) + c * Row::chunk_bytes;
    const uint8_t* rows[2 * PAIRS];
    int32_t pairs[PAIRS][per_chunk];
    const int32_t* factors[PAIRS];
    for (int r = 0; r < 2 * PAIRS; r++) {
      rows[r] = down(list[min(i + r, n - 1)]) + at;
      const uint8_t* next = down(list[min(i + r + 2 * PAIRS, n - 1)]) + at;
      for (int64_t k = 0; k < Row::chunk_bytes; k += 64) ask_for(next + k);
    }
    for (int p = 0; p < PAIRS; p++) {
      vpf even[per_chunk / part_lanes], odd[per_chunk / part_lanes];
      const int64_t first = i + 2 * p, second = min(first + 1, n - 1);
      products(down(list[first]), c, hidden[first], even);
      products(down(list[second]), c, hidden[second], odd);
      for (int64_t g = 0; g < per_chunk; g += part_lanes) {
        const int64_t v = g / part_lanes, group = c * per_chunk + g;
        const vpf inverse = load_as<vpf>(own.inverses + group);
        const vpi a = to_integers(even[v], inverse);
        const vpi b = first + 1 < n ? to_integers(odd[v], inverse) : vpi{};
        // Of what is not a number integers mean nothing, and may wrap.
        store_as(own.totals + group, load_as<vpu>(own.totals + group) + (vpu)a + (vpu)b);
        store_as(pairs[p] + g, (a & 0xffff) | b << 16);
      }
      factors[p] = pairs[p];
    }
    Row::template add_rows<PAIRS>(rows, factors, groups_in(c), own.columns + c * chunk_columns);
  }

  /// Brings the sums of add_rows into the order of columns.
  static void by_columns(int32_t* sums, int64_t chunks) {
    for (int32_t* group = sums; group < sums + chunks * chunk_columns; group += group_columns) {
      int32_t fours[group_columns];
      memcpy(fours, group, sizeof fours);
      for (int k = 0; k < group_columns; k += 16)
        transpose_4x4(reinterpret_cast<const float*>(fours) + k / 4, 8, reinterpret_cast<float*>(group) + k, 4);
    }
  }

  /// The sums of one block at one position.
  void run_one(int64_t number, int64_t b, uint8_t* memory) const {
    int32_t list[max_block];
    const int64_t n = list_active(number, b, b + 1, list);
    any[number * shape.batch + b] = n > 0;
    if (n == 0) return;
    float hidden[max_block];
    for (int64_t i = 0; i < n; i++) hidden[i] = value(b, list[i]);
    if (shape.gated) {
      const IntegerPositions own = x.at(b);
      const auto row_at = [&](int64_t i) { return i < n ? up(list[i]) : down(list[min(i - n, n - 1)]); };
      each_tile(n, Row::scale_bytes(shape.up_width), row_at, [&](const RowPointers& at, int64_t i, int64_t height) {
        float dots[tile_rows];
        for (int64_t r = 0; r < height; r++) Row::ask_for_scales(down(list[i + r]), chunks());
        if (height == 1)
          integer_dots<Row, 1>(at, own, shape.up_width, dots);
        else
          integer_dots<Row, tile_rows>(at, own, shape.up_width, dots);
        for (int64_t r = 0; r < height; r++) hidden[i + r] *= dots[r];
      });
    }
    const One own(memory, chunks());
    set_steps(list, n, hidden, own);
    int64_t i = 0;
    for (; n - i > 2; i += 4)
      for (int64_t c = 0; c < chunks(); c++) add_chunk<2>(list, n, hidden, i, c, own);
    for (; i < n; i += 2)
      for (int64_t c = 0; c < chunks(); c++) add_chunk<1>(list, n, hidden, i, c, own);
    if constexpr (Row::sums_in_fours) by_columns(own.columns, chunks());
    for (int64_t g = 0; g * factor_columns < shape.width; g++)
      put(own.columns + g * factor_columns, static_cast<uint32_t>(Row::offset) * static_cast<uint32_t>(own.totals[g]),
          own.sizes[g], own.minimums[g * factor_columns / group_columns], sums_of(number, b), g);
  }

  /// to, columns of group g = size · (sums − offset) − minimum.
  void put(const int32_t* from, uint32_t offset, float size, float minimum, float* to, int64_t g) const {
    alignas(32) float group[factor_columns];
    for (int k = 0; k < factor_columns; k += part_lanes) {
      const vpi sum = (vpi)(load_as<vpu>(from + k) - offset);
      vpf value = rounded((size - vpf{}) * __builtin_convertvector(sum, vpf));
      if constexpr (Row::has_minimums) value -= minimum - vpf{};
      store_as(group + k, value);
    }
    const int64_t at = g * factor_columns, width = min(factor_columns, shape.width - at);
    memcpy(to + at, group, static_cast<size_t>(width) * 4);
  }

  // Of run_together: rows that are widened at a time, a chunk of columns each, and how far apart the values of two
  // positions lie, or two groups' scales.
  static constexpr int64_t together = 32, stride = max_block + 8;

  /// Memory of run_together.
  struct Together {
    float *hidden, *scales;  // (batch, stride), (per_chunk, stride)
    float* minimums;         // (max_block, 8)
    int16_t* factors;        // (per_chunk, batch, stride)
    float* sizes;            // (per_chunk, batch): of the factors' steps
    int32_t *sums, *panel;   // (batch, chunk_columns), (per_chunk, together / 2, factor_columns)

    static int64_t bytes(int64_t batch) {
      return aligned(batch * stride * 4) + aligned(per_chunk * stride * 4) + aligned(max_block * 8 * 4) +
             aligned(per_chunk * batch * stride * 2) + aligned(per_chunk * batch * 4) + batch * chunk_columns * 4 +
             together / 2 * chunk_columns * 4;
    }
    Together(uint8_t* memory, int64_t batch) {
      const auto take = [&](int64_t size) {
        uint8_t* const at = memory;
        memory += aligned(size);
        return at;
      };
      hidden = reinterpret_cast<float*>(take(batch * stride * 4));
      scales = reinterpret_cast<float*>(take(per_chunk * stride * 4));
      minimums = reinterpret_cast<float*>(take(max_block * 8 * 4));
      factors = reinterpret_cast<int16_t*>(take(per_chunk * batch * stride * 2));
      sizes = reinterpret_cast<float*>(take(per_chunk * batch * 4));
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
    for (int64_t g = 0; g < per_chunk; g++) memset(own.scales + g * stride + n, 0, 32);
    const int64_t first = Row::scale_bytes(shape.width);
    const auto codes = [&](int64_t i) { return down(list[min(i, n - 1)]) + first; };
    for (int64_t c = 0; c < chunks(); c++) {
      const int64_t groups = groups_in(c), count = groups * group_columns / factor_columns;
      for (int64_t i = 0; i < n; i++) {
        float scales[per_chunk];
        Row::scales(down(list[i]), c, scales);
        for (int g = 0; g < per_chunk; g++) own.scales[g * stride + i] = scales[g];
        if constexpr (Row::has_minimums) Row::minimums(down(list[i]), c, own.minimums + i * 8);
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
        if (!last || c + 1 < chunks())
          for (int64_t i = 0; i < together; i++) {
            const uint8_t* next = codes(last ? i : start + together + i) + (last ? c + 1 : c) * Row::chunk_bytes;
            for (int64_t k = 0; k < Row::chunk_bytes; k += 64) ask_for(next + k);
          }
        const int64_t at = c * Row::chunk_bytes;
        for (int64_t i = 0; i < rows; i += 2)
          Row::chunk_pairs(codes(start + i) + at, codes(start + i + 1) + at, groups, own.panel + i / 2 * factor_columns,
                           together / 2 * factor_columns);
        for (int64_t g = 0; g < count; g++)
          for (int64_t b = 0; b < batch; b += tile_integers)
            (batch - b < tile_integers ? add_rows<1>
                                       : add_rows<tile_integers>)(own.panel + g * (together / 2) * factor_columns,
                                                                  own.factors + (g * batch + b) * stride + start, rows,
                                                                  own.sums + b * chunk_columns + g * factor_columns);
      }
      for (int64_t b = 0; b < batch; b++) {
        float minimums[8] = {};
        if constexpr (Row::has_minimums)
          for (int part = 0; part < 8; part += part_lanes) {
            vpf sum = {};
            for (int64_t i = 0; i < n; i++)
              sum += rounded(load_as<vpf>(own.minimums + i * 8 + part) * (own.hidden[b * stride + i] - vpf{}));
            store_as(minimums + part, sum);
          }
        for (int64_t g = 0; g < count; g++)
          if (c * per_chunk + g < ceil_div(shape.width, factor_columns))
            put(own.sums + b * chunk_columns + g * factor_columns, 0, own.sizes[g * batch + b],
                minimums[g * factor_columns / group_columns], sums_of(number, b), c * per_chunk + g);
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

  /// sums (C, chunk_columns), columns of one factor, += the panel's pairs of rows times factors (C, stride).
  template <int C>
  static void add_rows(const int32_t* panel, const int16_t* factors, int64_t rows, int32_t* sums) {
    constexpr int vectors = factor_columns / part_lanes;
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
        const vps two = load_as<vps>(panel + i / 2 * factor_columns + k * part_lanes);
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
      const IntegerPositions own = integer_positions<Row>(x + start * shape.up_width, shape.gated ? some.batch : 0,
                                                          shape.up_width, by_rows, positions);
      const Neurons<Row> neurons = {static_cast<const uint8_t*>(w.data),
                                    activated + start * shape.neurons,
                                    some,
                                    own,
                                    block,
                                    up_bytes,
                                    neuron_bytes,
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

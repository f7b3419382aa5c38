// Runs every kernel of one instruction set on fixed inputs, sizes odd and even. `kernels write FILE` keeps the results,
// `kernels compare FILE` holds this build's to them (scripts/check-neon.sh).
#include "../kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "../parallel.h"

namespace flicker::FLICKER_ISA {
extern const Kernels table;
}

namespace {

using namespace flicker;
using Floats = std::vector<float>;

struct Result {
  std::string name;
  Floats values;
  float tolerance;  // of the largest value
};
std::vector<Result> results;

/// Approximately normal values from a 64-bit congruential generator: the same on every machine.
Floats normal(int64_t n) {
  static uint64_t state = 1;
  Floats v(static_cast<size_t>(n));
  for (float& x : v) {
    x = -2;
    for (int i = 0; i < 4; i++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      x += static_cast<float>(state >> 40) / 16777216.f;
    }
    x *= 1.7f;
  }
  return v;
}

void keep(const char* name, std::initializer_list<Floats> buffers, float tolerance = 1e-5f) {
  for (const Floats& values : buffers) results.push_back({name, values, tolerance});
}

void matrices(const Kernels& k) {
  for (int64_t m : {1, 7, 70})
    for (int64_t n : {1, 13, 96})
      for (int64_t depth : {1, 30, 500})
        for (int transposes = 0; transposes < 4; transposes++) {
          Floats a = normal(m * depth), b = normal(depth * n), c = normal(m * n);
          k.gemm(a.data(), b.data(), c.data(), m, n, depth, transposes & 1, transposes & 2, depth == 30);
          keep("gemm", {c});
          k.gemm_bf16(a.data(), b.data(), c.data(), m, n, depth, transposes & 1, transposes & 2, depth == 30, n == 13);
          keep("gemm_bf16", {c});
        }
}

/// `rows` rows of weights: random values, or random bytes with scales of usual size; exactly as long as they must be.
std::vector<uint8_t> weight_bytes(WeightType type, int64_t rows, int64_t columns) {
  const int64_t row_bytes = weight_row_bytes(type, columns);
  std::vector<uint8_t> bytes(static_cast<size_t>(rows * row_bytes));
  const Floats values = normal(rows * columns);
  for (int64_t r = 0; r < rows; r++) {
    uint8_t* row = bytes.data() + r * row_bytes;
    for (int64_t k = 0; k < columns; k++) {
      const float x = values[static_cast<size_t>(r * columns + k)];
      uint32_t bits;
      memcpy(&bits, &x, 4);
      const uint16_t half = static_cast<uint16_t>(bits >> 16), scale = static_cast<uint16_t>(0x2000 | (bits & 0x83ff));
      if (type == kF32) memcpy(row + 4 * k, &x, 4);
      if (type == kBf16) memcpy(row + 2 * k, &half, 2);
      if (type == kQ8_0 || type == kQ4_0) {
        memcpy(row + k / 32 * 2, &scale, 2);
        row[weight_scale_bytes(columns) + (type == kQ8_0 ? k : k / 2)] = static_cast<uint8_t>(bits >> 4);
      }
    }
    const int64_t block = type == kQ4_k ? q4_k_bytes : type == kQ5_k ? q5_k_bytes : type == kQ6_k ? q6_k_bytes : 0;
    for (int64_t at = 0; block > 0 && at < row_bytes; at += block) {
      for (int64_t i = 0; i < block; i++) row[at + i] = static_cast<uint8_t>((at + i) * 2654435761u >> 13);
      const uint16_t scale = 0x2123;
      memcpy(row + at + (type == kQ6_k ? block - 2 : 0), &scale, 2);
      if (type != kQ6_k) memcpy(row + at + 2, &scale, 2);
    }
  }
  return bytes;
}

void decoding(const Kernels& k) {
  for (WeightType type : {kF32, kBf16, kQ8_0, kQ4_0, kQ4_k, kQ5_k, kQ6_k})
    for (int64_t columns : {1, 31, 33, 65, 129, 540})
      for (int64_t batch : {1, 2, 5, 8, 16, 17, 70}) {
        const int64_t rows = columns > 100 ? 70 : 13;
        const std::vector<uint8_t> w = weight_bytes(type, 2 * rows, columns);
        const Floats x = normal(batch * columns), bias = normal(rows);
        Floats y = normal(batch * rows), z = x, activated = normal(batch * rows);
        for (float& value : activated) value = value < 0 ? 0.f : value;
        std::vector<int32_t> active(static_cast<size_t>(batch));
        const bool odd = batch % 2 == 1;
        k.matvec({w.data(), type}, x.data(), y.data(), rows, columns, batch, odd, odd ? bias.data() : nullptr);
        k.ffn_neurons({w.data(), type}, activated.data(), x.data(), z.data(), active.data(),
                      {rows, columns, columns, batch, !odd, rows, nullptr});
        keep("matvec, ffn_neurons", {y, z, Floats(active.begin(), active.end())});
        k.selected_rows({w.data(), type}, activated.data(), x.data(), y.data(), rows, columns, batch);
        keep("selected_rows", {y});
        if (!is_quantized(type)) continue;
        std::fill(y.begin(), y.end(), 0.25f);
        std::fill(z.begin(), z.end(), 0.5f);
        k.integer_matvec({w.data(), type}, odd ? activated.data() : nullptr, x.data(), y.data(), rows, columns, batch,
                         odd, odd ? nullptr : bias.data());
        k.integer_neurons({w.data(), type}, activated.data(), x.data(), z.data(), active.data(),
                          {rows, columns, columns, batch, !odd, rows, nullptr});
        // Integers: the same bits.
        keep("integer_matvec, integer_neurons", {y, z}, 0);
      }
  for (CacheType type : {kCacheF32, kCacheF16, kCacheQ8})
    for (int64_t dim : {2, 34, 96}) {
      // Two sequences from one prompt of 130 positions, and a long one alone; then 5 more positions of each.
      const int64_t heads = 4, kv_heads = 2, row = (heads + 2 * kv_heads) * dim, row_bytes = cache_row_bytes(type, dim);
      std::vector<std::vector<uint8_t>> buffers;
      const auto segment = [&](int64_t start, int64_t capacity) {
        for (int i = 0; i < 2; i++) buffers.emplace_back(static_cast<size_t>(kv_heads * capacity * row_bytes), 255);
        return CacheSegment{buffers[buffers.size() - 2].data(), buffers.back().data(), capacity, start};
      };
      const CacheSegment prompt[1] = {segment(0, 130)}, alone[1] = {segment(0, 305)};
      const CacheSegment first[2] = {prompt[0], segment(130, 6)}, second[2] = {prompt[0], segment(130, 5)};
      // Turned keys differ in their last bits where products are fused; rounded to 8 bits, some would differ by a step.
      const bool turn = type == kCacheF32;
      const Floats none(static_cast<size_t>(305 * dim / 2)), whole(none.size(), 1.f);
      const Floats cos = turn ? normal(305 * dim / 2) : whole, sin = turn ? normal(305 * dim / 2) : none;
      const auto attend = [&](std::vector<CachedSequence> sequences, AttentionScores scores = {}) {
        int64_t batch = 0;
        for (const CachedSequence& sequence : sequences) batch += sequence.count;
        Floats qkv = normal(batch * row), out(static_cast<size_t>(batch * heads * dim));
        k.cached_attention(qkv.data(), cos.data(), sin.data(), sequences.data(), out.data(),
                           {batch, static_cast<int64_t>(sequences.size()), heads, kv_heads, dim, type, scores});
        keep("cached_attention", {out});
      };
      attend({{130, 0, 1, prompt}, {300, 0, 1, alone}});
      attend({{1, 130, 2, first}, {5, 130, 2, second}, {5, 300, 1, alone}});
      attend({{1, 131, 2, first}, {4, 301, 1, alone}}, {0.3f, 5, 70});
    }
}

/// What skips: the narrow gate, and neurons of which few are active.
void skipping(const Kernels& k) {
  for (WeightType type : {kF32, kBf16})
    for (int64_t columns : {1, 40, 256, 531})
      for (int64_t batch : {1, 2, 5}) {
        const int64_t rows = 90, blocks = (columns + 255) / 256;
        const std::vector<uint8_t> w = weight_bytes(type, rows, columns);
        const Floats x = normal(batch * columns), bias = normal(rows);
        std::vector<int8_t> codes(static_cast<size_t>(rows * columns));
        Floats scales(rows * blocks), bounds(rows * blocks), y(batch * rows);
        k.narrow_index({w.data(), type}, codes.data(), scales.data(), bounds.data(), rows, columns);
        const float threshold = std::sqrt(static_cast<float>(columns));
        k.narrow_gate({w.data(), type}, {codes.data(), scales.data(), bounds.data()}, x.data(), y.data(),
                      {rows, columns, batch, threshold, batch == 2 ? bias.data() : nullptr, 0, nullptr});
        // Which rows lie near enough to the threshold to be read is a matter of rounding.
        for (float& value : y) value = value < threshold ? threshold : value;
        keep("narrow_index, narrow_gate", {scales, y});
        // A code halfway between two may become either.
        keep("bounds of narrow_index", {bounds}, 1e-3f);
      }
  for (WeightType type : {kF32, kBf16, kQ8_0, kQ4_0, kQ4_k, kQ5_k, kQ6_k})
    for (int64_t batch : {1, 3, 18}) {
      const int64_t neurons = 1100, width = 37;
      const std::vector<uint8_t> w = weight_bytes(type, 2 * neurons, width);
      const Floats x = normal(batch * width);
      Floats y = normal(batch * width), activated = normal(batch * neurons);
      for (float& value : activated) value = value < 3 ? 0.f : value;
      std::vector<int32_t> active(static_cast<size_t>(batch));
      k.ffn_neurons({w.data(), type}, activated.data(), x.data(), y.data(), active.data(),
                    {neurons, width, width, batch, true, neurons, nullptr});
      keep("ffn_neurons by rows", {y, Floats(active.begin(), active.end())});
    }
}

void norms(const Kernels& k) {
  for (int64_t rows : {1, 37})
    for (int64_t width : {1, 18, 64}) {
      const int64_t n = rows * width;
      Floats x = normal(n), weight = normal(width), out(n), rstd(rows), d_x = normal(n), d_weight = normal(width);
      k.rms_norm(x.data(), weight.data(), out.data(), rstd.data(), rows, width, 1e-5f);
      k.rms_norm_backward(normal(n).data(), x.data(), weight.data(), rstd.data(), d_x.data(), d_weight.data(), rows,
                          width);
      keep("rms_norm", {out, rstd, d_x, d_weight});
      Floats statistics(2 * rows), d_bias = normal(width);
      k.layer_norm(x.data(), weight.data(), d_bias.data(), out.data(), statistics.data(), rows, width, 0.1f);
      k.layer_norm_backward(normal(n).data(), x.data(), weight.data(), statistics.data(), d_x.data(), d_weight.data(),
                            d_bias.data(), rows, width);
      keep("layer_norm", {out, statistics, d_x, d_weight, d_bias});
      Floats biased = x, sums = normal(width), turned(2 * n), d = normal(2 * n);
      k.add_bias(biased.data(), weight.data(), rows, width);
      k.column_sums(x.data(), sums.data(), rows, width);
      const Floats cos = normal(rows * width), sin = normal(rows * width);
      k.rope(d.data(), cos.data(), sin.data(), turned.data(), rows, rows, 1, 2 * width, false);
      k.rope(normal(2 * n).data(), cos.data(), sin.data(), d.data(), rows, rows, 1, 2 * width, true);
      keep("add_bias, column_sums, rope", {biased, sums, turned, d});
    }
}

void attentions(const Kernels& k) {
  for (AttentionShape s : {AttentionShape{1, 1, 1, 1, 1},
                           {2, 33, 4, 2, 6},
                           {1, 130, 2, 1, 32},
                           {1, 150, 1, 1, 100},
                           {1, 140, 2, 1, 24, {0.2f, 3, 50}}}) {
    const int64_t n = s.batch * s.seq * s.heads * s.head_dim, kv = n / s.heads * s.kv_heads;
    Floats q = normal(n), key = normal(kv), value = normal(kv), out(n), lse(s.batch * s.seq * s.heads);
    Floats d_q = normal(n), d_k = normal(kv), d_v = normal(kv);
    k.attention(q.data(), key.data(), value.data(), out.data(), lse.data(), s);
    k.attention_backward(normal(n).data(), q.data(), key.data(), value.data(), out.data(), lse.data(), d_q.data(),
                         d_k.data(), d_v.data(), s);
    keep("attention", {out, lse, d_q, d_k, d_v});
  }
}

void activations(const Kernels& k) {
  const Draw draw = {123, 456, 7 << 16 | 3, 11, 5};
  for (int32_t kernel = 0; kernel < fused_kernels; kernel++) {
    const int64_t rows = 19, width = 37, n = rows * width;
    const Activation act = {static_cast<FusedKernel>(kernel), 0.6};
    Floats x = normal(n), up = normal(n), d = normal(n), out(n), gated(n), d_x = normal(n), d_gate = d_x, d_up = d_x;
    x[3] = 0, x[4] = 90, x[5] = -90, x[6] = 1000, x[7] = -1000;
    k.activation(act, x.data(), out.data(), rows, width, draw);
    k.activation_backward(act, d.data(), x.data(), d_x.data(), rows, width, draw);
    x[6] = 1, x[4] = 1;  // else they would hide the rest
    k.gate(act, x.data(), up.data(), gated.data(), rows, width, draw);
    k.gate_backward(act, d.data(), x.data(), up.data(), d_gate.data(), d_up.data(), rows, width, draw);
    keep("activation, gate", {out, d_x, gated, d_gate, d_up});
  }
  for (KeptNeurons keep_what : {kKeepValue, kKeepMagnitude, kKeepAbove})
    for (KeptActivation then : {kThenRelu, kThenIdentity, kThenGelu, kThenSilu}) {
      const int64_t rows = 19, width = 37, n = rows * width;
      const RowSelection selection = {keep_what, then, keep_what == kKeepAbove ? 0.8 : 9.};
      Floats x = normal(n), up = normal(n), d = normal(n), out(n), gated(n), d_x(n), d_gate(n), d_up(n);
      k.row_selection_forward(selection, x.data(), nullptr, out.data(), rows, width);
      k.row_selection_forward(selection, x.data(), up.data(), gated.data(), rows, width);
      k.row_selection_backward(selection, d.data(), x.data(), nullptr, d_x.data(), nullptr, rows, width);
      k.row_selection_backward(selection, d.data(), x.data(), up.data(), d_gate.data(), d_up.data(), rows, width);
      keep("row_selection", {out, gated, d_x, d_gate, d_up});
    }
  const int64_t n = 20'001;
  Floats gate = normal(n), up = normal(n), d = normal(n), out(n), d_gate(n), d_up(n);
  k.drelu(gate.data(), up.data(), out.data(), n);
  k.drelu_backward(d.data(), gate.data(), up.data(), d_gate.data(), d_up.data(), n);
  keep("drelu", {out, d_gate, d_up});
}

/// Programs as src/activations/programs.ts writes them: counts; inputs; outputs; instructions.
void programs(const Kernels& k) {
  const Draw draw = {123, 456, 7 << 16 | 3, 11, 5};
  const int64_t rows = 9, width = 300, n = rows * width;
  const Floats uniforms = {0.5f, 0.25f};
  Floats x = normal(n), up = normal(n), d = normal(n), out(n), d_x(n), d_up(n);
  for (float& value : x) value = std::fabs(value) + 0.01f;
  for (int32_t operation = 0; operation < operations; operation++) {
    // Slots: a uniform, x, draws of channel 1, the result.
    const std::vector<int32_t> code = {1, 2, 1, 1, 1, 0, 0, 3, 1, 3, operation, 3, 1, 2, 0};
    for (DrawUnit unit : {kPerElement, kPerToken, kPerSample}) {
      k.program_forward({code.data(), uniforms.data(), nullptr, 0, unit, 4}, x.data(), nullptr, out.data(), rows, width,
                        draw);
      keep("program_forward", {out});
    }
  }
  // x·neuron: value, slope, by a number of the layer (here x²), by the neuron's.
  const Floats parameters = normal(1 + width);
  Floats d_parameters(1 + width);
  const std::vector<int32_t> backward = {0, 2, 2, 2, 4, 0, 0, 4, 0, 2, 1, 3, 0, 20, 2, 0, 1, 0, 3, 3, 0, 0, 0};
  k.program_backward({backward.data(), uniforms.data(), parameters.data(), 1, kNoDraws, 1}, d.data(), x.data(),
                     up.data(), d_x.data(), d_up.data(), d_parameters.data(), rows, width, draw);
  keep("program_backward", {d_x, d_up, d_parameters});
  // A row: its mean, and its 20-th largest; value and slopes x·mean, mean, by both statistics x and kth.
  const std::vector<int32_t> element = {0, 1, 0, 0, 1, 0, 0, 0}, constant = {1, 0, 0, 0, 1, 0};
  const std::vector<int32_t> row = {0, 3, 1, 1, 4, 0, 0, 5, 0, 5, 1, 3, 1, 0, 2, 20, 3, 0, 1, 0};
  const Floats row_uniforms = {1};
  RowProgram program = {{row.data(), row_uniforms.data(), nullptr, 0, kNoDraws, 1}, 0, false, 2, {}, {}, {}};
  program.values[0] = element.data(), program.derivatives[0] = constant.data();
  program.values[1] = element.data(), program.ranks[1] = 20;
  k.row_program_forward(program, x.data(), up.data(), out.data(), rows, width, draw);
  k.row_program_backward(program, d.data(), x.data(), nullptr, d_x.data(), nullptr, nullptr, rows, width, draw);
  keep("row_program", {out, d_x});
}

void stacks(const Kernels& k) {
  // 7 → 5 → 7 → 3; a fused activation, then x·neuron with one more parameter that the layer shares.
  const int32_t widths[] = {7, 5, 7, 3};
  const int32_t forward[] = {0, 2, 1, 1, 1, 0, 0, 4, 0, 2, 20, 2, 0, 1, 0};
  const int32_t backward[] = {0, 2, 2, 2, 4, 0, 0, 4, 0, 2, 1, 3, 0, 20, 2, 0, 1, 0, 3, 3, 0, 0, 0};
  const Floats uniforms(1);
  for (int64_t samples : {1, 37, 130})
    for (bool programs : {false, true}) {
      MlpCall call = {};
      call.widths = widths, call.layers = 3, call.activation = {kStochaDrawn, 0.6};
      call.draw = {123, 456, 2 << 16, 11, 0}, call.draw_unit = kNoDraws;
      call.dropout = samples == 37 ? 0.2 : 0, call.dropout_tag = 6 << 16;
      if (programs) {
        call.forward = call.gate = {forward, uniforms.data()}, call.backward = {backward, uniforms.data()};
        call.shared_learned = call.neuron_learned = 1;
      }
      const Floats params = normal(120), x = normal(samples * 7);
      Floats grads(120), hidden(samples * 12), gates(samples * 12), logits(samples * 3);
      std::vector<int32_t> y(static_cast<size_t>(samples)), order(static_cast<size_t>(samples));
      for (size_t i = 0; i < y.size(); i++) y[i] = static_cast<int32_t>(i % 3), order[i] = static_cast<int32_t>(i);
      const double loss = k.mlp_gradients(call, params.data(), grads.data(), x.data(), y.data(), order.data(), samples);
      k.mlp_forward(call, params.data(), x.data(), samples, programs ? gates.data() : nullptr, hidden.data(),
                    logits.data());
      keep("mlp", {{static_cast<float>(loss)}, grads, hidden, gates, logits});
    }
}

void rest(const Kernels& k) {
  const int64_t rows = 21, width = 35, n = rows * width;
  std::vector<int32_t> tokens(rows);
  for (int64_t i = 0; i < rows; i++) tokens[i] = static_cast<int32_t>(i * 5 % width) - (i == 3);
  Floats logits = normal(n), losses(rows), d_logits(n);
  k.cross_entropy(logits.data(), tokens.data(), losses.data(), d_logits.data(), rows, width, 0.1f);
  keep("cross_entropy", {losses, d_logits});
  for (int32_t& token : tokens) token = (token + 1) % 9;
  Floats table = normal(9 * width), taken(n), d_table = normal(9 * width);
  k.embedding(tokens.data(), table.data(), taken.data(), rows, width);
  k.embedding_backward(tokens.data(), logits.data(), d_table.data(), rows, width);
  keep("embedding", {taken, d_table});
  Floats param = normal(n), m = normal(n), v = normal(n), sum(n), product(n), y = normal(n);
  for (float& x : v) x = std::fabs(x);
  k.adam_w(param.data(), logits.data(), m.data(), v.data(), n, {0.01, 0.9, 0.95, 1e-8, 0.1, 3, 0.5});
  k.add(param.data(), m.data(), sum.data(), n);
  k.multiply(param.data(), m.data(), product.data(), n);
  k.axpy(-0.7f, m.data(), y.data(), n);
  product[5] = 0, product[n - 1] = -0.f;
  int32_t zeros = 0;
  Floats signs = normal(n);
  const double magnitudes = k.add_sign(0.25f, product.data(), signs.data(), &zeros, n);
  keep("add_sign", {signs, {static_cast<float>(magnitudes), static_cast<float>(zeros)}});
  keep("adam_w, add, multiply, axpy", {param, m, v, sum, product, y});
  keep("sums", {{static_cast<float>(k.sum(v.data(), n)), static_cast<float>(k.sum_of_squares(m.data(), n)),
                 static_cast<float>(k.count_zeros(product.data(), n)), static_cast<float>(k.read_sum(v.data(), n))}});
}

int compare(FILE* file) {
  int wrong = 0;
  for (const Result& result : results) {
    Floats expected(result.values.size());
    if (fread(expected.data(), 4, expected.size(), file) != expected.size()) return 1;
    float difference = 0, largest = 0;
    for (size_t i = 0; i < expected.size(); i++) {
      const float distance = std::fabs(expected[i] - result.values[i]);
      difference = distance <= difference ? difference : distance;  // NaN passes on
      largest = std::max(largest, std::fabs(expected[i]));
    }
    if (difference <= result.tolerance * largest) continue;
    printf("%s: off by %g of %g\n", result.name.c_str(), static_cast<double>(difference), static_cast<double>(largest));
    wrong++;
  }
  printf("%zu buffers compared, %d wrong\n", results.size(), wrong);
  return wrong > 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  const bool write = strcmp(arguments[1], "write") == 0;
  FILE* file = fopen(arguments[2], write ? "wb" : "rb");
  if (file == nullptr) return 2;
  set_thread_count(2);
  for (auto run : {matrices, decoding, skipping, norms, attentions, activations, programs, stacks, rest})
    run(FLICKER_ISA::table);
  int status = 0;
  if (write)
    for (const Result& result : results) fwrite(result.values.data(), 4, result.values.size(), file);
  else
    status = compare(file);
  fclose(file);
  return status;
}

// The one door between JavaScript and the kernels: checks every argument, then calls the chosen instruction set's
// kernel. A buffer that is too short, a size that is negative or a token outside its table throws and touches nothing.
#include <node_api.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "arguments.h"
#include "cached_sequences.h"
#include "cpu.h"
#include "kernels.h"
#include "mlp_arguments.h"
#include "parallel.h"

namespace flicker {
namespace {

const InstructionSet* selected = nullptr;

napi_value number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

/// All tokens in [0, vocab)? Checked here so that the kernels need not.
bool tokens_in_range(Arguments& in, size_t i, const int32_t* tokens, int64_t n, int64_t from, int64_t vocab) {
  for (int64_t r = 0; in.ok() && r < n; r++)
    if (tokens[r] < from || tokens[r] >= vocab) in.fail(i, "holds a token outside the vocabulary");
  return in.ok();
}

using Call = double (*)(Arguments& in, const Kernels& k);

struct Entry {
  const char* name;
  Call call;
  bool returns;
};

// Arguments in the order of the kernels of kernels.h; shapes and draws are flattened in field order.
const Entry entries[] = {
    {"gemm",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t m = in.size(3), n = in.size(4), k = in.size(5);
       const float *a = in.floats(0, m, k), *b = in.floats(1, k, n);
       float* c = in.floats(2, m, n);
       const bool trans_a = in.flag(6), trans_b = in.flag(7), accumulate = in.flag(8);
       if (in.ok()) kernels.gemm(a, b, c, m, n, k, trans_a, trans_b, accumulate);
       return 0.0;
     },
     false},
    {"addBias",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(2), width = in.size(3);
       float* x = in.floats(0, rows, width);
       const float* bias = in.floats(1, width);
       if (in.ok()) kernels.add_bias(x, bias, rows, width);
       return 0.0;
     },
     false},
    {"columnSums",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(2), width = in.size(3);
       const float* x = in.floats(0, rows, width);
       float* out = in.floats(1, width);
       if (in.ok()) kernels.column_sums(x, out, rows, width);
       return 0.0;
     },
     false},
    {"embedding",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(3), width = in.size(4), vocab = in.size(5);
       const int32_t* tokens = in.ints(0, rows);
       const float* table = in.floats(1, vocab, width);
       float* out = in.floats(2, rows, width);
       if (tokens_in_range(in, 0, tokens, rows, 0, vocab)) kernels.embedding(tokens, table, out, rows, width);
       return 0.0;
     },
     false},
    {"embeddingBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(3), width = in.size(4), vocab = in.size(5);
       const int32_t* tokens = in.ints(0, rows);
       const float* d_out = in.floats(1, rows, width);
       float* d_table = in.floats(2, vocab, width);
       if (tokens_in_range(in, 0, tokens, rows, 0, vocab))
         kernels.embedding_backward(tokens, d_out, d_table, rows, width);
       return 0.0;
     },
     false},
    {"rmsNorm",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(4), width = in.size(5);
       const float *x = in.floats(0, rows, width), *weight = in.floats(1, width);
       float *out = in.floats(2, rows, width), *rstd = in.floats(3, rows);
       const float eps = static_cast<float>(in.number(6));
       if (in.ok()) kernels.rms_norm(x, weight, out, rstd, rows, width, eps);
       return 0.0;
     },
     false},
    {"rmsNormBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(6), width = in.size(7);
       const float *d_out = in.floats(0, rows, width), *x = in.floats(1, rows, width), *weight = in.floats(2, width),
                   *rstd = in.floats(3, rows);
       float *d_x = in.floats(4, rows, width), *d_weight = in.floats(5, width);
       if (in.ok()) kernels.rms_norm_backward(d_out, x, weight, rstd, d_x, d_weight, rows, width);
       return 0.0;
     },
     false},
    {"rope",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(4), seq = in.size(5), heads = in.size(6), head_dim = in.size(7);
       const float *x = in.floats(0, rows, heads * head_dim), *cos = in.floats(1, seq, head_dim / 2),
                   *sin = in.floats(2, seq, head_dim / 2);
       float* out = in.floats(3, rows, heads * head_dim);
       const bool backward = in.flag(8);
       if (in.ok() && (head_dim % 2 != 0 || seq == 0)) in.fail(7, "must be even, and seq positive");
       if (in.ok()) kernels.rope(x, cos, sin, out, rows, seq, heads, head_dim, backward);
       return 0.0;
     },
     false},
    {"attention",
     [](Arguments& in, const Kernels& kernels) {
       const AttentionShape s = in.attention_shape(5);
       const int64_t rows = s.batch * s.seq, width = s.heads * s.head_dim, kv_width = s.kv_heads * s.head_dim;
       const float *q = in.floats(0, rows, width), *k = in.floats(1, rows, kv_width), *v = in.floats(2, rows, kv_width);
       float *out = in.floats(3, rows, width), *lse = in.floats(4, rows, s.heads);
       if (in.ok()) kernels.attention(q, k, v, out, lse, s);
       return 0.0;
     },
     false},
    {"attentionBackward",
     [](Arguments& in, const Kernels& kernels) {
       const AttentionShape s = in.attention_shape(9);
       const int64_t rows = s.batch * s.seq, width = s.heads * s.head_dim, kv_width = s.kv_heads * s.head_dim;
       const float *d_out = in.floats(0, rows, width), *q = in.floats(1, rows, width),
                   *k = in.floats(2, rows, kv_width), *v = in.floats(3, rows, kv_width),
                   *out = in.floats(4, rows, width), *lse = in.floats(5, rows, s.heads);
       float *d_q = in.floats(6, rows, width), *d_k = in.floats(7, rows, kv_width), *d_v = in.floats(8, rows, kv_width);
       if (in.ok()) kernels.attention_backward(d_out, q, k, v, out, lse, d_q, d_k, d_v, s);
       return 0.0;
     },
     false},
    {"activation",
     [](Arguments& in, const Kernels& kernels) {
       const Activation act = in.activation(0);
       const int64_t rows = in.size(4), width = in.size(5);
       const float* x = in.floats(2, rows, width);
       float* out = in.floats(3, rows, width);
       const Draw draw = in.draw(6);
       if (in.ok()) kernels.activation(act, x, out, rows, width, draw);
       return 0.0;
     },
     false},
    {"activationBackward",
     [](Arguments& in, const Kernels& kernels) {
       const Activation act = in.activation(0);
       const int64_t rows = in.size(5), width = in.size(6);
       const float *d_out = in.floats(2, rows, width), *x = in.floats(3, rows, width);
       float* d_x = in.floats(4, rows, width);
       const Draw draw = in.draw(7);
       if (in.ok()) kernels.activation_backward(act, d_out, x, d_x, rows, width, draw);
       return 0.0;
     },
     false},
    {"gate",
     [](Arguments& in, const Kernels& kernels) {
       const Activation act = in.activation(0);
       const int64_t rows = in.size(5), width = in.size(6);
       const float *gate = in.floats(2, rows, width), *up = in.floats(3, rows, width);
       float* out = in.floats(4, rows, width);
       const Draw draw = in.draw(7);
       if (in.ok()) kernels.gate(act, gate, up, out, rows, width, draw);
       return 0.0;
     },
     false},
    {"gateBackward",
     [](Arguments& in, const Kernels& kernels) {
       const Activation act = in.activation(0);
       const int64_t rows = in.size(7), width = in.size(8);
       const float *d_out = in.floats(2, rows, width), *gate = in.floats(3, rows, width),
                   *up = in.floats(4, rows, width);
       float *d_gate = in.floats(5, rows, width), *d_up = in.floats(6, rows, width);
       const Draw draw = in.draw(9);
       if (in.ok()) kernels.gate_backward(act, d_out, gate, up, d_gate, d_up, rows, width, draw);
       return 0.0;
     },
     false},
    {"dRelu",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(3);
       const float *gate = in.floats(0, n), *up = in.floats(1, n);
       float* out = in.floats(2, n);
       if (in.ok()) kernels.drelu(gate, up, out, n);
       return 0.0;
     },
     false},
    {"dReluBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(5);
       const float *d_out = in.floats(0, n), *gate = in.floats(1, n), *up = in.floats(2, n);
       float *d_gate = in.floats(3, n), *d_up = in.floats(4, n);
       if (in.ok()) kernels.drelu_backward(d_out, gate, up, d_gate, d_up, n);
       return 0.0;
     },
     false},
    {"programForward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(10), width = in.size(11);
       const ActivationProgram program = in.program(0, width);
       const float *x = in.floats(7, rows, width), *up = in.floats_or_null(8, rows, width);
       float* out = in.floats(9, rows, width);
       const Draw draw = in.draw(12);
       if (in.ok()) kernels.program_forward(program, x, up, out, rows, width, draw);
       return 0.0;
     },
     false},
    {"programBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(13), width = in.size(14), neurons = in.size(6);
       const ActivationProgram program = in.program(0, width);
       if (in.ok() && program.code[4] != 2 + program.shared + neurons) in.fail(0, "is not a backward program");
       const float *d_out = in.floats(7, rows, width), *x = in.floats(8, rows, width),
                   *up = in.floats_or_null(9, rows, width);
       float *d_x = in.floats(10, rows, width), *d_up = in.floats_or_null(11, rows, width),
             *d_parameters = in.floats_or_null(12, program.shared + neurons * width, 1);
       if (in.ok() && up != nullptr && d_up == nullptr) in.fail(11, "must be given with up");
       const Draw draw = in.draw(15);
       if (in.ok())
         kernels.program_backward(program, d_out, x, up, d_x, d_up, d_parameters, rows, width, draw);
       return 0.0;
     },
     false},
    {"rowProgramForward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(10), width = in.size(11);
       const RowProgram program = in.row_program(0, width);
       const float *x = in.floats(7, rows, width), *up = in.floats_or_null(8, rows, width);
       float* out = in.floats(9, rows, width);
       const Draw draw = in.draw(12);
       if (in.ok()) kernels.row_program_forward(program, x, up, out, rows, width, draw);
       return 0.0;
     },
     false},
    {"rowProgramBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(13), width = in.size(14);
       const RowProgram program = in.row_program(0, width);
       const int64_t learned = program.main.shared + program.neurons;
       if (in.ok()) {
         bool complete = program.main.code[4] == 2 + learned + (program.neighbours ? 2 : 0) + program.statistics;
         for (int s = 0; s < program.statistics; s++)
           complete = complete && (program.derivatives[s] == nullptr || program.derivatives[s][4] == 1 + learned + s);
         if (!complete) in.fail(0, "is not a backward plan");
       }
       const float *d_out = in.floats(7, rows, width), *x = in.floats(8, rows, width),
                   *up = in.floats_or_null(9, rows, width);
       float *d_x = in.floats(10, rows, width), *d_up = in.floats_or_null(11, rows, width),
             *d_parameters = in.floats_or_null(12, program.main.shared + program.neurons * width, 1);
       if (in.ok() && up != nullptr && d_up == nullptr) in.fail(11, "must be given with up");
       const Draw draw = in.draw(15);
       if (in.ok())
         kernels.row_program_backward(program, d_out, x, up, d_x, d_up, d_parameters, rows, width, draw);
       return 0.0;
     },
     false},
    {"rowSelectionForward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(6), width = in.size(7);
       const RowSelection selection = in.row_selection(0, width);
       const float *x = in.floats(3, rows, width), *up = in.floats_or_null(4, rows, width);
       float* out = in.floats(5, rows, width);
       if (in.ok()) kernels.row_selection_forward(selection, x, up, out, rows, width);
       return 0.0;
     },
     false},
    {"rowSelectionBackward",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(8), width = in.size(9);
       const RowSelection selection = in.row_selection(0, width);
       const float *d_out = in.floats(3, rows, width), *x = in.floats(4, rows, width),
                   *up = in.floats_or_null(5, rows, width);
       float *d_x = in.floats(6, rows, width), *d_up = in.floats_or_null(7, rows, width);
       if (in.ok() && up != nullptr && d_up == nullptr) in.fail(7, "must be given with up");
       if (in.ok()) kernels.row_selection_backward(selection, d_out, x, up, d_x, d_up, rows, width);
       return 0.0;
     },
     false},
    {"crossEntropy",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(4), vocab = in.size(5);
       const float* logits = in.floats(0, rows, vocab);
       const int32_t* targets = in.ints(1, rows);
       float *losses = in.floats(2, rows), *d_logits = in.floats_or_null(3, rows, vocab);
       const float scale = static_cast<float>(in.number(6));
       if (tokens_in_range(in, 1, targets, rows, -1, vocab))
         kernels.cross_entropy(logits, targets, losses, d_logits, rows, vocab, scale);
       return 0.0;
     },
     false},
    {"adamW",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(4);
       float* param = in.floats(0, n);
       const float* grad = in.floats(1, n);
       float *m = in.floats(2, n), *v = in.floats(3, n);
       const AdamWStep options = {in.number(5), in.number(6),  in.number(7), in.number(8),
                                  in.number(9), in.number(10), in.number(11)};
       if (in.ok()) kernels.adam_w(param, grad, m, v, n, options);
       return 0.0;
     },
     false},
    {"add",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(3);
       const float *a = in.floats(0, n), *b = in.floats(1, n);
       float* out = in.floats(2, n);
       if (in.ok()) kernels.add(a, b, out, n);
       return 0.0;
     },
     false},
    {"multiply",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(3);
       const float *a = in.floats(0, n), *b = in.floats(1, n);
       float* out = in.floats(2, n);
       if (in.ok()) kernels.multiply(a, b, out, n);
       return 0.0;
     },
     false},
    {"axpy",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(3);
       const float alpha = static_cast<float>(in.number(0)), *x = in.floats(1, n);
       float* y = in.floats(2, n);
       if (in.ok()) kernels.axpy(alpha, x, y, n);
       return 0.0;
     },
     false},
    {"sum",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(1);
       const float* x = in.floats(0, n);
       return in.ok() ? kernels.sum(x, n) : 0.0;
     },
     true},
    {"sumOfSquares",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(1);
       const float* x = in.floats(0, n);
       return in.ok() ? kernels.sum_of_squares(x, n) : 0.0;
     },
     true},
    {"countZeros",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(1);
       const float* x = in.floats(0, n);
       return in.ok() ? static_cast<double>(kernels.count_zeros(x, n)) : 0.0;
     },
     true},
    {"matvec",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(4), columns = in.size(5), batch = in.size(6);
       const Weights w = in.weights(0, 1, rows, columns);
       const float* x = in.floats(2, batch, columns);
       float* y = in.floats(3, batch, rows);
       const bool accumulate = in.flag(7);
       const float* bias = in.floats_or_null(8, rows, 1);
       if (in.ok()) kernels.matvec(w, x, y, rows, columns, batch, accumulate, bias);
       return 0.0;
     },
     false},
    {"selectedRows",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(5), columns = in.size(6), batch = in.size(7);
       const Weights w = in.weights(0, 1, rows, columns);
       const float *chosen = in.floats(2, batch, rows), *x = in.floats(3, batch, columns);
       float* y = in.floats(4, batch, rows);
       if (in.ok()) kernels.selected_rows(w, chosen, x, y, rows, columns, batch);
       return 0.0;
     },
     false},
    {"ffnNeurons",
     [](Arguments& in, const Kernels& kernels) {
       FfnShape s = {in.size(6), in.size(7), in.size(8), in.size(9), in.flag(10), in.size(11), nullptr};
       int64_t stored = s.neurons;
       s.places = in.places(12, s.neurons, stored);
       const Weights w = in.weights(0, 1, stored, s.width, s.gated ? s.up_width : 0);
       const float *activated = in.floats(2, s.batch, s.neurons), *x = in.floats(3, s.batch, s.up_width);
       float* y = in.floats(4, s.batch, s.width);
       int32_t* active = in.ints(5, s.batch);
       return in.ok() ? static_cast<double>(kernels.ffn_neurons(w, activated, x, y, active, s)) : 0.0;
     },
     true},
    {"narrowIndex",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t rows = in.size(5), columns = in.size(6), blocks = (columns + 255) / 256;
       const Weights w = in.wide_weights(0, 1, rows, columns);
       int8_t* codes = in.codes(2, rows, columns);
       float *scales = in.floats(3, rows, blocks), *bounds = in.floats(4, rows, blocks);
       if (in.ok()) kernels.narrow_index(w, codes, scales, bounds, rows, columns);
       return 0.0;
     },
     false},
    {"narrowGate",
     [](Arguments& in, const Kernels& kernels) {
       NarrowGateShape s = {in.size(7), in.size(8), in.size(9), static_cast<float>(in.number(10)), in.number(11), nullptr};
       const int64_t blocks = (s.columns + 255) / 256;
       const Weights w = in.wide_weights(0, 1, s.rows, s.columns);
       const NarrowIndex index = {in.codes(2, s.rows, s.columns), in.floats(3, s.rows, blocks),
                                  in.floats(4, s.rows, blocks)};
       const float* x = in.floats(5, s.batch, s.columns);
       float* y = in.floats(6, s.batch, s.rows);
       static_assert(sizeof(Draw) == 5 * sizeof(int32_t), "draws come as five words each");
       if (s.p > 0) s.draws = reinterpret_cast<const Draw*>(in.ints(12, 5 * s.batch));
       return in.ok() ? static_cast<double>(kernels.narrow_gate(w, index, x, y, s)) : 0.0;
     },
     true},
    {"cachedAttention",
     [](Arguments& in, const Kernels& kernels) {
       const CachedAttentionShape s = {in.size(5), in.size(6), in.size(7), in.size(8), in.size(9), in.cache_type(10)};
       if (in.ok() && (s.kv_heads == 0 || s.heads % s.kv_heads != 0)) in.fail(8, "must divide the number of heads");
       if (in.ok() && s.head_dim % 2 != 0) in.fail(9, "must be even");
       if (!in.ok()) return 0.0;
       const CachedSequences cached(in, 3, 11, s);
       float* qkv = in.floats(0, s.batch, (s.heads + 2 * s.kv_heads) * s.head_dim);
       const float *cos = in.floats(1, cached.end, s.head_dim / 2), *sin = in.floats(2, cached.end, s.head_dim / 2);
       float* out = in.floats(4, s.batch, s.heads * s.head_dim);
       if (in.ok()) kernels.cached_attention(qkv, cos, sin, cached.sequences.data(), out, s);
       return 0.0;
     },
     false},
    {"mlpGradients",
     [](Arguments& in, const Kernels& kernels) {
       const MlpCall call = mlp_call(in);
       constexpr size_t i = mlp_call_arguments;
       const int64_t first = in.size(i + 5), samples = in.size(i + 6), total = in.size(i + 7);
       if (!in.ok()) return 0.0;
       const int64_t length = mlp_parameters(call);
       const float* params = in.floats(i, length);
       float* grads = in.floats(i + 1, length);
       const float* x = in.floats(i + 2, total, call.widths[0]);
       const int32_t *y = in.ints(i + 3, total), *order = in.ints(i + 4, first + samples);
       if (!in.ok() || !tokens_in_range(in, i + 4, order + first, samples, 0, total)) return 0.0;
       for (int64_t s = first; s < first + samples; s++)
         if (y[order[s]] < 0 || y[order[s]] >= call.widths[call.layers]) in.fail(i + 3, "holds a class without an output");
       return in.ok() ? kernels.mlp_gradients(call, params, grads, x, y, order + first, samples) : 0.0;
     },
     true},
    {"mlpForward",
     [](Arguments& in, const Kernels& kernels) {
       const MlpCall call = mlp_call(in);
       constexpr size_t i = mlp_call_arguments;
       const int64_t samples = in.size(i + 2);
       if (!in.ok()) return 0.0;
       const float *params = in.floats(i, mlp_parameters(call)), *x = in.floats(i + 1, samples, call.widths[0]);
       float *gates = in.floats_or_null(i + 3, samples, mlp_hidden(call)),
             *hidden = in.floats(i + 4, samples, mlp_hidden(call)),
             *logits = in.floats(i + 5, samples, call.widths[call.layers]);
       if (in.ok() && gates != nullptr && call.gate.code == nullptr) in.fail(11, "has no gate program");
       if (in.ok()) kernels.mlp_forward(call, params, x, samples, gates, hidden, logits);
       return 0.0;
     },
     false},
    {"fmaPeak",
     [](Arguments& in, const Kernels& kernels) {
       const double seconds = in.number(0);
       return in.ok() ? kernels.fma_peak(seconds) : 0.0;
     },
     true},
    {"readSum",
     [](Arguments& in, const Kernels& kernels) {
       const int64_t n = in.size(1);
       const float* x = in.floats(0, n);
       return in.ok() ? kernels.read_sum(x, n) : 0.0;
     },
     true},
};

napi_value call(napi_env env, napi_callback_info info) {
  void* data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  const Entry* entry = static_cast<const Entry*>(data);
  Arguments in(env, info, entry->name);
  const double result = entry->call(in, *selected->kernels);
  if (take_out_of_memory())
    napi_throw_error(env, "NATIVE_OUT_OF_MEMORY", "native kernels: no memory for the working buffers");
  return entry->returns && in.ok() ? number(env, result) : nullptr;
}

/// Names of the instruction sets that this processor can run, best first.
napi_value instruction_sets(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  uint32_t i = 0;
  for (const InstructionSet* set = all_instruction_sets(); set->name != nullptr; set++) {
    if (!set->supported()) continue;
    napi_value name = nullptr;
    napi_create_string_utf8(env, set->name, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, list, i++, name);
  }
  return list;
}

/// select(name): use this instruction set's kernels from now on.
napi_value select(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr;
  char name[32] = "";
  napi_get_cb_info(env, info, &count, &value, nullptr, nullptr);
  if (count == 1) napi_get_value_string_utf8(env, value, name, sizeof name, nullptr);
  for (const InstructionSet* set = all_instruction_sets(); set->name != nullptr; set++)
    if (strcmp(set->name, name) == 0 && set->supported()) {
      selected = set;
      return nullptr;
    }
  napi_throw_range_error(env, "NATIVE_ARGUMENT", "native select: no such instruction set on this processor");
  return nullptr;
}

napi_value set_threads(napi_env env, napi_callback_info info) {
  Arguments in(env, info, "setThreads");
  const int64_t n = in.size(0);
  if (in.ok() && (n < 1 || n > 256)) in.fail(0, "must be in [1, 256]");
  if (in.ok()) set_thread_count(static_cast<int>(n));
  return nullptr;
}

/// aligned(bytes): a zeroed ArrayBuffer that starts on a cache line, freed with its last view.
napi_value aligned(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value value = nullptr, result = nullptr;
  double bytes = -1;
  napi_get_cb_info(env, info, &count, &value, nullptr, nullptr);
  if (count == 1) napi_get_value_double(env, value, &bytes);
  if (!(bytes >= 0 && bytes < 9007199254740992.0)) {
    napi_throw_range_error(env, "NATIVE_ARGUMENT", "native aligned: argument 0 must be a size in bytes");
    return nullptr;
  }
  void* data = allocate_pages(static_cast<uint64_t>(bytes));
  if (data == nullptr) {
    napi_throw_error(env, "NATIVE_OUT_OF_MEMORY", "native aligned: no memory");
    return nullptr;
  }
  const napi_status status = napi_create_external_arraybuffer(
      env, data, static_cast<size_t>(bytes), [](napi_env, void* memory, void*) { free_pages(memory); }, nullptr,
      &result);
  if (status != napi_ok) {
    free_pages(data);
    napi_throw_error(env, "NATIVE_OUT_OF_MEMORY", "native aligned: this runtime refuses external buffers");
    return nullptr;
  }
  return result;
}

void export_function(napi_env env, napi_value exports, const char* name, napi_callback callback, void* data) {
  napi_value function = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function);
  napi_set_named_property(env, exports, name, function);
}

}  // namespace
}  // namespace flicker

NAPI_MODULE_INIT() {
  using namespace flicker;
  for (const InstructionSet* set = all_instruction_sets(); set->name != nullptr && selected == nullptr; set++)
    if (set->supported()) selected = set;
  for (const Entry& entry : entries)
    export_function(env, exports, entry.name, call, const_cast<Entry*>(&entry));
  export_function(env, exports, "instructionSets", instruction_sets, nullptr);
  export_function(env, exports, "select", select, nullptr);
  export_function(env, exports, "setThreads", set_threads, nullptr);
  export_function(env, exports, "aligned", aligned, nullptr);
  return exports;
}

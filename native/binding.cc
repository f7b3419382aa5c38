// The one door between JavaScript and the kernels: checks every argument, then calls the chosen instruction set's
// kernel. A buffer that is too short, a size that is negative or a token outside its table throws and touches nothing.
#include <node_api.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "activation_entries.h"
#include "cpu.h"
#include "decode_entries.h"
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

// Arguments in the order of the kernels of kernels.h; shapes and draws are flattened in field order.
const Entry other_entries[] = {
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
  if (selected == nullptr) {
    napi_throw_error(env, "NO_NATIVE_KERNELS", "native kernels: none were compiled for this processor");
    return nullptr;
  }
  Arguments in(env, info, entry->name);
  const double result = entry->call(in, *selected->kernels);
  if (take_out_of_memory())
    napi_throw_error(env, "NATIVE_OUT_OF_MEMORY", "native kernels: no memory for the working buffers");
  return entry->returns && in.ok() ? number(env, result) : nullptr;
}

/// Names of the compiled instruction sets that this processor can run, best first.
napi_value instruction_sets(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  uint32_t i = 0;
  for (const InstructionSet* set = all_instruction_sets(); set->name != nullptr; set++) {
    if (!set->usable()) continue;
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
    if (strcmp(set->name, name) == 0 && set->usable()) {
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
    if (set->usable()) selected = set;
  const auto add = [&](const Entry& entry) {
    export_function(env, exports, entry.name, call, const_cast<Entry*>(&entry));
  };
  for (const Entry& entry : activation_entries) add(entry);
  for (const Entry& entry : decode_entries) add(entry);
  for (const Entry& entry : other_entries) add(entry);
  export_function(env, exports, "instructionSets", instruction_sets, nullptr);
  export_function(env, exports, "select", select, nullptr);
  export_function(env, exports, "setThreads", set_threads, nullptr);
  export_function(env, exports, "aligned", aligned, nullptr);
  return exports;
}

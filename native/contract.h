// The arguments of every native function, read and checked: src/kernels/native/contract/ in C++.
// Written by test/kernels/native-headers.ts; change the source and run npm run headers.
// clang-format off
#pragma once

#include "arguments.h"

namespace flicker::contract {

/// What these files say, shortened: contractDigest in src/kernels/native/signatures.ts.
constexpr const char* digest = "ecd2b3f858713130";

struct Gemm {
  enum : size_t { at_a, at_b, at_c, at_m, at_n, at_k, at_trans_a, at_trans_b, at_accumulate, count };
  static constexpr const char* names[] = {"a", "b", "c", "m", "n", "k", "transA", "transB", "accumulate"};
  const float* a = {};
  const float* b = {};
  float* c = {};
  int64_t m = {};
  int64_t n = {};
  int64_t k = {};
  bool trans_a = {};
  bool trans_b = {};
  bool accumulate = {};

  explicit Gemm(Arguments& in) {
    m = in.size(at_m);
    n = in.size(at_n);
    k = in.size(at_k);
    trans_a = in.flag(at_trans_a);
    trans_b = in.flag(at_trans_b);
    accumulate = in.flag(at_accumulate);
    a = in.input(at_a, {m, k});
    b = in.input(at_b, {k, n});
    c = in.output(at_c, {m, n});
    in.finish(count);
  }
};
double call(const Gemm& with, Arguments& in, const Kernels& kernels);

struct GemmBf16 {
  enum : size_t { at_a, at_b, at_c, at_m, at_n, at_k, at_trans_a, at_trans_b, at_accumulate, at_emulated, count };
  static constexpr const char* names[] = {"a", "b", "c", "m", "n", "k", "transA", "transB", "accumulate", "emulated"};
  const float* a = {};
  const float* b = {};
  float* c = {};
  int64_t m = {};
  int64_t n = {};
  int64_t k = {};
  bool trans_a = {};
  bool trans_b = {};
  bool accumulate = {};
  bool emulated = {};

  explicit GemmBf16(Arguments& in) {
    m = in.size(at_m);
    n = in.size(at_n);
    k = in.size(at_k);
    trans_a = in.flag(at_trans_a);
    trans_b = in.flag(at_trans_b);
    accumulate = in.flag(at_accumulate);
    emulated = in.flag(at_emulated);
    a = in.input(at_a, {m, k});
    b = in.input(at_b, {k, n});
    c = in.output(at_c, {m, n});
    in.finish(count);
  }
};
double call(const GemmBf16& with, Arguments& in, const Kernels& kernels);

struct SparseDots {
  enum : size_t { at_mask, at_x, at_w, at_out, at_rows, at_neurons, at_width, count };
  static constexpr const char* names[] = {"mask", "x", "w", "out", "rows", "neurons", "width"};
  const float* mask = {};
  const float* x = {};
  const float* w = {};
  float* out = {};
  int64_t rows = {};
  int64_t neurons = {};
  int64_t width = {};

  explicit SparseDots(Arguments& in) {
    rows = in.size(at_rows);
    neurons = in.size(at_neurons);
    width = in.size(at_width);
    mask = in.input(at_mask, {rows, neurons});
    x = in.input(at_x, {rows, width});
    w = in.input(at_w, {neurons, width});
    out = in.output(at_out, {rows, neurons});
    in.finish(count);
  }
};
double call(const SparseDots& with, Arguments& in, const Kernels& kernels);

struct SparseRows {
  enum : size_t { at_s, at_w, at_y, at_rows, at_neurons, at_width, at_accumulate, count };
  static constexpr const char* names[] = {"s", "w", "y", "rows", "neurons", "width", "accumulate"};
  const float* s = {};
  const float* w = {};
  float* y = {};
  int64_t rows = {};
  int64_t neurons = {};
  int64_t width = {};
  bool accumulate = {};

  explicit SparseRows(Arguments& in) {
    rows = in.size(at_rows);
    neurons = in.size(at_neurons);
    width = in.size(at_width);
    accumulate = in.flag(at_accumulate);
    s = in.input(at_s, {rows, neurons});
    w = in.input(at_w, {neurons, width});
    y = in.output(at_y, {rows, width});
    in.finish(count);
  }
};
double call(const SparseRows& with, Arguments& in, const Kernels& kernels);

struct SparseColumns {
  enum : size_t { at_s, at_x, at_out, at_rows, at_neurons, at_width, at_accumulate, count };
  static constexpr const char* names[] = {"s", "x", "out", "rows", "neurons", "width", "accumulate"};
  const float* s = {};
  const float* x = {};
  float* out = {};
  int64_t rows = {};
  int64_t neurons = {};
  int64_t width = {};
  bool accumulate = {};

  explicit SparseColumns(Arguments& in) {
    rows = in.size(at_rows);
    neurons = in.size(at_neurons);
    width = in.size(at_width);
    accumulate = in.flag(at_accumulate);
    s = in.input(at_s, {rows, neurons});
    x = in.input(at_x, {rows, width});
    out = in.output(at_out, {neurons, width});
    in.finish(count);
  }
};
double call(const SparseColumns& with, Arguments& in, const Kernels& kernels);

struct Transpose {
  enum : size_t { at_x, at_out, at_rows, at_columns, at_accumulate, count };
  static constexpr const char* names[] = {"x", "out", "rows", "columns", "accumulate"};
  const float* x = {};
  float* out = {};
  int64_t rows = {};
  int64_t columns = {};
  bool accumulate = {};

  explicit Transpose(Arguments& in) {
    rows = in.size(at_rows);
    columns = in.size(at_columns);
    accumulate = in.flag(at_accumulate);
    x = in.input(at_x, {rows, columns});
    out = in.output(at_out, {columns, rows});
    in.finish(count);
  }
};
double call(const Transpose& with, Arguments& in, const Kernels& kernels);

struct AddBias {
  enum : size_t { at_x, at_bias, at_rows, at_width, count };
  static constexpr const char* names[] = {"x", "bias", "rows", "width"};
  float* x = {};
  const float* bias = {};
  int64_t rows = {};
  int64_t width = {};

  explicit AddBias(Arguments& in) {
    rows = in.size(at_rows);
    width = in.size(at_width);
    x = in.output(at_x, {rows, width});
    bias = in.input(at_bias, {width});
    in.finish(count);
  }
};
double call(const AddBias& with, Arguments& in, const Kernels& kernels);

struct ColumnSums {
  enum : size_t { at_x, at_out, at_rows, at_width, count };
  static constexpr const char* names[] = {"x", "out", "rows", "width"};
  const float* x = {};
  float* out = {};
  int64_t rows = {};
  int64_t width = {};

  explicit ColumnSums(Arguments& in) {
    rows = in.size(at_rows);
    width = in.size(at_width);
    x = in.input(at_x, {rows, width});
    out = in.output(at_out, {width});
    in.finish(count);
  }
};
double call(const ColumnSums& with, Arguments& in, const Kernels& kernels);

struct Embedding {
  enum : size_t { at_tokens, at_table, at_out, at_rows, at_width, at_vocab, count };
  static constexpr const char* names[] = {"tokens", "table", "out", "rows", "width", "vocab"};
  const int32_t* tokens = {};
  const float* table = {};
  float* out = {};
  int64_t rows = {};
  int64_t width = {};
  int64_t vocab = {};

  explicit Embedding(Arguments& in) {
    rows = in.size(at_rows);
    width = in.size(at_width);
    vocab = in.size(at_vocab);
    tokens = in.indices(at_tokens, {rows});
    table = in.input(at_table, {vocab, width});
    out = in.output(at_out, {rows, width});
    in.finish(count);
  }
};
double call(const Embedding& with, Arguments& in, const Kernels& kernels);

struct EmbeddingBackward {
  enum : size_t { at_tokens, at_d_out, at_d_table, at_rows, at_width, at_vocab, count };
  static constexpr const char* names[] = {"tokens", "dOut", "dTable", "rows", "width", "vocab"};
  const int32_t* tokens = {};
  const float* d_out = {};
  float* d_table = {};
  int64_t rows = {};
  int64_t width = {};
  int64_t vocab = {};

  explicit EmbeddingBackward(Arguments& in) {
    rows = in.size(at_rows);
    width = in.size(at_width);
    vocab = in.size(at_vocab);
    tokens = in.indices(at_tokens, {rows});
    d_out = in.input(at_d_out, {rows, width});
    d_table = in.output(at_d_table, {vocab, width});
    in.finish(count);
  }
};
double call(const EmbeddingBackward& with, Arguments& in, const Kernels& kernels);

struct RmsNorm {
  enum : size_t { at_x, at_weight, at_out, at_rstd, at_rows, at_width, at_eps, count };
  static constexpr const char* names[] = {"x", "weight", "out", "rstd", "rows", "width", "eps"};
  const float* x = {};
  const float* weight = {};
  float* out = {};
  float* rstd = {};
  int64_t rows = {};
  int64_t width = {};
  double eps = {};

  explicit RmsNorm(Arguments& in) {
    rows = in.size(at_rows);
    width = in.size(at_width);
    eps = in.number(at_eps);
    x = in.input(at_x, {rows, width});
    weight = in.input(at_weight, {width});
    out = in.output(at_out, {rows, width});
    rstd = in.output(at_rstd, {rows});
    in.finish(count);
  }
};
double call(const RmsNorm& with, Arguments& in, const Kernels& kernels);

struct RmsNormBackward {
  enum : size_t { at_d_out, at_x, at_weight, at_rstd, at_d_x, at_d_weight, at_rows, at_width, count };
  static constexpr const char* names[] = {"dOut", "x", "weight", "rstd", "dX", "dWeight", "rows", "width"};
  const float* d_out = {};
  const float* x = {};
  const float* weight = {};
  const float* rstd = {};
  float* d_x = {};
  float* d_weight = {};
  int64_t rows = {};
  int64_t width = {};

  explicit RmsNormBackward(Arguments& in) {
    rows = in.size(at_rows);
    width = in.size(at_width);
    d_out = in.input(at_d_out, {rows, width});
    x = in.input(at_x, {rows, width});
    weight = in.input(at_weight, {width});
    rstd = in.input(at_rstd, {rows});
    d_x = in.output(at_d_x, {rows, width});
    d_weight = in.output(at_d_weight, {width});
    in.finish(count);
  }
};
double call(const RmsNormBackward& with, Arguments& in, const Kernels& kernels);

struct LayerNorm {
  enum : size_t { at_x, at_weight, at_bias, at_out, at_statistics, at_rows, at_width, at_eps, count };
  static constexpr const char* names[] = {"x", "weight", "bias", "out", "statistics", "rows", "width", "eps"};
  const float* x = {};
  const float* weight = {};
  const float* bias = {};
  float* out = {};
  float* statistics = {};
  int64_t rows = {};
  int64_t width = {};
  double eps = {};

  explicit LayerNorm(Arguments& in) {
    rows = in.size(at_rows);
    width = in.size(at_width);
    eps = in.number(at_eps);
    x = in.input(at_x, {rows, width});
    weight = in.input(at_weight, {width});
    bias = in.input(at_bias, {width});
    out = in.output(at_out, {rows, width});
    statistics = in.output(at_statistics, {rows, 2});
    in.finish(count);
  }
};
double call(const LayerNorm& with, Arguments& in, const Kernels& kernels);

struct LayerNormBackward {
  enum : size_t { at_d_out, at_x, at_weight, at_statistics, at_d_x, at_d_weight, at_d_bias, at_rows, at_width, count };
  static constexpr const char* names[] = {"dOut", "x", "weight", "statistics", "dX", "dWeight", "dBias", "rows", "width"};
  const float* d_out = {};
  const float* x = {};
  const float* weight = {};
  const float* statistics = {};
  float* d_x = {};
  float* d_weight = {};
  float* d_bias = {};
  int64_t rows = {};
  int64_t width = {};

  explicit LayerNormBackward(Arguments& in) {
    rows = in.size(at_rows);
    width = in.size(at_width);
    d_out = in.input(at_d_out, {rows, width});
    x = in.input(at_x, {rows, width});
    weight = in.input(at_weight, {width});
    statistics = in.input(at_statistics, {rows, 2});
    d_x = in.output(at_d_x, {rows, width});
    d_weight = in.output(at_d_weight, {width});
    d_bias = in.output(at_d_bias, {width});
    in.finish(count);
  }
};
double call(const LayerNormBackward& with, Arguments& in, const Kernels& kernels);

struct Rope {
  enum : size_t { at_x, at_cos, at_sin, at_out, at_rows, at_seq, at_heads, at_head_dim, at_backward, count };
  static constexpr const char* names[] = {"x", "cos", "sin", "out", "rows", "seq", "heads", "headDim", "backward"};
  const float* x = {};
  const float* cos = {};
  const float* sin = {};
  float* out = {};
  int64_t rows = {};
  int64_t seq = {};
  int64_t heads = {};
  int64_t head_dim = {};
  bool backward = {};

  explicit Rope(Arguments& in) {
    rows = in.size(at_rows);
    seq = in.size(at_seq);
    heads = in.size(at_heads);
    head_dim = in.size(at_head_dim);
    backward = in.flag(at_backward);
    x = in.input(at_x, {rows, heads, head_dim});
    cos = in.input(at_cos, {seq, head_dim / 2});
    sin = in.input(at_sin, {seq, head_dim / 2});
    out = in.output(at_out, {rows, heads, head_dim});
    in.require(head_dim % 2 == 0, at_head_dim, "must be even");
    in.require(seq > 0, at_seq, "must be positive");
    in.finish(count);
  }
};
double call(const Rope& with, Arguments& in, const Kernels& kernels);

struct Attention {
  enum : size_t { at_q, at_k, at_v, at_out, at_lse, at_batch, at_seq, at_heads, at_kv_heads, at_head_dim, at_scale, at_softcap, at_window, count };
  static constexpr const char* names[] = {"q", "k", "v", "out", "lse", "batch", "seq", "heads", "kvHeads", "headDim", "scale", "softcap", "window"};
  const float* q = {};
  const float* k = {};
  const float* v = {};
  float* out = {};
  float* lse = {};
  int64_t batch = {};
  int64_t seq = {};
  int64_t heads = {};
  int64_t kv_heads = {};
  int64_t head_dim = {};
  double scale = {};
  double softcap = {};
  int64_t window = {};

  explicit Attention(Arguments& in) {
    batch = in.size(at_batch);
    seq = in.size(at_seq);
    heads = in.size(at_heads);
    kv_heads = in.size(at_kv_heads);
    head_dim = in.size(at_head_dim);
    scale = in.number(at_scale);
    softcap = in.number(at_softcap);
    window = in.size(at_window);
    q = in.input(at_q, {batch, seq, heads, head_dim});
    k = in.input(at_k, {batch, seq, kv_heads, head_dim});
    v = in.input(at_v, {batch, seq, kv_heads, head_dim});
    out = in.output(at_out, {batch, seq, heads, head_dim});
    lse = in.output(at_lse, {batch, seq, heads});
    in.require(kv_heads > 0 && heads % kv_heads == 0, at_kv_heads, "must divide heads");
    in.finish(count);
  }
};
double call(const Attention& with, Arguments& in, const Kernels& kernels);

struct AttentionBackward {
  enum : size_t { at_d_out, at_q, at_k, at_v, at_out, at_lse, at_d_q, at_d_k, at_d_v, at_batch, at_seq, at_heads, at_kv_heads, at_head_dim, at_scale, at_softcap, at_window, count };
  static constexpr const char* names[] = {"dOut", "q", "k", "v", "out", "lse", "dQ", "dK", "dV", "batch", "seq", "heads", "kvHeads", "headDim", "scale", "softcap", "window"};
  const float* d_out = {};
  const float* q = {};
  const float* k = {};
  const float* v = {};
  const float* out = {};
  const float* lse = {};
  float* d_q = {};
  float* d_k = {};
  float* d_v = {};
  int64_t batch = {};
  int64_t seq = {};
  int64_t heads = {};
  int64_t kv_heads = {};
  int64_t head_dim = {};
  double scale = {};
  double softcap = {};
  int64_t window = {};

  explicit AttentionBackward(Arguments& in) {
    batch = in.size(at_batch);
    seq = in.size(at_seq);
    heads = in.size(at_heads);
    kv_heads = in.size(at_kv_heads);
    head_dim = in.size(at_head_dim);
    scale = in.number(at_scale);
    softcap = in.number(at_softcap);
    window = in.size(at_window);
    d_out = in.input(at_d_out, {batch, seq, heads, head_dim});
    q = in.input(at_q, {batch, seq, heads, head_dim});
    k = in.input(at_k, {batch, seq, kv_heads, head_dim});
    v = in.input(at_v, {batch, seq, kv_heads, head_dim});
    out = in.input(at_out, {batch, seq, heads, head_dim});
    lse = in.input(at_lse, {batch, seq, heads});
    d_q = in.output(at_d_q, {batch, seq, heads, head_dim});
    d_k = in.output(at_d_k, {batch, seq, kv_heads, head_dim});
    d_v = in.output(at_d_v, {batch, seq, kv_heads, head_dim});
    in.require(kv_heads > 0 && heads % kv_heads == 0, at_kv_heads, "must divide heads");
    in.finish(count);
  }
};
double call(const AttentionBackward& with, Arguments& in, const Kernels& kernels);

struct CrossEntropy {
  enum : size_t { at_logits, at_targets, at_losses, at_d_logits, at_rows, at_vocab, at_scale, count };
  static constexpr const char* names[] = {"logits", "targets", "losses", "dLogits", "rows", "vocab", "scale"};
  const float* logits = {};
  const int32_t* targets = {};
  float* losses = {};
  float* d_logits = {};
  int64_t rows = {};
  int64_t vocab = {};
  double scale = {};

  explicit CrossEntropy(Arguments& in) {
    rows = in.size(at_rows);
    vocab = in.size(at_vocab);
    scale = in.number(at_scale);
    targets = in.indices(at_targets, {rows});
    logits = in.input(at_logits, {rows, vocab});
    losses = in.output(at_losses, {rows});
    d_logits = in.output(at_d_logits, {rows, vocab}, kOptional);
    in.finish(count);
  }
};
double call(const CrossEntropy& with, Arguments& in, const Kernels& kernels);

struct AdamW {
  enum : size_t { at_param, at_grad, at_m, at_v, at_n, at_lr, at_beta1, at_beta2, at_eps, at_weight_decay, at_step, at_grad_scale, count };
  static constexpr const char* names[] = {"param", "grad", "m", "v", "n", "lr", "beta1", "beta2", "eps", "weightDecay", "step", "gradScale"};
  float* param = {};
  const float* grad = {};
  float* m = {};
  float* v = {};
  int64_t n = {};
  double lr = {};
  double beta1 = {};
  double beta2 = {};
  double eps = {};
  double weight_decay = {};
  double step = {};
  double grad_scale = {};

  explicit AdamW(Arguments& in) {
    n = in.size(at_n);
    lr = in.number(at_lr);
    beta1 = in.number(at_beta1);
    beta2 = in.number(at_beta2);
    eps = in.number(at_eps);
    weight_decay = in.number(at_weight_decay);
    step = in.number(at_step);
    grad_scale = in.number(at_grad_scale);
    param = in.output(at_param, {n});
    grad = in.input(at_grad, {n});
    m = in.output(at_m, {n});
    v = in.output(at_v, {n});
    in.finish(count);
  }
};
double call(const AdamW& with, Arguments& in, const Kernels& kernels);

struct Add {
  enum : size_t { at_a, at_b, at_out, at_n, count };
  static constexpr const char* names[] = {"a", "b", "out", "n"};
  const float* a = {};
  const float* b = {};
  float* out = {};
  int64_t n = {};

  explicit Add(Arguments& in) {
    n = in.size(at_n);
    a = in.input(at_a, {n});
    b = in.input(at_b, {n});
    out = in.output(at_out, {n});
    in.finish(count);
  }
};
double call(const Add& with, Arguments& in, const Kernels& kernels);

struct Multiply {
  enum : size_t { at_a, at_b, at_out, at_n, count };
  static constexpr const char* names[] = {"a", "b", "out", "n"};
  const float* a = {};
  const float* b = {};
  float* out = {};
  int64_t n = {};

  explicit Multiply(Arguments& in) {
    n = in.size(at_n);
    a = in.input(at_a, {n});
    b = in.input(at_b, {n});
    out = in.output(at_out, {n});
    in.finish(count);
  }
};
double call(const Multiply& with, Arguments& in, const Kernels& kernels);

struct Axpy {
  enum : size_t { at_alpha, at_x, at_y, at_n, count };
  static constexpr const char* names[] = {"alpha", "x", "y", "n"};
  double alpha = {};
  const float* x = {};
  float* y = {};
  int64_t n = {};

  explicit Axpy(Arguments& in) {
    alpha = in.number(at_alpha);
    n = in.size(at_n);
    x = in.input(at_x, {n});
    y = in.output(at_y, {n});
    in.finish(count);
  }
};
double call(const Axpy& with, Arguments& in, const Kernels& kernels);

struct AddSign {
  enum : size_t { at_alpha, at_x, at_y, at_zeros, at_n, count };
  static constexpr const char* names[] = {"alpha", "x", "y", "zeros", "n"};
  double alpha = {};
  const float* x = {};
  float* y = {};
  int32_t* zeros = {};
  int64_t n = {};

  explicit AddSign(Arguments& in) {
    alpha = in.number(at_alpha);
    n = in.size(at_n);
    x = in.input(at_x, {n});
    y = in.output(at_y, {n});
    zeros = in.counts(at_zeros, {1});
    in.finish(count);
  }
};
double call(const AddSign& with, Arguments& in, const Kernels& kernels);

struct Sum {
  enum : size_t { at_x, at_n, count };
  static constexpr const char* names[] = {"x", "n"};
  const float* x = {};
  int64_t n = {};

  explicit Sum(Arguments& in) {
    n = in.size(at_n);
    x = in.input(at_x, {n});
    in.finish(count);
  }
};
double call(const Sum& with, Arguments& in, const Kernels& kernels);

struct SumOfSquares {
  enum : size_t { at_x, at_n, count };
  static constexpr const char* names[] = {"x", "n"};
  const float* x = {};
  int64_t n = {};

  explicit SumOfSquares(Arguments& in) {
    n = in.size(at_n);
    x = in.input(at_x, {n});
    in.finish(count);
  }
};
double call(const SumOfSquares& with, Arguments& in, const Kernels& kernels);

struct CountZeros {
  enum : size_t { at_x, at_n, count };
  static constexpr const char* names[] = {"x", "n"};
  const float* x = {};
  int64_t n = {};

  explicit CountZeros(Arguments& in) {
    n = in.size(at_n);
    x = in.input(at_x, {n});
    in.finish(count);
  }
};
double call(const CountZeros& with, Arguments& in, const Kernels& kernels);

struct FmaPeak {
  enum : size_t { at_seconds, count };
  static constexpr const char* names[] = {"seconds"};
  double seconds = {};

  explicit FmaPeak(Arguments& in) {
    seconds = in.number(at_seconds);
    in.require(seconds > 0 && seconds <= 1, at_seconds, "must be in (0, 1]");
    in.finish(count);
  }
};
double call(const FmaPeak& with, Arguments& in, const Kernels& kernels);

struct ReadSum {
  enum : size_t { at_x, at_n, count };
  static constexpr const char* names[] = {"x", "n"};
  const float* x = {};
  int64_t n = {};

  explicit ReadSum(Arguments& in) {
    n = in.size(at_n);
    x = in.input(at_x, {n});
    in.finish(count);
  }
};
double call(const ReadSum& with, Arguments& in, const Kernels& kernels);

struct Activation {
  enum : size_t { at_kernel, at_p, at_x, at_out, at_rows, at_width, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, count };
  static constexpr const char* names[] = {"kernel", "p", "x", "out", "rows", "width", "seedLow", "seedHigh", "tag", "step", "firstRow"};
  int64_t kernel = {};
  double p = {};
  const float* x = {};
  float* out = {};
  int64_t rows = {};
  int64_t width = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};

  explicit Activation(Arguments& in) {
    kernel = in.size(at_kernel);
    p = in.number(at_p);
    rows = in.size(at_rows);
    width = in.size(at_width);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    x = in.input(at_x, {rows, width});
    out = in.output(at_out, {rows, width});
    in.finish(count);
  }
};
double call(const Activation& with, Arguments& in, const Kernels& kernels);

struct ActivationBackward {
  enum : size_t { at_kernel, at_p, at_d_out, at_x, at_d_x, at_rows, at_width, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, count };
  static constexpr const char* names[] = {"kernel", "p", "dOut", "x", "dX", "rows", "width", "seedLow", "seedHigh", "tag", "step", "firstRow"};
  int64_t kernel = {};
  double p = {};
  const float* d_out = {};
  const float* x = {};
  float* d_x = {};
  int64_t rows = {};
  int64_t width = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};

  explicit ActivationBackward(Arguments& in) {
    kernel = in.size(at_kernel);
    p = in.number(at_p);
    rows = in.size(at_rows);
    width = in.size(at_width);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    d_out = in.input(at_d_out, {rows, width});
    x = in.input(at_x, {rows, width});
    d_x = in.output(at_d_x, {rows, width});
    in.finish(count);
  }
};
double call(const ActivationBackward& with, Arguments& in, const Kernels& kernels);

struct Gate {
  enum : size_t { at_kernel, at_p, at_gate, at_up, at_out, at_rows, at_width, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, count };
  static constexpr const char* names[] = {"kernel", "p", "gate", "up", "out", "rows", "width", "seedLow", "seedHigh", "tag", "step", "firstRow"};
  int64_t kernel = {};
  double p = {};
  const float* gate = {};
  const float* up = {};
  float* out = {};
  int64_t rows = {};
  int64_t width = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};

  explicit Gate(Arguments& in) {
    kernel = in.size(at_kernel);
    p = in.number(at_p);
    rows = in.size(at_rows);
    width = in.size(at_width);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    gate = in.input(at_gate, {rows, width});
    up = in.input(at_up, {rows, width});
    out = in.output(at_out, {rows, width});
    in.finish(count);
  }
};
double call(const Gate& with, Arguments& in, const Kernels& kernels);

struct GateBackward {
  enum : size_t { at_kernel, at_p, at_d_out, at_gate, at_up, at_d_gate, at_d_up, at_rows, at_width, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, count };
  static constexpr const char* names[] = {"kernel", "p", "dOut", "gate", "up", "dGate", "dUp", "rows", "width", "seedLow", "seedHigh", "tag", "step", "firstRow"};
  int64_t kernel = {};
  double p = {};
  const float* d_out = {};
  const float* gate = {};
  const float* up = {};
  float* d_gate = {};
  float* d_up = {};
  int64_t rows = {};
  int64_t width = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};

  explicit GateBackward(Arguments& in) {
    kernel = in.size(at_kernel);
    p = in.number(at_p);
    rows = in.size(at_rows);
    width = in.size(at_width);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    d_out = in.input(at_d_out, {rows, width});
    gate = in.input(at_gate, {rows, width});
    up = in.input(at_up, {rows, width});
    d_gate = in.output(at_d_gate, {rows, width});
    d_up = in.output(at_d_up, {rows, width});
    in.finish(count);
  }
};
double call(const GateBackward& with, Arguments& in, const Kernels& kernels);

struct DRelu {
  enum : size_t { at_gate, at_up, at_out, at_n, count };
  static constexpr const char* names[] = {"gate", "up", "out", "n"};
  const float* gate = {};
  const float* up = {};
  float* out = {};
  int64_t n = {};

  explicit DRelu(Arguments& in) {
    n = in.size(at_n);
    gate = in.input(at_gate, {n});
    up = in.input(at_up, {n});
    out = in.output(at_out, {n});
    in.finish(count);
  }
};
double call(const DRelu& with, Arguments& in, const Kernels& kernels);

struct DReluBackward {
  enum : size_t { at_d_out, at_gate, at_up, at_d_gate, at_d_up, at_n, count };
  static constexpr const char* names[] = {"dOut", "gate", "up", "dGate", "dUp", "n"};
  const float* d_out = {};
  const float* gate = {};
  const float* up = {};
  float* d_gate = {};
  float* d_up = {};
  int64_t n = {};

  explicit DReluBackward(Arguments& in) {
    n = in.size(at_n);
    d_out = in.input(at_d_out, {n});
    gate = in.input(at_gate, {n});
    up = in.input(at_up, {n});
    d_gate = in.output(at_d_gate, {n});
    d_up = in.output(at_d_up, {n});
    in.finish(count);
  }
};
double call(const DReluBackward& with, Arguments& in, const Kernels& kernels);

struct ProgramForward {
  enum : size_t { at_code, at_uniforms, at_parameters, at_shared, at_draw_unit, at_rows_per_sample, at_neurons, at_x, at_up, at_out, at_rows, at_width, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, count };
  static constexpr const char* names[] = {"code", "uniforms", "parameters", "shared", "drawUnit", "rowsPerSample", "neurons", "x", "up", "out", "rows", "width", "seedLow", "seedHigh", "tag", "step", "firstRow"};
  const int32_t* code = {};
  const float* uniforms = {};
  const float* parameters = {};
  int64_t shared = {};
  int64_t draw_unit = {};
  int64_t rows_per_sample = {};
  int64_t neurons = {};
  const float* x = {};
  const float* up = {};
  float* out = {};
  int64_t rows = {};
  int64_t width = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};

  explicit ProgramForward(Arguments& in) {
    shared = in.size(at_shared);
    draw_unit = in.size(at_draw_unit);
    rows_per_sample = in.size(at_rows_per_sample);
    neurons = in.size(at_neurons);
    rows = in.size(at_rows);
    width = in.size(at_width);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    code = in.indices(at_code, {});
    uniforms = in.input(at_uniforms, {});
    parameters = in.input(at_parameters, {}, kOptional);
    x = in.input(at_x, {rows, width});
    up = in.input(at_up, {rows, width}, kOptional);
    out = in.output(at_out, {rows, width});
    in.finish(count);
  }
};
double call(const ProgramForward& with, Arguments& in, const Kernels& kernels);

struct ProgramBackward {
  enum : size_t { at_code, at_uniforms, at_parameters, at_shared, at_draw_unit, at_rows_per_sample, at_neurons, at_d_out, at_x, at_up, at_d_x, at_d_up, at_d_parameters, at_rows, at_width, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, count };
  static constexpr const char* names[] = {"code", "uniforms", "parameters", "shared", "drawUnit", "rowsPerSample", "neurons", "dOut", "x", "up", "dX", "dUp", "dParameters", "rows", "width", "seedLow", "seedHigh", "tag", "step", "firstRow"};
  const int32_t* code = {};
  const float* uniforms = {};
  const float* parameters = {};
  int64_t shared = {};
  int64_t draw_unit = {};
  int64_t rows_per_sample = {};
  int64_t neurons = {};
  const float* d_out = {};
  const float* x = {};
  const float* up = {};
  float* d_x = {};
  float* d_up = {};
  float* d_parameters = {};
  int64_t rows = {};
  int64_t width = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};

  explicit ProgramBackward(Arguments& in) {
    shared = in.size(at_shared);
    draw_unit = in.size(at_draw_unit);
    rows_per_sample = in.size(at_rows_per_sample);
    neurons = in.size(at_neurons);
    rows = in.size(at_rows);
    width = in.size(at_width);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    code = in.indices(at_code, {});
    uniforms = in.input(at_uniforms, {});
    parameters = in.input(at_parameters, {}, kOptional);
    d_out = in.input(at_d_out, {rows, width});
    x = in.input(at_x, {rows, width});
    up = in.input(at_up, {rows, width}, kOptional);
    d_x = in.output(at_d_x, {rows, width});
    d_up = in.output(at_d_up, {rows, width}, kOptional);
    d_parameters = in.output(at_d_parameters, {shared + neurons * width}, kOptional);
    in.require(up == nullptr || d_up != nullptr, at_d_up, "must be given with up");
    in.finish(count);
  }
};
double call(const ProgramBackward& with, Arguments& in, const Kernels& kernels);

struct RowProgramForward {
  enum : size_t { at_code, at_uniforms, at_parameters, at_shared, at_draw_unit, at_rows_per_sample, at_neurons, at_x, at_up, at_out, at_rows, at_width, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, count };
  static constexpr const char* names[] = {"code", "uniforms", "parameters", "shared", "drawUnit", "rowsPerSample", "neurons", "x", "up", "out", "rows", "width", "seedLow", "seedHigh", "tag", "step", "firstRow"};
  const int32_t* code = {};
  const float* uniforms = {};
  const float* parameters = {};
  int64_t shared = {};
  int64_t draw_unit = {};
  int64_t rows_per_sample = {};
  int64_t neurons = {};
  const float* x = {};
  const float* up = {};
  float* out = {};
  int64_t rows = {};
  int64_t width = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};

  explicit RowProgramForward(Arguments& in) {
    shared = in.size(at_shared);
    draw_unit = in.size(at_draw_unit);
    rows_per_sample = in.size(at_rows_per_sample);
    neurons = in.size(at_neurons);
    rows = in.size(at_rows);
    width = in.size(at_width);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    code = in.indices(at_code, {});
    uniforms = in.input(at_uniforms, {});
    parameters = in.input(at_parameters, {}, kOptional);
    x = in.input(at_x, {rows, width});
    up = in.input(at_up, {rows, width}, kOptional);
    out = in.output(at_out, {rows, width});
    in.finish(count);
  }
};
double call(const RowProgramForward& with, Arguments& in, const Kernels& kernels);

struct RowProgramBackward {
  enum : size_t { at_code, at_uniforms, at_parameters, at_shared, at_draw_unit, at_rows_per_sample, at_neurons, at_d_out, at_x, at_up, at_d_x, at_d_up, at_d_parameters, at_rows, at_width, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, count };
  static constexpr const char* names[] = {"code", "uniforms", "parameters", "shared", "drawUnit", "rowsPerSample", "neurons", "dOut", "x", "up", "dX", "dUp", "dParameters", "rows", "width", "seedLow", "seedHigh", "tag", "step", "firstRow"};
  const int32_t* code = {};
  const float* uniforms = {};
  const float* parameters = {};
  int64_t shared = {};
  int64_t draw_unit = {};
  int64_t rows_per_sample = {};
  int64_t neurons = {};
  const float* d_out = {};
  const float* x = {};
  const float* up = {};
  float* d_x = {};
  float* d_up = {};
  float* d_parameters = {};
  int64_t rows = {};
  int64_t width = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};

  explicit RowProgramBackward(Arguments& in) {
    shared = in.size(at_shared);
    draw_unit = in.size(at_draw_unit);
    rows_per_sample = in.size(at_rows_per_sample);
    neurons = in.size(at_neurons);
    rows = in.size(at_rows);
    width = in.size(at_width);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    code = in.indices(at_code, {});
    uniforms = in.input(at_uniforms, {});
    parameters = in.input(at_parameters, {}, kOptional);
    d_out = in.input(at_d_out, {rows, width});
    x = in.input(at_x, {rows, width});
    up = in.input(at_up, {rows, width}, kOptional);
    d_x = in.output(at_d_x, {rows, width});
    d_up = in.output(at_d_up, {rows, width}, kOptional);
    d_parameters = in.output(at_d_parameters, {shared + neurons * width}, kOptional);
    in.require(up == nullptr || d_up != nullptr, at_d_up, "must be given with up");
    in.finish(count);
  }
};
double call(const RowProgramBackward& with, Arguments& in, const Kernels& kernels);

struct RowSelectionForward {
  enum : size_t { at_keep, at_apply, at_at, at_x, at_up, at_out, at_rows, at_width, count };
  static constexpr const char* names[] = {"keep", "apply", "at", "x", "up", "out", "rows", "width"};
  int64_t keep = {};
  int64_t apply = {};
  double at = {};
  const float* x = {};
  const float* up = {};
  float* out = {};
  int64_t rows = {};
  int64_t width = {};

  explicit RowSelectionForward(Arguments& in) {
    keep = in.size(at_keep);
    apply = in.size(at_apply);
    at = in.number(at_at);
    rows = in.size(at_rows);
    width = in.size(at_width);
    x = in.input(at_x, {rows, width});
    up = in.input(at_up, {rows, width}, kOptional);
    out = in.output(at_out, {rows, width});
    in.finish(count);
  }
};
double call(const RowSelectionForward& with, Arguments& in, const Kernels& kernels);

struct RowSelectionBackward {
  enum : size_t { at_keep, at_apply, at_at, at_d_out, at_x, at_up, at_d_x, at_d_up, at_rows, at_width, count };
  static constexpr const char* names[] = {"keep", "apply", "at", "dOut", "x", "up", "dX", "dUp", "rows", "width"};
  int64_t keep = {};
  int64_t apply = {};
  double at = {};
  const float* d_out = {};
  const float* x = {};
  const float* up = {};
  float* d_x = {};
  float* d_up = {};
  int64_t rows = {};
  int64_t width = {};

  explicit RowSelectionBackward(Arguments& in) {
    keep = in.size(at_keep);
    apply = in.size(at_apply);
    at = in.number(at_at);
    rows = in.size(at_rows);
    width = in.size(at_width);
    d_out = in.input(at_d_out, {rows, width});
    x = in.input(at_x, {rows, width});
    up = in.input(at_up, {rows, width}, kOptional);
    d_x = in.output(at_d_x, {rows, width});
    d_up = in.output(at_d_up, {rows, width}, kOptional);
    in.require(up == nullptr || d_up != nullptr, at_d_up, "must be given with up");
    in.finish(count);
  }
};
double call(const RowSelectionBackward& with, Arguments& in, const Kernels& kernels);

struct Matvec {
  enum : size_t { at_w, at_weight_type, at_x, at_y, at_rows, at_columns, at_batch, at_accumulate, at_bias, count };
  static constexpr const char* names[] = {"w", "weightType", "x", "y", "rows", "columns", "batch", "accumulate", "bias"};
  Weights w = {};
  WeightType weight_type = {};
  const float* x = {};
  float* y = {};
  int64_t rows = {};
  int64_t columns = {};
  int64_t batch = {};
  bool accumulate = {};
  const float* bias = {};

  explicit Matvec(Arguments& in) {
    weight_type = in.weight_type(at_weight_type);
    rows = in.size(at_rows);
    columns = in.size(at_columns);
    batch = in.size(at_batch);
    accumulate = in.flag(at_accumulate);
    w = in.weights(at_w, weight_type, rows, columns, Types::kAll);
    x = in.input(at_x, {batch, columns});
    y = in.output(at_y, {batch, rows});
    bias = in.input(at_bias, {rows}, kOptional);
    in.finish(count);
  }
};
double call(const Matvec& with, Arguments& in, const Kernels& kernels);

struct SelectedRows {
  enum : size_t { at_w, at_weight_type, at_chosen, at_x, at_y, at_rows, at_columns, at_batch, count };
  static constexpr const char* names[] = {"w", "weightType", "chosen", "x", "y", "rows", "columns", "batch"};
  Weights w = {};
  WeightType weight_type = {};
  const float* chosen = {};
  const float* x = {};
  float* y = {};
  int64_t rows = {};
  int64_t columns = {};
  int64_t batch = {};

  explicit SelectedRows(Arguments& in) {
    weight_type = in.weight_type(at_weight_type);
    rows = in.size(at_rows);
    columns = in.size(at_columns);
    batch = in.size(at_batch);
    w = in.weights(at_w, weight_type, rows, columns, Types::kAll);
    chosen = in.input(at_chosen, {batch, rows});
    x = in.input(at_x, {batch, columns});
    y = in.output(at_y, {batch, rows});
    in.finish(count);
  }
};
double call(const SelectedRows& with, Arguments& in, const Kernels& kernels);

struct FfnNeurons {
  enum : size_t { at_w, at_weight_type, at_activated, at_x, at_y, at_active, at_neurons, at_width, at_up_width, at_batch, at_gated, at_max_active, at_row_of, count };
  static constexpr const char* names[] = {"w", "weightType", "activated", "x", "y", "active", "neurons", "width", "upWidth", "batch", "gated", "maxActive", "rowOf"};
  Weights w = {};
  WeightType weight_type = {};
  const float* activated = {};
  const float* x = {};
  float* y = {};
  int32_t* active = {};
  int64_t neurons = {};
  int64_t width = {};
  int64_t up_width = {};
  int64_t batch = {};
  bool gated = {};
  int64_t max_active = {};
  const int32_t* row_of = {};

  explicit FfnNeurons(Arguments& in) {
    weight_type = in.weight_type(at_weight_type);
    neurons = in.size(at_neurons);
    width = in.size(at_width);
    up_width = in.size(at_up_width);
    batch = in.size(at_batch);
    gated = in.flag(at_gated);
    max_active = in.size(at_max_active);
    row_of = in.indices(at_row_of, {neurons}, kOptional);
    w = in.weights(at_w, weight_type, stored_rows(row_of, neurons), width, gated ? up_width : 0, Types::kAll);
    activated = in.input(at_activated, {batch, neurons});
    x = in.input(at_x, {batch, up_width});
    y = in.output(at_y, {batch, width});
    active = in.counts(at_active, {batch});
    in.finish(count);
  }
};
double call(const FfnNeurons& with, Arguments& in, const Kernels& kernels);

struct IntegerMatvec {
  enum : size_t { at_w, at_weight_type, at_chosen, at_x, at_y, at_rows, at_columns, at_batch, at_accumulate, at_bias, count };
  static constexpr const char* names[] = {"w", "weightType", "chosen", "x", "y", "rows", "columns", "batch", "accumulate", "bias"};
  Weights w = {};
  WeightType weight_type = {};
  const float* chosen = {};
  const float* x = {};
  float* y = {};
  int64_t rows = {};
  int64_t columns = {};
  int64_t batch = {};
  bool accumulate = {};
  const float* bias = {};

  explicit IntegerMatvec(Arguments& in) {
    weight_type = in.weight_type(at_weight_type);
    rows = in.size(at_rows);
    columns = in.size(at_columns);
    batch = in.size(at_batch);
    accumulate = in.flag(at_accumulate);
    w = in.weights(at_w, weight_type, rows, columns, Types::kAll);
    chosen = in.input(at_chosen, {batch, rows}, kOptional);
    x = in.input(at_x, {batch, columns});
    y = in.output(at_y, {batch, rows});
    bias = in.input(at_bias, {rows}, kOptional);
    in.require(is_quantized(weight_type), at_weight_type, "must be quantized");
    in.finish(count);
  }
};
double call(const IntegerMatvec& with, Arguments& in, const Kernels& kernels);

struct IntegerNeurons {
  enum : size_t { at_w, at_weight_type, at_activated, at_x, at_y, at_active, at_neurons, at_width, at_up_width, at_batch, at_gated, at_max_active, at_row_of, count };
  static constexpr const char* names[] = {"w", "weightType", "activated", "x", "y", "active", "neurons", "width", "upWidth", "batch", "gated", "maxActive", "rowOf"};
  Weights w = {};
  WeightType weight_type = {};
  const float* activated = {};
  const float* x = {};
  float* y = {};
  int32_t* active = {};
  int64_t neurons = {};
  int64_t width = {};
  int64_t up_width = {};
  int64_t batch = {};
  bool gated = {};
  int64_t max_active = {};
  const int32_t* row_of = {};

  explicit IntegerNeurons(Arguments& in) {
    weight_type = in.weight_type(at_weight_type);
    neurons = in.size(at_neurons);
    width = in.size(at_width);
    up_width = in.size(at_up_width);
    batch = in.size(at_batch);
    gated = in.flag(at_gated);
    max_active = in.size(at_max_active);
    row_of = in.indices(at_row_of, {neurons}, kOptional);
    w = in.weights(at_w, weight_type, stored_rows(row_of, neurons), width, gated ? up_width : 0, Types::kAll);
    activated = in.input(at_activated, {batch, neurons});
    x = in.input(at_x, {batch, up_width});
    y = in.output(at_y, {batch, width});
    active = in.counts(at_active, {batch});
    in.require(is_quantized(weight_type), at_weight_type, "must be quantized");
    in.finish(count);
  }
};
double call(const IntegerNeurons& with, Arguments& in, const Kernels& kernels);

struct NarrowIndex {
  enum : size_t { at_w, at_weight_type, at_codes, at_scales, at_bounds, at_rows, at_columns, count };
  static constexpr const char* names[] = {"w", "weightType", "codes", "scales", "bounds", "rows", "columns"};
  Weights w = {};
  WeightType weight_type = {};
  int8_t* codes = {};
  float* scales = {};
  float* bounds = {};
  int64_t rows = {};
  int64_t columns = {};

  explicit NarrowIndex(Arguments& in) {
    weight_type = in.weight_type(at_weight_type);
    rows = in.size(at_rows);
    columns = in.size(at_columns);
    w = in.weights(at_w, weight_type, rows, columns, Types::kWide);
    codes = in.codes_out(at_codes, {rows, columns});
    scales = in.output(at_scales, {rows, narrow_blocks(columns)});
    bounds = in.output(at_bounds, {rows, narrow_blocks(columns)});
    in.finish(count);
  }
};
double call(const NarrowIndex& with, Arguments& in, const Kernels& kernels);

struct NarrowGate {
  enum : size_t { at_w, at_weight_type, at_codes, at_scales, at_bounds, at_x, at_y, at_rows, at_columns, at_batch, at_threshold, at_bias, at_p, at_draws, count };
  static constexpr const char* names[] = {"w", "weightType", "codes", "scales", "bounds", "x", "y", "rows", "columns", "batch", "threshold", "bias", "p", "draws"};
  Weights w = {};
  WeightType weight_type = {};
  const int8_t* codes = {};
  const float* scales = {};
  const float* bounds = {};
  const float* x = {};
  float* y = {};
  int64_t rows = {};
  int64_t columns = {};
  int64_t batch = {};
  double threshold = {};
  const float* bias = {};
  double p = {};
  const int32_t* draws = {};

  explicit NarrowGate(Arguments& in) {
    weight_type = in.weight_type(at_weight_type);
    rows = in.size(at_rows);
    columns = in.size(at_columns);
    batch = in.size(at_batch);
    threshold = in.number(at_threshold);
    p = in.number(at_p);
    w = in.weights(at_w, weight_type, rows, columns, Types::kWide);
    codes = in.codes(at_codes, {rows, columns});
    scales = in.input(at_scales, {rows, narrow_blocks(columns)});
    bounds = in.input(at_bounds, {rows, narrow_blocks(columns)});
    x = in.input(at_x, {batch, columns});
    y = in.output(at_y, {batch, rows});
    bias = in.input(at_bias, {rows}, kOptional);
    draws = in.integers(at_draws, {p > 0 ? 5 : 0, batch});
    in.require(p >= 0 && p <= 1, at_p, "must be a probability");
    in.finish(count);
  }
};
double call(const NarrowGate& with, Arguments& in, const Kernels& kernels);

struct BlocksToRows {
  enum : size_t { at_from, at_type, at_rows, at_columns, at_out, at_step, count };
  static constexpr const char* names[] = {"from", "type", "rows", "columns", "out", "step"};
  const int8_t* from = {};
  WeightType type = {};
  int64_t rows = {};
  int64_t columns = {};
  int8_t* out = {};
  int64_t step = {};

  explicit BlocksToRows(Arguments& in) {
    type = in.weight_type(at_type);
    rows = in.size(at_rows);
    columns = in.size(at_columns);
    step = in.size(at_step);
    from = in.codes(at_from, {rows});
    out = in.codes_out(at_out, {rows});
    in.finish(count);
  }
};
double call(const BlocksToRows& with, Arguments& in, const Kernels& kernels);

struct ColumnsToRows {
  enum : size_t { at_from, at_type, at_rows, at_columns, at_to, at_out, at_step, at_first, at_total, count };
  static constexpr const char* names[] = {"from", "type", "rows", "columns", "to", "out", "step", "first", "total"};
  const int8_t* from = {};
  WeightType type = {};
  int64_t rows = {};
  int64_t columns = {};
  WeightType to = {};
  int8_t* out = {};
  int64_t step = {};
  int64_t first = {};
  int64_t total = {};

  explicit ColumnsToRows(Arguments& in) {
    type = in.weight_type(at_type);
    rows = in.size(at_rows);
    columns = in.size(at_columns);
    to = in.weight_type(at_to);
    step = in.size(at_step);
    first = in.size(at_first);
    total = in.size(at_total);
    from = in.codes(at_from, {rows});
    out = in.codes_out(at_out, {columns});
    in.require(first + rows <= total, at_total, "has fewer rows");
    in.require(first % 256 == 0, at_first, "must be whole blocks");
    in.finish(count);
  }
};
double call(const ColumnsToRows& with, Arguments& in, const Kernels& kernels);

struct ReadFile {
  enum : size_t { at_file, at_offset, at_out, at_bytes, count };
  static constexpr const char* names[] = {"file", "offset", "out", "bytes"};
  int64_t file = {};
  double offset = {};
  int8_t* out = {};
  int64_t bytes = {};

  explicit ReadFile(Arguments& in) {
    file = in.size(at_file);
    offset = in.number(at_offset);
    bytes = in.size(at_bytes);
    out = in.codes_out(at_out, {bytes});
    in.require(offset >= 0 && offset <= 9007199254740992.0 - bytes, at_offset, "must be a place in a file");
    in.finish(count);
  }
};
double call(const ReadFile& with, Arguments& in, const Kernels& kernels);

struct CachedAttention {
  enum : size_t { at_qkv, at_cos, at_sin, at_buffers, at_out, at_batch, at_sequences, at_heads, at_kv_heads, at_head_dim, at_cache_type, at_scale, at_softcap, at_window, at_segments, count };
  static constexpr const char* names[] = {"qkv", "cos", "sin", "buffers", "out", "batch", "sequences", "heads", "kvHeads", "headDim", "cacheType", "scale", "softcap", "window", "segments"};
  float* qkv = {};
  const float* cos = {};
  const float* sin = {};
  Elements buffers;
  float* out = {};
  int64_t batch = {};
  int64_t sequences = {};
  int64_t heads = {};
  int64_t kv_heads = {};
  int64_t head_dim = {};
  CacheType cache_type = {};
  double scale = {};
  double softcap = {};
  int64_t window = {};
  const int32_t* segments = {};

  explicit CachedAttention(Arguments& in) {
    buffers = in.list(at_buffers);
    batch = in.size(at_batch);
    sequences = in.size(at_sequences);
    heads = in.size(at_heads);
    kv_heads = in.size(at_kv_heads);
    head_dim = in.size(at_head_dim);
    cache_type = in.cache_type(at_cache_type);
    scale = in.number(at_scale);
    softcap = in.number(at_softcap);
    window = in.size(at_window);
    segments = in.indices(at_segments, {});
    qkv = in.output(at_qkv, {batch, heads + 2 * kv_heads, head_dim});
    cos = in.input(at_cos, {});
    sin = in.input(at_sin, {});
    out = in.output(at_out, {batch, heads, head_dim});
    in.require(kv_heads > 0 && heads % kv_heads == 0, at_kv_heads, "must divide heads");
    in.require(head_dim % 2 == 0, at_head_dim, "must be even");
    in.finish(count);
  }
};
double call(const CachedAttention& with, Arguments& in, const Kernels& kernels);

struct MlpGradients {
  enum : size_t { at_widths, at_kernel, at_p, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, at_dropout, at_dropout_tag, at_layers, at_programs, at_uniforms, at_parameters, at_gradients, at_x, at_y, at_order, at_first, at_samples, at_total, count };
  static constexpr const char* names[] = {"widths", "kernel", "p", "seedLow", "seedHigh", "tag", "step", "firstRow", "dropout", "dropoutTag", "layers", "programs", "uniforms", "parameters", "gradients", "x", "y", "order", "first", "samples", "total"};
  const int32_t* widths = {};
  int64_t kernel = {};
  double p = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};
  double dropout = {};
  uint32_t dropout_tag = {};
  int64_t layers = {};
  const int32_t* programs = {};
  const float* uniforms = {};
  const float* parameters = {};
  float* gradients = {};
  const float* x = {};
  const int32_t* y = {};
  const int32_t* order = {};
  int64_t first = {};
  int64_t samples = {};
  int64_t total = {};

  explicit MlpGradients(Arguments& in) {
    kernel = in.size(at_kernel);
    p = in.number(at_p);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    dropout = in.number(at_dropout);
    dropout_tag = in.word(at_dropout_tag);
    layers = in.size(at_layers);
    first = in.size(at_first);
    samples = in.size(at_samples);
    total = in.size(at_total);
    widths = in.indices(at_widths, {layers + 1});
    programs = in.indices(at_programs, {});
    y = in.indices(at_y, {total});
    order = in.indices(at_order, {first + samples});
    uniforms = in.input(at_uniforms, {});
    parameters = in.input(at_parameters, {});
    gradients = in.output(at_gradients, {});
    x = in.input(at_x, {}, kShared);
    in.finish(count);
  }
};
double call(const MlpGradients& with, Arguments& in, const Kernels& kernels);

struct MlpForward {
  enum : size_t { at_widths, at_kernel, at_p, at_seed_low, at_seed_high, at_tag, at_step, at_first_row, at_dropout, at_dropout_tag, at_layers, at_programs, at_uniforms, at_parameters, at_x, at_samples, at_gates, at_hidden, at_logits, count };
  static constexpr const char* names[] = {"widths", "kernel", "p", "seedLow", "seedHigh", "tag", "step", "firstRow", "dropout", "dropoutTag", "layers", "programs", "uniforms", "parameters", "x", "samples", "gates", "hidden", "logits"};
  const int32_t* widths = {};
  int64_t kernel = {};
  double p = {};
  uint32_t seed_low = {};
  uint32_t seed_high = {};
  uint32_t tag = {};
  uint32_t step = {};
  uint32_t first_row = {};
  double dropout = {};
  uint32_t dropout_tag = {};
  int64_t layers = {};
  const int32_t* programs = {};
  const float* uniforms = {};
  const float* parameters = {};
  const float* x = {};
  int64_t samples = {};
  float* gates = {};
  float* hidden = {};
  float* logits = {};

  explicit MlpForward(Arguments& in) {
    kernel = in.size(at_kernel);
    p = in.number(at_p);
    seed_low = in.word(at_seed_low);
    seed_high = in.word(at_seed_high);
    tag = in.word(at_tag);
    step = in.word(at_step);
    first_row = in.word(at_first_row);
    dropout = in.number(at_dropout);
    dropout_tag = in.word(at_dropout_tag);
    layers = in.size(at_layers);
    samples = in.size(at_samples);
    widths = in.indices(at_widths, {layers + 1});
    programs = in.indices(at_programs, {});
    uniforms = in.input(at_uniforms, {});
    parameters = in.input(at_parameters, {});
    x = in.input(at_x, {}, kShared);
    gates = in.output(at_gates, {}, kOptional);
    hidden = in.output(at_hidden, {});
    logits = in.output(at_logits, {});
    in.finish(count);
  }
};
double call(const MlpForward& with, Arguments& in, const Kernels& kernels);

/// E(name in JavaScript, struct of arguments, whether it returns a number)
#define FLICKER_ENTRIES(E) \
  E(gemm, Gemm, false) \
  E(gemmBf16, GemmBf16, true) \
  E(sparseDots, SparseDots, false) \
  E(sparseRows, SparseRows, false) \
  E(sparseColumns, SparseColumns, false) \
  E(transpose, Transpose, false) \
  E(addBias, AddBias, false) \
  E(columnSums, ColumnSums, false) \
  E(embedding, Embedding, false) \
  E(embeddingBackward, EmbeddingBackward, false) \
  E(rmsNorm, RmsNorm, false) \
  E(rmsNormBackward, RmsNormBackward, false) \
  E(layerNorm, LayerNorm, false) \
  E(layerNormBackward, LayerNormBackward, false) \
  E(rope, Rope, false) \
  E(attention, Attention, false) \
  E(attentionBackward, AttentionBackward, false) \
  E(crossEntropy, CrossEntropy, false) \
  E(adamW, AdamW, false) \
  E(add, Add, false) \
  E(multiply, Multiply, false) \
  E(axpy, Axpy, false) \
  E(addSign, AddSign, true) \
  E(sum, Sum, true) \
  E(sumOfSquares, SumOfSquares, true) \
  E(countZeros, CountZeros, true) \
  E(fmaPeak, FmaPeak, true) \
  E(readSum, ReadSum, true) \
  E(activation, Activation, false) \
  E(activationBackward, ActivationBackward, false) \
  E(gate, Gate, false) \
  E(gateBackward, GateBackward, false) \
  E(dRelu, DRelu, false) \
  E(dReluBackward, DReluBackward, false) \
  E(programForward, ProgramForward, false) \
  E(programBackward, ProgramBackward, false) \
  E(rowProgramForward, RowProgramForward, false) \
  E(rowProgramBackward, RowProgramBackward, false) \
  E(rowSelectionForward, RowSelectionForward, false) \
  E(rowSelectionBackward, RowSelectionBackward, false) \
  E(matvec, Matvec, false) \
  E(selectedRows, SelectedRows, false) \
  E(ffnNeurons, FfnNeurons, true) \
  E(integerMatvec, IntegerMatvec, false) \
  E(integerNeurons, IntegerNeurons, true) \
  E(narrowIndex, NarrowIndex, false) \
  E(narrowGate, NarrowGate, true) \
  E(blocksToRows, BlocksToRows, false) \
  E(columnsToRows, ColumnsToRows, true) \
  E(readFile, ReadFile, true) \
  E(cachedAttention, CachedAttention, false) \
  E(mlpGradients, MlpGradients, true) \
  E(mlpForward, MlpForward, false)

}  // namespace flicker::contract

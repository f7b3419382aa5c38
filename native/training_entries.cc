// The native functions of training: from checked arguments to the chosen instruction set's kernel.
#include "contract.h"

namespace flicker::contract {

double call(const Gemm& with, Arguments&, const Kernels& kernels) {
  kernels.gemm(with.a, with.b, with.c, with.m, with.n, with.k, with.trans_a, with.trans_b, with.accumulate);
  return 0;
}

double call(const GemmBf16& with, Arguments&, const Kernels& kernels) {
  return static_cast<double>(kernels.gemm_bf16(with.a, with.b, with.c, with.m, with.n, with.k, with.trans_a,
                                               with.trans_b, with.accumulate, with.emulated));
}

double call(const AddBias& with, Arguments&, const Kernels& kernels) {
  kernels.add_bias(with.x, with.bias, with.rows, with.width);
  return 0;
}

double call(const ColumnSums& with, Arguments&, const Kernels& kernels) {
  kernels.column_sums(with.x, with.out, with.rows, with.width);
  return 0;
}

namespace {
constexpr const char* outside_vocabulary = "holds a token outside the vocabulary";
}

double call(const Embedding& with, Arguments& in, const Kernels& kernels) {
  if (in_range(in, with.at_tokens, with.tokens, with.rows, 0, with.vocab, outside_vocabulary))
    kernels.embedding(with.tokens, with.table, with.out, with.rows, with.width);
  return 0;
}

double call(const EmbeddingBackward& with, Arguments& in, const Kernels& kernels) {
  if (in_range(in, with.at_tokens, with.tokens, with.rows, 0, with.vocab, outside_vocabulary))
    kernels.embedding_backward(with.tokens, with.d_out, with.d_table, with.rows, with.width);
  return 0;
}

double call(const RmsNorm& with, Arguments&, const Kernels& kernels) {
  const float eps = static_cast<float>(with.eps);
  kernels.rms_norm(with.x, with.weight, with.out, with.rstd, with.rows, with.width, eps);
  return 0;
}

double call(const RmsNormBackward& with, Arguments&, const Kernels& kernels) {
  kernels.rms_norm_backward(with.d_out, with.x, with.weight, with.rstd, with.d_x, with.d_weight, with.rows, with.width);
  return 0;
}

double call(const LayerNorm& with, Arguments&, const Kernels& kernels) {
  const float eps = static_cast<float>(with.eps);
  kernels.layer_norm(with.x, with.weight, with.bias, with.out, with.statistics, with.rows, with.width, eps);
  return 0;
}

double call(const LayerNormBackward& with, Arguments&, const Kernels& kernels) {
  kernels.layer_norm_backward(with.d_out, with.x, with.weight, with.statistics, with.d_x, with.d_weight, with.d_bias,
                              with.rows, with.width);
  return 0;
}

double call(const Rope& with, Arguments&, const Kernels& kernels) {
  kernels.rope(with.x, with.cos, with.sin, with.out, with.rows, with.seq, with.heads, with.head_dim, with.backward);
  return 0;
}

namespace {
template <typename With>
AttentionShape shape_of(const With& with) {
  const AttentionScores scores = {static_cast<float>(with.scale), static_cast<float>(with.softcap), with.window};
  return {with.batch, with.seq, with.heads, with.kv_heads, with.head_dim, scores};
}
}  // namespace

double call(const Attention& with, Arguments&, const Kernels& kernels) {
  kernels.attention(with.q, with.k, with.v, with.out, with.lse, shape_of(with));
  return 0;
}

double call(const AttentionBackward& with, Arguments&, const Kernels& kernels) {
  kernels.attention_backward(with.d_out, with.q, with.k, with.v, with.out, with.lse, with.d_q, with.d_k, with.d_v,
                             shape_of(with));
  return 0;
}

double call(const CrossEntropy& with, Arguments& in, const Kernels& kernels) {
  // A target of −1 is skipped.
  if (in_range(in, with.at_targets, with.targets, with.rows, -1, with.vocab, outside_vocabulary))
    kernels.cross_entropy(with.logits, with.targets, with.losses, with.d_logits, with.rows, with.vocab,
                          static_cast<float>(with.scale));
  return 0;
}

double call(const AdamW& with, Arguments&, const Kernels& kernels) {
  kernels.adam_w(with.param, with.grad, with.m, with.v, with.n,
                 {with.lr, with.beta1, with.beta2, with.eps, with.weight_decay, with.step, with.grad_scale});
  return 0;
}

double call(const Add& with, Arguments&, const Kernels& kernels) {
  kernels.add(with.a, with.b, with.out, with.n);
  return 0;
}

double call(const Multiply& with, Arguments&, const Kernels& kernels) {
  kernels.multiply(with.a, with.b, with.out, with.n);
  return 0;
}

double call(const Axpy& with, Arguments&, const Kernels& kernels) {
  kernels.axpy(static_cast<float>(with.alpha), with.x, with.y, with.n);
  return 0;
}

double call(const Sum& with, Arguments&, const Kernels& kernels) { return kernels.sum(with.x, with.n); }

double call(const SparseDots& with, Arguments&, const Kernels& kernels) {
  kernels.sparse_dots(with.mask, with.x, with.w, with.out, with.rows, with.neurons, with.width);
  return 0;
}

double call(const SparseRows& with, Arguments&, const Kernels& kernels) {
  kernels.sparse_rows(with.s, with.w, with.y, with.rows, with.neurons, with.width, with.accumulate);
  return 0;
}

double call(const SparseColumns& with, Arguments&, const Kernels& kernels) {
  kernels.sparse_columns(with.s, with.x, with.out, with.rows, with.neurons, with.width, with.accumulate);
  return 0;
}

double call(const Transpose& with, Arguments&, const Kernels& kernels) {
  kernels.transpose(with.x, with.out, with.rows, with.columns, with.accumulate);
  return 0;
}

double call(const AddSign& with, Arguments&, const Kernels& kernels) {
  return kernels.add_sign(static_cast<float>(with.alpha), with.x, with.y, with.zeros, with.n);
}

double call(const SumOfSquares& with, Arguments&, const Kernels& kernels) {
  return kernels.sum_of_squares(with.x, with.n);
}

double call(const CountZeros& with, Arguments&, const Kernels& kernels) {
  return static_cast<double>(kernels.count_zeros(with.x, with.n));
}

double call(const FmaPeak& with, Arguments&, const Kernels& kernels) { return kernels.fma_peak(with.seconds); }

double call(const ReadSum& with, Arguments&, const Kernels& kernels) { return kernels.read_sum(with.x, with.n); }

}  // namespace flicker::contract

// The list of native kernels: one line declares a kernel for the binding and for every instruction set. What each
// computes is documented at its twin in src/kernels/interface/training.ts.
#pragma once

#include <cstdint>

#include "ids.h"

namespace flicker {

/// Which random numbers an activation draws; see `Draw` in src/kernels/interface/training.ts.
struct Draw {
  uint32_t seed_low, seed_high;
  uint32_t tag;  // (purpose << 16) | layer
  uint32_t step;
  uint32_t first_row;
};

/// A fused activation and its setting: the probability of SiLU or the threshold of FATReLU.
struct Activation {
  FusedKernel kernel;
  double p;
};

/// Slots of a program, at most.
constexpr int64_t max_program_slots = 512;

/// A program for the machine of activation_program.h and what it is run with: `Program` in src/activations/programs.ts.
struct ActivationProgram {
  const int32_t* code;
  const float* uniforms;
  const float* parameters;  // flat: `shared` values of the layer, then rows of the neurons'
  int64_t shared;
  DrawUnit draw_unit;
  uint32_t rows_per_sample;
};

/// Programs of an activation of a whole row: `rowPlan` in src/kernels/native/activation.ts. All run with main's
/// parameters and draws; their uniforms follow main's, in the order values₀, derivatives₀, values₁ …
struct RowProgram {
  ActivationProgram main;
  int64_t neurons;
  bool neighbors;
  int32_t statistics;
  const int32_t* values[8];
  const int32_t* derivatives[8];  // null: no gradient goes through it
  int64_t ranks[8];               // 0: the mean; k: the k-th largest
};

/// Which neurons of a row are kept, and what is applied to them: `RowSelection` in src/activations/activation.ts.
struct RowSelection {
  KeptNeurons keep;
  KeptActivation then;
  double at;
};

/// How scores are made from q·k and which count: `AttentionScores` in src/kernels/interface/training.ts; 0 where it
/// leaves a field out.
struct AttentionScores {
  float scale = 0, softcap = 0;
  int64_t window = 0;

  float scale_of(int64_t head_dim) const {
    return scale != 0 ? scale : 1.f / __builtin_sqrtf(static_cast<float>(head_dim));
  }
  /// The first position that `position` sees.
  int64_t oldest(int64_t position) const { return window != 0 && position >= window ? position - window + 1 : 0; }
};

struct AttentionShape {
  int64_t batch, seq, heads, kv_heads, head_dim;
  AttentionScores scores = {};
};

struct AdamWStep {
  double lr, beta1, beta2, eps, weight_decay, step, grad_scale;
};

/// A row-major matrix of weights as the engine stores it: f32, bf16 or f16 bit patterns, rows of q8_0 or q4_0 as
/// src/kernels/weights/quantized.ts lays them out, or ggml's super-blocks (src/kernels/weights/k-quants.ts).
struct Weights {
  const void* data;
  WeightType type;
};
/// Whether a type has groups of columns with a scale each, and so kernels that multiply integers (integer_products.h).
constexpr bool is_quantized(WeightType type) { return type != kF32 && type != kBf16 && type != kF16; }
/// Columns of a super-block, and bytes of one of each type.
constexpr int64_t super_block = 256, q4_k_bytes = 144, q5_k_bytes = 176, q6_k_bytes = 210;
/// Bytes of the scales at the start of a row of q8_0 or q4_0, and of a whole row of any type.
static inline int64_t weight_scale_bytes(int64_t columns) { return ((columns + 31) / 32 * 2 + 63) / 64 * 64; }
static inline int64_t weight_row_bytes(WeightType type, int64_t columns) {
  switch (type) {
    case kF32:
      return columns * 4;
    case kBf16:
    case kF16:
      return columns * 2;
    case kQ8_0:
      return weight_scale_bytes(columns) + (columns + 63) / 64 * 64;
    case kQ4_0:
      return weight_scale_bytes(columns) + (columns + 127) / 128 * 64;
    case kQ4_k:
      return (columns + super_block - 1) / super_block * q4_k_bytes;
    case kQ5_k:
      return (columns + super_block - 1) / super_block * q5_k_bytes;
    case kQ6_k:
      return (columns + super_block - 1) / super_block * q6_k_bytes;
  }
  return 0;
}

/// See `FfnShape` in src/kernels/interface/decoding.ts.
struct FfnShape {
  int64_t neurons, width, up_width, batch;
  bool gated;
  int64_t max_active;     // up to so many neurons that are active anywhere, the others are skipped
  const int32_t* row_of;  // null: every neuron stands at its own number
  bool sparse = false;    // whether they are skipped: ffn_neurons says so to what it is made of
};

/// How a cache stores keys and values; `CacheType`, `CacheSegment` and `CachedSequence` in
/// src/kernels/interface/decoding.ts.
struct CacheSegment {
  uint8_t *keys, *values;
  int64_t capacity, start;
};
struct CachedSequence {
  int64_t count, position;
  int64_t segment_count;
  const CacheSegment* segments;
};
struct CachedAttentionShape {
  int64_t batch, sequences, heads, kv_heads, head_dim;
  CacheType type;
  AttentionScores scores = {};
};
static inline int64_t cache_row_bytes(CacheType type, int64_t head_dim) {
  switch (type) {
    case kCacheF32:
      return head_dim * 4;
    case kCacheF16:
      return head_dim * 2;
    case kCacheQ8:
      return (head_dim + 31) / 32 * 34;
  }
  return 0;
}

/// See `NarrowIndex` and `NarrowGateOptions` in src/kernels/weights/narrow-index.ts and interface/narrow-gate.ts.
struct NarrowIndex {
  const int8_t* codes;
  const float *scales, *bounds;
};
struct NarrowGateShape {
  int64_t rows, columns, batch;
  float threshold;
  const float* bias;  // (rows), null without
  double p;           // of the draws
  const Draw* draws;  // one per position; null without
};

/// A stack of linear layers with an activation between them: `MlpCall` in src/kernels/interface/mlp.ts.
struct MlpProgram {
  const int32_t* code;    // null: none
  const float* uniforms;  // code[0] for each hidden layer
};
struct MlpCall {
  /// The inputs' width, then that of each of `layers` layers.
  const int32_t* widths;
  int64_t layers;
  /// Runs where there are no programs.
  Activation activation;
  MlpProgram forward, backward, gate;
  /// Learned values that a layer shares, and those that each neuron has.
  int64_t shared_learned, neuron_learned;
  DrawUnit draw_unit;
  /// Draws per element.
  int64_t channels;
  /// Its tag is that of the first hidden layer; the next one's is one more.
  Draw draw;
  uint32_t dropout_tag;
  double dropout;
};

#define FLICKER_KERNELS(K)                                                                                             \
  K(void, gemm,                                                                                                        \
    (const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,            \
     bool accumulate))                                                                                                 \
  K(int64_t, gemm_bf16,                                                                                                \
    (const float* a, const float* b, float* c, int64_t m, int64_t n, int64_t k, bool trans_a, bool trans_b,            \
     bool accumulate, bool emulated))                                                                                  \
  K(void, sparse_dots,                                                                                                 \
    (const float* mask, const float* x, const float* w, float* out, int64_t rows, int64_t neurons, int64_t width))     \
  K(void, sparse_rows,                                                                                                 \
    (const float* s, const float* w, float* y, int64_t rows, int64_t neurons, int64_t width, bool accumulate))         \
  K(void, sparse_columns,                                                                                              \
    (const float* s, const float* x, float* out, int64_t rows, int64_t neurons, int64_t width, bool accumulate))       \
  K(void, transpose, (const float* x, float* out, int64_t rows, int64_t columns, bool accumulate))                     \
  K(void, add_bias, (float* x, const float* bias, int64_t rows, int64_t width))                                        \
  K(void, column_sums, (const float* x, float* out, int64_t rows, int64_t width))                                      \
  K(void, embedding, (const int32_t* tokens, const float* table, float* out, int64_t rows, int64_t width))             \
  K(void, embedding_backward,                                                                                          \
    (const int32_t* tokens, const float* d_out, float* d_table, int64_t rows, int64_t width))                          \
  K(void, rms_norm,                                                                                                    \
    (const float* x, const float* weight, float* out, float* rstd, int64_t rows, int64_t width, float eps))            \
  K(void, rms_norm_backward,                                                                                           \
    (const float* d_out, const float* x, const float* weight, const float* rstd, float* d_x, float* d_weight,          \
     int64_t rows, int64_t width))                                                                                     \
  K(void, layer_norm,                                                                                                  \
    (const float* x, const float* weight, const float* bias, float* out, float* statistics, int64_t rows,              \
     int64_t width, float eps))                                                                                        \
  K(void, layer_norm_backward,                                                                                         \
    (const float* d_out, const float* x, const float* weight, const float* statistics, float* d_x, float* d_weight,    \
     float* d_bias, int64_t rows, int64_t width))                                                                      \
  K(void, rope,                                                                                                        \
    (const float* x, const float* cos, const float* sin, float* out, int64_t rows, int64_t seq, int64_t heads,         \
     int64_t head_dim, bool backward))                                                                                 \
  K(void, attention, (const float* q, const float* k, const float* v, float* out, float* lse, AttentionShape shape))   \
  K(void, attention_backward,                                                                                          \
    (const float* d_out, const float* q, const float* k, const float* v, const float* out, const float* lse,           \
     float* d_q, float* d_k, float* d_v, AttentionShape shape))                                                        \
  K(void, activation, (Activation act, const float* x, float* out, int64_t rows, int64_t width, Draw draw))            \
  K(void, activation_backward,                                                                                         \
    (Activation act, const float* d_out, const float* x, float* d_x, int64_t rows, int64_t width, Draw draw))          \
  K(void, gate,                                                                                                        \
    (Activation act, const float* gate, const float* up, float* out, int64_t rows, int64_t width, Draw draw))          \
  K(void, gate_backward,                                                                                               \
    (Activation act, const float* d_out, const float* gate, const float* up, float* d_gate, float* d_up, int64_t rows, \
     int64_t width, Draw draw))                                                                                        \
  K(void, drelu, (const float* gate, const float* up, float* out, int64_t n))                                          \
  K(void, drelu_backward,                                                                                              \
    (const float* d_out, const float* gate, const float* up, float* d_gate, float* d_up, int64_t n))                   \
  K(void, program_forward,                                                                                             \
    (ActivationProgram program, const float* x, const float* up, float* out, int64_t rows, int64_t width, Draw draw))  \
  K(void, program_backward,                                                                                            \
    (ActivationProgram program, const float* d_out, const float* x, const float* up, float* d_x, float* d_up,          \
     float* d_parameters, int64_t rows, int64_t width, Draw draw))                                                     \
  K(void, row_program_forward,                                                                                         \
    (RowProgram program, const float* x, const float* up, float* out, int64_t rows, int64_t width, Draw draw))         \
  K(void, row_program_backward,                                                                                        \
    (RowProgram program, const float* d_out, const float* x, const float* up, float* d_x, float* d_up,                 \
     float* d_parameters, int64_t rows, int64_t width, Draw draw))                                                     \
  K(void, row_selection_forward,                                                                                       \
    (RowSelection selection, const float* x, const float* up, float* out, int64_t rows, int64_t width))                \
  K(void, row_selection_backward,                                                                                      \
    (RowSelection selection, const float* d_out, const float* x, const float* up, float* d_x, float* d_up,             \
     int64_t rows, int64_t width))                                                                                     \
  K(void, cross_entropy,                                                                                               \
    (const float* logits, const int32_t* targets, float* losses, float* d_logits, int64_t rows, int64_t vocab,         \
     float scale))                                                                                                     \
  K(void, adam_w, (float* param, const float* grad, float* m, float* v, int64_t n, AdamWStep options))                 \
  K(void, add, (const float* a, const float* b, float* out, int64_t n))                                                \
  K(void, multiply, (const float* a, const float* b, float* out, int64_t n))                                           \
  K(void, axpy, (float alpha, const float* x, float* y, int64_t n))                                                    \
  K(double, sum, (const float* x, int64_t n))                                                                          \
  K(double, sum_of_squares, (const float* x, int64_t n))                                                               \
  K(double, add_sign, (float alpha, const float* x, float* y, int32_t* zeros, int64_t n))                              \
  K(int64_t, count_zeros, (const float* x, int64_t n))                                                                 \
  K(void, matvec,                                                                                                      \
    (Weights w, const float* x, float* y, int64_t rows, int64_t columns, int64_t batch, bool accumulate,               \
     const float* bias))                                                                                               \
  K(void, selected_rows,                                                                                               \
    (Weights w, const float* chosen, const float* x, float* y, int64_t rows, int64_t columns, int64_t batch))          \
  K(int64_t, ffn_neurons,                                                                                              \
    (Weights w, const float* activated, const float* x, float* y, int32_t* active, FfnShape shape))                    \
  K(void, integer_matvec,                                                                                              \
    (Weights w, const float* chosen, const float* x, float* y, int64_t rows, int64_t columns, int64_t batch,           \
     bool accumulate, const float* bias))                                                                              \
  K(int64_t, integer_neurons,                                                                                          \
    (Weights w, const float* activated, const float* x, float* y, int32_t* active, FfnShape shape))                    \
  K(void, narrow_index, (Weights w, int8_t * codes, float* scales, float* bounds, int64_t rows, int64_t columns))      \
  K(int64_t, narrow_gate, (Weights w, NarrowIndex index, const float* x, float* y, NarrowGateShape shape))             \
  K(void, blocks_to_rows,                                                                                              \
    (WeightType type, const uint8_t* from, int64_t rows, int64_t columns, uint8_t* out, int64_t step))                 \
  K(int64_t, columns_to_rows,                                                                                          \
    (WeightType type, const uint8_t* from, int64_t rows, int64_t columns, WeightType to, uint8_t* out, int64_t step,   \
     int64_t first_row, int64_t total_rows))                                                                           \
  K(void, cached_attention,                                                                                            \
    (float* qkv, const float* cos, const float* sin, const CachedSequence* sequences, float* out,                      \
     CachedAttentionShape shape))                                                                                      \
  K(double, mlp_gradients,                                                                                             \
    (MlpCall call, const float* params, float* grads, const float* x, const int32_t* y, const int32_t* order,          \
     int64_t samples))                                                                                                 \
  K(void, mlp_forward,                                                                                                 \
    (MlpCall call, const float* params, const float* x, int64_t samples, float* gates, float* hidden, float* logits))  \
  K(double, fma_peak, (double seconds))                                                                                \
  K(double, read_sum, (const float* x, int64_t n))

/// One instruction set's kernels.
struct Kernels {
#define FLICKER_MEMBER(result, name, parameters) result(*name) parameters;
  FLICKER_KERNELS(FLICKER_MEMBER)
#undef FLICKER_MEMBER
};

}  // namespace flicker

#ifdef FLICKER_ISA
namespace flicker::FLICKER_ISA {
#define FLICKER_DECLARE(result, name, parameters) result name parameters;
FLICKER_KERNELS(FLICKER_DECLARE)
#undef FLICKER_DECLARE
}  // namespace flicker::FLICKER_ISA
#endif

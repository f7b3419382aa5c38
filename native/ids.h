// Numbers that both languages use.
// Written by test/kernels/native-headers.ts; change the source and run npm run headers.
// clang-format off
#pragma once

#include <cstdint>

namespace flicker {

/// weightTypes in src/kernels/weights/types.ts.
enum WeightType : int32_t {
  kF32,
  kBf16,
  kQ8_0,
  kQ4_0,
  kF16,
  kQ4_k,
  kQ5_k,
  kQ6_k,
};
constexpr int32_t weight_types = 8;

/// cacheTypes in src/kernels/interface/decoding.ts.
enum CacheType : int32_t {
  kCacheF32,
  kCacheF16,
  kCacheQ8,
};
constexpr int32_t cache_types = 3;

/// FusedKernel in src/activations/activation.ts.
enum FusedKernel : int32_t {
  kRelu,
  kSilu,
  kStochaIdentity,
  kStochaSilu,
  kStochaDrawn,
  kRelu2,
  kGelu,
  kGeluTanh,
  kFatrelu,
};
constexpr int32_t fused_kernels = 9;

/// drawUnits in src/activations/activation.ts; without draws every draw is 0.
enum DrawUnit : int32_t {
  kPerElement,
  kPerNeuron,
  kPerToken,
  kPerSample,
  kPerBatch,
  kNoDraws,
};
constexpr int32_t draw_units = 5;

/// keptNeurons in src/activations/activation.ts.
enum KeptNeurons : int32_t {
  kKeepValue,
  kKeepMagnitude,
  kKeepAbove,
};
constexpr int32_t kept_neurons = 3;

/// keptActivations in src/activations/activation.ts.
enum KeptActivation : int32_t {
  kThenRelu,
  kThenIdentity,
  kThenGelu,
  kThenSilu,
};
constexpr int32_t kept_activations = 4;

/// inputKinds in src/activations/programs.ts.
enum InputKind : int32_t {
  kInputX,
  kInputPrevious,
  kInputNext,
  kInputDraw,
  kInputNeuron,
  kInputStatistic,
};
constexpr int32_t input_kinds = 6;

/// operations in src/activations/expression.ts.
enum Operation : int32_t {
  kOpNeg,
  kOpAbs,
  kOpSign,
  kOpSquare,
  kOpSqrt,
  kOpExp,
  kOpExpm1,
  kOpLog,
  kOpLog1p,
  kOpSoftplus,
  kOpSigmoid,
  kOpTanh,
  kOpErf,
  kOpNormalCdf,
  kOpNormalPdf,
  kOpAtan,
  kOpSin,
  kOpCos,
  kOpAdd,
  kOpSub,
  kOpMul,
  kOpDiv,
  kOpMin,
  kOpMax,
  kOpGreater,
  kOpGreaterEqual,
  kOpSelect,
};
constexpr int32_t operations = 27;

/// NARROW_BLOCK in src/kernels/weights/narrow-index.ts.
constexpr int64_t narrow_block = 256;

/// FINER in src/kernels/weights/narrow-index.ts.
constexpr int64_t narrow_finer = 256;

/// CHANNEL_STEP in src/kernels/portable/draws.ts.
constexpr int64_t channel_step = 256;

/// MOST_CHANNELS in src/kernels/portable/draws.ts.
constexpr int64_t most_channels = 200;

/// MOST_LEARNED in src/kernels/interface/mlp.ts.
constexpr int64_t most_mlp_learned = 64;

}  // namespace flicker

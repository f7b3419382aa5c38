// Decoding on a GPU: what the engine's device model is made of.

export { activationCode, activationNumbers, LAYER_WORDS, requirePrograms } from './activation-code.js'
export {
  ATTEND_ACCESS,
  type AttentionShape,
  attendCode,
  cacheVectors,
  STORE_ACCESS,
  storeCode,
} from './attention-code.js'
export { type Bandwidth, measureBandwidth } from './bandwidth.js'
export {
  BEST_ACCESS,
  bestChunks,
  bestWords,
  chunkBestCode,
  MOST_BEST,
  mergeBestCode,
} from './best-code.js'
export { buffers, MAP_FOR_READING } from './constants.js'
export { CUT_ACCESS, cutCode } from './cut-code.js'
export { DOWN_ACCESS, downCode, downPlan } from './down-code.js'
export { CHOOSE_ACCESS, chooseCode } from './experts-code.js'
export { type CutLimits, HIDDEN_ACCESS, hiddenCode, neuronsTogether } from './feed-forward.js'
export {
  allFlagWords,
  type ExpertsShape,
  type FeedForwardInput,
  type FeedForwardShape,
  flagWords,
  splitInput,
  wholeInput,
} from './ffn-shape.js'
export { Gpu, openGpu } from './gpu.js'
export type { GpuInfo, GpuOptions } from './gpu-info.js'
export { compilerOf, type Dispatch, type Kernel, type KernelCompiler } from './kernel.js'
export {
  type DeviceMatrix,
  DeviceMemory,
  deviceRowBytes,
  expertRanges,
  type MatrixLayout,
  padded,
  type RowRange,
  rangesOf,
} from './matrix.js'
export {
  EMBEDDING_ACCESS,
  embeddingCode,
  MATVEC_ACCESS,
  type MatvecShape,
  matvecCode,
  ROW_WORDS,
  ROWS_PER_WORKGROUP,
} from './matvec.js'
export {
  HEAD_NORM_ACCESS,
  headNormCode,
  JOIN_ACCESS,
  joinCode,
  NORM_ACCESS,
  type NormedRow,
  type NormShape,
  normCode,
} from './norm-code.js'
export {
  PROJECTION_ACCESS,
  type Projection,
  projectionCode,
  projectionWorkgroups,
} from './projection-code.js'
export { fillRandom } from './random-weights.js'
export {
  type CutTop,
  ROW_ACTIVATION_ACCESS,
  type RowActivation,
  rowActivationCode,
} from './row-activation.js'
export { paddedColumns, vectorFormat } from './vector-formats.js'
export { WEIGHT_RANGE } from './weight-range.js'

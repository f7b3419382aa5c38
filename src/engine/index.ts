// The engine: exact decoding, sparse where neurons are exactly zero.

export { resolveModelDirectory } from '../formats/index.js'
export type { ChatMessage, ChatOptions, ChatPrompt, ChatTemplates } from './chat/chat.js'
export type { CompactionSummary } from './ffn/compaction.js'
export type { FfnMode } from './ffn/ffn.js'
export type { NeuronSelector, SelectorInput } from './ffn/neuron-selector.js'
export { bytesRead, bytesSkipped, type PassStats, type TokenStats } from './ffn/stats.js'
export type { FinishReason, GeneratedToken } from './generation/continuation.js'
export {
  LanguageModel,
  type LanguageModelExtras,
  type Prompt,
  type TokenListener,
} from './generation/generate.js'
export type { GenerateManyOptions, GenerateOptions } from './generation/generate-options.js'
export type { Completion, CompletionStats } from './generation/generation.js'
export type { TokenLogprob } from './generation/logprobs.js'
export type { PenaltyOptions } from './generation/penalties.js'
export { checkSampling, chooseToken, type SamplingOptions, tokenDistribution } from './generation/samplers.js'
export { Session, type SessionOptions } from './generation/session.js'
export { type LoadOptions, load } from './model/load.js'
export type { Memory } from './model/memory.js'
export { EngineModel, type EngineOptions } from './model/model.js'
export type { EngineDtype, TensorSource } from './model/weights.js'

// The engine: exact decoding, sparse where neurons are exactly zero.

export { resolveModelDirectory } from '../formats/index.js'
export type { ChatMessage, ChatOptions, ChatPrompt, ChatTemplates } from './chat.js'
export type { FinishReason, GeneratedToken } from './continuation.js'
export type { FfnMode } from './ffn.js'
export {
  type Completion,
  type CompletionStats,
  LanguageModel,
  type LanguageModelExtras,
  type Prompt,
} from './generate.js'
export type { GenerateManyOptions, GenerateOptions } from './generate-options.js'
export { type LoadOptions, load } from './load.js'
export type { TokenLogprob } from './logprobs.js'
export { EngineModel, type EngineOptions } from './model.js'
export type { PenaltyOptions } from './penalties.js'
export { checkSampling, chooseToken, type SamplingOptions, tokenDistribution } from './samplers.js'
export { Session, type SessionOptions } from './session.js'
export { bytesRead, bytesSkipped, type PassStats, type TokenStats } from './stats.js'
export type { EngineDtype } from './weights.js'

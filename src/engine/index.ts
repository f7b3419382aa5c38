// The engine: exact decoding, sparse where neurons are exactly zero.

export { resolveModelDirectory } from '../formats/index.js'
export type { ChatMessage, ChatOptions, ChatPrompt, ChatTemplates } from './chat/chat.js'
export { type JsonCalls, type ToolCallFormat, toolCallFormat } from './chat/tool-format.js'
export { type Tool, type ToolRules, toolGrammar } from './chat/tool-grammar.js'
export { type AnswerPart, ToolCallParser } from './chat/tool-parser.js'
export type { CompactionSummary } from './compaction.js'
export { DeviceModel, type DeviceOptions } from './device/device-model.js'
export type { DeviceSession } from './device/device-session.js'
export { EngineModel } from './engine-model.js'
export { type EngineOptions, SPARSE_PROMPTS, type SparsePrompt } from './engine-options.js'
export type { FfnMode, NarrowGateMode } from './ffn/policy.js'
export type { FinishReason, GeneratedToken } from './generation/continuation.js'
export type { GenerateManyOptions, GenerateOptions } from './generation/generate-options.js'
export type { Completion, CompletionStats } from './generation/generation.js'
export type { TokenLogprob } from './generation/logprobs.js'
export type { PenaltyOptions } from './generation/penalties.js'
export { checkSampling, chooseToken, type SamplingOptions, tokenDistribution } from './generation/samplers.js'
export { type ReadRow, Session, type SessionOptions, type SessionRead } from './generation/session.js'
export type { Grammar, Tag, TagFormat } from './grammar/grammar.js'
export type { JsonSchema } from './grammar/json-schema.js'
export {
  LanguageModel,
  type LanguageModelExtras,
  type PreparedPrompt,
  type Prompt,
  type TokenListener,
} from './language-model.js'
export { type LoadOptions, load } from './load.js'
export { gigabytes, type Memory, requireModelMemory, systemMemory } from './model/memory.js'
export type { EngineDtype, TensorSource } from './model/weight-layout.js'
export { weightTypesText } from './model/weight-types.js'
export { bytesRead, bytesSkipped, type PassStats, type TokenStats } from './pass-stats.js'

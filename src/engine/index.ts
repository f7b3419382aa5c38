// The engine: exact decoding, sparse where neurons are exactly zero.

export { type GeneratedToken, type GenerateOptions, LanguageModel } from './generate.js'
export { load, resolveModelDirectory } from './load.js'
export { EngineModel, type EngineOptions } from './model.js'
export { checkSampling, chooseToken, type SamplingOptions, tokenDistribution } from './samplers.js'
export { Session, type SessionOptions } from './session.js'
export type { EngineDtype } from './weights.js'

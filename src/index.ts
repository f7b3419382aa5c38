// The library: everything that the command line does.

export {
  type Activation,
  defineActivation,
  type Expression,
  type ExpressionActivation,
  expression,
  listActivations,
  loadActivationFile,
  type PlainActivation,
  parseActivation,
} from './activations/index.js'
export { benchGemm } from './bench/gemm.js'
export { benchMachine } from './bench/machine-limits.js'
export { benchMemory } from './bench/memory.js'
export { benchTrain } from './bench/train.js'
export {
  type DataOptions,
  type HeldOutText,
  heldOutText,
  type PreparedData,
  prepareData,
  prepareHeldOut,
} from './data/prepare.js'
export { loadTokenizer } from './data/tokenizers/load.js'
export type { Tokenizer } from './data/tokenizers/tokenizer.js'
export {
  bytesRead,
  bytesSkipped,
  type ChatMessage,
  type ChatOptions,
  type ChatPrompt,
  type CompactionSummary,
  type Completion,
  type CompletionStats,
  DeviceModel,
  type DeviceOptions,
  type DeviceSession,
  EngineModel,
  type EngineOptions,
  type FinishReason,
  type GeneratedToken,
  type GenerateManyOptions,
  type GenerateOptions,
  type LanguageModel,
  type LoadOptions,
  load,
  type PassStats,
  type Prompt,
  resolveModelDirectory,
  Session,
  type SessionOptions,
  type TokenLogprob,
  type TokenStats,
} from './engine/index.js'
export * from './errors.js'
export { type Evaluation, Evaluator } from './eval/evaluate.js'
export {
  type Conversion,
  type ConvertOptions,
  convertModel,
  type ModelSource,
  openModel,
  readCheckpoint,
  type StoredDtype,
  type StoredTensor,
  type WrittenDtype,
  writeCheckpoint,
  writeGguf,
} from './formats/index.js'
export { kernels, setThreads } from './kernels/index.js'
export { machineInfo } from './kernels/machine-info.js'
export type { ModelConfig } from './nn/config.js'
export { Llama } from './nn/llama.js'
export { parseRecipe, type Recipe, readRecipe } from './study/recipe.js'
export { renderMarkdown, renderReport, renderTable } from './study/report/index.js'
export type { RunResult, StudyResults } from './study/results.js'
export { type StudyEvent, type StudyOptions, study } from './study/study.js'
export {
  type ModelInput as ModelOptions,
  modelSchema,
  type StrategyInput as StrategyOptions,
  strategySchema,
  type TrainedRun,
  type TrainingData,
  type TrainingInput as TrainingOptions,
  type TrainProgress,
  type TrainRun,
  train,
  trainingSchema,
} from './train/index.js'
export { version } from './version.js'

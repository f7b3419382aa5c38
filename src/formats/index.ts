// Files in and out: models of every kind (Hugging Face, GGUF, llama2.c) through openModel, atomic writing, safetensors,
// training checkpoints.

export { writeFileAtomic, writeFully } from './atomic.js'
export {
  type Conversion,
  type ConvertOptions,
  convertModel,
  type ModelFormat,
  writeModelDirectory,
} from './convert.js'
export { type GgufContent, writeGguf } from './gguf/index.js'
export type { WrittenDtype } from './gguf/mixes.js'
export {
  type Checkpoint,
  type CheckpointContent,
  readCheckpoint,
  writeCheckpoint,
} from './huggingface/index.js'
export type { ModelSource, StoredTensor } from './model-source.js'
export { type OpenModelOptions, openModel, resolveModelDirectory } from './open-model.js'
export { readPredictor, writePredictor } from './predictor-file.js'
export {
  type NamedTensor,
  openSafetensors,
  type TensorInfo,
  type TensorSource,
  type TensorSpec,
} from './safetensors.js'
export { createDirectory, storageError } from './storage.js'
export type { StoredDtype, WeightDtype } from './stored.js'
export {
  clearRunCheckpoints,
  type IncompleteCheckpoint,
  incompleteRunCheckpoints,
  latestRunCheckpoint,
  type Moments,
  type RunCheckpointContent,
  readTrainingState,
  runCheckpoints,
  saveRunCheckpoint,
  type TrainingState,
  writeTrainingCheckpoint,
} from './training-state.js'

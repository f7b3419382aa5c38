// Hugging Face directories: config.json, safetensors, tokenizer files, chat templates.

export {
  type Checkpoint,
  type CheckpointContent,
  jsonText,
  OPTIMIZER_FILE,
  readCheckpoint,
  type SpecialToken,
  TRAINER_STATE_FILE,
  writeCheckpoint,
} from './checkpoint.js'
export { WEIGHTS_FILE } from './shards.js'

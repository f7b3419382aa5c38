// Hugging Face directories: config.json, safetensors, tokenizer files, chat templates.

export {
  type Checkpoint,
  type CheckpointContent,
  jsonText,
  readCheckpoint,
  type SpecialToken,
  writeCheckpoint,
} from './checkpoint.js'
export { WEIGHTS_FILE } from './shards.js'

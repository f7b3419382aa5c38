// Opens every kind of model file. What a file is, its content says, not its name.

import fs from 'node:fs'
import path from 'node:path'
import { loadTokenizer } from '../data/tokenizers/load.js'
import { requireVocabularyFits } from '../data/tokenizers/tokenizer.js'
import { CheckpointError } from '../errors.js'
import { resolveDirectory } from './atomic.js'
import { openFileBytes } from './file-bytes.js'
import { isGguf, openGguf } from './gguf/index.js'
import { readCheckpoint, WEIGHTS_FILE } from './huggingface/index.js'
import { isLlama2c, openLlama2c } from './llama2c.js'
import type { ModelSource } from './model-source.js'
import { absolutePath, statOrNull } from './storage.js'
import { incompleteRunCheckpoints, latestRunCheckpoint } from './training-state.js'

export interface OpenModelOptions {
  /** A tokenizer instead of the model's own: any file or directory that loadTokenizer reads. */
  readonly tokenizer?: string
}

/**
 * Opens a Hugging Face directory (or the newest checkpoint in the directory of a run), a GGUF file or a model.bin of
 * llama2.c; close it when done. Tensors are read one at a time. Throws CheckpointError: CHECKPOINT_MISSING,
 * MODEL_FORMAT_UNKNOWN, and what the readers throw.
 */
export function openModel(model: string, options: OpenModelOptions = {}): ModelSource {
  const source = statOrNull(absolutePath(model))?.isFile()
    ? openFile(model, options)
    : readCheckpoint(resolveModelDirectory(model))
  const { tokenizer } = options
  if (tokenizer === undefined) return source
  return {
    ...source,
    tokenizer() {
      const given = loadTokenizer(resolveDirectory(tokenizer) ?? tokenizer)
      requireVocabularyFits(given, source.config.vocabSize)
      return given
    },
  }
}

/**
 * `directory` itself when it is a checkpoint, or the newest checkpoint in it when it is the directory of a run. Throws
 * CheckpointError CHECKPOINT_INCOMPLETE for a run whose checkpoints all lack a file.
 */
export function resolveModelDirectory(directory: string): string {
  if (fs.existsSync(path.join(directory, 'config.json'))) return directory
  const latest = latestRunCheckpoint(directory)
  if (latest !== null) return latest.dir
  const [incomplete] = incompleteRunCheckpoints(directory)
  if (incomplete === undefined) return directory
  const { dir, missing } = incomplete
  throw new CheckpointError(
    'CHECKPOINT_INCOMPLETE',
    `${directory} has no complete checkpoint: ${dir} lacks ${missing.join(', ')}; copy it again` +
      (missing.includes('config.json') || missing.includes(WEIGHTS_FILE)
        ? ''
        : `, or give ${dir} itself to use its weights`),
  )
}

function openFile(file: string, { tokenizer }: OpenModelOptions): ModelSource {
  const bytes = openFileBytes(file, 'MODEL_FORMAT_UNKNOWN')
  try {
    if (isGguf(bytes)) return openGguf(file)
    // A cut-off legacy file has no magic and the wrong size; its reader says what is missing.
    if (isLlama2c(bytes) || file.endsWith('.bin')) return openLlama2c(file, tokenizer)
  } finally {
    bytes.close()
  }
  const hint = /\.(safetensors|json)$/.test(file) ? `; give its directory, ${path.dirname(file)}` : ''
  throw new CheckpointError(
    'MODEL_FORMAT_UNKNOWN',
    `${file} is no model that Flicker reads: neither GGUF nor llama2.c's model.bin${hint}`,
  )
}

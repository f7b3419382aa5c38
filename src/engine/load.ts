// From a checkpoint on disk to a model that generates.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { loadTokenizer } from '../data/load-tokenizer.js'
import { latestRunCheckpoint, readCheckpoint } from '../formats/index.js'
import { LanguageModel } from './generate.js'
import { EngineModel, type EngineOptions } from './model.js'
import { readGenerationFiles } from './model-files.js'

/** `path` itself when it is a checkpoint, or the newest checkpoint in it when it is the directory of a run. */
export function resolveModelDirectory(path: string): string {
  if (existsSync(join(path, 'config.json'))) return path
  return latestRunCheckpoint(path)?.dir ?? path
}

/**
 * Loads a Hugging Face directory, or the newest checkpoint of a run. Memory: the model in `dtype` and one tensor.
 * Throws CheckpointError, TokenizerError, ActivationError, OptionError.
 */
export async function load(path: string, options: EngineOptions = {}): Promise<LanguageModel> {
  const directory = resolveModelDirectory(path)
  const checkpoint = readCheckpoint(directory)
  try {
    const tokenizer = loadTokenizer(directory)
    const engine = new EngineModel(checkpoint.config, name => checkpoint.tensor(name), options)
    return new LanguageModel(engine, tokenizer, readGenerationFiles(directory))
  } finally {
    checkpoint.close()
  }
}

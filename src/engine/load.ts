// From a checkpoint on disk to a model that generates.

import { openModel, resolveModelDirectory } from '../formats/index.js'
import { LanguageModel } from './generate.js'
import { EngineModel, type EngineOptions } from './model.js'
import { readGenerationFiles } from './model-files.js'

export interface LoadOptions extends EngineOptions {
  /** A tokenizer instead of the model's own: any file or directory that `loadTokenizer` reads. */
  readonly tokenizer?: string
}

/**
 * Loads a Hugging Face directory, the newest checkpoint of a run, a GGUF file or a model.bin of llama2.c. Memory: the
 * model in `dtype` and one tensor.
 * Throws CheckpointError, TokenizerError, ActivationError, OptionError.
 */
export async function load(path: string, options: LoadOptions = {}): Promise<LanguageModel> {
  const source = openModel(path, { tokenizer: options.tokenizer })
  try {
    const tokenizer = source.tokenizer()
    const engine = new EngineModel(source.config, source, options)
    const files = source.format === 'hf' ? readGenerationFiles(resolveModelDirectory(path)) : undefined
    return new LanguageModel(engine, tokenizer, files)
  } finally {
    source.close()
  }
}

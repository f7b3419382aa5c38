// From a checkpoint on disk to a model that generates.

import { loadActivationFiles } from '../activations/index.js'
import { decodeText, FileProblem, readBytes } from '../data/text-file.js'
import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { OptionError } from '../errors.js'
import { openModel, readPredictor } from '../formats/index.js'
import {
  type DownloadOptions,
  downloadModel,
  hubSettings,
  isHubReference,
  parseHubReference,
} from '../hub/index.js'
import { warnWithoutAddon } from '../kernels/index.js'
import type { DeviceModel } from './device/device-model.js'
import type { EngineModel } from './engine-model.js'
import { ENGINE_OPTION_NAMES, type EngineOptions } from './engine-options.js'
import type { LanguageModel } from './language-model.js'
import { modelOf, requireBackend } from './model-of.js'
import { type OptionNames, requireKnownOptions, requireOptionalType, wrongType } from './option-checks.js'

export interface LoadOptions extends Omit<EngineOptions, 'compact' | 'cuts' | 'predictor'> {
  /** `cpu` (the default), or `webgpu`: on a GPU, through the npm package webgpu. */
  readonly backend?: 'cpu' | 'webgpu'
  /** Run the weights of a model that `flicker sparsify` wrote without its cuts. Default false. */
  readonly exact?: boolean
  /** A file with a predictor of active neurons, as `flicker sparsity --train-predictor` writes it: `EngineOptions.predictor`. */
  readonly predictor?: string
  /** A tokenizer instead of the model's own: any file or directory that `loadTokenizer` reads. */
  readonly tokenizer?: string
  /**
   * A text file, plain or gzipped, with text like that to come: neurons that stay inactive on its beginning are kept in a
   * file instead of in memory, and read back when they become active: `EngineOptions.compact`.
   */
  readonly compact?: string
  /**
   * `activation` may be the path of a file, whose code then runs (default false). Never set this for an `activation` that
   * comes from someone else, such as a request over the network.
   */
  readonly allowCode?: boolean
  /** For a model on the Hub: progress, and a signal that aborts. */
  readonly download?: DownloadOptions
}

const { cuts: _, ...ENGINE_NAMES } = ENGINE_OPTION_NAMES
const OPTION_NAMES: OptionNames<LoadOptions> = {
  ...ENGINE_NAMES,
  exact: true,
  backend: true,
  tokenizer: true,
  compact: true,
  allowCode: true,
  download: true,
}

/** How much of a text for compaction is read: most neurons that fire do so early, and every token must be computed. */
const COMPACT_TOKENS = 4096
const BYTES_PER_TOKEN = 16

/**
 * Loads a Hugging Face directory, the newest checkpoint of a run, a GGUF file, a model.bin of llama2.c, or
 * `hf:owner/name[@revision][:file.gguf|:TYPE]`, which is downloaded into the Hub's cache first. Memory: the model in `dtype`
 * and one tensor.
 * Throws CheckpointError, TokenizerError, ActivationError, StorageError, and OptionError for unknown options
 * (OPTION_UNKNOWN), values of the wrong type (OPTION_TYPE) and what EngineModel refuses.
 */
export async function load(
  path: string,
  options: LoadOptions & { readonly backend: 'webgpu' },
): Promise<LanguageModel<DeviceModel>>
export async function load(
  path: string,
  options?: LoadOptions & { readonly backend?: 'cpu' },
): Promise<LanguageModel>
export async function load(
  path: string,
  options?: LoadOptions,
): Promise<LanguageModel<EngineModel | DeviceModel>>
export async function load(
  path: string,
  options: LoadOptions = {},
): Promise<LanguageModel<EngineModel | DeviceModel>> {
  if (typeof path !== 'string') wrongType('path', 'the path of a model', path)
  requireKnownOptions(options, OPTION_NAMES)
  const {
    backend = 'cpu',
    compact,
    allowCode,
    download,
    exact = false,
    predictor,
    tokenizer: tokenizerPath,
    ...engineOptions
  } = options
  requireBackend(backend, options)
  requireOptionalType('tokenizer', 'string', tokenizerPath)
  requireOptionalType('compact', 'string', compact)
  requireOptionalType('predictor', 'string', predictor)
  requireOptionalType('allowCode', 'boolean', allowCode)
  requireOptionalType('exact', 'boolean', exact)
  requireOptionalType('activation', 'string', options.activation)
  loadActivationFiles(options, allowCode)
  warnWithoutAddon()
  const local = isHubReference(path)
    ? await downloadModel(parseHubReference(path), hubSettings(), download)
    : path
  const source = openModel(local, { tokenizer: tokenizerPath })
  try {
    return await modelOf(source, {
      ...engineOptions,
      backend,
      exact,
      ...(predictor !== undefined && { predictor: readPredictor(predictor) }),
      ...(compact !== undefined && { compact: tokenizer => compactTokens(compact, tokenizer) }),
    })
  } finally {
    source.close()
  }
}

/** The first tokens of `file`. Throws OptionError COMPACT_TEXT. */
function compactTokens(file: string, tokenizer: Tokenizer): ArrayLike<number> {
  try {
    const text = decodeText(readBytes(file), file)
    return tokenizer.encode(text.slice(0, COMPACT_TOKENS * BYTES_PER_TOKEN)).slice(0, COMPACT_TOKENS)
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error
    throw new OptionError('COMPACT_TEXT', `the text for compaction: ${error.message}`, { cause: error })
  }
}

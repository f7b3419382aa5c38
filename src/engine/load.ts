// From a checkpoint on disk to a model that generates.

import { loadActivationFiles } from '../activations/index.js'
import { decodeText, FileProblem, readBytes } from '../data/text-file.js'
import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { OptionError } from '../errors.js'
import { type ModelSource, openModel, readPredictor } from '../formats/index.js'
import {
  type DownloadOptions,
  downloadModel,
  hubSettings,
  isHubReference,
  parseHubReference,
} from '../hub/index.js'
import { warnWithoutAddon } from '../kernels/index.js'
import { DeviceModel, type DeviceOptions } from './device/device-model.js'
import { ENGINE_OPTION_NAMES, EngineModel, type EngineOptions } from './engine-model.js'
import { LanguageModel } from './language-model.js'
import {
  type OptionNames,
  received,
  requireKnownOptions,
  requireOptionalType,
  wrongType,
} from './option-checks.js'

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
    const tokenizer = source.tokenizer()
    const cuts = exact ? null : (source.cuts?.() ?? null)
    if (backend === 'webgpu') requireNoCuts(cuts)
    const engine =
      backend === 'webgpu'
        ? await DeviceModel.create(source.config, source, deviceOptions(engineOptions))
        : new EngineModel(source.config, source, {
            ...engineOptions,
            cuts,
            ...(predictor !== undefined && { predictor: readPredictor(predictor) }),
            ...(compact !== undefined && { compact: compactTokens(compact, tokenizer) }),
          })
    return new LanguageModel(engine, tokenizer, {
      endOfText: source.endOfText,
      notes: source.notes,
      approximation: approximationOf(engine, source),
      chat: {
        templates: source.chatTemplates,
        specialTokens: { ...ownSpecialTokens(tokenizer), ...source.specialTokens },
      },
    })
  } finally {
    source.close()
  }
}

/** What a user must know of a model whose results are not those of its weights. */
function approximationOf(engine: EngineModel | DeviceModel, { sparsity }: ModelSource): string | null {
  if (!(engine instanceof EngineModel && engine.approximate)) return null
  if (engine.selector !== null) {
    return `approximate: ${engine.selector.description}; without --reuse and --predictor the text is exact`
  }
  if (!sparsity) return null
  const { method, level } = sparsity
  const prompt = {
    none: 'not to the prompt',
    half: "to the prompt's second half too",
    all: 'to the prompt too',
  }
  return (
    `approximate: cut by ${method} to ${(100 * level).toPrecision(3)} % sparsity, applied to generated tokens and ` +
    `${prompt[engine.sparsePrompt]}; --exact runs the same weights without cuts`
  )
}

/** Throws OptionError BACKEND_UNKNOWN, WEBGPU_OPTION. */
function requireBackend(backend: string, options: LoadOptions): void {
  const { activations, compact, kernels, kv, narrowGate, memory, observer, reuse, predictor } = options
  if (backend === 'cpu') return
  if (backend !== 'webgpu') {
    throw new OptionError('BACKEND_UNKNOWN', `backend must be cpu or webgpu, not ${received(backend)}`)
  }
  const unusable = {
    'activations int16': activations === 'int16',
    compact: compact !== undefined,
    reuse: reuse !== undefined,
    predictor: predictor !== undefined,
    kernels: kernels !== undefined,
    memory: memory !== undefined,
    observer: observer !== undefined,
    [`kv ${kv}`]: kv !== undefined && kv !== 'f32',
    'narrowGate on': narrowGate === 'on',
  }
  const [option] = Object.entries(unusable).find(([, given]) => given) ?? []
  if (option === undefined) return
  throw new OptionError('WEBGPU_OPTION', `the WebGPU backend has no ${option}; leave it out, or the backend`)
}

function deviceOptions({ dtype, ffn, activation }: EngineOptions): DeviceOptions {
  return { dtype, ffn, activation }
}

/** Throws OptionError WEBGPU_CUTS for a model that is to run with cuts. */
function requireNoCuts(cuts: object | null): void {
  if (cuts === null) return
  throw new OptionError(
    'WEBGPU_CUTS',
    'the WebGPU backend does not apply the cuts of flicker sparsify; give --exact, or leave --backend out',
  )
}

/** For the templates of a model whose files name no special tokens. */
function ownSpecialTokens(tokenizer: Tokenizer): Record<string, string> {
  const { startOfText = null, endOfText } = tokenizer
  const textOf = (id: number) => new TextDecoder().decode(tokenizer.tokenBytes(id))
  return {
    ...(startOfText !== null && { bos_token: textOf(startOfText) }),
    ...(endOfText !== null && { eos_token: textOf(endOfText) }),
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

// `flicker sparsify`: calibrates, cuts, measures and writes a checkpoint with its cuts.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { type Activation, parseActivation } from '../activations/index.js'
import { decodeText, FileProblem, readBytes } from '../data/text-file.js'
import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { type EngineDtype, EngineModel, type Memory } from '../engine/index.js'
import type { LayerContext } from '../engine/layers.js'
import { gigabytes, systemMemory } from '../engine/model/memory.js'
import { WeightLayout } from '../engine/model/weight-layout.js'
import type { WeightStorage } from '../engine/model/weights.js'
import { CorpusError, OptionError } from '../errors.js'
import { type ModelSource, writeModelDirectory } from '../formats/index.js'
import { decodeKernelsOf, kernels } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import type { LayerCuts } from '../nn/cuts.js'
import { type CalibrateOptions, calibrate } from './calibrate.js'
import { cutsAt } from './cut-layer.js'
import { type TextLoss, textLoss, ZeroCounter } from './measure.js'
import { METHODS, type Method, type MethodName, requireApplicable, requireLevel } from './methods.js'
import type { LayerStatistics } from './statistics.js'

/** Tokens that the result is measured on, and the longest window. */
const MEASURED_TOKENS = 16_384
const LONGEST_WINDOW = 1024
/** Characters of a text that are tokenized for each token that is wanted, at most. */
const CHARACTERS_PER_TOKEN = 16

export interface TextOptions {
  /** A file with text like that to come, plain or gzipped. */
  readonly calibrate: string
  /** Tokens of its beginning that thresholds are taken from. */
  readonly tokens: number
  /** A file to measure on. Default: what follows the calibration text in its file. */
  readonly heldOut?: string
  /** Tokens measured, at most. Default MEASURED_TOKENS. */
  readonly measureTokens?: number
  /** Tokens per window when measuring. Default: the model's context, at most 1024. */
  readonly context?: number
}

export interface Progress {
  readonly onProgress?: (label: string, done: number, all: number) => void
}

/** A text's tokens, and the hash of the file. */
export interface CalibrationText {
  readonly tokens: Int32Array
  readonly sha256: string
}

export interface Texts {
  readonly calibration: CalibrationText
  /** At least one window and a token; null where there is too little text. */
  readonly heldOut: Int32Array | null
  readonly context: number
}

/**
 * The texts of `options` in the model's tokens. Throws CorpusError CORPUS_NOT_FOUND, CORPUS_TOO_SHORT (calibration text
 * without tokens, or shorter than one window of the model) and for what is no text.
 */
export function readTexts(tokenizer: Tokenizer, config: ModelConfig, options: TextOptions): Texts {
  const { measureTokens = MEASURED_TOKENS } = options
  const context = Math.min(options.context ?? LONGEST_WINDOW, config.maxPositionEmbeddings)
  const own = options.heldOut === undefined
  const read = readTokens(options.calibrate, tokenizer, options.tokens + (own ? measureTokens + 1 : 0))
  const least = Math.min(context, config.maxPositionEmbeddings)
  if (read.tokens.length < Math.min(least, options.tokens)) {
    throw new CorpusError(
      'CORPUS_TOO_SHORT',
      `calibration text: ${options.calibrate} has ${read.tokens.length} tokens, and one context needs ${least}; ` +
        'give a longer text, or a smaller --context',
    )
  }
  const calibration = { ...read, tokens: read.tokens.subarray(0, options.tokens) }
  const heldOut =
    options.heldOut === undefined
      ? read.tokens.subarray(options.tokens)
      : readTokens(options.heldOut, tokenizer, measureTokens + 1).tokens
  if (options.heldOut !== undefined && heldOut.length <= context) {
    throw new CorpusError(
      'CORPUS_TOO_SHORT',
      `held-out text: ${options.heldOut} has ${heldOut.length} tokens, and one context needs ${context + 1}; ` +
        'give a longer text, or a smaller --context',
    )
  }
  return { calibration, heldOut: heldOut.length > context ? heldOut : null, context }
}

function readTokens(file: string, tokenizer: Tokenizer, most: number): CalibrationText {
  try {
    const bytes = readBytes(file)
    const text = decodeText(bytes, file)
    const tokens = Int32Array.from(
      tokenizer.encode(text.slice(0, most * CHARACTERS_PER_TOKEN)).slice(0, most),
    )
    return { tokens, sha256: createHash('sha256').update(bytes).digest('hex') }
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error
    const code = error.fault === 'missing' ? 'CORPUS_NOT_FOUND' : 'CORPUS_UNREADABLE'
    throw new CorpusError(code, `calibration text: ${error.message}`, { cause: error })
  }
}

/** An open model with what measuring and calibrating it need. */
export class Sparsifier {
  readonly config: ModelConfig
  readonly #source: ModelSource
  readonly #dtype: EngineDtype
  readonly #memory: Memory
  readonly #texts: Texts
  readonly #activation: Activation
  readonly #progress: Progress

  constructor(
    source: ModelSource,
    texts: Texts,
    options: { readonly dtype?: EngineDtype; readonly memory?: Memory } & Progress = {},
  ) {
    this.config = source.config
    this.#source = source
    this.#dtype = options.dtype ?? 'auto'
    this.#memory = options.memory ?? systemMemory
    this.#texts = texts
    this.#activation = parseActivation(source.config.activation)
    this.#progress = options
  }

  /** Throws OptionError CALIBRATION_MEMORY, MODEL_MEMORY before anything is computed. */
  calibrate(
    methods: readonly MethodName[],
    levels: readonly number[],
    inspector?: CalibrateOptions['inspector'],
  ): LayerStatistics[] {
    for (const name of methods) requireApplicable(METHODS[name], this.config)
    const { config } = this
    const using = kernels()
    const layoutOf = (storage: WeightStorage) =>
      new WeightLayout(config, this.#source, this.#dtype, null, storage)
    const layouts = { separate: layoutOf('separate'), channels: layoutOf('channels') }
    this.#requireMemory(layouts.channels)
    const context: LayerContext = {
      config,
      kernels: using,
      decode: decodeKernelsOf(using),
      cacheKind: { config, type: 'f32', memory: this.#memory },
    }
    return calibrate(context, layouts, this.#texts.calibration.tokens, {
      methods,
      levels,
      inspector,
      activation: this.#activation,
      onLayer: (layer, layers) => this.#progress.onProgress?.('calibrating', layer, layers),
    })
  }

  /** The model with these cuts, the tokens of its prompts cut as `prompt` says; null: without cuts. */
  engine(
    cuts: readonly LayerCuts[] | null,
    more?: ConstructorParameters<typeof EngineModel>[2],
  ): EngineModel {
    return new EngineModel(this.config, this.#source, {
      dtype: this.#dtype,
      memory: this.#memory,
      cuts,
      sparsePrompt: 'all',
      ...more,
    })
  }

  /** Null where there is no text to measure on. All positions are cut. */
  measure(cuts: readonly LayerCuts[] | null, label: string): (TextLoss & Counted) | null {
    const { heldOut, context } = this.#texts
    if (heldOut === null) return null
    const counter = cuts === null ? null : new ZeroCounter(this.config, cuts)
    const engine = this.engine(cuts, counter === null ? {} : { observer: counter.observe })
    const loss = textLoss(engine, kernels(), heldOut, context, (done, all) =>
      this.#progress.onProgress?.(label, done, all),
    )
    engine.dispose()
    return { ...loss, weightsSkipped: counter?.weightsSkipped ?? 0, levels: counter?.levels ?? [] }
  }

  #requireMemory(layout: WeightLayout): void {
    const { hiddenSize: d, numHiddenLayers } = this.config
    const needed =
      4 * d * this.#texts.calibration.tokens.length + Math.ceil((3 * layout.bytes) / (numHiddenLayers + 1))
    const available = this.#memory.available()
    if (needed <= available) return
    throw new OptionError(
      'CALIBRATION_MEMORY',
      `calibrating on ${this.#texts.calibration.tokens.length} tokens needs ${gigabytes(needed)}, ` +
        `${gigabytes(available)} are available; use fewer --tokens`,
    )
  }
}

export interface Counted {
  /** Fraction of the weights of the layers' matrices that were not needed, mean over tokens. */
  readonly weightsSkipped: number
  readonly levels: ZeroCounter['levels']
}

export interface SparsifyOptions extends TextOptions, Progress {
  readonly method: MethodName
  /** Between 0 and 1: of the neurons, or of the layers' weights, as the method says. */
  readonly sparsity: number
  readonly out: string
  readonly force?: boolean
  readonly dtype?: EngineDtype
  readonly memory?: Memory
}

/** What stands under `flicker.sparsity` of the result. */
export type SparsifyResult = ReturnType<typeof sparsify>

/**
 * Writes the model `source` with cuts to `out`, which is afterwards either complete or as it was. Throws OptionError
 * SPARSITY_RANGE, METHOD_FFN, DESTINATION_EXISTS, SPARSIFIED_ALREADY, CALIBRATION_MEMORY, MODEL_MEMORY; CorpusError, StorageError.
 */
export function sparsify(source: ModelSource, options: SparsifyOptions) {
  const { method: name, sparsity: level, out, force = false } = options
  const method: Method = METHODS[name]
  requireLevel(level)
  requireApplicable(method, source.config)
  requireUncut(source)
  if (!force && existsSync(out)) {
    throw new OptionError('DESTINATION_EXISTS', `${out} exists; give --force to replace it, or another name`)
  }
  const tokenizer = source.tokenizer()
  const texts = readTexts(tokenizer, source.config, options)
  const sparsifier = new Sparsifier(source, texts, options)
  const dense = sparsifier.measure(null, 'measuring the model')
  const statistics = sparsifier.calibrate([name], [level])
  const { cuts, error } = cutsAt(source.config, statistics, method, level)
  const sparse = sparsifier.measure(cuts, 'measuring the cut model')
  const record = {
    approximate: true as const,
    method: name,
    level,
    counts: method.counts,
    source: method.source,
    calibration: { sha256: texts.calibration.sha256, tokens: texts.calibration.tokens.length },
    ...(error !== null && { cett: error }),
    measured:
      dense === null || sparse === null
        ? null
        : {
            tokens: sparse.tokens,
            context: texts.context,
            prompt: 'all',
            perplexity: sparse.perplexity,
            densePerplexity: dense.perplexity,
            weightsSkipped: sparse.weightsSkipped,
            levels: sparse.levels,
          },
  }
  writeModelDirectory(source, tokenizer, out, { flicker: { sparsity: record }, cuts })
  return record
}

/** Throws OptionError SPARSIFIED_ALREADY for a model with cuts. */
export function requireUncut({ path, sparsity }: ModelSource): void {
  if (!sparsity) return
  throw new OptionError(
    'SPARSIFIED_ALREADY',
    `${path} is cut by ${sparsity.method} already; sparsify the model that it was made from`,
  )
}

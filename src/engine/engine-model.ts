// A model ready to decode: weights in the engine's layout, the activation that it runs with, and the pass over its layers
// that its sessions share.

import { type Activation, parseActivation } from '../activations/index.js'
import { CheckpointError, OptionError } from '../errors.js'
import {
  type ActivationType,
  type CacheType,
  type DecodeKernels,
  decodeKernelsOf,
  kernels,
} from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import { modelConfigProblem } from '../nn/config.js'
import type { LayerCuts } from '../nn/cuts.js'
import { parameterShapes } from '../nn/parameters.js'
import { predictorProblem } from '../nn/predictor.js'
import { shortTextOf } from '../nn/rope.js'
import { Compaction, type CompactionSummary, summarizeCompaction } from './compaction.js'
import {
  ENGINE_CHOICES,
  ENGINE_OPTION_NAMES,
  type EngineOptions,
  requireContext,
  type SparsePrompt,
} from './engine-options.js'
import { cacheDirectory } from './ffn/crossover-cache.js'
import { CutFfnPolicy } from './ffn/cut-policy.js'
import type { NeuronSelector } from './ffn/neuron-selector.js'
import { ExactFfnPolicy, type FfnMode, requireNarrowGate } from './ffn/policy.js'
import { PredictorSelector } from './ffn/predictor-selector.js'
import { ReuseSelector } from './ffn/reuse-selector.js'
import { SelectingFfnPolicy } from './ffn/selecting-policy.js'
import { ForwardPass } from './forward.js'
import { checkTokens, requireReadable } from './generation/readable-tokens.js'
import { Session, type SessionOptions } from './generation/session.js'
import type { LayerContext } from './layers.js'
import { rotatedSource } from './model/cut-weights.js'
import { gigabytes, requireCacheMemory, requireModelMemory, systemMemory } from './model/memory.js'
import { SpillFile } from './model/spill-file.js'
import { type EngineDtype, sourceOf, type TensorSource, WeightLayout } from './model/weight-layout.js'
import { isDense } from './model/weight-plans.js'
import { type EngineWeights, ffnsOf, gateTypesOf, isByChannel, type WeightStorage } from './model/weights.js'
import {
  received,
  requireKnownOptions,
  requireOptionalType,
  requireOptionsObject,
  requireTokenList,
  wrongType,
} from './option-checks.js'

export class EngineModel {
  readonly config: ModelConfig
  readonly dtype: EngineDtype
  readonly kv: CacheType
  /** Whether zeros are skipped: never the reason for another result. */
  readonly ffn: FfnMode
  readonly activations: ActivationType
  readonly activation: Activation
  readonly sparsePrompt: SparsePrompt
  /** Whether cuts or a selector make this model an approximation of its weights. */
  readonly approximate: boolean
  /** What chooses the neurons that are computed; null: all are. */
  readonly selector: NeuronSelector | null
  /** What a user should know about how the model runs; often empty. */
  readonly notes: readonly string[]
  readonly #pass: ForwardPass
  #spilled: { readonly file: SpillFile; readonly tokens: number } | null = null

  /**
   * `source` has the tensors of `parameterShapes(config)` by their Hugging Face names: an open model, or a function that
   * gives their values. Or it is weights laid out already, such as another model's: both models use them, without a copy.
   * Throws CheckpointError (a config or tensor that does not fit), ActivationError, and OptionError: DTYPE_UNKNOWN,
   * CONTEXT_RANGE, REUSE_RANGE, SELECTOR_CONFLICT, SELECTOR_ACTIVATION, SELECTOR_STORAGE, PREDICTOR_FIT, KV_UNKNOWN, ACTIVATIONS_UNKNOWN, FFN_UNKNOWN, NARROW_GATE_UNKNOWN, SPARSE_PROMPT_UNKNOWN, COMPACT_CUTS, EXPERTS_OPTION, NARROW_GATE_ACTIVATION, NARROW_GATE_DTYPE, WEIGHTS_LAID_OUT,
   * MODEL_MEMORY, OPTION_UNKNOWN, OPTION_TYPE.
   */
  constructor(
    config: ModelConfig,
    source: TensorSource | EngineWeights | ((name: string) => Float32Array),
    options: EngineOptions = {},
  ) {
    requireKnownOptions(options, ENGINE_OPTION_NAMES)
    const { dtype = 'auto', kv = 'f32', ffn = 'auto', narrowGate = 'auto', memory = systemMemory } = options
    requireChoice('dtype', 'DTYPE_UNKNOWN', dtype)
    requireChoice('kv', 'KV_UNKNOWN', kv)
    const { activations = 'f32' } = options
    requireChoice('activations', 'ACTIVATIONS_UNKNOWN', activations)
    requireChoice('ffn', 'FFN_UNKNOWN', ffn)
    requireChoice('narrowGate', 'NARROW_GATE_UNKNOWN', narrowGate)
    const { cuts = null, sparsePrompt = 'none' } = options
    requireChoice('sparsePrompt', 'SPARSE_PROMPT_UNKNOWN', sparsePrompt)
    if (cuts !== null && cuts?.length !== config?.numHiddenLayers) {
      wrongType('cuts', `a list with the cuts of each of ${config?.numHiddenLayers} layers`, cuts)
    }
    requireOptionalType('observer', 'function', options.observer)
    requireOptionalType('activation', 'string', options.activation)
    requireOptionalType('replay', 'boolean', options.replay)
    requireMethods('memory', memory, ['available'])
    if (options.kernels !== undefined) requireMethods('kernels', options.kernels, ['rmsNorm', 'activation'])
    if (options.compact !== undefined) requireTokenList('compact', options.compact)
    if (typeof config !== 'object' || config === null) wrongType('config', 'the config of a model', config)
    if (!(typeof source === 'function' || (typeof source === 'object' && source !== null))) {
      wrongType('source', 'an open model, laid-out weights or a function', source)
    }
    const problem = modelConfigProblem(config)
    if (problem !== null) throw new CheckpointError('CONFIG_INVALID', `the model's config: ${problem}`)
    const maxPositionEmbeddings = requireContext(config, options.context)
    this.config = { ...config, maxPositionEmbeddings }
    this.dtype = dtype
    this.kv = kv
    this.ffn = ffn
    this.activations = activations
    this.activation = parseActivation(options.activation ?? config.activation)
    const using = options.kernels ?? kernels()
    const decode = decodeKernelsOf(using, activations)
    const short = shortTextOf(this.config)
    const context = {
      config: this.config,
      kernels: using,
      decode,
      cacheKind: { config: this.config, type: kv, memory },
      observer: options.observer,
      ...(short === null ? {} : { longBeyond: options.context === undefined ? short : 0 }),
    }
    if (config.experts !== undefined) requireNoExperts(options)
    let weights: EngineWeights
    if (isLaidOut(source)) {
      requireNothingToLayOut(source, options)
      requireNarrowGate(narrowGate, this.activation, gateTypesOf(source.layers))
      weights = source
    } else {
      if (cuts !== null && options.compact !== undefined) throw compactWithCuts()
      const layout = this.#layout(config, source, cuts, decode)
      requireNarrowGate(narrowGate, this.activation, layout.gateTypes)
      requireModelMemory(memory, layout.bytes, dtype)
      weights = options.compact === undefined ? layout.all() : this.#compact(layout, context, options.compact)
    }
    const exact = new ExactFfnPolicy(
      config,
      ffnsOf(weights.layers),
      { kernels: using, decode, memory },
      { ffn, narrowGate },
    )
    this.sparsePrompt = sparsePrompt
    const isCut = weights.layers.some(layer => (layer.cuts ?? null) !== null)
    this.selector = this.#selector(options, decode, { isCut, storage: weights.layers[0].storage })
    this.approximate = isCut || this.selector !== null
    const policy = isCut
      ? new CutFfnPolicy(exact, weights.layers)
      : this.selector === null
        ? exact
        : new SelectingFfnPolicy(exact, this.selector)
    this.#pass = new ForwardPass(context, weights, policy, options.replay)
    const { compaction } = this
    this.notes = [
      ...(ffn === 'sparse' && !this.activation.exactZeros && !this.approximate
        ? [nothingToSkip(this.activation)]
        : []),
      ...(compaction === null ? [] : [compactionNote(compaction)]),
    ]
  }

  #layout(
    config: ModelConfig,
    source: TensorSource | ((name: string) => Float32Array),
    cuts: readonly LayerCuts[] | null,
    decode: DecodeKernels,
  ): WeightLayout {
    const names = () => parameterShapes(config).map(({ name }) => name)
    const tensors = typeof source === 'function' ? sourceOf(names(), source) : source
    const laidOut = cuts === null ? tensors : rotatedSource(tensors, config, cuts, decode)
    const dense =
      cuts === null && isDense(config, this.activation, WeightLayout.downTypes(config, laidOut, this.dtype))
    return new WeightLayout(config, laidOut, this.dtype, cuts, dense ? 'dense' : undefined)
  }

  /** Throws OptionError REUSE_RANGE, SELECTOR_CONFLICT, SELECTOR_ACTIVATION, SELECTOR_STORAGE, PREDICTOR_FIT. */
  #selector(
    { reuse, predictor }: EngineOptions,
    decode: DecodeKernels,
    { isCut, storage }: { readonly isCut: boolean; readonly storage: WeightStorage | undefined },
  ): NeuronSelector | null {
    if (reuse === undefined && predictor === undefined) return null
    const given = reuse === undefined ? 'predictor' : 'reuse'
    const refuse = (code: string, why: string) => new OptionError(code, `${given}: ${why}`)
    if (reuse !== undefined && predictor !== undefined) {
      throw refuse('SELECTOR_CONFLICT', 'a predictor chooses neurons too; give one of reuse and predictor')
    }
    if (isCut) {
      throw refuse(
        'SELECTOR_CONFLICT',
        'this model is cut to be sparse already; leave it out, or run it with exact',
      )
    }
    if (!this.activation.exactZeros) {
      throw refuse(
        'SELECTOR_ACTIVATION',
        `${this.activation.spec} is exactly 0 nowhere, so no neuron is inactive; train the model to be sparse first`,
      )
    }
    if (isByChannel(storage)) {
      throw refuse(
        'SELECTOR_STORAGE',
        'the inputs of this model have zeros, so its gate is stored by input; leave it out',
      )
    }
    if (storage === 'dense') {
      throw refuse(
        'SELECTOR_STORAGE',
        'these weights were laid out for an activation without zeros; load the model with its own activation',
      )
    }
    const { numHiddenLayers: layers, intermediateSize: neurons } = this.config
    if (predictor === undefined) return new ReuseSelector(reuse ?? 0, { layers, neurons })
    const problem = predictorProblem(predictor, this.config)
    if (problem !== null) throw refuse('PREDICTOR_FIT', `it does not fit this model: ${problem}`)
    return new PredictorSelector(predictor, decode)
  }

  #compact(layout: WeightLayout, context: LayerContext, tokens: ArrayLike<number>): EngineWeights {
    checkTokens(tokens, this.config, 0)
    const file = new SpillFile(cacheDirectory())
    this.#spilled = { file, tokens: tokens.length }
    try {
      return layout.all(embeddings => {
        const { activation } = this
        const compaction = new Compaction(context, { activation, tokens, file }, embeddings)
        return (layer, index) => compaction.compact(layer, index)
      })
    } catch (error) {
      file.close()
      throw error
    }
  }

  /** What `compact` keeps out of memory now; null without it. Throws FlickerError MODEL_DISPOSED after dispose(). */
  get compaction(): CompactionSummary | null {
    const { layers } = this.weights
    if (this.#spilled === null) return null
    return summarizeCompaction(layers, this.config.intermediateSize, this.#spilled.tokens)
  }

  /** The first position of a prompt of `length` tokens that the model's cuts apply to. */
  sparseFrom(length: number): number {
    return { none: length, half: Math.floor(length / 2), all: 0 }[this.sparsePrompt]
  }

  /** Throws FlickerError MODEL_DISPOSED after dispose(). */
  get weights(): EngineWeights {
    return this.#pass.weights
  }

  /** A new, empty sequence. Throws as Session does. */
  session(options: SessionOptions = {}): Session {
    requireOptionsObject(options)
    return new Session(this.#pass, { ...options, activation: options.activation ?? this.activation })
  }

  /**
   * Throws OptionError CACHE_MEMORY unless there is memory for the keys and values of `sequences` sequences of `tokens`
   * tokens each: to be called before a long prompt is computed, not after.
   */
  requireCacheMemory(tokens: number, sequences: number): void {
    requireCacheMemory(this.#pass.cacheKind, { tokens, sequences })
  }

  /** As Session.stepTogether. */
  stepTogether(sessions: readonly Session[], tokens: ArrayLike<number>): void {
    Session.stepTogether(sessions, tokens)
  }

  /** Logits of every position: (tokens.length, vocab), row t seeing tokens 0 … t. Throws as Session.prefill does. */
  logits(tokens: ArrayLike<number>, options: SessionOptions = {}): Float32Array {
    requireReadable(tokens, this.config, 0)
    const all = new Float32Array(tokens.length * this.config.vocabSize)
    this.session(options).prefill(tokens, all)
    return all
  }

  /** Releases the weights, whose memory is freed when nothing else holds them. */
  dispose(): void {
    this.#pass.dispose()
    this.#spilled?.file.close()
    this.#spilled = null
  }
}

function requireChoice(option: keyof typeof ENGINE_CHOICES, code: string, value: string): void {
  const choices: readonly string[] = ENGINE_CHOICES[option]
  if (choices.includes(value)) return
  throw new OptionError(code, `${option} must be one of ${choices.join(', ')}, not ${received(value)}`)
}

function requireMethods(option: string, value: object, methods: readonly string[]): void {
  const has = (method: string) => typeof (value as Record<string, unknown> | null)?.[method] === 'function'
  if (methods.every(has)) return
  wrongType(option, `an object with the method${methods.length > 1 ? 's' : ''} ${methods.join(', ')}`, value)
}

function isLaidOut(
  source: TensorSource | EngineWeights | ((name: string) => Float32Array),
): source is EngineWeights {
  return typeof source === 'object' && 'layers' in source
}

/** Weights that are laid out already keep their type and stay in memory. */
function requireNothingToLayOut(weights: EngineWeights, { dtype = 'auto', compact }: EngineOptions): void {
  const types = gateTypesOf(weights.layers)
  const other = [...types].find(type => type !== dtype)
  const problem =
    compact !== undefined
      ? 'compact needs a source of tensors'
      : dtype !== 'auto' && other !== undefined
        ? `dtype is ${dtype}`
        : null
  if (problem === null) return
  throw new OptionError(
    'WEIGHTS_LAID_OUT',
    `${problem}, but these weights are laid out already, as ${[...types].join(', ')}; build the model from its tensors`,
  )
}

function compactWithCuts(): OptionError {
  return new OptionError(
    'COMPACT_CUTS',
    'compact keeps neurons that are exactly 0 out of memory, and this model is cut to be sparse; leave compact out, or ' +
      'run it exactly',
  )
}

/** What needs every neuron of a layer at every token. */
function requireNoExperts({ compact, cuts, observer, reuse, predictor }: EngineOptions): void {
  const unusable = {
    compact,
    observer,
    reuse,
    predictor,
    'cuts (as flicker sparsify makes them)': cuts ?? undefined,
  }
  const [option] = Object.entries(unusable).find(([, given]) => given !== undefined) ?? []
  if (option === undefined) return
  throw new OptionError(
    'EXPERTS_OPTION',
    `this model is a mixture of experts, of which only those that are chosen are computed; ${option} is not supported for it: leave it out`,
  )
}

function nothingToSkip({ spec }: Activation): string {
  return `${spec} is exactly 0 nowhere, so there is nothing to skip: every neuron is computed`
}

function compactionNote({ tokens, neurons, dropped, bytes }: CompactionSummary): string {
  const percent = ((100 * dropped) / neurons).toFixed(1)
  return `${percent} % of the neurons stayed inactive on ${tokens} tokens: ${gigabytes(bytes)} are kept in a file`
}

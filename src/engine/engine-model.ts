// A model ready to decode: weights in the engine's layout, the activation that it runs with, and the working buffers
// that its sessions share (they run one after the other).

import { type Activation, parseActivation } from '../activations/index.js'
import { CheckpointError, FlickerError, OptionError } from '../errors.js'
import {
  type CacheType,
  type DecodeKernels,
  decodeKernelsOf,
  type Kernels,
  kernels,
} from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import { parameterShapes } from '../nn/parameters.js'
import { modelConfigProblem } from '../nn/validate-config.js'
import { RotationTable } from './attention/kv-cache.js'
import { Compaction, type CompactionSummary, summarizeCompaction } from './compaction.js'
import { cacheDirectory } from './ffn/crossover.js'
import { FeedForward, type FfnMode } from './ffn/ffn.js'
import type { NarrowGateMode } from './ffn/narrow-gates.js'
import { checkTokens, Session, type SessionOptions } from './generation/session.js'
import {
  gigabytes,
  type Memory,
  requireCacheMemory,
  requireModelMemory,
  systemMemory,
} from './model/memory.js'
import { SpillFile } from './model/spill-file.js'
import {
  type EngineDtype,
  type EngineWeights,
  sourceOf,
  type TensorSource,
  WeightLayout,
} from './model/weights.js'
import { Workspace } from './model/workspace.js'

export interface EngineOptions {
  /** How matrices are stored in memory. Default `auto`: as they are stored in the file. */
  readonly dtype?: EngineDtype
  /** How keys and values are stored. Default f32. */
  readonly kv?: CacheType
  /** Skip neurons that are exactly 0; the result is the same. Default `auto`: where it is faster. */
  readonly ffn?: FfnMode
  /** Prove neurons inactive from a narrow copy of the gate; the result is the same. Default `auto`: where it is faster. */
  readonly narrowGate?: NarrowGateMode
  /** Instead of the config's, e.g. `stocha:p=0.3`. */
  readonly activation?: string
  /** Backend; default: the one that the process uses. */
  readonly kernels?: Kernels
  /**
   * Tokens of a text like those to come: neurons that stay inactive on it are kept in a file instead of in memory. The
   * gate notices when one fires, and reads it back first: the result is the same.
   */
  readonly compact?: ArrayLike<number>
  /** Who is asked how much memory is left. Default: the system. */
  readonly memory?: Memory
}

const CHOICES = {
  dtype: ['auto', 'f32', 'bf16', 'f16', 'q8_0', 'q4_0'],
  kv: ['f32', 'f16', 'q8'],
  ffn: ['auto', 'dense', 'sparse'],
  narrowGate: ['auto', 'on', 'off'],
} as const

export class EngineModel {
  readonly config: ModelConfig
  readonly dtype: EngineDtype
  readonly kv: CacheType
  readonly activation: Activation
  readonly kernels: Kernels
  readonly decode: DecodeKernels
  readonly memory: Memory
  readonly rotation: RotationTable
  readonly workspace: Workspace
  /** What a user should know about how it runs; often empty. */
  readonly notes: readonly string[]
  #spilled: { readonly file: SpillFile; readonly tokens: number } | null = null
  #ready: { readonly weights: EngineWeights; readonly ffn: FeedForward } | null

  /**
   * `source` has the tensors of `parameterShapes(config)` by their Hugging Face names: an open model, or a function
   * that gives numbers. Or it is weights laid out already, such as another model's: both run on them, nothing is copied.
   * Throws CheckpointError (a config or tensor that does not fit), OptionError (DTYPE_UNKNOWN, KV_UNKNOWN, FFN_UNKNOWN,
   * NARROW_GATE_UNKNOWN, NARROW_GATE_DTYPE, MODEL_MEMORY), ActivationError.
   */
  constructor(
    config: ModelConfig,
    source: TensorSource | EngineWeights | ((name: string) => Float32Array),
    options: EngineOptions = {},
  ) {
    const { dtype = 'auto', kv = 'f32', ffn = 'auto', narrowGate = 'auto', memory = systemMemory } = options
    requireChoice('dtype', 'DTYPE_UNKNOWN', dtype)
    requireChoice('kv', 'KV_UNKNOWN', kv)
    requireChoice('ffn', 'FFN_UNKNOWN', ffn)
    requireChoice('narrowGate', 'NARROW_GATE_UNKNOWN', narrowGate)
    const problem = modelConfigProblem(config)
    if (problem !== null) throw new CheckpointError('CONFIG_INVALID', `the model's config: ${problem}`)
    this.config = config
    this.dtype = dtype
    this.kv = kv
    this.memory = memory
    this.activation = parseActivation(options.activation ?? config.activation)
    this.kernels = options.kernels ?? kernels()
    this.decode = decodeKernelsOf(this.kernels)
    this.rotation = new RotationTable(config)
    this.workspace = new Workspace(config)
    const weights =
      typeof source === 'object' && 'layers' in source ? source : this.#layOut(source, options.compact)
    this.#ready = { weights, ffn: new FeedForward(config, weights.layers, this, { ffn, narrow: narrowGate }) }
    const { compaction } = this
    this.notes = [
      ...sparsityNotes(this.activation, ffn, narrowGate),
      ...(compaction === null ? [] : [compactionNote(compaction)]),
    ]
  }

  #layOut(
    source: TensorSource | ((name: string) => Float32Array),
    tokens: ArrayLike<number> | undefined,
  ): EngineWeights {
    const names = () => parameterShapes(this.config).map(({ name }) => name)
    const tensors = typeof source === 'function' ? sourceOf(names(), source) : source
    const layout = new WeightLayout(this.config, tensors, this.dtype)
    requireModelMemory(this.memory, layout.bytes, this.dtype)
    if (tokens === undefined) return layout.all()
    checkTokens(tokens, this.config, 0)
    const file = new SpillFile(cacheDirectory())
    this.#spilled = { file, tokens: tokens.length }
    try {
      return layout.all(embedding => {
        const compaction = new Compaction(this, { activation: this.activation, tokens, file }, embedding)
        return (layer, index) => compaction.compact(layer, index)
      })
    } catch (error) {
      file.close()
      throw error
    }
  }

  /** What `compact` keeps out of memory now; null without it. Throws as `ready` does. */
  get compaction(): CompactionSummary | null {
    const { layers } = this.weights
    if (this.#spilled === null) return null
    return summarizeCompaction(layers, this.config.intermediateSize, this.#spilled.tokens)
  }

  /** The weights and what computes the FFNs with them. Throws FlickerError MODEL_DISPOSED after dispose(). */
  get ready(): { readonly weights: EngineWeights; readonly ffn: FeedForward } {
    if (this.#ready !== null) return this.#ready
    throw new FlickerError('MODEL_DISPOSED', 'this model was disposed of; load it again', { exitCode: 1 })
  }

  /** Throws as `ready` does. */
  get weights(): EngineWeights {
    return this.ready.weights
  }

  /** A new text, empty. Throws as Session does. */
  session(options: SessionOptions = {}): Session {
    return new Session(this, options)
  }

  /**
   * Throws OptionError CACHE_MEMORY unless there is memory for the keys and values of `sequences` texts of `tokens`
   * tokens each: to be asked before a long prompt is computed, not after.
   */
  requireCacheMemory(tokens: number, sequences: number): void {
    const { config, kv: type, memory } = this
    requireCacheMemory({ config, type, memory }, { tokens, texts: sequences })
  }

  /** Logits of every position: (tokens.length, vocab), row t seeing tokens 0 … t. Throws as Session.prefill does. */
  logits(tokens: ArrayLike<number>, options: SessionOptions = {}): Float32Array {
    const all = new Float32Array(tokens.length * this.config.vocabSize)
    this.session(options).prefill(tokens, all)
    return all
  }

  /** Lets go of the weights, which are freed when nothing else holds them. */
  dispose(): void {
    this.#ready = null
    this.#spilled?.file.close()
    this.#spilled = null
  }
}

function requireChoice(option: keyof typeof CHOICES, code: string, value: string): void {
  const choices: readonly string[] = CHOICES[option]
  if (choices.includes(value)) return
  throw new OptionError(code, `${option} must be one of ${choices.join(', ')}, not "${value}"`)
}

/** What was asked for and has no effect. */
function sparsityNotes(activation: Activation, ffn: FfnMode, narrowGate: NarrowGateMode): string[] {
  if (ffn === 'sparse' && !activation.exactZeros) {
    return [`${activation.spec} is exactly 0 nowhere, so there is nothing to skip: every neuron is computed`]
  }
  if (narrowGate === 'on' && activation.zeroBelow === undefined) {
    return [
      `${activation.spec} has no bound below which it is exactly 0, so the narrow gate proves nothing: it stays off`,
    ]
  }
  return []
}

function compactionNote({ tokens, neurons, dropped, bytes }: CompactionSummary): string {
  const share = ((100 * dropped) / neurons).toFixed(1)
  return `${share} % of the neurons stayed inactive on ${tokens} tokens: ${gigabytes(bytes)} are kept in a file`
}

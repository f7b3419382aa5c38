// The forward pass: embedding, the layers (attention, then FFN), and the head. A row is one position of one sequence. The
// rows of a pass belong to one sequence (a prompt) or to several (decoded together); each weight is read once for all of
// them, and every row comes out with the same bits as alone.

import { type Activation, parseActivation } from '../activations/index.js'
import { FlickerError } from '../errors.js'
import { type DecodeKernels, type Draw, type Kernels, weightBytes, weightTypeOf } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import type { RotatedInput } from '../nn/cuts.js'
import { Attention, type VectorObserver } from './attention/attention.js'
import type { KvCache } from './attention/kv-cache.js'
import { ExpertsFeedForward } from './ffn/experts-ffn.js'
import { FeedForward } from './ffn/ffn.js'
import type { FfnMode, FfnPolicy } from './ffn/policy.js'
import { SeparateFeedForward } from './ffn/separate-ffn.js'
import { type CacheKind, cacheBytesPerPosition } from './model/memory.js'
import {
  type EngineWeights,
  embed,
  holdsNeurons,
  type LayerWeights,
  type NormWeights,
} from './model/weights.js'
import { emptyStats, type PassStats } from './pass-stats.js'

/** Logits that are computed together at most: 16 MB, which the caches of a processor about hold. */
const SELECTED_LOGITS = 2 ** 22

/** For an activation that draws nothing. */
const NO_DRAW: Draw = { seedLow: 0, seedHigh: 0, purpose: 0, step: 0, layer: 0, firstRow: 0 }

/** A sequence as the layers see it. */
export interface LayerSequence {
  readonly activation: Activation
  readonly cache: Pick<KvCache, 'segments'>
  /** Whose random numbers the activation draws; the row of a draw is the position. */
  readonly draw: Omit<Draw, 'layer' | 'firstRow'>
  /** How many tokens have been read. */
  readonly position: number
  /** The first position that the model's cuts apply to. Default 0. */
  readonly sparseFrom?: number
  /** Whether its text takes the long factors of LongRoPE. Default false. */
  readonly isLong?: boolean
  /** How its FFNs are computed, instead of as the model says. */
  readonly ffn?: FfnMode
}

/** A sequence as a pass sees it. */
export interface SequenceState extends LayerSequence {
  cache: KvCache
  position: number
  isLong: boolean
}

/** The new rows of one sequence. */
export interface LayerRows {
  readonly sequence: LayerSequence
  readonly count: number
  /** Receives the active neurons per layer of the last row. */
  readonly activeNeurons: Int32Array
  /** Receives the signs of the last row's activations, layers × intermediateSize. Default: nobody asks. */
  readonly neurons?: Uint8Array
}

/** The new rows of one sequence, which read tokens [start, start + count). */
export interface PassRows extends LayerRows {
  readonly sequence: SequenceState
  readonly tokens: ArrayLike<number>
  readonly start: number
}

/** What computes the layers of a model. */
export interface LayerContext {
  readonly config: ModelConfig
  readonly kernels: Kernels
  readonly decode: DecodeKernels
  readonly cacheKind: CacheKind
  /** Sees the vectors between the matrices of every pass. */
  readonly observer?: VectorObserver
  /** Tokens beyond which a text takes the long factors of LongRoPE. Default: never. */
  readonly longBeyond?: number
}

/** The residual stream of a pass, and the step that takes it through a layer. */
export class Layers {
  /** The residual stream, (rows, d). */
  x = new Float32Array(0)
  /** What a norm made of it last, (rows, d). */
  normed = new Float32Array(0)
  /** What a branch adds to the residual stream, where it cannot be added at once: (rows, d). */
  #branch = new Float32Array(0)
  /** `normed`, rotated. */
  #turned = new Float32Array(0)
  readonly #addsAtOnce: boolean
  readonly #normActivation: Activation | null
  readonly ffn: FeedForward
  readonly #separate: SeparateFeedForward
  readonly #experts: ExpertsFeedForward
  readonly #policy: FfnPolicy
  readonly #context: LayerContext
  readonly #attention: Attention
  #cutRows = new Uint8Array(0)
  /** What norms leave behind, two values a row. */
  #statistics = new Float32Array(0)

  constructor(context: LayerContext, policy: FfnPolicy) {
    const { config, cacheKind } = context
    const { normPlacement = 'before', parallelBranches, residualScale, normActivation } = config
    this.#normActivation = normActivation === undefined ? null : parseActivation(normActivation)
    this.#context = context
    this.#addsAtOnce =
      normPlacement === 'before' && parallelBranches === undefined && residualScale === undefined
    this.#attention = new Attention(config, context, cacheKind.type)
    this.#policy = policy
    this.ffn = new FeedForward(config, context, policy)
    this.#separate = new SeparateFeedForward(config, context)
    this.#experts = new ExpertsFeedForward(config, context, this.ffn)
  }

  /** Makes room for a pass of `rows` rows at positions below `positions`; the content of `x` is then unspecified. */
  reserve(rows: number, positions: number): void {
    this.#attention.reserve(rows, positions)
    if (2 * rows <= this.#statistics.length) return
    const { hiddenSize: d } = this.#context.config
    this.x = new Float32Array(rows * d)
    this.normed = new Float32Array(rows * d)
    if (!this.#addsAtOnce) this.#branch = new Float32Array(rows * d)
    this.#statistics = new Float32Array(2 * rows)
  }

  /** The rows of `parts`, one part after the other, through one layer; adds what was read to `stats`. */
  run(layer: LayerWeights, index: number, parts: readonly LayerRows[], stats: PassStats): void {
    const { x } = this
    const { rows } = stats
    const { hiddenSize: d, parallelBranches } = this.#context.config
    const { observer } = this.#context
    const cutting = {
      cutRows: this.#rowsToCut(parts, rows),
      mostActive: this.#policy.mostActiveChannels ?? 0,
      observer,
    }
    const branch = this.#addsAtOnce ? x : this.#branch.subarray(0, rows * d)
    const attentionNormed = this.#rectified(this.#normedOr(layer.inputNorm, rows), rows)
    const attentionInput = this.#rotated(layer, 'attention', attentionNormed, rows, stats)
    observer?.('attention', index, attentionInput, rows, d)
    const attentionRows = parts.map(({ sequence: { cache, position, isLong }, count }) => {
      return { cache, position, count, isLong }
    })
    const attention = this.#attention.run(
      layer,
      index,
      attentionRows,
      attentionInput,
      branch,
      this.#addsAtOnce,
      cutting,
    )
    stats.otherBytesRead += attention.read
    stats.attentionBytesSkipped += attention.skipped
    // Of parallel branches the FFN reads the residual stream as attention found it.
    if (!this.#addsAtOnce && parallelBranches === undefined) this.#join(branch, layer.attentionNorm, rows)
    const ffnNormed =
      parallelBranches === 'oneNorm'
        ? attentionNormed
        : this.#rectified(this.#normedOr(layer.ffnNorm, rows), rows)
    const ffnInput = this.#rotated(layer, 'ffn', ffnNormed, rows, stats)
    observer?.('ffn', index, ffnInput, rows, d)
    // All positions of a sequence are one sample: they share a draw where the activation says per=sample.
    const rowsPerSample = this.#context.config.maxPositionEmbeddings
    const ffnRows = parts.map(({ sequence, count, activeNeurons, neurons }) => {
      // Field by field: copying the object for every layer of a token took longer than the activation.
      const { seedLow, seedHigh, purpose, step } = sequence.draw
      const firstRow = sequence.position
      const draw = { seedLow, seedHigh, purpose, step, layer: index, firstRow, rowsPerSample }
      const firstCut = Math.max(0, (sequence.sparseFrom ?? 0) - firstRow)
      const approximateFrom = sequence.sparseFrom ?? 0
      return {
        ...{ activation: sequence.activation, count, draw, activeNeurons, neurons },
        ...{ firstCut, sequence, approximateFrom, ffn: sequence.ffn },
      }
    })
    const isWhole = holdsNeurons(layer.storage)
    const { read, skipped } = layer.experts
      ? this.#experts.run(layer.experts, index, ffnRows, ffnInput, branch)
      : isWhole
        ? this.ffn.run(layer, index, ffnRows, ffnInput, branch)
        : this.#separate.run(layer, index, ffnRows, ffnInput, branch, cutting)
    if (isWhole) {
      observer?.('gate', index, this.ffn.hidden, rows, this.#context.config.intermediateSize)
    }
    if (!this.#addsAtOnce) this.#join(branch, layer.ffnOutputNorm, rows)
    stats.ffnBytesRead[index] = read
    stats.ffnBytesSkipped[index] = skipped
  }

  /** 1 for each row at a position that the model's cuts apply to. */
  #rowsToCut(parts: readonly LayerRows[], rows: number): Uint8Array {
    if (this.#cutRows.length < rows) this.#cutRows = new Uint8Array(rows)
    let row = 0
    for (const { sequence, count } of parts) {
      const from = Math.max(0, (sequence.sparseFrom ?? 0) - sequence.position)
      for (let i = 0; i < count; i++) this.#cutRows[row++] = i >= from ? 1 : 0
    }
    return this.#cutRows
  }

  /** normed (count, d) = the norm of the rows [first, first + count) of `x`. */
  norm(norm: NormWeights, first: number, count: number): void {
    const { hiddenSize: d } = this.#context.config
    const from = first === 0 ? this.x : this.x.subarray(first * d, (first + count) * d)
    this.#normalize(norm, from, this.normed, count)
  }

  #normalize({ weight, bias }: NormWeights, from: Float32Array, to: Float32Array, count: number): void {
    const { kernels, config } = this.#context
    const { hiddenSize: d, rmsNormEps } = config
    if (bias === null) kernels.rmsNorm(from, weight, to, this.#statistics, count, d, rmsNormEps)
    else kernels.layerNorm(from, weight, bias, to, this.#statistics, count, d, rmsNormEps)
  }

  /** What a branch reads: normed rows, or the residual stream as it is. */
  #normedOr(norm: NormWeights | null, rows: number): Float32Array {
    if (norm === null) return this.x
    this.norm(norm, 0, rows)
    return this.normed
  }

  /** A normed input with what the config applies to it, in place: never to the residual stream itself (modelConfigProblem). */
  #rectified(normed: Float32Array, rows: number): Float32Array {
    if (this.#normActivation === null) return normed
    const { kernels, config } = this.#context
    kernels.activation(this.#normActivation, normed, normed, rows, config.hiddenSize, NO_DRAW)
    return normed
  }

  /** The input that the matrices of a rotated layer are laid out for: the rows of `normed` times its rotation. */
  #rotated(
    { rotations }: LayerWeights,
    input: RotatedInput,
    normed: Float32Array,
    rows: number,
    stats: PassStats,
  ): Float32Array {
    if (rotations === undefined) return normed
    const { decode, config } = this.#context
    const { hiddenSize: d } = config
    if (this.#turned.length < rows * d) this.#turned = new Float32Array(rows * d)
    decode.matvec(rotations[input], normed, this.#turned, d, d, rows, false)
    stats.otherBytesRead += d * weightBytes(weightTypeOf(rotations[input]), d)
    return this.#turned
  }

  /** x += the branch, normed and scaled as the model says; the branch is then 0. */
  #join(branch: Float32Array, norm: NormWeights | null, rows: number): void {
    const { kernels, config } = this.#context
    if (norm !== null) this.#normalize(norm, branch, branch, rows)
    kernels.axpy(config.residualScale ?? 1, branch, this.x, branch.length)
    branch.fill(0)
  }
}

/** A model's weights and what runs passes over them. Its sessions share its buffers: their passes alternate. */
export class ForwardPass {
  readonly config: ModelConfig
  readonly cacheKind: CacheKind
  readonly kernels: Kernels
  readonly policy: FfnPolicy
  /** Tokens beyond which a text takes the long factors of LongRoPE. */
  readonly longBeyond: number
  readonly #decode: DecodeKernels
  readonly #layers: Layers
  #weights: EngineWeights | null
  #logits = new Float32Array(0)

  constructor(context: LayerContext, weights: EngineWeights, policy: FfnPolicy) {
    this.config = context.config
    this.cacheKind = context.cacheKind
    this.kernels = context.kernels
    this.policy = policy
    this.longBeyond = context.longBeyond ?? Number.POSITIVE_INFINITY
    this.#decode = context.decode
    this.#layers = new Layers(context, policy)
    this.#weights = weights
  }

  /** Throws FlickerError MODEL_DISPOSED after dispose(). */
  get weights(): EngineWeights {
    if (this.#weights !== null) return this.#weights
    throw new FlickerError('MODEL_DISPOSED', 'this model was disposed of; load it again', { exitCode: 1 })
  }

  dispose(): void {
    this.#weights = null
  }

  /**
   * Runs all parts through all layers; `logits` then gives those of any row. Parts whose sequences share a prefix should
   * stand next to each other.
   */
  run(parts: readonly PassRows[]): PassStats {
    const { hiddenSize: d, numHiddenLayers } = this.config
    const { embedding, layers } = this.weights
    const rows = parts.reduce((sum, { count }) => sum + count, 0)
    const positions = Math.max(...parts.map(({ sequence, count }) => sequence.position + count))
    this.#layers.reserve(rows, positions)
    const { x } = this.#layers
    let row = 0
    for (const { sequence, tokens, start, count } of parts) {
      sequence.cache.reserve(sequence.position + count)
      for (let i = 0; i < count; i++, row++) {
        const own = x.subarray(row * d, (row + 1) * d)
        embed(this.config, this.weights, tokens[start + i], sequence.position + i, own)
      }
    }
    const stats = emptyStats(parts.length, rows, numHiddenLayers)
    stats.otherBytesRead = rows * weightBytes(weightTypeOf(embedding), d) + this.#cacheBytesRead(parts)
    for (const [index, layer] of layers.entries()) this.#layers.run(layer, index, parts, stats)
    for (const { sequence, count } of parts) sequence.position += count
    return stats
  }

  /** out (count, vocab) = logits of the rows [first, first + count) of the last run; adds what was read to `stats`. */
  logits(first: number, count: number, out: Float32Array, stats: PassStats): void {
    const { hiddenSize: d, vocabSize } = this.config
    const { norm, head, headBias } = this.weights
    this.#layers.norm(norm, first, count)
    this.#decode.matvec(head, this.#layers.normed, out, vocabSize, d, count, false, headBias)
    this.#finish(out, count * vocabSize)
    stats.otherBytesRead += vocabSize * weightBytes(weightTypeOf(head), d)
  }

  /** (count, d), valid until the next call: the first `count` rows of the last run after the final norm. */
  hidden(count: number): Float32Array {
    this.#layers.norm(this.weights.norm, 0, count)
    return this.#layers.normed.subarray(0, count * this.config.hiddenSize)
  }

  /**
   * Logits of some rows of the last run, ascending, in blocks: `each` gets (count, vocab), valid during the call, and the
   * index in `rows` of the block's first. Afterwards the run's rows are gone.
   */
  selectedLogits(
    rows: readonly number[],
    stats: PassStats,
    each: (logits: Float32Array, first: number, count: number) => void,
  ): void {
    const { hiddenSize: d, vocabSize } = this.config
    const { x } = this.#layers
    for (const [to, from] of rows.entries()) if (to !== from) x.copyWithin(to * d, from * d, (from + 1) * d)
    const most = Math.max(1, Math.floor(SELECTED_LOGITS / vocabSize))
    if (this.#logits.length < Math.min(most, rows.length) * vocabSize)
      this.#logits = new Float32Array(Math.min(most, rows.length) * vocabSize)
    for (let first = 0; first < rows.length; first += most) {
      const count = Math.min(most, rows.length - first)
      const logits = this.#logits.subarray(0, count * vocabSize)
      this.logits(first, count, logits, stats)
      each(logits, first, count)
    }
  }

  /** Scales and caps logits as the model says. */
  #finish(logits: Float32Array, count: number): void {
    const { logitScale = 1, finalSoftcap: cap } = this.config
    if (logitScale !== 1) for (let i = 0; i < count; i++) logits[i] *= logitScale
    if (cap !== undefined) for (let i = 0; i < count; i++) logits[i] = cap * Math.tanh(logits[i] / cap)
  }

  /** (count, vocab), valid until the next call: logits of the first `count` rows of the last run. */
  firstLogits(count: number, stats: PassStats): Float32Array {
    const size = count * this.config.vocabSize
    if (this.#logits.length < size) this.#logits = new Float32Array(size)
    const logits = this.#logits.subarray(0, size)
    this.logits(0, count, logits, stats)
    return logits
  }

  /** Bytes of keys and values of all positions before the new ones, a shared prefix once. */
  #cacheBytesRead(parts: readonly PassRows[]): number {
    const seen = new Set<object>()
    let positions = 0
    for (const { sequence } of parts) {
      const segments = sequence.cache.segments(0)
      for (const [i, { keys, start }] of segments.entries()) {
        if (seen.has(keys)) continue
        seen.add(keys)
        positions += (segments[i + 1]?.start ?? sequence.position) - start
      }
    }
    return positions * cacheBytesPerPosition(this.cacheKind)
  }
}

// The layers of a pass: norms, attention and FFN, and how their branches join the residual stream. A row is one position of
// one sequence.

import { type Activation, parseActivation } from '../activations/index.js'
import { type DecodeKernels, type Draw, type Kernels, weightBytes, weightTypeOf } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import type { RotatedInput } from '../nn/cuts.js'
import { Attention, type CutRows, type VectorObserver } from './attention/attention.js'
import type { KvCache } from './attention/kv-cache.js'
import { ExpertsFeedForward } from './ffn/experts-ffn.js'
import { FeedForward } from './ffn/ffn.js'
import type { FfnMode, FfnPlan, FfnPolicy, FfnRows } from './ffn/policy.js'
import { SeparateFeedForward } from './ffn/separate-ffn.js'
import { CompactNeurons } from './model/compact-neurons.js'
import type { CacheKind } from './model/memory.js'
import { holdsNeurons, isByChannel, type LayerWeights, type NormWeights } from './model/weights.js'
import type { PassStats } from './pass-stats.js'

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

/** The new rows of one sequence. */
export interface LayerRows {
  readonly sequence: LayerSequence
  readonly count: number
  /** Receives the active neurons per layer of the last row. */
  readonly activeNeurons: Int32Array
  /** Receives the signs of the last row's activations, layers × intermediateSize. Default: nobody asks. */
  readonly neurons?: Uint8Array
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
  #buffersMade = 0

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
    this.#buffersMade++
    const { hiddenSize: d } = this.#context.config
    this.x = new Float32Array(rows * d)
    this.normed = new Float32Array(rows * d)
    if (!this.#addsAtOnce) this.#branch = new Float32Array(rows * d)
    this.#statistics = new Float32Array(2 * rows)
  }

  /** Counts the times that buffers which outlive a pass were replaced: recorded calls of before are then stale. */
  get buffersMade(): number {
    return this.#buffersMade + this.#attention.buffersMade + this.ffn.buffersMade
  }

  /** Whether a token's calls, but for its position, are those of the token before: nothing but kernels computes. */
  repeats({ storage, up, neurons }: LayerWeights): { readonly attention: boolean; readonly ffn: boolean } {
    const attention = this.#addsAtOnce && this.#context.observer === undefined && !isByChannel(storage)
    const plain = holdsNeurons(storage) && up === null && !(neurons instanceof CompactNeurons)
    return { attention, ffn: attention && plain && this.#context.config.experts === undefined }
  }

  /** The rows of `parts`, one part after the other, through one layer; adds what was read to `stats`. */
  run(layer: LayerWeights, index: number, parts: readonly LayerRows[], stats: PassStats): void {
    const normed = this.attend(layer, index, parts, stats)
    this.feedForward(layer, index, parts, stats, normed)
  }

  /** The first half of a layer. Returns what attention read, (rows, d). */
  attend(layer: LayerWeights, index: number, parts: readonly LayerRows[], stats: PassStats): Float32Array {
    const { rows } = stats
    const { hiddenSize: d, parallelBranches } = this.#context.config
    const { observer } = this.#context
    const branch = this.#branchOf(rows)
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
      this.#cutting(parts, rows),
    )
    stats.otherBytesRead += attention.read
    stats.attentionBytesSkipped += attention.skipped
    // Of parallel branches the FFN reads the residual stream as attention found it.
    if (!this.#addsAtOnce && parallelBranches === undefined) this.#join(branch, layer.attentionNorm, rows)
    return attentionNormed
  }

  /** The second half. `plan`: how the FFN is computed; default: as the policy says. */
  feedForward(
    layer: LayerWeights,
    index: number,
    parts: readonly LayerRows[],
    stats: PassStats,
    attentionNormed: Float32Array,
    plan?: FfnPlan,
  ): void {
    const { rows } = stats
    const { hiddenSize: d, parallelBranches } = this.#context.config
    const { observer } = this.#context
    const branch = this.#branchOf(rows)
    const ffnNormed =
      parallelBranches === 'oneNorm'
        ? attentionNormed
        : this.#rectified(this.#normedOr(layer.ffnNorm, rows), rows)
    const ffnInput = this.#rotated(layer, 'ffn', ffnNormed, rows, stats)
    observer?.('ffn', index, ffnInput, rows, d)
    const ffnRows = this.ffnRows(parts, index)
    const isWhole = holdsNeurons(layer.storage)
    const { read, skipped } = layer.experts
      ? this.#experts.run(layer.experts, index, ffnRows, ffnInput, branch)
      : isWhole
        ? this.ffn.run(layer, index, ffnRows, ffnInput, branch, plan)
        : this.#separate.run(layer, index, ffnRows, ffnInput, branch, this.#cutting(parts, rows))
    if (isWhole) {
      observer?.('gate', index, this.ffn.hidden, rows, this.#context.config.intermediateSize)
    }
    if (!this.#addsAtOnce) this.#join(branch, layer.ffnOutputNorm, rows)
    stats.ffnBytesRead[index] = read
    stats.ffnBytesSkipped[index] = skipped
  }

  /** The rows of `parts` as the FFN of a layer sees them. */
  ffnRows(parts: readonly LayerRows[], layer: number): FfnRows[] {
    // All positions of a sequence are one sample: they share a draw where the activation says per=sample.
    const rowsPerSample = this.#context.config.maxPositionEmbeddings
    return parts.map(({ sequence, count, activeNeurons, neurons }) => {
      // Field by field: copying objects for every layer of a token took longer than the activation.
      const { activation, ffn, position: firstRow, sparseFrom: approximateFrom = 0 } = sequence
      const { seedLow, seedHigh, purpose, step } = sequence.draw
      const draw = { seedLow, seedHigh, purpose, step, layer, firstRow, rowsPerSample }
      const firstCut = Math.max(0, approximateFrom - firstRow)
      return { activation, count, draw, activeNeurons, neurons, firstCut, sequence, approximateFrom, ffn }
    })
  }

  /** Where a branch writes: onto the residual stream, or where it is joined from. */
  #branchOf(rows: number): Float32Array {
    return this.#addsAtOnce ? this.x : this.#branch.subarray(0, rows * this.#context.config.hiddenSize)
  }

  #cutting(parts: readonly LayerRows[], rows: number): CutRows {
    return {
      cutRows: this.#rowsToCut(parts, rows),
      mostActive: this.#policy.mostActiveChannels ?? 0,
      observer: this.#context.observer,
    }
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
    if (this.#turned.length < rows * d) {
      this.#turned = new Float32Array(rows * d)
      this.#buffersMade++
    }
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

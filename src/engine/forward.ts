// The forward pass: embedding, the layers (layers.ts), and the head. The rows of a pass belong to one sequence (a prompt) or
// to several (decoded together); each weight is read once for all of them, and every row comes out with the same bits as
// alone. The kernel calls of a token that is read alone are recorded, and the next tokens repeat them (token-replay.ts).

import { FlickerError } from '../errors.js'
import {
  callRecorderOf,
  type DecodeKernels,
  type Kernels,
  weightBytes,
  weightTypeOf,
} from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import type { KvCache } from './attention/kv-cache.js'
import type { FfnPolicy } from './ffn/policy.js'
import { type LayerContext, type LayerRows, type LayerSequence, Layers } from './layers.js'
import { type CacheKind, cacheBytesPerPosition } from './model/memory.js'
import { type EngineWeights, embed } from './model/weights.js'
import { emptyStats, type PassStats } from './pass-stats.js'
import { TokenReplay } from './token-replay.js'

/** Logits that are computed together at most: 16 MB, which the caches of a processor about hold. */
const SELECTED_LOGITS = 2 ** 22

/** A sequence as a pass sees it. */
export interface SequenceState extends LayerSequence {
  cache: KvCache
  position: number
  isLong: boolean
}

/** The new rows of one sequence, which read tokens [start, start + count). */
export interface PassRows extends LayerRows {
  readonly sequence: SequenceState
  readonly tokens: ArrayLike<number>
  readonly start: number
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
  readonly #replays: boolean
  #replayOf = new WeakMap<SequenceState, TokenReplay>()
  #weights: EngineWeights | null
  #logits = new Float32Array(0)

  /** `replays`: whether the kernel calls of a token are recorded, and repeated for the next: the result is the same. */
  constructor(context: LayerContext, weights: EngineWeights, policy: FfnPolicy, replays = true) {
    this.#replays = replays
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
    this.#replayOf = new WeakMap()
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
    const replay = rows === 1 ? this.#replay(parts[0]) : null
    if (replay !== null) replay.run(parts[0], stats)
    else for (const [index, layer] of layers.entries()) this.#layers.run(layer, index, parts, stats)
    for (const { sequence, count } of parts) sequence.position += count
    return stats
  }

  /** What repeats the calls of a sequence's tokens; null where they have to be made one by one. */
  #replay({ sequence, neurons }: PassRows): TokenReplay | null {
    // What neurons were active is looked up between the calls.
    if (!this.#replays || neurons !== undefined) return null
    const known = this.#replayOf.get(sequence)
    if (known?.isCurrent(sequence)) return known.isUseful ? known : null
    const recorder = callRecorderOf(this.kernels)
    if (recorder === null) return null
    const made = new TokenReplay(recorder, this.#layers, this.weights.layers, this.policy, sequence)
    this.#replayOf.set(sequence, made)
    return made
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

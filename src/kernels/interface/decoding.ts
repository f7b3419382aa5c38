// The kernels of decoding: a few positions at a time against matrices of weights that are read once, in the engine's
// own layout. Two backends as for `Kernels`, chosen with them.
//
// Conventions beside those of training.ts: rows of weights are contiguous and of one of the types in weights/types.ts;
// everything else is f32 but the caches of keys and values. On one backend the result is the same bits for any number
// of threads, for any `batch` the positions are cut into, and for sparse and dense: a term that is an exact zero leaves
// a sum as it is.

import type { Weights } from '../weights/types.js'
import type { AttentionScores } from './training.js'

/** The inner vector of an FFN and what is done with it. */
export interface FfnShape {
  /** intermediate_size h. */
  readonly neurons: number
  /** hidden_size d. */
  readonly width: number
  /** Numbers of x, and of the up rows of gated neurons. Default: d. */
  readonly upWidth?: number
  /** Positions. */
  readonly batch: number
  /** Each neuron is its up row, of upWidth numbers, and then its down column, of d; else its down column alone. */
  readonly gated: boolean
  /**
   * Skip the neurons that are exactly 0 at all positions of the batch where at most this many are not: 0 for never, `neurons`
   * for always. The result is the same.
   */
  readonly maxActive: number
  /**
   * (neurons): the index of each neuron in the weights, −1 for one that they do not have and that must be exactly 0.
   * Default: the same index.
   */
  readonly rowOf?: Int32Array
}

/**
 * How hidden states are multiplied by quantized weights: as they are, in f32, or as integers of 16 bits with a scale per 32 of
 * them, per 256 for K-quants (docs/engine.md). Products of integers are exact, so they are the same bits on every instruction set.
 */
export const activationTypes = ['f32', 'int16'] as const
export type ActivationType = (typeof activationTypes)[number]

/**
 * How keys and values are stored: f32, f16, or q8: int8 in groups of 32 with an f16 scale each, as q8_0. Native code knows
 * each by its position in this list.
 */
export const cacheTypes = ['f32', 'f16', 'q8'] as const
export type CacheType = (typeof cacheTypes)[number]

/**
 * Keys and values of consecutive positions of one layer, as bytes: each buffer holds (kvHeads, capacity) rows of
 * cacheRowBytes(type, headDim) bytes.
 */
export interface CacheSegment {
  readonly keys: Uint8Array
  readonly values: Uint8Array
  /** Positions that there is room for. */
  readonly capacity: number
  /** The position that row 0 holds. */
  readonly start: number
}

/** The new positions of one sequence, and where its positions are kept. */
export interface CachedSequence {
  /** How many of the batch's rows are its, after those of the sequences before it. */
  readonly count: number
  /** The position of the first of them; the others follow it. */
  readonly position: number
  /**
   * The first starts at position 0, each holds the positions up to the start of the next. The new positions are written
   * into the last, the others are only read: sequences that go on from one prompt have its segment in common, which is
   * then read once for all that stand next to each other in the batch.
   */
  readonly segments: readonly CacheSegment[]
}

export interface AttentionHeads extends AttentionScores {
  readonly heads: number
  /** Divides `heads`; query head j reads key/value head floor(j / (heads / kvHeads)). */
  readonly kvHeads: number
  /** Even. */
  readonly headDim: number
}

/** Bytes of one key or value: f32 and f16 plainly; q8 the f16 scales of the groups of 32, then int8 in whole groups. */
export function cacheRowBytes(type: CacheType, headDim: number): number {
  return { f32: 4 * headDim, f16: 2 * headDim, q8: 34 * Math.ceil(headDim / 32) }[type]
}

export interface DecodeKernels {
  readonly backend: 'native' | 'wasm' | 'portable'
  readonly isa: string
  readonly activations: ActivationType
  /** y (batch, rows) = x (batch, columns) · wᵀ + bias (rows), or += with `accumulate`; w: (rows, columns). */
  matvec(
    w: Weights,
    x: Float32Array,
    y: Float32Array,
    rows: number,
    columns: number,
    batch: number,
    accumulate: boolean,
    bias?: Float32Array | null,
  ): void
  /**
   * y (batch, rows) = x (batch, columns) · wᵀ with the bits of `matvec` in the rows of w that have a number other than 0
   * in `chosen` (batch, rows) at one position or more; 0 in all others, which are not read.
   */
  selectedRows(
    w: Weights,
    chosen: Float32Array,
    x: Float32Array,
    y: Float32Array,
    rows: number,
    columns: number,
    batch: number,
  ): void
  /**
   * The FFN after its activation: y (batch, d) += Σ over neurons i of hidden_i · down_i, where hidden_i is
   * activated_i · (up_i · x) when gated, else activated_i. activated: (batch, h); x: (batch, upWidth), unread unless gated;
   * active (batch) receives how many activated values are not 0. Returns how many neurons are not 0 at one position or more.
   */
  ffnNeurons(
    w: Weights,
    activated: Float32Array,
    x: Float32Array,
    y: Float32Array,
    active: Int32Array,
    shape: FfnShape,
  ): number
  /**
   * Causal attention of new positions over all before them in their sequences. qkv: (batch, (heads + 2·kvHeads)·headDim),
   * each row [q | k | v], batch being the sum of the sequences' counts; q and k are turned in place (half-split rotary
   * embedding; cos, sin: (beyond the last position, headDim/2)), k and v are stored in the cache, and
   * out: (batch, heads·headDim). The bits of a row depend on its own sequence alone: not on what else is in the batch, and
   * not on how the sequence is cut into segments.
   */
  attention(
    qkv: Float32Array,
    cos: Float32Array,
    sin: Float32Array,
    cache: CacheType,
    sequences: readonly CachedSequence[],
    out: Float32Array,
    heads: AttentionHeads,
  ): void
}

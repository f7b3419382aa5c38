// The kernels of decoding: a few positions at a time against matrices of weights that are read once, in the engine's
// own layout. Two backends as for `Kernels`, chosen with them.
//
// Conventions beside those of kernels.ts: rows of weights are contiguous and of one of four types (quantised.ts);
// everything else is f32 but the caches of keys and values. On one backend the result is the same bits for any number
// of threads, for any `batch` the positions are cut into, and for sparse and dense: a term that is an exact zero leaves
// a sum as it is.

import { nativeFunction } from './native.js'
import { portableDecodeKernels } from './portable/decode.js'
import type { QuantisedWeights } from './quantised.js'

/** A row-major matrix: f32, bf16 as bit patterns (the upper halves of f32), or quantised. */
export type Weights = PlainWeights | QuantisedWeights
export type PlainWeights = Float32Array | Uint16Array

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
  /** Weights are rows of d numbers: neuron i is rows 2i (its up row) and 2i + 1 (its down column); else row i, its down column. */
  readonly gated: boolean
  /** Skip the neurons that are exactly 0 at all positions of the batch. The result is the same. */
  readonly sparse: boolean
}

/** How keys and values are stored: f32, f16, or q8: int8 in groups of 32 with an f16 scale each, as q8_0. */
export type CacheType = 'f32' | 'f16' | 'q8'

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

export interface AttentionHeads {
  readonly heads: number
  /** Divides `heads`; query head j reads key/value head floor(j / (heads / kvHeads)). */
  readonly kvHeads: number
  /** Even. */
  readonly headDim: number
}

/** Bytes of one key or value: f32 and f16 plainly; q8 int8 in whole groups of 32, then their f16 scales. */
export function cacheRowBytes(type: CacheType, headDim: number): number {
  const groups = Math.ceil(headDim / 32)
  return { f32: 4 * headDim, f16: 2 * headDim, q8: 34 * groups }[type]
}

/** Of `cachedAttention`, which `attention` replaces. */
export interface CachedAttentionShape extends AttentionHeads {
  readonly batch: number
  readonly position: number
  readonly capacity: number
}

export interface DecodeKernels {
  readonly backend: 'native' | 'portable'
  readonly isa: string
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
   * The FFN after its activation: y (batch, d) += Σ over neurons i of hidden_i · down_i, where hidden_i is
   * activated_i · (up_i · x) when gated, else activated_i. activated: (batch, h); x: (batch, d), unread unless gated;
   * active (batch) receives how many activated values are not 0.
   */
  ffnNeurons(
    w: Weights,
    activated: Float32Array,
    x: Float32Array,
    y: Float32Array,
    active: Int32Array,
    shape: FfnShape,
  ): void
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
  /** As `attention`, of one sequence over a cache of f32 in one segment. */
  cachedAttention(
    qkv: Float32Array,
    cos: Float32Array,
    sin: Float32Array,
    keys: Float32Array,
    values: Float32Array,
    out: Float32Array,
    shape: CachedAttentionShape,
  ): void
}

/** `attention` by `cachedAttention`, for what the latter can do. */
function byCachedAttention(kernels: Pick<DecodeKernels, 'cachedAttention'>): DecodeKernels['attention'] {
  return (qkv, cos, sin, cache, sequences, out, heads) => {
    const row = (heads.heads + 2 * heads.kvHeads) * heads.headDim
    let first = 0
    for (const { count, position, segments } of sequences) {
      const [{ keys, values, capacity }] = segments
      if (cache !== 'f32' || segments.length > 1) throw new Error('attention over such caches is being built')
      const floats = (bytes: Uint8Array) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4)
      kernels.cachedAttention(
        qkv.subarray(first * row),
        cos,
        sin,
        floats(keys),
        floats(values),
        out.subarray(first * heads.heads * heads.headDim),
        { ...heads, batch: count, position, capacity },
      )
      first += count
    }
  }
}

/** The native decoding kernels of one instruction set. Throws when they are not there. */
export function nativeDecodeKernels(isa: string): DecodeKernels {
  const matvec = nativeFunction(isa, 'matvec')
  const ffnNeurons = nativeFunction(isa, 'ffnNeurons')
  const cachedAttention = nativeFunction(isa, 'cachedAttention')
  const addBias = nativeFunction(isa, 'addBias')
  const kernels: Omit<DecodeKernels, 'attention'> = {
    backend: 'native',
    isa,
    matvec: (w, x, y, rows, columns, batch, accumulate, bias = null) => {
      matvec(w, x, y, rows, columns, batch, accumulate)
      if (bias !== null) addBias(y, bias, batch, rows)
    },
    ffnNeurons: (w, activated, x, y, active, s) => {
      ffnNeurons(w, activated, x, y, active, s.neurons, s.width, s.batch, s.gated, s.sparse)
    },
    cachedAttention: (qkv, cos, sin, keys, values, out, s) => {
      const sizes = [s.batch, s.position, s.capacity, s.heads, s.kvHeads, s.headDim]
      cachedAttention(qkv, cos, sin, keys, values, out, ...sizes)
    },
  }
  return { ...kernels, attention: byCachedAttention(kernels) }
}

/** The decoding kernels of the backend that `kernels()` has chosen. */
export function decodeKernelsOf(kernels: { backend: 'native' | 'portable'; isa: string }): DecodeKernels {
  return kernels.backend === 'native' ? nativeDecodeKernels(kernels.isa) : portable()
}

function portable(): DecodeKernels {
  const kernels = portableDecodeKernels()
  return { ...kernels, attention: byCachedAttention(kernels) }
}

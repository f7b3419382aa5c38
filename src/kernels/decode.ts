// The kernels of decoding: a few positions at a time against matrices of weights that are read once, in the engine's
// own layout. Two backends as for `Kernels`, chosen with them.
//
// Conventions beside those of kernels.ts: weights are f32 or bf16 and rows of them are contiguous; everything else is
// f32. On one backend the result is the same bits for any number of threads, for any `batch` the positions are cut
// into, and for sparse and dense: a term that is an exact zero leaves a sum as it is.

import { nativeFunction } from './native.js'
import { portableDecodeKernels } from './portable/decode.js'

/** A row-major matrix: f32, or bf16 as bit patterns (the upper halves of f32). */
export type Weights = Float32Array | Uint16Array

/** The inner vector of an FFN and what is done with it. */
export interface FfnShape {
  /** intermediate_size h. */
  readonly neurons: number
  /** hidden_size d. */
  readonly width: number
  /** Positions. */
  readonly batch: number
  /** Weights are (h, 2·d), neuron i being [up_i | down_i]; else (h, d), neuron i being down_i. */
  readonly gated: boolean
  /** Skip the neurons that are exactly 0 at all positions of the batch. The result is the same. */
  readonly sparse: boolean
}

export interface CachedAttentionShape {
  /** Positions position … position + batch − 1 of one sequence. */
  readonly batch: number
  readonly position: number
  /** Positions that the cache has room for. */
  readonly capacity: number
  readonly heads: number
  /** Divides `heads`; query head j reads key/value head floor(j / (heads / kvHeads)). */
  readonly kvHeads: number
  /** Even. */
  readonly headDim: number
}

export interface DecodeKernels {
  readonly backend: 'native' | 'portable'
  readonly isa: string
  /** y (batch, rows) = x (batch, columns) · wᵀ, or += with `accumulate`; w: (rows, columns). */
  matvec(
    w: Weights,
    x: Float32Array,
    y: Float32Array,
    rows: number,
    columns: number,
    batch: number,
    accumulate: boolean,
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
   * Causal attention of new positions over all before them. qkv: (batch, (heads + 2·kvHeads)·headDim), each row
   * [q | k | v]; q and k are turned in place (half-split rotary embedding; cos, sin: (≥ position + batch, headDim/2)),
   * k and v are stored in the caches (kvHeads, capacity, headDim), and out: (batch, heads·headDim).
   */
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

/** The native decoding kernels of one instruction set. Throws when they are not there. */
export function nativeDecodeKernels(isa: string): DecodeKernels {
  const matvec = nativeFunction(isa, 'matvec')
  const ffnNeurons = nativeFunction(isa, 'ffnNeurons')
  const cachedAttention = nativeFunction(isa, 'cachedAttention')
  return {
    backend: 'native',
    isa,
    matvec: (w, x, y, rows, columns, batch, accumulate) => {
      matvec(w, x, y, rows, columns, batch, accumulate)
    },
    ffnNeurons: (w, activated, x, y, active, s) => {
      ffnNeurons(w, activated, x, y, active, s.neurons, s.width, s.batch, s.gated, s.sparse)
    },
    cachedAttention: (qkv, cos, sin, keys, values, out, s) => {
      const sizes = [s.batch, s.position, s.capacity, s.heads, s.kvHeads, s.headDim]
      cachedAttention(qkv, cos, sin, keys, values, out, ...sizes)
    },
  }
}

/** The decoding kernels of the backend that `kernels()` has chosen. */
export function decodeKernelsOf(kernels: { backend: 'native' | 'portable'; isa: string }): DecodeKernels {
  return kernels.backend === 'native' ? nativeDecodeKernels(kernels.isa) : portableDecodeKernels()
}

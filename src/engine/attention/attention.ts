// One layer's attention at the rows of a pass: projections, rotary positions, the cache and the output projection. Several
// sequences share each weight; every row attends to its own sequence alone.

import {
  type CacheType,
  type DecodeKernels,
  type Weights,
  weightBytes,
  weightTypeOf,
} from '../../kernels/index.js'
import { headDimOf, type ModelConfig } from '../../nn/config.js'
import { ropeFrequencies } from '../../nn/rope.js'
import type { LayerWeights } from '../model/weights.js'
import type { KvCache } from './kv-cache.js'

/** New rows of one sequence: `count` positions from `position` on. */
export interface AttentionRows {
  readonly cache: Pick<KvCache, 'segments'>
  readonly position: number
  readonly count: number
}

export class Attention {
  readonly #config: ModelConfig
  readonly #decode: DecodeKernels
  readonly #cacheType: CacheType
  readonly #rotation: RotationTable
  /** (rows, q + 2·kv). */
  #qkv = new Float32Array(0)
  /** What the heads have gathered, (rows, q). */
  #gathered = new Float32Array(0)
  #rows = 0

  constructor(config: ModelConfig, decode: DecodeKernels, cacheType: CacheType) {
    this.#config = config
    this.#decode = decode
    this.#cacheType = cacheType
    this.#rotation = new RotationTable(config)
  }

  /** Makes room for passes of `rows` rows at positions below `positions`. */
  reserve(rows: number, positions: number): void {
    this.#rotation.reserve(positions)
    if (rows <= this.#rows) return
    const { numAttentionHeads, numKeyValueHeads } = this.#config
    const headDim = headDimOf(this.#config)
    this.#qkv = new Float32Array(rows * (numAttentionHeads + 2 * numKeyValueHeads) * headDim)
    this.#gathered = new Float32Array(rows * numAttentionHeads * headDim)
    this.#rows = rows
  }

  /**
   * x (rows, d) += o_proj(attention(normed (rows, d))), the rows of `sequences` one after the other; the new keys and
   * values go into their caches. Returns the bytes of weights that were read.
   */
  run(
    layer: LayerWeights,
    index: number,
    sequences: readonly AttentionRows[],
    normed: Float32Array,
    x: Float32Array,
  ): number {
    const { hiddenSize: d, numAttentionHeads: heads, numKeyValueHeads: kvHeads } = this.#config
    const headDim = headDimOf(this.#config)
    const width = (heads + 2 * kvHeads) * headDim
    const rows = sequences.reduce((sum, { count }) => sum + count, 0)
    const [qkv, gathered] = [this.#qkv, this.#gathered]
    const { cos, sin } = this.#rotation
    this.#decode.matvec(layer.qkv, normed, qkv, width, d, rows, false, layer.qkvBias)
    const cached = sequences.map(({ cache, position, count }) => {
      return { count, position, segments: cache.segments(index) }
    })
    this.#decode.attention(qkv, cos, sin, this.#cacheType, cached, gathered, { heads, kvHeads, headDim })
    this.#decode.matvec(layer.output, gathered, x, d, heads * headDim, rows, true, layer.outputBias)
    return bytesOf(layer.qkv, width, d) + bytesOf(layer.output, d, heads * headDim)
  }
}

/** cos and sin of position · frequency, (capacity, headDim/2) each; the same values as in training. */
class RotationTable {
  cos = new Float32Array(0)
  sin = new Float32Array(0)
  readonly #frequencies: Float64Array

  constructor(config: ModelConfig) {
    this.#frequencies = ropeFrequencies(config, headDimOf(config))
  }

  /** Extends the tables to at least `length` positions. */
  reserve(length: number): void {
    const half = this.#frequencies.length
    const known = this.cos.length
    if (known >= length * half) return
    const [cos, sin] = [new Float32Array(length * half), new Float32Array(length * half)]
    cos.set(this.cos)
    sin.set(this.sin)
    for (let i = known; i < cos.length; i++) {
      const angle = Math.floor(i / half) * this.#frequencies[i % half]
      cos[i] = Math.cos(angle)
      sin[i] = Math.sin(angle)
    }
    this.cos = cos
    this.sin = sin
  }
}

function bytesOf(w: Weights, rows: number, columns: number): number {
  return rows * weightBytes(weightTypeOf(w), columns)
}

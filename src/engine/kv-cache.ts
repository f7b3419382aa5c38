// Keys and values of the positions seen so far, per layer, and the rotation angles up to the same length. They grow
// by doubling up to the model's context, so that a short text does not pay for the longest.

import { alignedBuffer } from '../kernels/index.js'
import { headDimOf, type ModelConfig } from '../nn/config.js'
import { ropeFrequencies } from '../nn/rope.js'

const FIRST_CAPACITY = 128

export interface LayerCache {
  /** Each (kvHeads, capacity, headDim), f32. */
  keys: Float32Array
  values: Float32Array
}

export class KvCache {
  readonly layers: LayerCache[]
  #capacity = 0
  readonly #config: ModelConfig
  readonly #headDim: number

  constructor(config: ModelConfig) {
    this.#config = config
    this.#headDim = headDimOf(config)
    this.layers = Array.from({ length: config.numHiddenLayers }, () => ({
      keys: new Float32Array(0),
      values: new Float32Array(0),
    }))
  }

  /** Positions there is room for. */
  get capacity(): number {
    return this.#capacity
  }

  /** Makes room for `length` positions, at most the model's context; keeps what is stored. */
  reserve(length: number): void {
    if (length <= this.#capacity) return
    const limit = this.#config.maxPositionEmbeddings
    const capacity = Math.min(limit, Math.max(length, 2 * this.#capacity, FIRST_CAPACITY))
    for (const layer of this.layers) {
      layer.keys = this.#grown(layer.keys, capacity)
      layer.values = this.#grown(layer.values, capacity)
    }
    this.#capacity = capacity
  }

  /** A cache with the same first `length` positions, to go on from. */
  fork(length: number): KvCache {
    const copy = new KvCache(this.#config)
    copy.reserve(length)
    for (const [index, { keys, values }] of this.layers.entries()) {
      this.#copyHeads(keys, this.#capacity, copy.layers[index].keys, copy.#capacity, length)
      this.#copyHeads(values, this.#capacity, copy.layers[index].values, copy.#capacity, length)
    }
    return copy
  }

  #grown(old: Float32Array, capacity: number): Float32Array {
    const grown = new Float32Array(
      alignedBuffer(this.#config.numKeyValueHeads * capacity * this.#headDim * 4),
    )
    this.#copyHeads(old, this.#capacity, grown, capacity, this.#capacity)
    return grown
  }

  #copyHeads(from: Float32Array, stride: number, to: Float32Array, toStride: number, length: number): void {
    for (let head = 0; head < this.#config.numKeyValueHeads; head++) {
      const start = head * stride * this.#headDim
      to.set(from.subarray(start, start + length * this.#headDim), head * toStride * this.#headDim)
    }
  }
}

/** cos and sin of position · frequency, (capacity, headDim/2) each; the same numbers as in training. */
export class RotationTable {
  cos = new Float32Array(0)
  sin = new Float32Array(0)
  readonly #frequencies: Float64Array

  constructor(config: ModelConfig) {
    this.#frequencies = ropeFrequencies(config)
  }

  /** Makes the tables reach at least `length` positions. */
  reserve(length: number): void {
    const half = this.#frequencies.length
    const known = this.cos.length
    if (known >= length * half) return
    const [cos, sin] = [new Float32Array(length * half), new Float32Array(length * half)]
    cos.set(this.cos)
    sin.set(this.sin)
    for (let at = known; at < cos.length; at++) {
      const angle = Math.floor(at / half) * this.#frequencies[at % half]
      cos[at] = Math.cos(angle)
      sin[at] = Math.sin(angle)
    }
    this.cos = cos
    this.sin = sin
  }
}

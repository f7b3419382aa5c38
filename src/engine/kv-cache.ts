// Keys and values of the positions seen so far, per layer, and the rotation angles up to the same length. They grow
// by doubling up to the model's context, so that a short text does not pay for the longest.

import { alignedBuffer } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'

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
    this.#headDim = config.hiddenSize / config.numAttentionHeads
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

  #grown(old: Float32Array, capacity: number): Float32Array {
    const heads = this.#config.numKeyValueHeads
    const [before, after] = [this.#capacity * this.#headDim, capacity * this.#headDim]
    const grown = new Float32Array(alignedBuffer(heads * after * 4))
    for (let head = 0; head < heads; head++) {
      grown.set(old.subarray(head * before, (head + 1) * before), head * after)
    }
    return grown
  }
}

/** cos and sin of position · theta^(−2i/headDim), (capacity, headDim/2) each; the same numbers as in training. */
export class RotationTable {
  cos = new Float32Array(0)
  sin = new Float32Array(0)
  readonly #headDim: number
  readonly #theta: number

  constructor(config: ModelConfig) {
    this.#headDim = config.hiddenSize / config.numAttentionHeads
    this.#theta = config.ropeTheta
  }

  /** Makes the tables reach at least `length` positions. */
  reserve(length: number): void {
    const half = this.#headDim / 2
    const known = this.cos.length
    if (known >= length * half) return
    const [cos, sin] = [new Float32Array(length * half), new Float32Array(length * half)]
    cos.set(this.cos)
    sin.set(this.sin)
    for (let at = known; at < cos.length; at++) {
      const angle = Math.floor(at / half) * this.#theta ** ((-2 * (at % half)) / this.#headDim)
      cos[at] = Math.cos(angle)
      sin[at] = Math.sin(angle)
    }
    this.cos = cos
    this.sin = sin
  }
}

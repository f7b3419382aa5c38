// Keys and values of the positions seen so far, per layer. A cache grows by doubling up to the model's context, so that a
// short sequence does not allocate the longest. A cache can continue another one: the shared prefix is then stored once.

import { type CacheSegment, cacheRowBytes, collectedBytes } from '../../kernels/index.js'
import { headDimOf } from '../../nn/config.js'
import { type CacheKind, cacheBytesPerPosition, requireCacheMemory } from '../model/memory.js'

const FIRST_CAPACITY = 128

export class KvCache {
  readonly #kind: CacheKind
  /** [layer][segment]; the last segment is this cache's own, those before it belong to the caches it continues. */
  #layers: CacheSegment[][]
  #capacity = 0
  readonly #start: number

  /** Continues the first `length` positions of `prefix`, which must not be changed any more. */
  constructor(kind: CacheKind, prefix?: KvCache, length = 0) {
    this.#kind = kind
    this.#start = length
    this.#layers = Array.from({ length: kind.config.numHiddenLayers }, (_, layer) => {
      const shared = (prefix?.segments(layer) ?? []).filter(({ start }) => start < length)
      return [...shared, { keys: new Uint8Array(0), values: new Uint8Array(0), capacity: 0, start: length }]
    })
  }

  /** The segments of one layer, as the attention kernel takes them. */
  segments(layer: number): readonly CacheSegment[] {
    return this.#layers[layer]
  }

  /** Identifies the stored beginning: the same object for all caches with a shared prefix. */
  get root(): object {
    return this.#layers[0][0].keys
  }

  /**
   * Makes room for positions below `length`, at most the model's context; keeps what is stored. Throws OptionError
   * CACHE_MEMORY before anything is allocated.
   */
  reserve(length: number): void {
    const own = length - this.#start
    if (own <= this.#capacity) return
    const { config, memory } = this.#kind
    const limit = config.maxPositionEmbeddings - this.#start
    const ample = Math.min(limit, Math.max(own, 2 * this.#capacity, FIRST_CAPACITY))
    const fits = ample * cacheBytesPerPosition(this.#kind) <= memory.available()
    const capacity = fits ? ample : own
    requireCacheMemory(this.#kind, { tokens: capacity, sequences: 1 })
    this.#allocate(capacity)
  }

  /** Makes room for positions below `length` and no more; whether there is memory for them, the caller has checked. */
  reserveExactly(length: number): void {
    if (length - this.#start > this.#capacity) this.#allocate(length - this.#start)
  }

  #allocate(capacity: number): void {
    const { config, type } = this.#kind
    this.#layers = this.#layers.map(segments => {
      const last = segments[segments.length - 1]
      const grown = (old: Uint8Array) => this.#grown(old, capacity, cacheRowBytes(type, headDimOf(config)))
      return [
        ...segments.slice(0, -1),
        { keys: grown(last.keys), values: grown(last.values), capacity, start: this.#start },
      ]
    })
    this.#capacity = capacity
  }

  #grown(old: Uint8Array, capacity: number, rowBytes: number): Uint8Array {
    const heads = this.#kind.config.numKeyValueHeads
    const [before, after] = [this.#capacity * rowBytes, capacity * rowBytes]
    const grown = collectedBytes(heads * after)
    for (let head = 0; head < heads; head++) {
      grown.set(old.subarray(head * before, (head + 1) * before), head * after)
    }
    return grown
  }
}

// Buffers that are used again: after the first step a training step allocates no more.

import { type Floats, pagedFloats } from '../kernels/index.js'
import type { DType } from './tensor.js'

interface Slot {
  readonly buffer: Floats
  readonly free: Slot[]
  taken: boolean
}

/** Elements from which on a buffer is part of a larger one, in huge pages where the system gives them. */
const LEAST_SHARED = 2 ** 13
/** Elements of such a larger buffer: as many as all before it, within these limits. */
const [SMALLEST_CHUNK, LARGEST_CHUNK] = [2 ** 18, 2 ** 23]
/** Elements between two buffers: at a distance of whole pages their rows would fall into one cache set. */
const GAP = 5 * 16

/** Hands out buffers by exact size and takes them back, one by one or all at once. */
export class Arena {
  readonly #dtype: DType
  // Filled when a buffer is made and never changed after: collections that shrink and grow with every step would leave
  // garbage that the collector is slow to find.
  readonly #slots = new Map<Floats, Slot>()
  readonly #freeBySize = new Map<number, Slot[]>()
  #chunk: Float32Array = new Float32Array(0)
  #chunkUsed = 0

  constructor(dtype: DType) {
    this.#dtype = dtype
  }

  /** A buffer of `size` elements with unspecified content. */
  take(size: number): Floats {
    const slot = this.#freeBySize.get(size)?.pop() ?? this.#make(size)
    slot.taken = true
    return slot.buffer
  }

  /** Makes one buffer free again; buffers that are not the arena's, or free already, are left alone. */
  give(buffer: Floats): void {
    const slot = this.#slots.get(buffer)
    if (slot?.taken !== true) return
    slot.taken = false
    slot.free.push(slot)
  }

  /** Makes every buffer free: nothing taken before may be used any longer. */
  giveAll(): void {
    for (const buffer of this.#slots.keys()) this.give(buffer)
  }

  /** Bytes held, in use or free. */
  get bytes(): number {
    let bytes = 0
    for (const buffer of this.#slots.keys()) bytes += buffer.byteLength
    return bytes
  }

  #make(size: number): Slot {
    const buffer = this.#dtype === 'f32' ? this.#floats(size) : new Float64Array(size)
    let free = this.#freeBySize.get(size)
    if (free === undefined) {
      free = []
      this.#freeBySize.set(size, free)
    }
    const slot = { buffer, free, taken: false }
    this.#slots.set(buffer, slot)
    return slot
  }

  #floats(size: number): Float32Array {
    if (size < LEAST_SHARED) return new Float32Array(size)
    if (this.#chunkUsed + size > this.#chunk.length) {
      const floats = Math.min(LARGEST_CHUNK, Math.max(SMALLEST_CHUNK, this.bytes / 4))
      this.#chunk = pagedFloats(Math.max(size, floats))
      this.#chunkUsed = 0
    }
    const first = this.#chunkUsed
    // The next starts on a cache line again.
    this.#chunkUsed += Math.ceil(size / 16) * 16 + GAP
    return this.#chunk.subarray(first, first + size)
  }
}

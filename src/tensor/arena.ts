// Buffers that are used again: after the first step a training step allocates no more.

import type { Floats } from '../kernels/index.js'
import type { DType } from './tensor.js'

interface Slot {
  readonly buffer: Floats
  readonly free: Slot[]
  taken: boolean
}

/** Hands out buffers by exact size and takes them back, one by one or all at once. */
export class Arena {
  readonly #dtype: DType
  // Filled when a buffer is made and never changed after: collections that shrink and grow with every step would leave
  // garbage that the collector is slow to find.
  readonly #slots = new Map<Floats, Slot>()
  readonly #freeBySize = new Map<number, Slot[]>()

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
    const buffer = this.#dtype === 'f32' ? new Float32Array(size) : new Float64Array(size)
    let free = this.#freeBySize.get(size)
    if (free === undefined) {
      free = []
      this.#freeBySize.set(size, free)
    }
    const slot = { buffer, free, taken: false }
    this.#slots.set(buffer, slot)
    return slot
  }
}

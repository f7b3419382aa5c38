// Buffers that are used again: after the first step a training step allocates no more.

import type { Floats } from '../kernels/index.js'
import type { DType } from './tensor.js'

/** Hands out buffers by exact size and takes them back, one by one or all at once. */
export class Arena {
  readonly #dtype: DType
  readonly #free = new Map<number, Floats[]>()
  readonly #taken = new Set<Floats>()

  constructor(dtype: DType) {
    this.#dtype = dtype
  }

  /** A buffer of `size` elements with unspecified content. */
  take(size: number): Floats {
    const buffer =
      this.#free.get(size)?.pop() ?? (this.#dtype === 'f32' ? new Float32Array(size) : new Float64Array(size))
    this.#taken.add(buffer)
    return buffer
  }

  /** Makes one buffer free again; buffers that are not the arena's are left alone. */
  give(buffer: Floats): void {
    if (!this.#taken.delete(buffer)) return
    const free = this.#free.get(buffer.length)
    if (free === undefined) this.#free.set(buffer.length, [buffer])
    else free.push(buffer)
  }

  /** Makes every buffer free: nothing taken before may be used any longer. */
  giveAll(): void {
    for (const buffer of this.#taken) this.give(buffer)
  }

  /** Bytes held, in use or free. */
  get bytes(): number {
    let elements = 0
    for (const buffer of this.#taken) elements += buffer.length
    for (const [size, buffers] of this.#free) elements += size * buffers.length
    return elements * (this.#dtype === 'f32' ? 4 : 8)
  }
}

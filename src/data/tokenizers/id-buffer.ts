/** Ids appended one after another; grows as needed. */
export class IdBuffer {
  #ids: Int32Array
  #length = 0

  constructor(characters: number) {
    this.#ids = new Int32Array(Math.max(16, characters >> 1))
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#ids.length) return
    const grown = new Int32Array(2 * (this.#length + more))
    grown.set(this.#ids)
    this.#ids = grown
  }

  push(id: number): void {
    this.#reserve(1)
    this.#ids[this.#length++] = id
  }

  /** The first `n` of `ids`. */
  append(ids: Int32Array, n: number): void {
    this.#reserve(n)
    for (let i = 0; i < n; i++) this.#ids[this.#length + i] = ids[i]
    this.#length += n
  }

  /** How many there are. */
  get length(): number {
    return this.#length
  }

  /** Those from `start` on. */
  from(start: number): Int32Array {
    return this.#ids.slice(start, this.#length)
  }

  /** Where `id` stands first; −1 where it does not. */
  indexOf(id: number): number {
    const at = this.#ids.indexOf(id)
    return at < this.#length ? at : -1
  }

  take(): Int32Array {
    return this.#ids.slice(0, this.#length)
  }
}

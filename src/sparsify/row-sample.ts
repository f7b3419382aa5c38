// Rows of a vector kept while a text passes by, spread over it.

export class RowSample {
  readonly #rows: Float32Array[] = []
  readonly #most: number
  readonly #all: number

  /** Keeps about `most` of `all` rows. */
  constructor(most: number, all: number) {
    this.#most = most
    this.#all = all
  }

  /** Looks at `rows` rows of `values`, (rows, width). */
  add(values: Float32Array, rows: number, width: number): void {
    const wanted = Math.max(1, Math.ceil((this.#most * rows) / this.#all))
    const some = Math.min(rows, this.#most - this.#rows.length, wanted)
    for (let i = 0; i < some; i++) {
      const row = Math.floor(((i + 0.5) * rows) / some)
      this.#rows.push(values.slice(row * width, (row + 1) * width))
    }
  }

  get count(): number {
    return this.#rows.length
  }

  /** (count, width), a copy. */
  get values(): Float32Array {
    const width = this.#rows[0]?.length ?? 0
    const all = new Float32Array(this.#rows.length * width)
    for (const [i, row] of this.#rows.entries()) all.set(row, i * width)
    return all
  }
}

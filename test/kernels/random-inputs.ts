// Inputs for kernel tests: drawn from Philox and rounded to f32, so that every backend and precision computes
// with exactly the same numbers.

import type { Draw, Floats } from '../../src/kernels/index.js'
import { fillNormal, Purpose, RandomStream } from '../../src/kernels/philox.js'

export type FloatsConstructor = Float32ArrayConstructor | Float64ArrayConstructor

/** The draw numbers that the tests use where nothing depends on which. */
export const someDraw: Draw = {
  seedLow: 0x12345678,
  seedHigh: 0x9abcdef0,
  purpose: Purpose.activation,
  step: 7,
  layer: 3,
  firstRow: 5,
}

/** Hands out inputs one after another; two with the same seed hand out the same. */
export class RandomInputs {
  readonly #floats: FloatsConstructor
  readonly #seed: number
  #stream = 0

  constructor(floats: FloatsConstructor, seed: number) {
    this.#floats = floats
    this.#seed = seed
  }

  /** n normal numbers. */
  normal(n: number, { mean = 0, std = 1 } = {}): Floats {
    const rounded = new Float32Array(n)
    fillNormal(rounded, { seed: this.#seed, purpose: Purpose.data, stream: this.#stream++ }, mean, std)
    return new this.#floats(rounded)
  }

  /** n integers in [0, limit). */
  integers(n: number, limit: number): Int32Array {
    const random = new RandomStream({ seed: this.#seed, purpose: Purpose.data, stream: this.#stream++ })
    return Int32Array.from({ length: n }, () => random.below(limit))
  }

  zeros(n: number): Floats {
    return new this.#floats(n)
  }

  /** The given numbers, rounded to f32. */
  of(values: Iterable<number>): Floats {
    return new this.#floats(Float32Array.from(values))
  }

  /** cos and sin of position · 10000^(−i / half), each (seq, half). */
  angles(seq: number, half: number): { cos: Floats; sin: Floats } {
    const angle = Array.from(
      { length: seq * half },
      (_, at) => Math.floor(at / half) * 10000 ** -((at % half) / half),
    )
    return { cos: this.of(angle.map(Math.cos)), sin: this.of(angle.map(Math.sin)) }
  }
}

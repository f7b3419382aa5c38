// Python's `random.Random` as far as few-shot examples and resampling need it: the Mersenne Twister with CPython's ways
// from words to integers and samples. The streams of `getrandbits` and `sample` are those of CPython 3.2 and later.

import { nextState, STATE_WORDS, seedStateByArray } from '../mersenne-twister.js'

const WORD = 2 ** 32

export class PythonRandom {
  readonly #state = new Int32Array(STATE_WORDS)
  readonly #words = new Int32Array(STATE_WORDS)
  #next = STATE_WORDS

  /** `random.Random(seed)`; an integer from 0 to 2⁵³ − 1. */
  constructor(seed: number) {
    const high = Math.floor(seed / WORD)
    seedStateByArray(this.#state, high === 0 ? [seed | 0] : [seed | 0, high | 0])
  }

  /** `getrandbits(bits)` for 1 to 32 bits. */
  bits(bits: number): number {
    if (this.#next === STATE_WORDS) {
      nextState(this.#state, this.#words)
      this.#next = 0
    }
    return this.#words[this.#next++] >>> (32 - bits)
  }

  /** An integer in [0, n), 1 ≤ n < 2³²: `randrange(n)`. */
  below(n: number): number {
    const bits = 32 - Math.clz32(n)
    let drawn = this.bits(bits)
    while (drawn >= n) drawn = this.bits(bits)
    return drawn
  }

  /** `sample(range(n), k)`: k different integers in [0, n), in the order drawn; k ≤ n. */
  sample(n: number, k: number): number[] {
    // CPython keeps the whole population where that is smaller than a set of what was drawn; the draws differ.
    const setSize = k > 5 ? 21 + 4 ** Math.ceil(logarithm4(3 * k)) : 21
    if (n <= setSize) {
      const pool = Array.from({ length: n }, (_, i) => i)
      return Array.from({ length: k }, (_, i) => {
        const at = this.below(n - i)
        const drawn = pool[at]
        pool[at] = pool[n - i - 1]
        return drawn
      })
    }
    const drawn = new Set<number>()
    while (drawn.size < k) drawn.add(this.below(n))
    return [...drawn]
  }
}

function logarithm4(x: number): number {
  return Math.log(x) / Math.log(4)
}

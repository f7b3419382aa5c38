// NumPy's legacy generator, `np.random.RandomState`: the Mersenne Twister with NumPy's ways from words to numbers.
// NumPy has promised never to change these streams.

import { randomFillSync } from 'node:crypto'
import { OptionError } from '../../errors.js'
import { nextState, STATE_WORDS, seedState } from '../../mersenne-twister.js'
import { logarithms } from './logarithm.js'

const LARGEST_WORD = 0xffff_ffff
/** A double has 53 bits of fraction: the upper 27 of one word and the upper 26 of the next. */
const UPPER_UNIT = 2 ** 26
const DOUBLE_UNIT = 2 ** -53

/** A state is good for 156 points of the polar method, and one more that reaches into the next state. */
const POINTS_PER_STATE = STATE_WORDS / 4 + 1
/** Points worked on at a time: few enough to stay in the cache. */
const BATCH = 1024
const firsts = new Float64Array(BATCH)
const seconds = new Float64Array(BATCH)
const squares = new Float64Array(BATCH)
const logs = new Float64Array(BATCH)
const normals = new Float64Array(2 * BATCH)

/** A block of a larger array: its rows, its columns, numbers per row of the array, and the first number. */
export interface Block {
  rows: number
  columns: number
  stride: number
  offset: number
}

/**
 * The generator of `np.random.RandomState(seed)`. Words, doubles, integers, shuffles and permutations have NumPy's
 * bits. Normal deviates go through a logarithm, which the C library behind NumPy rounds in a way of its own: they
 * agree to a relative 1e-15, and more than 99 of 100 in every bit.
 */
export class RandomState {
  readonly #state = new Int32Array(STATE_WORDS)
  readonly #words = new Int32Array(STATE_WORDS)
  /** The next of the words to hand out. */
  #next = STATE_WORDS
  /** The polar method makes two normal deviates at a time; the second waits here. */
  #gauss: number | null = null

  /**
   * `seed` is an integer from 0 to 2³² − 1, or null for one of the operating system's choosing. Throws OptionError
   * (RANDOM_SEED_INVALID).
   */
  constructor(seed: number | null) {
    if (seed === null) {
      randomFillSync(this.#state)
      this.#state[0] = 0x80000000
      return
    }
    if (!Number.isInteger(seed) || seed < 0 || seed > LARGEST_WORD) {
      throw new OptionError(
        'RANDOM_SEED_INVALID',
        `a seed must be an integer between 0 and 2**32 - 1; it is ${seed}`,
      )
    }
    seedState(this.#state, seed)
  }

  /** The next 32 bits, as an integer from 0 to 2³² − 1. */
  nextUint32(): number {
    if (this.#next === STATE_WORDS) this.#advance()
    return this.#words[this.#next++] >>> 0
  }

  /** One double in [0, 1), as `random_sample()` and `rand()`. */
  randomSample(): number {
    const upper = this.nextUint32() >>> 5
    return (upper * UPPER_UNIT + (this.nextUint32() >>> 6)) * DOUBLE_UNIT
  }

  /** (size), f64: doubles in [low, high), as `uniform(low, high, size)`. */
  uniform(size: number, low = 0, high = 1): Float64Array {
    const out = new Float64Array(size)
    let i = 0
    while (i < size) {
      out[i++] = low + (high - low) * this.randomSample()
      const more = Math.min(size - i, (STATE_WORDS - this.#next) >> 1)
      doublesOf(this.#words, this.#next, out.subarray(i, i + more), low, high - low)
      this.#next += 2 * more
      i += more
    }
    return out
  }

  /** (size), f64: normal deviates of mean 0 and variance 1, as `standard_normal(size)` and `randn(size)`. */
  standardNormal(size: number): Float64Array {
    const out = new Float64Array(size)
    this.fillStandardNormal(out, { rows: 1, columns: size, stride: size, offset: 0 })
    return out
  }

  /** `standard_normal(size=(rows, columns))` into a block of `out`. */
  fillStandardNormal(out: Float64Array, { rows, columns, stride, offset }: Block): void {
    let left = rows * columns
    let column = 0
    let i = offset
    while (left > 0) {
      const made = this.#makeNormals(left)
      for (let k = 0; k < made; ) {
        const stop = Math.min(k + columns - column, made)
        column += stop - k
        while (k < stop) out[i++] = normals[k++]
        if (column < columns) continue
        column = 0
        i += stride - columns
      }
      left -= made
    }
  }

  /**
   * (size): integers in [low, high), as `randint(low, high, size)` with its default type of 64 bits; the bounds must
   * be safe integers. Throws OptionError (RANDOM_RANGE_EMPTY).
   */
  randint(low: number, high: number, size: number): Float64Array {
    const out = new Float64Array(size)
    for (let i = 0; i < size; i++) out[i] = this.randintOne(low, high)
    return out
  }

  /** One such integer, as `randint(low, high)`. */
  randintOne(low: number, high: number): number {
    if (!Number.isSafeInteger(low) || !Number.isSafeInteger(high) || high <= low) {
      throw new OptionError(
        'RANDOM_RANGE_EMPTY',
        `randint draws integers from low to high - 1; low is ${low} and high is ${high}`,
      )
    }
    const most = high - 1 - low
    if (most === 0) return low
    // As many bits as `most` has are drawn until they make a number that is not above it.
    const upperBits = maskOf(Math.floor(most / 2 ** 32))
    const lowerBits = most > LARGEST_WORD ? LARGEST_WORD : maskOf(most)
    for (;;) {
      const upper = upperBits === 0 ? 0 : (this.nextUint32() & upperBits) >>> 0
      const value = upper * 2 ** 32 + ((this.nextUint32() & lowerBits) >>> 0)
      if (value <= most) return low + value
    }
  }

  /** Shuffles in place (Fisher and Yates, from the end), as `shuffle` of a one-dimensional array. */
  shuffle<T extends Int32Array | Float64Array>(values: T): T {
    const words = this.#words
    let mask = maskOf(Math.max(values.length - 1, 0))
    for (let i = values.length - 1; i > 0; i--) {
      if (i <= mask >>> 1) mask >>>= 1
      let j: number
      do {
        if (this.#next === STATE_WORDS) this.#advance()
        j = (words[this.#next++] & mask) >>> 0
      } while (j > i)
      const kept = values[i]
      values[i] = values[j]
      values[j] = kept
    }
    return values
  }

  /** The integers 0 … n − 1, or a copy of `values`, shuffled, as `permutation`. */
  permutation(values: number | Int32Array): Int32Array {
    if (typeof values !== 'number') return this.shuffle(values.slice())
    const indices = new Int32Array(values)
    for (let i = 0; i < values; i++) indices[i] = i
    return this.shuffle(indices)
  }

  /** `size` of `values` without replacement, as `choice(values, size, replace=False)`. */
  choiceWithoutReplacement(values: Int32Array, size: number): Int32Array {
    const chosen = this.permutation(values.length).subarray(0, size)
    return chosen.map(i => values[i])
  }

  /**
   * Makes normal deviates in `normals` by the polar method, at least one and at most `most`, and says how many.
   * As long as they cannot be too many, whole states are used up at a time.
   */
  #makeNormals(most: number): number {
    if (this.#gauss !== null) {
      normals[0] = this.#gauss
      this.#gauss = null
      return 1
    }
    const target = Math.min(most >> 1, BATCH)
    let count = 0
    while (count + POINTS_PER_STATE <= target) {
      if (this.#next === STATE_WORDS) this.#advance()
      count = pointsInCircle(this.#words, this.#next, count)
      this.#next = STATE_WORDS - ((STATE_WORDS - this.#next) % 4)
      if (this.#next < STATE_WORDS) count += this.#makePoint(count)
    }
    while (count === 0) count = this.#makePoint(0)
    polarNormals(count)
    if (most > 1) return 2 * count
    this.#gauss = normals[1]
    return 1
  }

  /** Draws one point of the square into place `k`; 1 when it lies in the circle, else 0. */
  #makePoint(k: number): number {
    const x1 = 2 * this.randomSample() - 1
    const x2 = 2 * this.randomSample() - 1
    const r2 = x1 * x1 + x2 * x2
    firsts[k] = x1
    seconds[k] = x2
    squares[k] = r2
    return r2 < 1 && r2 !== 0 ? 1 : 0
  }

  #advance(): void {
    nextState(this.#state, this.#words)
    this.#next = 0
  }
}

// The loops below stand outside the class: the engine makes faster code of them so.

/** Fills `out` with low + range · u for the doubles u in [0, 1) that the words from `next` on make. */
function doublesOf(words: Int32Array, next: number, out: Float64Array, low: number, range: number): void {
  for (let i = 0, w = next; i < out.length; i++, w += 2) {
    out[i] = low + range * (((words[w] >>> 5) * UPPER_UNIT + (words[w + 1] >>> 6)) * DOUBLE_UNIT)
  }
}

/**
 * Points (x1, x2) of the square [−1, 1)² from four words each, from `next` to the end of the words; those inside the
 * unit circle and off its center are kept, from place `count` on. Returns the new count.
 */
function pointsInCircle(words: Int32Array, next: number, count: number): number {
  let kept = count
  for (let w = next; w + 4 <= words.length; w += 4) {
    const x1 = ((words[w] >>> 5) * UPPER_UNIT + (words[w + 1] >>> 6)) * (2 * DOUBLE_UNIT) - 1
    const x2 = ((words[w + 2] >>> 5) * UPPER_UNIT + (words[w + 3] >>> 6)) * (2 * DOUBLE_UNIT) - 1
    const r2 = x1 * x1 + x2 * x2
    if (r2 === 0 || r2 === 2) continue
    firsts[kept] = x1
    seconds[kept] = x2
    squares[kept] = r2
    // 1 inside the circle, 0 outside: a branch would be guessed wrong for every fifth point.
    kept += 1 - (r2 | 0)
  }
  return kept
}

/** Two normal deviates from each of the first `count` points, the second coordinate's first. */
function polarNormals(count: number): void {
  logarithms(squares, logs, count)
  for (let k = 0; k < count; k++) {
    const f = Math.sqrt((-2 * logs[k]) / squares[k])
    normals[2 * k] = f * seconds[k]
    normals[2 * k + 1] = f * firsts[k]
  }
}

/** All bits up to the highest of an integer below 2³². */
function maskOf(value: number): number {
  return value === 0 ? 0 : LARGEST_WORD >>> Math.clz32(value)
}

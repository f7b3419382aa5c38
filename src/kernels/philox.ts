// Philox4x32-10, the counter-based random number generator behind every draw in Flicker: four random words are
// a pure function of (counter, key), so a draw depends on no thread, batch split, backend or resume.
// Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; native/philox.h is the C++ twin.

/** What random numbers are for; part of the counter, so that no two uses ever share a draw. */
export const Purpose = {
  /** Order of the training data. */
  data: 1,
  /** A stochastic activation's draw in training. */
  activation: 2,
  /** Initial weights. */
  init: 3,
  /** A stochastic activation's draw while decoding. */
  decode: 4,
  /** Choosing the next token. */
  sampler: 5,
  /** Hidden activations that dropout sets to 0. */
  dropout: 6,
  /** Which windows of held-out text are measured, and draws while measuring that whole windows share. */
  heldOut: 7,
  /** New weights of neurons that have stopped firing. */
  revival: 8,
} as const
export type Purpose = (typeof Purpose)[keyof typeof Purpose]

const ROUNDS = 10
const MULTIPLIER_0 = 0xd2511f53
const MULTIPLIER_1 = 0xcd9e8d57
/** The key's increments from round to round: the golden ratio and √3 − 1, as 32-bit fractions. */
const WEYL_0 = 0x9e3779b9
const WEYL_1 = 0xbb67ae85

/** High 32 bits of the 64-bit product of two 32-bit words, by 16-bit halves (a double would round it). */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff
  const aHigh = a >>> 16
  const bLow = b & 0xffff
  const bHigh = b >>> 16
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16)
  const carried = aLow * bHigh + (middle & 0xffff)
  return aHigh * bHigh + (middle >>> 16) + (carried >>> 16)
}

/**
 * out[0..3] = the four random words of counter (c0, c1, c2, c3) under key (k0, k1). All arguments are taken
 * modulo 2³²; out: at least 4 words.
 */
export function philox4x32(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Uint32Array,
): void {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0)
    const high1 = multiplyHigh(MULTIPLIER_1, c2)
    const low0 = Math.imul(MULTIPLIER_0, c0)
    const low1 = Math.imul(MULTIPLIER_1, c2)
    c0 = high1 ^ c1 ^ k0
    c1 = low1
    c2 = high0 ^ c3 ^ k1
    c3 = low0
    k0 = (k0 + WEYL_0) | 0
    k1 = (k1 + WEYL_1) | 0
  }
  out[0] = c0
  out[1] = c1
  out[2] = c2
  out[3] = c3
}

/** A seed of up to 64 bits as the two key words. Throws RangeError for a number that is not a safe integer ≥ 0. */
export function seedWords(seed: number | bigint): [low: number, high: number] {
  if (typeof seed === 'number' && !(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new RangeError(`a seed must be an integer from 0 to ${Number.MAX_SAFE_INTEGER}, not ${seed}`)
  }
  const bits = BigInt.asUintN(64, BigInt(seed))
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)]
}

/**
 * The uniform number in [0, 1) that a random word stands for: its top 24 bits, exact in f32. `draw < p` is the
 * same as `(word >>> 8) < Math.ceil(p · 2²⁴)`, which is how a kernel without doubles must compare.
 */
export function uniform24(word: number): number {
  return (word >>> 8) * 2 ** -24
}

/** Names one sequence of random numbers: sequences with different fields are independent. */
export interface StreamName {
  readonly seed: number | bigint
  readonly purpose: Purpose
  /** Which of the sequences of this purpose, e.g. the index of the tensor that is filled; below 2³². */
  readonly stream: number
}

/** √(−2 ln u) with u in (0, 1], the radius of a pair of normal numbers. */
function normalRadius(word: number): number {
  return Math.sqrt(-2 * Math.log((word + 1) * 2 ** -32))
}

/**
 * Fills `out` with normal numbers of the given mean and standard deviation (Box & Muller 1958). Element i
 * depends on the stream and on i alone.
 */
export function fillNormal(
  out: Float32Array | Float64Array,
  name: StreamName,
  mean: number,
  std: number,
): void {
  const [k0, k1] = seedWords(name.seed)
  const words = new Uint32Array(4)
  for (let i = 0; i < out.length; i += 4) {
    philox4x32(i >>> 2, name.stream, 0, name.purpose << 16, k0, k1, words)
    for (let pair = 0; pair < 4 && i + pair < out.length; pair += 2) {
      const radius = std * normalRadius(words[pair])
      const angle = 2 * Math.PI * words[pair + 1] * 2 ** -32
      out[i + pair] = mean + radius * Math.cos(angle)
      if (i + pair + 1 < out.length) out[i + pair + 1] = mean + radius * Math.sin(angle)
    }
  }
}

/** Random numbers one after another, where the order of the calls is itself fixed (shuffles, tests). */
export class RandomStream {
  readonly #name: StreamName
  readonly #key: [number, number]
  readonly #words = new Uint32Array(4)
  #drawn = 0

  constructor(name: StreamName) {
    this.#name = name
    this.#key = seedWords(name.seed)
  }

  /** The next 32 random bits. */
  word(): number {
    const lane = this.#drawn & 3
    if (lane === 0) {
      // The third counter word sets these draws apart from fillNormal's under the same name.
      const { purpose, stream } = this.#name
      philox4x32(this.#drawn / 4, stream, 1, purpose << 16, this.#key[0], this.#key[1], this.#words)
    }
    this.#drawn++
    return this.#words[lane]
  }

  /** The next uniform number in [0, 1), with 24 bits. */
  uniform(): number {
    return uniform24(this.word())
  }

  /** The next integer in [0, limit), without bias; limit from 1 to 2³². */
  below(limit: number): number {
    const unbiased = 2 ** 32 - (2 ** 32 % limit)
    for (;;) {
      const word = this.word()
      if (word < unbiased) return word % limit
    }
  }
}

// Distributions of magnitudes counted while values pass by: no list of values is kept. The upper bits of a float are its
// bin, so bins are equal fractions of an octave, and counting takes no logarithm. Every value counts once, whichever
// document it is from.

/** Bins per octave: 2^7 of a histogram, 2^4 of one per channel. */
const FINE_SHIFT = 16
const COARSE_SHIFT = 19
/** Channels' bins begin at 2^−24 and end at 2^8; smaller and larger values count in the first and last. */
const COARSE_FIRST = (127 - 24) << (23 - COARSE_SHIFT)
const COARSE_BINS = 32 << (23 - COARSE_SHIFT)

const asFloat = new Float32Array(1)
const asBits = new Uint32Array(asFloat.buffer)

function floatOf(bits: number): number {
  asBits[0] = bits
  return asFloat[0]
}

function bitsOf(value: number): number {
  asFloat[0] = value
  return asBits[0]
}

function wordsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}

/** The distribution of |x| over all values given, in bins 2^(1/128) wide; a bin is taken as uniform. */
export class MagnitudeHistogram {
  readonly #counts = new Float64Array(2 ** (31 - FINE_SHIFT))
  total = 0

  /** Counts the first `n` values, which must not be NaN. */
  add(values: Float32Array, n: number): void {
    const words = wordsOf(values)
    const counts = this.#counts
    for (let i = 0; i < n; i++) counts[(words[i] & 0x7fffffff) >>> FINE_SHIFT]++
    this.total += n
  }

  /** The limit below which a fraction `p` (0 to 1) of the magnitudes lies. */
  quantile(p: number): number {
    let left = p * this.total
    for (let bin = 0; bin < this.#counts.length; bin++) {
      const count = this.#counts[bin]
      if (left <= count && count > 0) {
        const low = floatOf(bin << FINE_SHIFT)
        return Math.fround(low + (left / count) * (floatOf((bin + 1) << FINE_SHIFT) - low))
      }
      left -= count
    }
    return Number.POSITIVE_INFINITY
  }
}

/** The distribution of |x_j| for each channel j, in bins 2^(1/16) wide between 2^−24 and 2^8. */
export class ChannelHistograms {
  readonly channels: number
  readonly #counts: Uint32Array
  /** Values given, of all channels. */
  total = 0

  constructor(channels: number) {
    this.channels = channels
    this.#counts = new Uint32Array(channels * COARSE_BINS)
  }

  /** Counts `rows` rows of one value for each channel. */
  add(values: Float32Array, rows: number): void {
    const words = wordsOf(values)
    const [counts, { channels }] = [this.#counts, this]
    for (let row = 0, i = 0; row < rows; row++) {
      for (let j = 0; j < channels; j++, i++) {
        const bin = ((words[i] & 0x7fffffff) >>> COARSE_SHIFT) - COARSE_FIRST
        counts[j * COARSE_BINS + (bin < 0 ? 0 : bin < COARSE_BINS ? bin : COARSE_BINS - 1)]++
      }
    }
    this.total += rows * channels
  }

  /** How many values of channel j have a magnitude below `limit`. */
  countBelow(j: number, limit: number): number {
    const bits = bitsOf(limit)
    const at = (bits >>> COARSE_SHIFT) - COARSE_FIRST
    if (at < 0) return 0
    const first = j * COARSE_BINS
    let count = 0
    for (let bin = 0; bin < Math.min(at, COARSE_BINS); bin++) count += this.#counts[first + bin]
    if (at >= COARSE_BINS) return count
    const low = floatOf((bits >>> COARSE_SHIFT) << COARSE_SHIFT)
    const high = floatOf(((bits >>> COARSE_SHIFT) + 1) << COARSE_SHIFT)
    return count + this.#counts[first + at] * ((limit - low) / (high - low))
  }

  /** T such that |x_j| · scale[j] < T for a fraction `p` of all values. */
  scoreQuantile(scale: Float32Array, p: number): number {
    // In the logarithm of T, halved until f32 tells the ends apart no more.
    let [low, high] = [-60, 60]
    for (let i = 0; i < 44; i++) {
      const middle = (low + high) / 2
      let below = 0
      for (let j = 0; j < this.channels; j++) below += this.countBelow(j, 2 ** middle / scale[j])
      if (below < p * this.total) low = middle
      else high = middle
    }
    return 2 ** high
  }
}

// Choosing the next token from its logits. The random choice is a pure function of (seed, sequence, position).

import { FlickerError, OptionError } from '../errors.js'
import { Purpose, philox4x32, seedWords } from '../kernels/philox.js'

export interface SamplingOptions {
  /** Logits are divided by it; 0 always takes the likeliest token. Default 0. */
  readonly temperature?: number
  /** Only the so many likeliest tokens; 0 for all. Default 0. */
  readonly topK?: number
  /** Of those only the likeliest that together hold this share (Holtzman et al. 2020), at least one. Default 1. */
  readonly topP?: number
  /** Of those only tokens at least this share as likely as the likeliest (Nguyen et al. 2024). Default 0. */
  readonly minP?: number
}

/** The options with their defaults. Throws OptionError: TEMPERATURE_RANGE, TOP_K_RANGE, TOP_P_RANGE, MIN_P_RANGE. */
export function checkSampling(options: SamplingOptions): Required<SamplingOptions> {
  const { temperature = 0, topK = 0, topP = 1, minP = 0 } = options
  if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY)) {
    throw new OptionError(
      'TEMPERATURE_RANGE',
      `temperature must be a number of at least 0, not ${temperature}`,
    )
  }
  if (!(Number.isInteger(topK) && topK >= 0)) {
    throw new OptionError('TOP_K_RANGE', `topK must be a whole number of at least 0 (0 for all), not ${topK}`)
  }
  if (!(topP > 0 && topP <= 1)) {
    throw new OptionError('TOP_P_RANGE', `topP must be above 0 and at most 1, not ${topP}`)
  }
  if (!(minP >= 0 && minP <= 1)) {
    throw new OptionError('MIN_P_RANGE', `minP must be from 0 to 1, not ${minP}`)
  }
  return { temperature, topK, topP, minP }
}

/** Where a choice stands: two choices with a different field are independent. */
export interface ChoicePlace {
  readonly seed: number
  readonly sequence: number
  /** Position of the token that is chosen. */
  readonly position: number
}

/** The next token. logits: (vocab). Throws FlickerError LOGITS_INVALID when they are not numbers. */
export function chooseToken(
  logits: Float32Array,
  options: Required<SamplingOptions>,
  place: ChoicePlace,
): number {
  if (options.temperature === 0 || options.topK === 1) return likeliestToken(logits)
  const { ids, probabilities } = tokenDistribution(logits, options)
  const target = uniform(place)
  let sum = 0
  for (const [i, id] of ids.entries()) {
    sum += probabilities[i]
    if (target < sum) return id
  }
  // The probabilities may add up to a rounding less than 1.
  return ids[ids.length - 1]
}

/** The token with the largest logit, the first of equals. */
export function likeliestToken(logits: Float32Array): number {
  let best = 0
  for (let id = 1; id < logits.length; id++) if (logits[id] > logits[best]) best = id
  if (Number.isFinite(logits[best])) return best
  throw invalidLogits(logits[best])
}

function invalidLogits(value: number): FlickerError {
  const message = `the model gives ${value} as a logit: its weights are not numbers, or too large`
  return new FlickerError('LOGITS_INVALID', message, { exitCode: 1 })
}

export interface TokenDistribution {
  /** Ascending. */
  readonly ids: Int32Array
  /** Of these ids, adding up to 1. */
  readonly probabilities: Float64Array
}

/**
 * softmax(logits / temperature) after top-k, then top-p of what is left, then min-p; equally likely tokens are kept in
 * the order of their ids. temperature > 0.
 */
export function tokenDistribution(
  logits: Float32Array,
  options: Required<SamplingOptions>,
): TokenDistribution {
  const { temperature, topK, topP, minP } = options
  const largest = logits[likeliestToken(logits)]
  // Shares of the likeliest token, which has 1.
  const shares = Float64Array.from(logits, logit => Math.exp((logit - largest) / temperature))
  if (Number.isNaN(sum(shares))) throw invalidLogits(Number.NaN)
  let ids = kthAndAbove(shares, topK)
  if (topP < 1) ids = nucleus(shares, ids, topP)
  if (minP > 0) ids = ids.filter(id => shares[id] >= minP)
  ids.sort()
  const kept = Float64Array.from(ids, id => shares[id])
  const total = sum(kept)
  return { ids, probabilities: kept.map(share => share / total) }
}

/** The ids of the k largest shares, in no order; all ids for k = 0. */
function kthAndAbove(shares: Float64Array, k: number): Int32Array {
  const all = Int32Array.from(shares.keys())
  if (k === 0 || k >= shares.length) return all
  const threshold = kthLargest(shares.slice(), k)
  const above = all.filter(id => shares[id] > threshold)
  const ties = all.filter(id => shares[id] === threshold)
  const kept = new Int32Array(k)
  kept.set(above)
  kept.set(ties.subarray(0, k - above.length), above.length)
  return kept
}

/** The k-th largest value (k from 1), in linear time on average (Hoare 1961, quickselect); reorders `values`. */
function kthLargest(values: Float64Array, k: number): number {
  let [low, high] = [0, values.length - 1]
  while (low < high) {
    const pivot = values[(low + high) >> 1]
    let [i, j] = [low, high]
    while (i <= j) {
      while (values[i] > pivot) i++
      while (values[j] < pivot) j--
      if (i > j) break
      const swapped = values[i]
      values[i++] = values[j]
      values[j--] = swapped
    }
    if (k - 1 <= j) high = j
    else if (k - 1 >= i) low = i
    else break
  }
  return values[k - 1]
}

/** The likeliest of `ids` until their shares reach `topP` of all. */
function nucleus(shares: Float64Array, ids: Int32Array, topP: number): Int32Array {
  const total = sum(ids, id => shares[id])
  // All shares below this together are less than 1 − topP, so none of them is in the nucleus: only the rest is sorted.
  const least = ((1 - topP) * total) / ids.length
  const candidates = ids.filter(id => shares[id] >= least)
  candidates.sort((a, b) => shares[b] - shares[a] || a - b)
  let reached = 0
  let count = 0
  while (count < candidates.length && reached < topP * total) reached += shares[candidates[count++]]
  return candidates.subarray(0, count)
}

function sum(values: Float64Array | Int32Array, of: (value: number) => number = value => value): number {
  let total = 0
  for (const value of values) total += of(value)
  return total
}

/** The uniform number in [0, 1), with 53 bits, that belongs to a place. */
function uniform({ seed, sequence, position }: ChoicePlace): number {
  const [low, high] = seedWords(seed)
  const words = new Uint32Array(4)
  philox4x32(0, position, sequence, Purpose.sampler << 16, low, high, words)
  return ((words[0] >>> 5) * 2 ** 26 + (words[1] >>> 6)) * 2 ** -53
}

// Choosing the next token from its logits, in this order: logit bias, repetition, presence and frequency penalties
// (penalties.ts), temperature, top-k, top-p, min-p, and a random choice among the rest, which is a pure function of
// (seed, sequence, position).

import { FlickerError, OptionError } from '../../errors.js'
import { Purpose, philox4x32, seedWords } from '../../kernels/philox.js'
import { received } from '../option-checks.js'
import { exponential } from './exponential.js'
import { largest, massThreshold } from './largest.js'

export interface SamplingOptions {
  /** Logits are divided by it; 0 always chooses the most likely token. Default 0. */
  readonly temperature?: number
  /** Keep only this many of the most likely tokens; 0 for all. Default 0. */
  readonly topK?: number
  /** Of those keep the most likely whose probabilities reach this sum (Holtzman et al. 2020), at least one. Default 1. */
  readonly topP?: number
  /** Of those keep tokens of at least this fraction of the highest probability (Nguyen et al. 2024). Default 0. */
  readonly minP?: number
}

/**
 * The options with their defaults. Throws OptionError: TEMPERATURE_RANGE, TOP_K_RANGE, TOP_P_RANGE, MIN_P_RANGE, and
 * SAMPLING_CONTRADICTION where temperature 0 leaves nothing for topK, topP or minP to choose among.
 */
export function checkSampling(options: SamplingOptions): Required<SamplingOptions> {
  const { temperature = 0, topK = 0, topP = 1, minP = 0 } = options
  if (!(Number.isFinite(temperature) && temperature >= 0)) {
    throw new OptionError(
      'TEMPERATURE_RANGE',
      `temperature must be a number of at least 0, not ${received(temperature)}`,
    )
  }
  if (!(Number.isInteger(topK) && topK >= 0)) {
    throw new OptionError(
      'TOP_K_RANGE',
      `topK must be an integer of at least 0 (0 for all), not ${received(topK)}`,
    )
  }
  if (!(Number.isFinite(topP) && topP > 0 && topP <= 1)) {
    throw new OptionError('TOP_P_RANGE', `topP must be above 0 and at most 1, not ${received(topP)}`)
  }
  if (!(Number.isFinite(minP) && minP >= 0 && minP <= 1)) {
    throw new OptionError('MIN_P_RANGE', `minP must be from 0 to 1, not ${received(minP)}`)
  }
  if (temperature === 0) {
    // topK 1 means the same as temperature 0; anything else would silently have no effect.
    const without = topK > 1 ? `topK ${topK}` : topP < 1 ? `topP ${topP}` : minP > 0 ? `minP ${minP}` : null
    if (without !== null) {
      const given = options.temperature === undefined ? 'temperature 0, the default,' : 'temperature 0'
      throw new OptionError(
        'SAMPLING_CONTRADICTION',
        `${without} has no effect: ${given} always chooses the most likely token; ` +
          'set a temperature above 0 (1 is the model as it is) or leave the other out',
      )
    }
  }
  return { temperature, topK, topP, minP }
}

/** What the random number of a choice depends on: choices that differ in a field are independent. */
export interface ChoiceKey {
  readonly seed: number
  readonly sequence: number
  /** Position of the token that is chosen. */
  readonly position: number
}

/** The next token. logits: (vocab). Throws FlickerError LOGITS_INVALID for NaN, +∞, or nothing but −∞. */
export function chooseToken(
  logits: Float32Array,
  options: Required<SamplingOptions>,
  key: ChoiceKey,
): number {
  if (options.temperature === 0 || options.topK === 1) return mostLikelyToken(logits)
  const { ids, weights, sums, total } = candidates(logits, options)
  const target = uniform(key) * total
  let [block, sum, last] = [0, 0, -1]
  // Most of a vocabulary is passed block by block.
  while (block < sums.length - 1 && target >= sum + sums[block]) sum += sums[block++]
  for (let i = block * BLOCK; i < weights.length; i++) {
    if (weights[i] === 0) continue
    sum += weights[i]
    last = i
    if (target < sum) break
  }
  // Rounding may have led behind the last weight.
  if (last === -1) last = weights.findLastIndex(weight => weight > 0)
  return ids === null ? last : ids[last]
}

/** The token with the largest logit, the first of equals. */
export function mostLikelyToken(logits: Float32Array): number {
  let most = Number.NEGATIVE_INFINITY
  let first = 0
  for (let start = 0; start < logits.length; start += BLOCK) {
    const largest = largestOf(logits, start, Math.min(logits.length, start + BLOCK))
    if (largest <= most) continue
    if (Number.isNaN(largest)) throw invalidLogits(largest)
    most = largest
    first = start
  }
  if (!Number.isFinite(most)) throw invalidLogits(most)
  while (logits[first] !== most) first++
  return first
}

/** The largest of the values [start, end), four at a time; NaN where one of them is. */
function largestOf(values: Float32Array, start: number, end: number): number {
  let a = Number.NEGATIVE_INFINITY
  let [b, c, d] = [a, a, a]
  let i = start
  for (; i + 3 < end; i += 4) {
    // Of NaN the comparison is false.
    if (values[i] <= a && values[i + 1] <= b && values[i + 2] <= c && values[i + 3] <= d) continue
    a = Math.max(a, values[i])
    b = Math.max(b, values[i + 1])
    c = Math.max(c, values[i + 2])
    d = Math.max(d, values[i + 3])
  }
  for (; i < end; i++) a = Math.max(a, values[i])
  return Math.max(a, b, c, d)
}

export function invalidLogits(value: number): FlickerError {
  const message =
    value === Number.NEGATIVE_INFINITY
      ? 'no token is left to choose: every logit is -Infinity (a logit bias that forbids all, or broken weights)'
      : `the model gives ${value} as a logit: its weights are broken (NaN), or too large`
  // Broken weights are no fault of who asks; a bias is.
  return new FlickerError('LOGITS_INVALID', message, { exitCode: value === Number.NEGATIVE_INFINITY ? 2 : 1 })
}

export interface TokenDistribution {
  /** Ascending. */
  readonly ids: Int32Array
  /** Of these ids, adding up to 1. */
  readonly probabilities: Float64Array
}

/**
 * softmax(logits / temperature) after top-k, then top-p of the rest, then min-p; equally likely tokens are kept in the
 * order of their ids. temperature > 0. A token whose probability is 0 in double precision is left out.
 */
export function tokenDistribution(
  logits: Float32Array,
  options: Required<SamplingOptions>,
): TokenDistribution {
  const { ids, weights, total } = candidates(logits, options)
  const kept: number[] = []
  for (let i = 0; i < weights.length; i++) if (weights[i] > 0) kept.push(i)
  return {
    ids: Int32Array.from(kept, i => ids?.[i] ?? i),
    probabilities: Float64Array.from(kept, i => weights[i] / total),
  }
}

/** Weights that are added up before their sum is added to the others'. */
const BLOCK = 256
/** Weights of the last call: a vocabulary's worth of memory for every token would be collected again and again. */
let scratch = new Float64Array(0)

interface Candidates {
  /** Ascending; null for the whole vocabulary. */
  readonly ids: Int32Array | null
  /** Probability relative to the most likely token; 0 for what the options have removed. Valid until the next call. */
  readonly weights: Float64Array
  /** Of each block of the weights. */
  readonly sums: Float64Array
  /** Sum of the sums. */
  readonly total: number
}

function candidates(logits: Float32Array, options: Required<SamplingOptions>): Candidates {
  const { temperature, topK, topP, minP } = options
  const peak = logits[mostLikelyToken(logits)]
  const ids = topK > 0 && topK < logits.length ? largest(logits, topK).sort() : null
  const count = ids?.length ?? logits.length
  if (scratch.length < count) scratch = new Float64Array(count)
  const weights = scratch.length === count ? scratch : scratch.subarray(0, count)
  if (ids === null) {
    for (let i = 0; i < count; i++) weights[i] = exponential((logits[i] - peak) / temperature)
  } else {
    for (let i = 0; i < count; i++) weights[i] = exponential((logits[ids[i]] - peak) / temperature)
  }
  if (topP < 1) keepNucleus(weights, topP * summed(weights).total)
  if (minP > 0) {
    for (let i = 0; i < count; i++) if (weights[i] < minP) weights[i] = 0
  }
  return { ids, weights, ...summed(weights) }
}

function summed(weights: Float64Array): { sums: Float64Array; total: number } {
  const sums = new Float64Array(Math.ceil(weights.length / BLOCK))
  let total = 0
  for (let block = 0; block < sums.length; block++) {
    const end = Math.min(weights.length, (block + 1) * BLOCK)
    let sum = 0
    for (let i = block * BLOCK; i < end; i++) sum += weights[i]
    sums[block] = sum
    total += sum
  }
  return { sums, total }
}

/** Sets to 0 all but the largest weights whose sum reaches `wanted`; of equal ones the first are kept. */
function keepNucleus(weights: Float64Array, wanted: number): void {
  const { threshold, equals } = massThreshold(weights.slice(), wanted)
  let left = equals
  for (let i = 0; i < weights.length; i++) {
    if (weights[i] > threshold || (weights[i] === threshold && left-- > 0)) continue
    weights[i] = 0
  }
}

/** The uniform number in [0, 1), with 53 bits, that belongs to a key. */
function uniform({ seed, sequence, position }: ChoiceKey): number {
  const [low, high] = seedWords(seed)
  const words = new Uint32Array(4)
  philox4x32(0, position, sequence, Purpose.sampler << 16, low, high, words)
  return ((words[0] >>> 5) * 2 ** 26 + (words[1] >>> 6)) * 2 ** -53
}

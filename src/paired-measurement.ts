// Paired measurement: two or more variants of the same work, timed alternately, compared by the ratio within each pair. What slows
// the machine for a while slows both halves of a pair, so ratios scatter far less than the rates themselves.

import { median } from './statistics.js'

/** Several values of one quantity: the median, and an interval that holds the true median with a known probability. */
export interface MedianInterval {
  readonly median: number
  readonly low: number
  readonly high: number
  /** Probability that [low, high] holds the true median; 0 of a single value. */
  readonly confidence: number
}

/** What `comparePaired` found: medians of both rates, and the ratio second : first over the pairs. */
export interface PairedComparison {
  readonly first: number
  readonly second: number
  readonly ratio: MedianInterval
  readonly pairs: number
}

export interface PairedOptions {
  /** Pairs that are not counted: until caches are warm and the code that JavaScript's compiler watches is compiled. */
  readonly warmUp: number
  readonly pairs: number
}

/** The confidence that an interval aims for, and that a claim needs. */
export const CONFIDENCE = 0.95

/**
 * Measures `first` and `second` alternately, each pair in the opposite order of the one before, so that whichever runs
 * second gains nothing from it. Both return a rate (higher is better).
 */
export async function comparePaired(
  first: () => Promise<number>,
  second: () => Promise<number>,
  { warmUp, pairs }: PairedOptions,
): Promise<PairedComparison> {
  const firsts: number[] = []
  const seconds: number[] = []
  const measures = [first, second]
  for (let pair = 0; pair < warmUp + pairs; pair++) {
    const rates = [0, 0]
    for (const i of alternatingOrder(measures.length, pair)) rates[i] = await measures[i]()
    if (pair < warmUp) continue
    firsts.push(rates[0])
    seconds.push(rates[1])
  }
  return {
    first: median(firsts),
    second: median(seconds),
    ratio: ratioInterval(seconds, firsts),
    pairs,
  }
}

/** The order in which `count` variants are measured: forwards in even rounds, backwards in odd ones. */
export function alternatingOrder(count: number, round: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i)
  return round % 2 === 0 ? order : order.reverse()
}

/** The ratio rates[i] : base[i] over the rounds in which both were measured. */
export function ratioInterval(rates: readonly number[], base: readonly number[]): MedianInterval {
  return medianInterval(rates.map((rate, i) => rate / base[i]))
}

/**
 * The median and the narrowest interval between two order statistics, as far from the lowest as from the highest value,
 * that holds the true median with a probability of at least CONFIDENCE, whatever the distribution (the number of values
 * below the median is binomial with p = 1/2; Conover, Practical Nonparametric Statistics, 3.2). With fewer than six
 * values none does: then it reaches from the lowest to the highest, and `confidence` says how little that is worth.
 */
export function medianInterval(values: readonly number[]): MedianInterval {
  const sorted = values.toSorted((a, b) => a - b)
  const n = sorted.length
  // P(fewer than `rank` of n values lie below the median), for each rank from 1.
  let probability = 0.5 ** n
  let below = probability
  let rank = 1
  let confidence = 1 - 2 * below
  while (rank + 1 <= n / 2) {
    probability *= (n - rank + 1) / rank
    below += probability
    if (1 - 2 * below < CONFIDENCE) break
    rank++
    confidence = 1 - 2 * below
  }
  return {
    median: median(sorted),
    low: sorted[rank - 1] ?? Number.NaN,
    high: sorted[n - rank] ?? Number.NaN,
    confidence: Math.max(0, confidence),
  }
}

/** Whether the interval lies wholly on one side of `value`, with the confidence that a claim needs. */
export function differsFrom({ low, high, confidence }: MedianInterval, value: number): boolean {
  return confidence >= CONFIDENCE && (low > value || high < value)
}

/** An interval for people: `1.52 (1.47 to 1.60)`. */
export function intervalText({ median, low, high }: MedianInterval, digits: number): string {
  return `${median.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`
}

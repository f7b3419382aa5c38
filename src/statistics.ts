// Statistics of several numbers, the one home of each: mean, standard deviation, median, quantiles.

/** Mean of some numbers; NaN of none. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]
  return sum / values.length
}

/** Standard deviation of a sample (n − 1 in the denominator); 0 of a single number, NaN of none. */
export function standardDeviation(values: ArrayLike<number>): number {
  if (values.length === 1) return 0
  const center = mean(values)
  let squares = 0
  for (let i = 0; i < values.length; i++) squares += (values[i] - center) ** 2
  return values.length === 0 ? Number.NaN : Math.sqrt(squares / (values.length - 1))
}

/** Mean and standard deviation over runs. */
export interface Spread {
  readonly mean: number
  readonly std: number
}

export function spreadOf(values: ArrayLike<number>): Spread {
  return { mean: mean(values), std: standardDeviation(values) }
}

/** Mean and deviation over runs for every epoch; `runs` are arrays of equal length. */
export function spreadPerEpoch(runs: readonly (readonly number[])[]): Spread[] {
  return (runs[0] ?? []).map((_, epoch) => spreadOf(runs.map(run => run[epoch])))
}

/** Quantiles of numbers in ascending order, between neighbors linearly (as NumPy's `quantile`); NaN of none. */
export function quantilesOfSorted(sorted: ArrayLike<number>, shares: readonly number[]): number[] {
  return shares.map(share => {
    const at = share * (sorted.length - 1)
    const below = Math.floor(at)
    if (below + 1 >= sorted.length) return sorted.length === 0 ? Number.NaN : sorted[sorted.length - 1]
    return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below])
  })
}

/** Median of some numbers; NaN of none. */
export function median(values: ArrayLike<number>): number {
  return quantilesOfSorted(Float64Array.from(values).sort(), [0.5])[0]
}

/** Student's t for a two-sided interval of 95 %, by degrees of freedom from 1 to 30 (its 0.975 quantile). */
const T_95 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
  2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
]
const NORMAL_95 = 1.96

/** The interval that holds the true mean with a probability of 95 % (Student's t); null of fewer than two values. */
export function meanInterval(values: readonly number[]): { low: number; high: number } | null {
  if (values.length < 2) return null
  const half = ((T_95[values.length - 2] ?? NORMAL_95) * standardDeviation(values)) / Math.sqrt(values.length)
  const center = mean(values)
  return { low: center - half, high: center + half }
}

/**
 * Probability that a number of `positives` is above one of `negatives`, equal ones counted half: the area under the
 * ROC curve (Mann and Whitney's U over the number of pairs). 0.5 tells nothing apart, 1 everything.
 */
export function areaUnderRoc(positives: ArrayLike<number>, negatives: ArrayLike<number>): number {
  const all = [
    ...Array.from(positives, value => ({ value, positive: true })),
    ...Array.from(negatives, value => ({ value, positive: false })),
  ].sort((a, b) => a.value - b.value)
  let rankSum = 0
  for (let start = 0; start < all.length; ) {
    let end = start
    while (end < all.length && all[end].value === all[start].value) end++
    // Equal values share the mean of their ranks.
    const rank = (start + 1 + end) / 2
    for (let i = start; i < end; i++) if (all[i].positive) rankSum += rank
    start = end
  }
  const n = positives.length
  return (rankSum - (n * (n + 1)) / 2) / (n * negatives.length)
}

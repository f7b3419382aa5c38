// The last step of ProSparse: ReLU's threshold is shifted from 0 to t, so that small values become exact zeros too
// (FATReLU). t is searched for on held-out text. Song et al. 2024, section 3.3.

/** Thresholds that are tried, from the smallest to where no model has values above. */
const [SMALLEST, LARGEST] = [1e-3, 1e3]
/** Halvings of the interval between a threshold that fits and one that does not, on a logarithmic scale. */
const HALVINGS = 5

/**
 * A threshold near the largest whose loss is at most `limit`, with three digits; 0 where even the smallest one's is
 * above. `lossAt` measures the loss with a threshold, which is taken to rise with it; called about 15 times.
 */
export function largestThreshold(lossAt: (threshold: number) => number, limit: number): number {
  const fits = (threshold: number) => lossAt(threshold) <= limit
  if (!fits(SMALLEST)) return 0
  let low = SMALLEST
  let high = SMALLEST * 4
  while (high < LARGEST && fits(high)) [low, high] = [high, high * 4]
  for (let i = 0; i < HALVINGS; i++) {
    const middle = rounded(Math.sqrt(low * high))
    if (middle <= low || middle >= high) break
    if (fits(middle)) low = middle
    else high = middle
  }
  return low
}

function rounded(value: number): number {
  return Number(value.toPrecision(3))
}

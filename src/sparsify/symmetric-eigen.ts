// Eigenvectors of a symmetric matrix, in f64: Householder reflections to a tridiagonal matrix, then implicit symmetric QR
// steps with Wilkinson's shift. Golub & Van Loan, Matrix Computations, sections 8.3.1 to 8.3.5.

export interface Eigen {
  /** (n), descending. */
  readonly values: Float64Array
  /** (n, n): row i is the unit eigenvector of values[i]. */
  readonly vectors: Float64Array
}

/** An off-diagonal element this small, relative to its neighbors on the diagonal, is 0. */
const NEGLIGIBLE = 2 ** -52
/** Steps for one eigenvalue, far above the two or three that it takes. */
const MOST_STEPS = 100

/** matrix: (n, n), symmetric, finite; it is overwritten. About 9·n³ multiply-adds. */
export function symmetricEigen(matrix: Float64Array, n: number): Eigen {
  const { diagonal, beside, vectors } = tridiagonal(matrix, n)
  for (let end = n - 1, steps = 0; end > 0; ) {
    if (isNegligible(diagonal, beside, end - 1)) {
      beside[end - 1] = 0
      end--
      steps = 0
      continue
    }
    if (++steps > MOST_STEPS) throw new Error('an eigenvalue does not converge: the matrix is not finite')
    let start = end - 1
    while (start > 0 && !isNegligible(diagonal, beside, start - 1)) start--
    qrStep(diagonal, beside, vectors, n, start, end)
  }
  const order = Array.from(diagonal.keys()).sort((a, b) => diagonal[b] - diagonal[a])
  const sorted = new Float64Array(n * n)
  for (const [to, from] of order.entries()) sorted.set(vectors.subarray(from * n, (from + 1) * n), to * n)
  return { values: Float64Array.from(order, i => diagonal[i]), vectors: sorted }
}

function isNegligible(diagonal: Float64Array, beside: Float64Array, i: number): boolean {
  return Math.abs(beside[i]) <= NEGLIGIBLE * (Math.abs(diagonal[i]) + Math.abs(diagonal[i + 1]))
}

/** T = Qᵀ A Q: its diagonal, the elements beside it, and Qᵀ. */
function tridiagonal(a: Float64Array, n: number) {
  const vectors = new Float64Array(n * n)
  for (let i = 0; i < n; i++) vectors[i * n + i] = 1
  const [v, w] = [new Float64Array(n), new Float64Array(n)]
  for (let k = 0; k < n - 2; k++) {
    // The reflection I − β v vᵀ that leaves of column k one element below the diagonal.
    let length = 0
    for (let i = k + 1; i < n; i++) length += a[k * n + i] ** 2
    length = Math.sqrt(length)
    if (length === 0) continue
    const first = a[k * n + k + 1]
    for (let i = k + 1; i < n; i++) v[i] = a[k * n + i]
    v[k + 1] += first < 0 ? -length : length
    const beta = 1 / (length * (length + Math.abs(first)))
    // A −= v wᵀ + w vᵀ with w = β A v − (β²/2)(vᵀ A v) v.
    let along = 0
    for (let i = k + 1; i < n; i++) {
      let sum = 0
      for (let j = k + 1; j < n; j++) sum += a[i * n + j] * v[j]
      w[i] = beta * sum
      along += w[i] * v[i]
    }
    for (let i = k + 1; i < n; i++) w[i] -= 0.5 * beta * along * v[i]
    for (let i = k + 1; i < n; i++) {
      const [vi, wi] = [v[i], w[i]]
      for (let j = k + 1; j < n; j++) a[i * n + j] -= vi * w[j] + wi * v[j]
    }
    const rest = first < 0 ? length : -length
    a[k * n + k + 1] = rest
    a[(k + 1) * n + k] = rest
    reflectRows(vectors, n, k + 1, v, beta, w)
  }
  return {
    diagonal: Float64Array.from({ length: n }, (_, i) => a[i * n + i]),
    beside: Float64Array.from({ length: Math.max(0, n - 1) }, (_, i) => a[i * n + i + 1]),
    vectors,
  }
}

/** rows −= β v (vᵀ rows), v being 0 before `first`; `sums` is overwritten. */
function reflectRows(
  rows: Float64Array,
  n: number,
  first: number,
  v: Float64Array,
  beta: number,
  sums: Float64Array,
): void {
  sums.fill(0)
  for (let i = first; i < n; i++) {
    const factor = beta * v[i]
    for (let j = 0; j < n; j++) sums[j] += factor * rows[i * n + j]
  }
  for (let i = first; i < n; i++) {
    const factor = v[i]
    for (let j = 0; j < n; j++) rows[i * n + j] -= factor * sums[j]
  }
}

/** One step on the rows start … end of the tridiagonal matrix; its rotations turn the rows of `vectors` too. */
function qrStep(
  diagonal: Float64Array,
  beside: Float64Array,
  vectors: Float64Array,
  n: number,
  start: number,
  end: number,
): void {
  const half = (diagonal[end - 1] - diagonal[end]) / 2
  const last = beside[end - 1]
  const shift = diagonal[end] - last ** 2 / (half + (half < 0 ? -1 : 1) * Math.hypot(half, last))
  let [x, z] = [diagonal[start] - shift, beside[start]]
  for (let k = start; k < end; k++) {
    const length = Math.hypot(x, z)
    const [c, s] = length === 0 ? [1, 0] : [x / length, -z / length]
    if (k > start) beside[k - 1] = length
    const [above, between, below] = [diagonal[k], beside[k], diagonal[k + 1]]
    diagonal[k] = c * c * above - 2 * c * s * between + s * s * below
    diagonal[k + 1] = s * s * above + 2 * c * s * between + c * c * below
    beside[k] = c * s * (above - below) + (c * c - s * s) * between
    if (k + 1 < end) {
      x = beside[k]
      z = -s * beside[k + 1]
      beside[k + 1] *= c
    }
    for (let j = 0, upper = k * n, lower = (k + 1) * n; j < n; j++, upper++, lower++) {
      const [p, q] = [vectors[upper], vectors[lower]]
      vectors[upper] = c * p - s * q
      vectors[lower] = s * p + c * q
    }
  }
}

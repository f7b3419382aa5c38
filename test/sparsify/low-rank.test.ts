// R-Sparse and LaRoSa against plain references: eigenvectors, the best low-rank approximation, the division of the budget, the
// axes along which inputs vary most.

import { describe, expect, it } from 'vitest'
import { availableKernels } from '../../src/kernels/index.js'
import { fillNormal, Purpose } from '../../src/kernels/philox.js'
import {
  bestShare,
  largestRank,
  principalTerm,
  SHARES,
  splitBudget,
  truncated,
} from '../../src/sparsify/low-rank.js'
import { SecondMoments } from '../../src/sparsify/rotation.js'
import { RowSample } from '../../src/sparsify/row-sample.js'
import { symmetricEigen } from '../../src/sparsify/symmetric-eigen.js'

function normal(n: number, stream: number): Float32Array {
  const values = new Float32Array(n)
  fillNormal(values, { seed: 8, purpose: Purpose.init, stream }, 0, 1)
  return values
}

/** a (m, k) · b (k, n), in f64. */
function product(a: ArrayLike<number>, b: ArrayLike<number>, m: number, k: number, n: number): Float64Array {
  const out = new Float64Array(m * n)
  for (let i = 0; i < m; i++)
    for (let p = 0; p < k; p++) for (let j = 0; j < n; j++) out[i * n + j] += a[i * k + p] * b[p * n + j]
  return out
}
const squares = (values: ArrayLike<number>) =>
  Array.from(values).reduce((sum, value) => sum + value * value, 0)

describe('the eigenvectors of a symmetric matrix', () => {
  it.each([1, 2, 3, 40])('of the second difference of %i points are known: 2 − 2·cos(kπ/(n + 1))', n => {
    const matrix = new Float64Array(n * n)
    for (let i = 0; i < n; i++) {
      matrix[i * n + i] = 2
      if (i + 1 < n) matrix[i * n + i + 1] = matrix[(i + 1) * n + i] = -1
    }
    const { values, vectors } = symmetricEigen(matrix, n)
    for (let k = 1; k <= n; k++) {
      expect(values[n - k]).toBeCloseTo(2 - 2 * Math.cos((k * Math.PI) / (n + 1)), 12)
      const own = vectors.subarray((n - k) * n, (n - k + 1) * n)
      const sine = Array.from(
        own,
        (_, i) => Math.sin((k * (i + 1) * Math.PI) / (n + 1)) * Math.sqrt(2 / (n + 1)),
      )
      const sign = Math.sign(own.reduce((sum, value, i) => sum + value * sine[i], 0))
      expect(Math.max(...Array.from(own, (value, i) => Math.abs(value - sign * sine[i])))).toBeLessThan(1e-12)
    }
  })

  it('are orthonormal and give the matrix back, also where eigenvalues repeat or are 0', () => {
    const n = 30
    const half = normal(n * 12, 1)
    // Rank 12, and the unit matrix added in one half of the rows.
    const matrix = product(half, transpose(half, n, 12), n, 12, n)
    for (let i = 0; i < n / 2; i++) matrix[i * n + i] += 1
    const given = matrix.slice()
    const { values, vectors } = symmetricEigen(matrix, n)
    const gram = product(vectors, transpose(vectors, n, n), n, n, n)
    const scaled = vectors.map((value, at) => value * values[Math.floor(at / n)])
    const again = product(transpose(vectors, n, n), scaled, n, n, n)
    expect(Math.max(...gram.map((value, at) => Math.abs(value - (at % (n + 1) === 0 ? 1 : 0))))).toBeLessThan(
      1e-12,
    )
    expect(Math.max(...again.map((value, at) => Math.abs(value - given[at])))).toBeLessThan(1e-11)
    expect([...values]).toEqual([...values].sort((a, b) => b - a))
    expect(symmetricEigen(new Float64Array(9), 3).values).toEqual(new Float64Array(3))
  })
})

function transpose(a: ArrayLike<number>, rows: number, columns: number): Float64Array {
  return Float64Array.from(
    { length: rows * columns },
    (_, at) => a[(at % rows) * columns + Math.floor(at / rows)],
  )
}

describe.each(availableKernels().map(one => [`${one.backend} ${one.isa}`, one] as const))(
  'R-Sparse, %s',
  (_, using) => {
    const [columns, rows] = [16, 24]
    const channels = normal(columns * rows, 2).map((value, at) => value * (1 + Math.floor(at / rows) / 4))
    const matrix = { columns, rows, channels }

    it.each([1, 5, 16])(
      'the term of rank %i leaves the error of the singular values left out, the least possible',
      rank => {
        const { into, out } = principalTerm(matrix, rank, using)
        // Eckart and Young: Σ of the squared singular values beyond the rank.
        const gram = product(channels, transpose(channels, columns, rows), columns, rows, columns)
        const { values } = symmetricEigen(gram, columns)
        const least = values.slice(rank).reduce((sum, value) => sum + value, 0)
        const approximation = product(transpose(into, rank, columns), out, columns, rank, rows)
        const error = squares(approximation.map((value, at) => value - channels[at]))
        expect(Math.abs(error - least)).toBeLessThan(1e-5 * squares(channels))
      },
    )

    it('keeps the largest components when a term is cut short', () => {
      const all = principalTerm(matrix, 9, using)
      const short = truncated(all, 4)
      expect([short.rank, short.into.length, short.out.length]).toEqual([4, 4 * columns, 4 * rows])
      expect([...short.into]).toEqual([...principalTerm(matrix, 4, using).into])
    })

    it('chooses the share with the least error, as a plain search does', () => {
      const [count, level] = [60, 0.5]
      // A matrix that is nearly of rank 2, whose inputs have a few strong directions.
      const strong = product(normal(columns * 2, 9), normal(2 * rows, 10), columns, 2, rows)
      const noise = normal(columns * rows, 11)
      const channels = Float32Array.from(strong, (value, at) => value + 0.1 * noise[at])
      const matrix = { columns, rows, channels }
      const directions = normal(2 * columns, 3)
      const mixed = product(normal(count * 2, 4), directions, count, 2, columns)
      const x = Float32Array.from(mixed, (value, at) => value + 0.3 * normal(count * columns, 5)[at])
      const norms = Float32Array.from({ length: columns }, (_, j) =>
        Math.sqrt(squares(channels.subarray(j * rows, (j + 1) * rows))),
      )
      const limitsFor = (cut: number) => {
        const scores = [...x].map((value, at) => Math.abs(value) * norms[at % columns]).sort((a, b) => a - b)
        const limit = scores[Math.min(scores.length - 1, Math.floor(cut * scores.length))]
        return norms.map(norm => limit / norm)
      }
      const term = principalTerm(matrix, largestRank(matrix, level), using)
      const errorOf = (share: number) => {
        const { rank, cut } = splitBudget(matrix, level, share)
        const limits = limitsFor(cut)
        const kept = x.map((value, at) => (Math.abs(value) < limits[at % columns] ? 0 : value))
        const rest = x.map((value, at) => value - kept[at])
        const exact = product(x, channels, count, columns, rows)
        const part = product(kept, channels, count, columns, rows)
        const { into, out } = truncated(term, rank)
        const low = product(
          product(rest, transpose(into, rank, columns), count, columns, rank),
          out,
          count,
          rank,
          rows,
        )
        return squares(exact.map((value, at) => value - part[at] - low[at]))
      }
      const errors = SHARES.map(errorOf)
      const best = SHARES[errors.indexOf(Math.min(...errors))]
      expect(best).toBeLessThan(1)
      expect(bestShare(matrix, term, level, { x, count }, limitsFor, using)).toBe(best)
    })

    it('finds the axes of LaRoSa: the first is the one along which inputs vary most', () => {
      const d = 12
      const axis = normal(d, 6)
      const length = Math.sqrt(squares(axis))
      const moments = new SecondMoments(d, using)
      const strengths = normal(300, 7)
      for (let start = 0; start < 300; start += 100) {
        // The buffer is longer than what is given of it.
        const x = new Float32Array(120 * d).fill(9)
        for (let t = 0; t < 100; t++)
          for (let j = 0; j < d; j++)
            x[t * d + j] = 4 * strengths[start + t] * axis[j] + 0.2 * normal(100 * d, 8 + start)[t * d + j]
        moments.add(x, 100)
      }
      const rotation = moments.rotation()
      const along = axis.reduce((sum, value, j) => sum + (value / length) * rotation[j], 0)
      expect(Math.abs(along)).toBeGreaterThan(0.999)
      const gram = product(rotation, transpose(rotation, d, d), d, d, d)
      expect(
        Math.max(...gram.map((value, at) => Math.abs(value - (at % (d + 1) === 0 ? 1 : 0)))),
      ).toBeLessThan(1e-6)
    })
  },
)

describe('the budget of R-Sparse', () => {
  it('is spent: channels and rank together cost (1 − level) of the weights, to less than one more of either', () => {
    const shape = { columns: 64, rows: 160 }
    for (const level of [0.25, 0.5, 0.8]) {
      for (const share of SHARES.slice(1)) {
        const { rank, cut } = splitBudget(shape, level, share)
        const kept = Math.floor(64 * (1 - level) * share)
        const spent = kept * 160 + rank * (64 + 160)
        expect(spent).toBeLessThanOrEqual(64 * 160 * (1 - level))
        expect(spent + 64 + 160).toBeGreaterThan(64 * 160 * (1 - level))
        expect(cut).toBeCloseTo(1 - (1 - level) * share, 12)
      }
      expect(splitBudget(shape, level, 1)).toEqual({ rank: 0, cut: level })
    }
    expect(largestRank(shape, 0.5)).toBe(splitBudget(shape, 0.5, 0.2).rank)
  })

  it('is judged on rows spread over the text', () => {
    const sample = new RowSample(10, 100)
    for (let start = 0; start < 100; start += 50) {
      sample.add(
        Float32Array.from({ length: 100 }, (_, at) => start + Math.floor(at / 2)),
        50,
        2,
      )
    }
    expect(sample.count).toBe(10)
    expect([...sample.values].filter((_, at) => at % 2 === 0)).toEqual([
      5, 15, 25, 35, 45, 55, 65, 75, 85, 95,
    ])
  })
})

// Thresholds against plain references on lists of values: quantiles, CHESS's T, the search for CETT, the greedy search.

import { describe, expect, it } from 'vitest'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'
import type { MatrixName } from '../../src/nn/cuts.js'
import { commonError, errorCurve, leftOutAt } from '../../src/sparsify/error-curve.js'
import { greedyPath, type Levels, levelsAt } from '../../src/sparsify/greedy.js'
import { ChannelHistograms, MagnitudeHistogram } from '../../src/sparsify/histograms.js'

/** Values around 0, of both signs, heavier in the tails than normal ones. */
function values(n: number, stream: number): Float32Array {
  const random = new RandomStream({ seed: 3, purpose: Purpose.init, stream })
  return Float32Array.from({ length: n }, () => {
    const x = random.uniform() + random.uniform() + random.uniform() - 1.5
    return x * Math.abs(x)
  })
}

function exactQuantile(magnitudes: readonly number[], p: number): number {
  return magnitudes.toSorted((a, b) => a - b)[Math.ceil(p * magnitudes.length) - 1]
}

describe('a histogram of magnitudes', () => {
  it.each([0.05, 0.25, 0.5, 0.9, 0.99])('has the quantiles of the list to a bin, 2^(1/128): %d', p => {
    const histogram = new MagnitudeHistogram()
    const all = values(20_000, 1)
    // In pieces, the last elements of a buffer left out.
    for (let start = 0; start < all.length; start += 4000) {
      const piece = new Float32Array(5000).fill(100)
      piece.set(all.subarray(start, start + 4000))
      histogram.add(piece, 4000)
    }
    const exact = exactQuantile([...all].map(Math.abs), p)
    expect(Math.abs(Math.log2(histogram.quantile(p) / exact))).toBeLessThan(1 / 128)
    const below = all.filter(value => Math.abs(value) < histogram.quantile(p)).length / all.length
    expect(Math.abs(below - p)).toBeLessThan(0.005)
  })

  it('counts zeros: a quantile within them cuts nothing', () => {
    const histogram = new MagnitudeHistogram()
    histogram.add(Float32Array.of(0, 0, 0, -0, 2, -3, 4, 5), 8)
    expect(histogram.quantile(0.4)).toBeLessThan(1e-30)
    expect(histogram.quantile(0.75)).toBeGreaterThanOrEqual(3)
    expect(histogram.quantile(0.75)).toBeLessThan(4)
  })
})

describe("CHESS's threshold", () => {
  it.each([0.3, 0.5, 0.8])('T leaves a fraction %d of |g_j| · m_j below it, m_j the mean of |u_j|', level => {
    const [tokens, neurons] = [400, 12]
    const gate = values(tokens * neurons, 2).map((x, i) => x * (1 + (i % neurons)))
    const means = values(neurons, 3).map(x => Math.abs(x) + 0.1)
    const histograms = new ChannelHistograms(neurons)
    histograms.add(gate.subarray(0, 100 * neurons), 100)
    histograms.add(gate.subarray(100 * neurons), tokens - 100)
    const scores = [...gate].map((g, i) => Math.abs(g) * means[i % neurons])
    const limit = histograms.scoreQuantile(means, level)
    expect(Math.abs(Math.log2(limit / exactQuantile(scores, level)))).toBeLessThan(1 / 16)
    expect(Math.abs(scores.filter(score => score < limit).length / scores.length - level)).toBeLessThan(0.01)
  })

  it('counts what lies below a limit, values outside the bins in the outer ones', () => {
    const histograms = new ChannelHistograms(2)
    histograms.add(Float32Array.of(1e-20, 1000, 0, -0.5, 1, 2), 3)
    expect([0.25, 0.75, 4].map(limit => histograms.countBelow(0, limit))).toEqual([2, 2, 3])
    expect([0.25, 0.75, 4, 2000].map(limit => histograms.countBelow(1, limit))).toEqual([0, 1, 2, 3])
  })
})

describe('CETT', () => {
  const [tokens, h, d] = [30, 40, 8]
  const hidden = values(tokens * h, 4)
  const down = values(h * d, 5)
  const product = (given: Float32Array) => {
    const out = new Float32Array(tokens * d)
    for (let t = 0; t < tokens; t++)
      for (let j = 0; j < h; j++)
        for (let k = 0; k < d; k++) out[t * d + k] += given[t * h + j] * down[j * d + k]
    return out
  }
  const lengths = Float32Array.from({ length: h }, (_, j) => Math.hypot(...down.subarray(j * d, (j + 1) * d)))
  const contributions = hidden.map((value, i) => Math.abs(value) * lengths[i % h])

  /** By the definition: the error when contributions below `epsilon` are left out. */
  function errorAt(epsilon: number): number {
    const [tail, whole] = [
      product(hidden.map((value, i) => (contributions[i] < epsilon ? value : 0))),
      product(hidden),
    ]
    let sum = 0
    for (let t = 0; t < tokens; t++) {
      sum +=
        Math.hypot(...tail.subarray(t * d, (t + 1) * d)) / Math.hypot(...whole.subarray(t * d, (t + 1) * d))
    }
    return sum / tokens
  }

  it.each([0.05, 0.2, 0.5])('the search finds the ε whose error is %d', wanted => {
    // The reference: the largest of all contributions whose error stays within.
    const candidates = [...contributions].toSorted((a, b) => a - b)
    const reference = candidates.findLastIndex(epsilon => errorAt(epsilon) <= wanted)
    const { epsilon, fraction } = leftOutAt(errorCurve(hidden, lengths, tokens, product), wanted)
    expect(Math.abs(errorAt(epsilon) - wanted)).toBeLessThan(0.03 * wanted + 0.005)
    expect(Math.abs(fraction - reference / candidates.length)).toBeLessThan(1 / 64)
  })

  it('is 0 where nothing is left out and 1 where all is', () => {
    const curve = errorCurve(hidden, lengths, tokens, product, 4)
    expect(curve.errors[0]).toBe(0)
    expect(curve.errors[4]).toBeCloseTo(1, 6)
    expect(curve.errors[2]).toBeCloseTo(errorAt(curve.epsilons[2]), 5)
  })

  it('one error for all layers leaves out the level over all of them, more where it costs less', () => {
    const flat = { epsilons: Float64Array.of(0, 1, 2), errors: Float64Array.of(0, 0.1, 0.2) }
    const steep = { epsilons: Float64Array.of(0, 1, 2), errors: Float64Array.of(0, 0.4, 0.8) }
    const { fractions, error, epsilons } = commonError([flat, steep], 0.5)
    // f/0.2 · … : fractions error/0.2 (at most 1) and error/0.8 with mean 0.5.
    expect(error).toBeCloseTo(0.16, 8)
    expect(fractions[0]).toBeCloseTo(0.8, 8)
    expect(fractions[1]).toBeCloseTo(0.2, 8)
    expect(epsilons[0]).toBeCloseTo(1.6, 8)
  })
})

describe('the greedy search', () => {
  const sizes = { q: 100, gate: 400, down: 400 }
  const weight = { q: 1, gate: 2, down: 9 }
  const errorOf = (levels: Levels) =>
    (Object.keys(weight) as (keyof typeof weight)[]).reduce(
      (sum, matrix) => sum + weight[matrix] * (levels[matrix] ?? 0) ** 2,
      0,
    )

  /** Every candidate computed at every step. */
  function reference(steps: number): Levels[] {
    let levels: Levels = { q: 0, gate: 0, down: 0 }
    return Array.from({ length: steps }, () => {
      const candidates = (Object.keys(sizes) as (keyof typeof sizes)[]).map(matrix => {
        const raised = { ...levels, [matrix]: (levels[matrix] ?? 0) + 0.05 }
        return { raised, cost: (errorOf(raised) - errorOf(levels)) / (0.05 * sizes[matrix]) }
      })
      levels = candidates.toSorted((a, b) => a.cost - b.cost)[0].raised
      return levels
    })
  }

  it('raises the matrix that costs least for the weights it saves, as one that computes every candidate', () => {
    const path = greedyPath(sizes, 0.4, 0.05, errorOf)
    expect(path.length).toBeGreaterThan(8)
    expect(path[path.length - 1].saved).toBeGreaterThanOrEqual(0.4)
    expect(path[path.length - 2].saved).toBeLessThan(0.4)
    for (const [i, expected] of reference(path.length - 1).entries()) {
      for (const matrix of Object.keys(sizes) as MatrixName[]) {
        expect(path[i + 1].levels[matrix]).toBeCloseTo(expected[matrix] ?? Number.NaN, 9)
      }
    }
  })

  it.each([0.1, 0.25, 0.4])('between two steps the budget is met exactly: %d', level => {
    const levels = levelsAt(greedyPath(sizes, 0.4, 0.05, errorOf), level)
    const saved = (100 * (levels.q ?? 0) + 400 * (levels.gate ?? 0) + 400 * (levels.down ?? 0)) / 900
    expect(saved).toBeCloseTo(level, 12)
    expect(levels.gate).toBeGreaterThan(levels.down ?? 1)
  })

  it('ends when every matrix is as sparse as it may be', () => {
    const path = greedyPath(sizes, 1, 0.05, errorOf)
    expect(path[path.length - 1].saved).toBeCloseTo(0.95, 9)
  })
})

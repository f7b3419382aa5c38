// Attention whose scores are far beyond what exp can tell apart: its gradients are those of a softmax in double precision
// that keeps its probabilities (as PyTorch does), not of probabilities recomputed from a rounded log of their sum.

import { describe, expect, it } from 'vitest'
import { type AttentionShape, availableKernels, type Kernels } from '../../src/kernels/index.js'
import { RandomInputs } from './random-inputs.js'

const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)

interface Case {
  readonly shape: AttentionShape
  readonly q: Float32Array
  readonly k: Float32Array
  readonly v: Float32Array
  readonly dOut: Float32Array
}

/** Inputs of normal size but for q, which is `scale` times as large. Keys 1 and 2 are the same. */
function inputs(seq: number, scale: number): Case {
  const random = new RandomInputs(Float32Array, seq)
  const shape = { batch: 2, seq, heads: 2, kvHeads: 1, headDim: 5 }
  const floats = (n: number) => Float32Array.from(random.normal(n))
  const rows = shape.batch * seq
  const k = floats(rows * 5)
  if (seq > 2) k.copyWithin(2 * 5, 5, 2 * 5)
  return {
    shape,
    q: floats(rows * 10).map(x => x * scale),
    k,
    v: floats(rows * 5),
    dOut: floats(rows * 10),
  }
}

interface Gradients {
  readonly dQ: ArrayLike<number>
  readonly dK: ArrayLike<number>
  readonly dV: ArrayLike<number>
}

/** By the definition, one query at a time, in double precision. */
function expected({ shape, q, k, v, dOut }: Case): Gradients {
  const { batch, seq, heads, headDim } = shape
  const [dQ, dK, dV] = [q, k, v].map(({ length }) => new Float64Array(length))
  const dot = (a: Float32Array, i: number, b: Float32Array, j: number) => {
    let sum = 0
    for (let c = 0; c < headDim; c++) sum += a[i + c] * b[j + c]
    return sum
  }
  for (let b = 0; b < batch; b++)
    for (let t = 0; t < seq; t++)
      for (let head = 0; head < heads; head++) {
        const at = ((b * seq + t) * heads + head) * headDim
        const keys = Array.from({ length: t + 1 }, (_, j) => (b * seq + j) * headDim)
        const scores = keys.map(key => dot(q, at, k, key) / Math.sqrt(headDim))
        const largest = Math.max(...scores)
        const weights = scores.map(score => Math.exp(score - largest))
        const total = weights.reduce((sum, weight) => sum + weight, 0)
        const p = weights.map(weight => weight / total)
        const dP = keys.map(key => dot(dOut, at, v, key))
        const mean = p.reduce((sum, probability, j) => sum + probability * dP[j], 0)
        for (const [j, key] of keys.entries()) {
          const dS = (p[j] * (dP[j] - mean)) / Math.sqrt(headDim)
          for (let c = 0; c < headDim; c++) {
            dQ[at + c] += dS * k[key + c]
            dK[key + c] += dS * q[at + c]
            dV[key + c] += p[j] * dOut[at + c]
          }
        }
      }
  return { dQ, dK, dV }
}

function actual(kernels: Kernels, { shape, q, k, v, dOut }: Case): Gradients {
  const lse = new Float32Array(shape.batch * shape.seq * shape.heads)
  const [out, dQ, dK, dV] = [q, q, k, v].map(({ length }) => new Float32Array(length))
  kernels.attention(q, k, v, out, lse, shape)
  kernels.attentionBackward(dOut, q, k, v, out, lse, dQ, dK, dV, shape)
  return { dQ, dK, dV }
}

const largestOf = (values: ArrayLike<number>) =>
  Array.from(values).reduce((largest, value) => Math.max(largest, Math.abs(value)), 0)

function furthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return largestOf(Array.from(a, (value, i) => value - b[i]))
}

describe.each(backends)('%s', (_, kernels) => {
  it.each([
    [7, 30],
    [7, 300],
    [70, 1e4],
    [150, 1e6],
    [70, 1e9],
    [70, 1e12],
    [7, 1e25],
  ])('%s positions, q of size %s', (seq, scale) => {
    const one = inputs(seq, scale)
    const [right, own] = [expected(one), actual(kernels, one)]
    // Scores of size s are known to s · 2⁻²²: between them the probabilities of near ties are open.
    const tolerance = scale <= 300 ? 1e-3 : 1e-2
    expect(furthest(own.dV, right.dV)).toBeLessThanOrEqual(tolerance * largestOf(right.dV))
    expect(furthest(own.dQ, right.dQ)).toBeLessThanOrEqual(tolerance * Math.max(1, largestOf(right.dQ)))
    expect(furthest(own.dK, right.dK)).toBeLessThanOrEqual(tolerance * Math.max(1, largestOf(right.dK)))
  })

  it('where every query sees one key, no gradient reaches q and k', () => {
    for (const scale of [1, 1e9]) {
      const { dQ, dK, dV } = actual(kernels, inputs(1, scale))
      expect([...Array.from(dQ), ...Array.from(dK)].every(value => value === 0)).toBe(true)
      expect(largestOf(dV)).toBeGreaterThan(0.1)
    }
  })
})

describe.each(backends)('the sum of squares, %s', (_, kernels) => {
  it.each([1e18, 1e19, 2e19, 1e25, 3e38])('of elements of %s does not overflow', value => {
    const x = new Float32Array(40_003).fill(1)
    x[17] = value
    x[39_999] = -value
    const expected = 2 * Math.fround(value) ** 2
    expect(Math.abs(kernels.sumOfSquares(x, x.length) / expected - 1)).toBeLessThan(1e-6)
  })

  it('of an infinity or NaN is not finite', () => {
    for (const value of [Number.POSITIVE_INFINITY, Number.NaN]) {
      expect(Number.isFinite(kernels.sumOfSquares(Float32Array.of(1, value, 2), 3))).toBe(false)
    }
  })
})

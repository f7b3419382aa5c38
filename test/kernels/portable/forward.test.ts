// The portable kernels in f64 against formulas written out here in the plainest way.

import { describe, expect, it } from 'vitest'
import type { Floats } from '../../../src/kernels/index.js'
import { portableKernels } from '../../../src/kernels/index.js'
import { RandomInputs } from '../random-inputs.js'

const kernels = portableKernels()

function expectClose(actual: Floats, expected: ArrayLike<number>, tolerance = 1e-12): void {
  expect(actual.length).toBe(expected.length)
  for (let i = 0; i < expected.length; i++) expect(Math.abs(actual[i] - expected[i])).toBeLessThan(tolerance)
}

describe('matmul', () => {
  it.each([
    [1, 1, 1],
    [5, 7, 3],
    [4, 8, 300],
    [70, 9, 11],
    [3, 261, 5],
    [2, 0, 3],
    [2, 3, 0],
  ])('%d×%d×%d is the sum of products, whatever is transposed', (m, n, k) => {
    const inputs = new RandomInputs(Float64Array, 1)
    for (const [transA, transB] of [
      [false, false],
      [false, true],
      [true, false],
      [true, true],
    ]) {
      const a = inputs.normal(m * k)
      const b = inputs.normal(k * n)
      const c = inputs.normal(m * n)
      const before = c.slice()
      const expected = Array.from({ length: m * n }, (_, at) => {
        const [i, j] = [Math.floor(at / n), at % n]
        let sum = 0
        for (let p = 0; p < k; p++)
          sum += (transA ? a[p * m + i] : a[i * k + p]) * (transB ? b[j * k + p] : b[p * n + j])
        return sum
      })
      kernels.matmul(a, b, c, m, n, k, transA, transB, false)
      expectClose(c, expected)
      c.set(before)
      kernels.matmul(a, b, c, m, n, k, transA, transB, true)
      expectClose(
        c,
        expected.map((sum, i) => sum + before[i]),
      )
    }
  })
})

describe('rmsNorm', () => {
  it('of (3, 4) is the row over the root of its mean square 12.5, times the weight', () => {
    const out = new Float64Array(2)
    const rstd = new Float64Array(1)
    kernels.rmsNorm(Float64Array.of(3, 4), Float64Array.of(2, 0.5), out, rstd, 1, 2, 0)
    expectClose(rstd, [1 / Math.sqrt(12.5)])
    expectClose(out, [6 / Math.sqrt(12.5), 2 / Math.sqrt(12.5)])
  })

  it('of a row of zeros is zero, kept finite by eps', () => {
    const out = new Float64Array(3).fill(9)
    const rstd = new Float64Array(1)
    kernels.rmsNorm(new Float64Array(3), Float64Array.of(1, 1, 1), out, rstd, 1, 3, 1e-4)
    expect([...out]).toEqual([0, 0, 0])
    expect(rstd[0]).toBeCloseTo(100, 10)
  })
})

describe('rope', () => {
  it('turns each pair (i, i + headDim/2) as a complex number by position · frequency', () => {
    const [batch, seq, heads, headDim] = [2, 5, 3, 6]
    const half = headDim / 2
    const inputs = new RandomInputs(Float64Array, 2)
    const x = inputs.normal(batch * seq * heads * headDim)
    const angle = (t: number, i: number): number => t * 100 ** (-i / half)
    const table = Array.from({ length: seq * half }, (_, at) => angle(Math.floor(at / half), at % half))
    const out = new Float64Array(x.length)
    const cos = Float64Array.from(table, Math.cos)
    const sin = Float64Array.from(table, Math.sin)
    kernels.rope(x, cos, sin, out, batch * seq, seq, heads, headDim)
    for (let row = 0; row < batch * seq; row++) {
      for (let head = 0; head < heads; head++) {
        for (let i = 0; i < half; i++) {
          const first = (row * heads + head) * headDim + i
          const radius = Math.hypot(x[first], x[first + half])
          const phase = Math.atan2(x[first + half], x[first]) + angle(row % seq, i)
          expect(out[first]).toBeCloseTo(radius * Math.cos(phase), 12)
          expect(out[first + half]).toBeCloseTo(radius * Math.sin(phase), 12)
        }
      }
    }
  })
})

describe('attention', () => {
  it.each([
    [1, 1, 1, 1, 1],
    [2, 7, 4, 2, 3],
    [1, 130, 2, 1, 5],
    [1, 64, 1, 1, 4],
    [1, 65, 3, 1, 2],
  ])(
    '%d×%d, %d heads on %d key heads of %d: softmax of the full score matrix times v',
    (batch, seq, heads, kvHeads, headDim) => {
      const inputs = new RandomInputs(Float64Array, 3)
      const q = inputs.normal(batch * seq * heads * headDim, { std: 3 })
      const k = inputs.normal(batch * seq * kvHeads * headDim)
      const v = inputs.normal(batch * seq * kvHeads * headDim)
      const out = new Float64Array(q.length)
      const lse = new Float64Array(batch * seq * heads)
      kernels.attention(q, k, v, out, lse, { batch, seq, heads, kvHeads, headDim })

      const expectedOut = new Float64Array(q.length)
      const expectedLse = new Float64Array(lse.length)
      for (let b = 0; b < batch; b++) {
        for (let head = 0; head < heads; head++) {
          const kvHead = Math.floor((head * kvHeads) / heads)
          for (let t = 0; t < seq; t++) {
            const queryAt = ((b * seq + t) * heads + head) * headDim
            const keyAt = (s: number): number => ((b * seq + s) * kvHeads + kvHead) * headDim
            const exponentials = Array.from({ length: t + 1 }, (_, s) => {
              let dot = 0
              for (let c = 0; c < headDim; c++) dot += q[queryAt + c] * k[keyAt(s) + c]
              return Math.exp(dot / Math.sqrt(headDim))
            })
            const total = exponentials.reduce((sum, value) => sum + value, 0)
            expectedLse[(b * seq + t) * heads + head] = Math.log(total)
            exponentials.forEach((value, s) => {
              for (let c = 0; c < headDim; c++) expectedOut[queryAt + c] += (value / total) * v[keyAt(s) + c]
            })
          }
        }
      }
      expectClose(out, expectedOut)
      expectClose(lse, expectedLse)
    },
  )

  it('equal keys give the running mean of v, and lse = score + ln(t + 1)', () => {
    const seq = 100
    const v = Float64Array.from({ length: seq }, (_, t) => t)
    const out = new Float64Array(seq)
    const lse = new Float64Array(seq)
    const shape = { batch: 1, seq, heads: 1, kvHeads: 1, headDim: 1 }
    kernels.attention(new Float64Array(seq).fill(2), new Float64Array(seq).fill(3), v, out, lse, shape)
    expectClose(
      out,
      v.map(t => t / 2),
    )
    expectClose(
      lse,
      v.map(t => 6 + Math.log(t + 1)),
    )
  })

  it('scores of ±1000 neither overflow nor underflow', () => {
    const q = Float64Array.of(1000, 1000)
    const out = new Float64Array(2)
    const lse = new Float64Array(2)
    const shape = { batch: 1, seq: 2, heads: 1, kvHeads: 1, headDim: 1 }
    kernels.attention(q, Float64Array.of(-1, 1), Float64Array.of(5, 7), out, lse, shape)
    expectClose(out, [5, 7])
    expectClose(lse, [-1000, 1000])
  })
})

describe('crossEntropy', () => {
  it('of uniform logits is ln V, with gradient 1/V and 1/V − 1', () => {
    const vocab = 50
    const losses = new Float64Array(2)
    const dLogits = new Float64Array(2 * vocab).fill(9)
    kernels.crossEntropy(
      new Float64Array(2 * vocab).fill(123),
      Int32Array.of(7, -1),
      losses,
      dLogits,
      2,
      vocab,
      1,
    )
    expectClose(losses, [Math.log(vocab), 0])
    expectClose(
      dLogits,
      Array.from({ length: 2 * vocab }, (_, i) => (i >= vocab ? 0 : 1 / vocab - (i === 7 ? 1 : 0))),
    )
  })

  it('of two logits is ln(1 + exp(−difference)), also at differences of 2000', () => {
    for (const difference of [-2000, -1, 0, 3, 2000]) {
      const losses = new Float64Array(1)
      kernels.crossEntropy(Float64Array.of(difference, 0), Int32Array.of(0), losses, null, 1, 2, 1)
      const expected = difference < -700 ? -difference : Math.log1p(Math.exp(-difference))
      expect(losses[0]).toBeCloseTo(expected, 12)
    }
  })

  it('the gradient may replace the logits', () => {
    const inputs = new RandomInputs(Float64Array, 4)
    const logits = inputs.normal(3 * 11)
    const targets = Int32Array.of(10, 0, 4)
    const apart = new Float64Array(3 * 11)
    kernels.crossEntropy(logits, targets, new Float64Array(3), apart, 3, 11, 0.5)
    kernels.crossEntropy(logits, targets, new Float64Array(3), logits, 3, 11, 0.5)
    expect([...logits]).toEqual([...apart])
  })
})

describe('adamW', () => {
  const options = { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 0, weightDecay: 0, step: 1, gradScale: 1 }

  it('the first step without decay and eps is lr · sign(g), whatever the size of g', () => {
    const param = Float64Array.of(1, 1, 1)
    kernels.adamW(param, Float64Array.of(1e-6, -3, 1e6), new Float64Array(3), new Float64Array(3), 3, options)
    expectClose(param, [0.9, 1.1, 0.9])
  })

  it('a step computed by hand: scaled gradient, decayed weight, corrected moments', () => {
    // g = 4·0.5 = 2; p = 3·(1 − 0.1·0.2) = 2.94; m = 0.9·1 + 0.1·2 = 1.1; v = 0.99·4 + 0.01·4 = 4;
    // m̂ = 1.1/(1 − 0.81) = 1.1/0.19; v̂ = 4/(1 − 0.9801) = 4/0.0199; p −= 0.1·m̂/(√v̂ + 0.5).
    const param = Float64Array.of(3)
    const m = Float64Array.of(1)
    const v = Float64Array.of(4)
    const step = { ...options, weightDecay: 0.2, step: 2, gradScale: 0.5, eps: 0.5 }
    kernels.adamW(param, Float64Array.of(4), m, v, 1, step)
    expectClose(m, [1.1])
    expectClose(v, [4])
    expectClose(param, [2.94 - (0.1 * (1.1 / 0.19)) / (Math.sqrt(4 / 0.0199) + 0.5)])
  })
})

describe('embedding, bias, reductions', () => {
  it('embedding copies rows of the table', () => {
    const out = new Float64Array(6)
    kernels.embedding(Int32Array.of(2, 0, 2), Float64Array.of(1, 2, 3, 4, 5, 6), out, 3, 2)
    expect([...out]).toEqual([5, 6, 1, 2, 5, 6])
  })

  it('a bias is added to every row, and column sums add up the rows onto what is there', () => {
    const x = Float64Array.of(1, 2, 3, 4)
    kernels.addBias(x, Float64Array.of(10, 20), 2, 2)
    expect([...x]).toEqual([11, 22, 13, 24])
    const sums = Float64Array.of(100, 200)
    kernels.columnSums(x, sums, 2, 2)
    expect([...sums]).toEqual([124, 246])
  })

  it('sums, squares and zeros count the first n elements only', () => {
    const x = Float64Array.of(0, -0, 3, -4, 99)
    expect(kernels.sum(x, 4)).toBe(-1)
    expect(kernels.sumOfSquares(x, 4)).toBe(25)
    expect(kernels.countZeros(x, 4)).toBe(2)
  })

  it('add, multiply and axpy work element by element, also in place', () => {
    const a = Float64Array.of(1, 2)
    const b = Float64Array.of(3, 5)
    kernels.add(a, b, a, 2)
    expect([...a]).toEqual([4, 7])
    kernels.multiply(a, b, b, 2)
    expect([...b]).toEqual([12, 35])
    kernels.axpy(2, a, b, 2)
    expect([...b]).toEqual([20, 49])
  })
})

// Activations of a whole row, against what they are defined to do to a row.

import { describe, expect, it } from 'vitest'
import { defineActivation } from '../../src/activations/define.js'
import * as e from '../../src/activations/expression.js'
import { parseActivation, startParameters } from '../../src/activations/index.js'
import { type Floats, kernels, portableKernels } from '../../src/kernels/index.js'
import { RandomInputs, someDraw } from '../kernels/random-inputs.js'

const width = 1000

function apply(spec: string, x: Floats, parameters?: Floats): Float64Array {
  const out = new Float64Array(x.length)
  portableKernels().activation(parseActivation(spec), x, out, 1, x.length, someDraw, parameters)
  return out
}

const x = Float64Array.from(new RandomInputs(Float64Array, 3).normal(width))

describe('topk', () => {
  it.each([
    ['k=1', 1],
    ['k=37', 37],
    ['k=0.25', 250],
    ['k=1000', 1000],
    ['k=5000', 1000],
    ['k=0', 1],
  ])('%s keeps as many, the largest, and leaves them as they are', (k, count) => {
    const out = apply(`topk:${k},act=identity`, x)
    const kept = [...x].sort((a, b) => b - a).slice(0, count)
    expect([...out].filter(value => value !== 0).sort((a, b) => b - a)).toEqual(kept)
  })

  it('by magnitude keeps large negative ones too; with relu they become 0', () => {
    const out = apply('topk:k=100,by=magnitude,act=identity', x)
    const kept = [...x].sort((a, b) => Math.abs(b) - Math.abs(a)).slice(0, 100)
    expect([...out].filter(value => value !== 0).sort()).toEqual(kept.sort())
    const rectified = apply('topk:k=100,by=magnitude', x)
    for (let i = 0; i < width; i++) expect(rectified[i]).toBe(Math.max(out[i], 0))
  })

  it('keeps all of those that are equal to the k-th', () => {
    const out = apply('topk:k=2,act=identity', Float64Array.of(1, 3, 2, 2, 2, -1))
    expect([...out]).toEqual([0, 3, 2, 2, 2, 0])
  })
})

describe('stat-topk', () => {
  it.each([0.05, 0.1, 0.3])('keeps about %d of a normal row', share => {
    const out = apply(`stat-topk:k=${share},act=relu`, x)
    const kept = [...out].filter(value => value > 0).length / width
    expect(Math.abs(kept - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / width))
  })

  it('the threshold is mean + std·Φ⁻¹(1 − k/h), and what is above is moved down by it', () => {
    const mean = x.reduce((sum, value) => sum + value, 0) / width
    const std = Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width)
    // Φ⁻¹(0.9) and Φ⁻¹(0.92), from tables.
    for (const [k, quantile] of [
      ['0.1', 1.2815515655446004],
      ['80', 1.4050715603096329],
    ] as const) {
      const out = apply(`stat-topk:k=${k},act=relu`, x)
      for (let i = 0; i < width; i++) {
        expect(out[i]).toBeCloseTo(Math.max(x[i] - mean - std * quantile, 0), 9)
      }
    }
  })

  it.each(['k=0', 'k=1000', 'k=99999'])('%s stays finite, in rows of any length', k => {
    for (const n of [1, 2, 7, width]) {
      expect([...apply(`stat-topk:${k}`, x.slice(0, n))].every(Number.isFinite)).toBe(true)
    }
  })
})

describe('polynorm', () => {
  it('is a sum of normalized powers: of a single one the mean square is 1', () => {
    const act = parseActivation('polynorm')
    for (const [power, weights] of [
      [1, [1, 0, 0]],
      [2, [0, 1, 0]],
      [3, [0, 0, 1]],
    ] as const) {
      const out = apply('polynorm', x, Float64Array.of(...weights, 0))
      expect(out.reduce((sum, value) => sum + value ** 2, 0) / width).toBeCloseTo(1, 5)
      const ratio = out[0] / x[0] ** power
      for (let i = 0; i < width; i++) expect(out[i]).toBeCloseTo(ratio * x[i] ** power, 9)
    }
    expect([...startParameters(act, width)]).toEqual([1 / 3, 1 / 3, 1 / 3, 0])
  })
})

describe('tmaf', () => {
  it('tri-diagonal adds what the neighbors give, by step functions of theirs', () => {
    const act = parseActivation('tmaf:matrix=tridiagonal')
    const n = 4
    const parameters = startParameters(act, n)
    // lower[between 0 and 1] of neuron 2 is 10; upper[above 2] of neuron 0 is −1.
    parameters[6 * n + 3 * n + 2] = 10
    parameters[12 * n + 5 * n + 0] = -1
    const row = Float64Array.of(0.5, 0.7, -3, 4)
    expect([...apply(act.spec, row, parameters)]).toEqual(
      [0.5, 0.7, 7, 4].map(value => expect.closeTo(value, 12)),
    )
    row[1] = 2.5
    expect([...apply(act.spec, row, parameters)]).toEqual(
      [0.5 - 2.5, 2.5, 0, 4].map(value => expect.closeTo(value, 12)),
    )
  })
})

describe('a learned number inside a mean of the row', () => {
  // f(x)ᵢ = xᵢ·m with m = a·mean(x²): ∂f/∂a = xᵢ·mean(x²), and every output depends on every input.
  const act = defineActivation({
    name: 'scaled',
    value: e.mul(e.x, e.rowMean(e.mul(e.learned('a'), e.square(e.x)))),
    learned: [{ name: 'a', about: 'scale', per: 'layer', start: [1] }],
  })

  it.each([
    ['in use', kernels(), Float32Array, 1e-5],
    ['portable', portableKernels(), Float64Array, 1e-12],
  ] as const)('has the gradient of its closed form, backend %s', (_, backend, Floats, tolerance) => {
    const [n, a] = [300, 1.7]
    const row = Floats.from(x.subarray(0, n))
    const dOut = Floats.from(x.subarray(n, 2 * n))
    const mean = (of: (i: number) => number) => Array.from(row, (_, i) => of(i)).reduce((p, q) => p + q) / n
    const square = mean(i => row[i] ** 2)
    const product = mean(i => dOut[i] * row[i])
    const [dX, gradient] = [new Floats(n), new Floats(1)]
    backend.activationBackward(act, dOut, row, dX, 1, n, someDraw, Floats.of(a), gradient)
    expect(Math.abs(gradient[0] / (n * product * square) - 1)).toBeLessThan(tolerance)
    for (let i = 0; i < n; i++) {
      const expected = a * (dOut[i] * square + 2 * row[i] * product)
      expect(Math.abs(dX[i] - expected)).toBeLessThan(10 * tolerance)
    }
  })
})

describe('the gradient of a learned number', () => {
  it.each([
    ['elementwise', 'prelu'],
    ['of a whole row', 'polynorm'],
  ])('over 700 equal rows is 700 times that of one, %s', (_, spec) => {
    const act = parseActivation(spec)
    const n = 97
    const gradientOf = (rows: number) => {
      const repeated = (from: number) => Float32Array.from({ length: rows * n }, (_, i) => x[from + (i % n)])
      const parameters = Float32Array.from(startParameters(act, n))
      const gradient = new Float32Array(parameters.length)
      const dX = new Float32Array(rows * n)
      const [dOut, input] = [repeated(0), repeated(n)]
      kernels().activationBackward(act, dOut, input, dX, rows, n, someDraw, parameters, gradient)
      return gradient
    }
    const [one, many] = [gradientOf(1), gradientOf(700)]
    expect(Math.abs(one[0])).toBeGreaterThan(0.1)
    for (const [i, value] of one.entries()) {
      expect(Math.abs(many[i] - 700 * value)).toBeLessThan(1e-3 * Math.abs(700 * value))
    }
  })
})

describe('on the backend in use', () => {
  it('rows are independent of each other, and the result may overwrite its input', () => {
    for (const spec of ['topk:k=0.1', 'stat-topk', 'polynorm', 'tmaf:matrix=tridiagonal']) {
      const act = parseActivation(spec)
      const two = Float32Array.from([...x.slice(0, 333), ...x.slice(500, 833)])
      const out = new Float32Array(666)
      kernels().activation(act, two, out, 2, 333, someDraw)
      for (const row of [0, 1]) {
        const alone = two.slice(row * 333, (row + 1) * 333)
        kernels().activation(act, alone, alone, 1, 333, someDraw)
        expect(alone).toEqual(out.slice(row * 333, (row + 1) * 333))
      }
    }
  })
})

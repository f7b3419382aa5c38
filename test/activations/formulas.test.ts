// The formulas of the activations, against published values, finite differences and the facts of the paper.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/catalog.js'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'

const silu = parseActivation('silu')
const relu = parseActivation('relu')
const points = [-30, -5, -1.278465, -1, -0.5, -1e-3, 1e-3, 0.5, 1, 5, 30]

describe('SiLU', () => {
  it.each([
    [-0.5, -0.18877, 0.260039],
    [-1, -0.268941, 0.072329],
    [0, 0, 0.5],
  ])('has the published value and derivative at %d', (x, value, derivative) => {
    expect(silu.forward(x, 0)).toBeCloseTo(value, 6)
    expect(silu.derivative(x, 0)).toBeCloseTo(derivative, 6)
  })

  it('has its minimum −0.278465 at −1.278465', () => {
    expect(silu.forward(-1.278465, 0)).toBeCloseTo(-0.278465, 6)
    expect(silu.derivative(-1.278465, 0)).toBeCloseTo(0, 6)
  })

  it('stays finite far out on both sides', () => {
    expect(silu.forward(-1000, 0)).toBeCloseTo(0, 12)
    expect(silu.derivative(-1000, 0)).toBeCloseTo(0, 12)
    expect(silu.forward(1000, 0)).toBe(1000)
    expect(silu.derivative(1000, 0)).toBe(1)
  })
})

describe('every activation', () => {
  const specs = ['relu', 'silu', 'stocha:p=0.7', 'stocha:positive=silu', 'stocha:positive=drawn', 'stoch']

  it.each(specs)('%s: the derivative is that of the branch the draw took', spec => {
    const activation = parseActivation(spec)
    const step = 1e-5
    for (const x of points) {
      for (const draw of [0, 0.49, 0.51, 0.69, 0.71, 1 - 2 ** -24]) {
        const slope = (activation.forward(x + step, draw) - activation.forward(x - step, draw)) / (2 * step)
        expect(activation.derivative(x, draw)).toBeCloseTo(slope, 8)
      }
    }
  })

  it.each(specs)('%s: a pre-activation that is not a number gives none, so that a broken run shows', spec => {
    expect(parseActivation(spec).forward(Number.NaN, 0.9)).toBeNaN()
  })
})

describe('stochastic activations', () => {
  const specs = ['stocha', 'stocha:positive=silu', 'stocha:positive=drawn', 'stoch']

  it.each(specs)('%s: an element that is not chosen and not positive is exactly +0', spec => {
    const activation = parseActivation(spec)
    for (const x of [-1e30, -1, -1e-30, -0, 0]) {
      expect(activation.forward(x, 0.99)).toBe(0)
      expect(activation.derivative(x, 0.99)).toBe(0)
    }
  })

  it('SiLU is taken when the draw is below p', () => {
    const stocha = parseActivation('stocha:p=0.25')
    expect(stocha.forward(-1, 0.25 - 2 ** -24)).toBe(silu.forward(-1, 0))
    expect(stocha.forward(-1, 0.25)).toBe(0)
  })

  it('the three positive sides are x, SiLU(x), and drawn', () => {
    for (const x of points.filter(x => x > 0)) {
      for (const [draw, drawn] of [
        [0.1, silu],
        [0.9, relu],
      ] as const) {
        expect(parseActivation('stocha').forward(x, draw)).toBe(x)
        expect(parseActivation('stocha:positive=silu').forward(x, draw)).toBe(silu.forward(x, 0))
        expect(parseActivation('stocha:positive=drawn').forward(x, draw)).toBe(drawn.forward(x, 0))
      }
    }
  })

  it('stoch equals stocha with positive=drawn', () => {
    const stoch = parseActivation('stoch:p=0.4')
    const drawn = parseActivation('stocha:p=0.4,positive=drawn')
    expect(stoch.fused).toEqual(drawn.fused)
    for (const x of points) {
      for (const draw of [0.39, 0.41]) expect(stoch.forward(x, draw)).toBe(drawn.forward(x, draw))
    }
  })

  it('p = 0 is ReLU and draws nothing, p = 1 is SiLU for x ≤ 0 and has no exact zeros', () => {
    const never = parseActivation('stocha:p=0')
    const always = parseActivation('stocha:p=1')
    expect([never.draws, never.exactZeros]).toEqual([false, true])
    expect([always.draws, always.exactZeros]).toEqual([false, false])
    for (const x of [...points, 0]) {
      for (const draw of [0, 1 - 2 ** -24]) {
        expect(never.forward(x, draw)).toBe(relu.forward(x, 0))
        expect(never.derivative(x, draw)).toBe(relu.derivative(x, 0))
        expect(always.forward(x, draw)).toBe(x > 0 ? x : silu.forward(x, 0))
        expect(parseActivation('stoch:p=1').forward(x, draw)).toBe(silu.forward(x, 0))
        expect(parseActivation('stoch:p=1').derivative(x, draw)).toBe(silu.derivative(x, 0))
      }
    }
  })

  it.each([-0.5, -1.278465, -3])('at %d the mean is p·SiLU(x) and the variance p(1−p)·SiLU(x)²', x => {
    const p = 0.7
    const n = 100_000
    const stocha = parseActivation(`stocha:p=${p}`)
    const random = new RandomStream({ seed: 1, purpose: Purpose.activation, stream: 0 })
    const value = silu.forward(x, 0)
    let total = 0
    let squares = 0
    for (let i = 0; i < n; i++) {
      const drawn = stocha.forward(x, random.uniform())
      total += drawn
      squares += (drawn - p * value) ** 2
    }
    // Five standard deviations of the sample mean, and of the sample variance of a Bernoulli variable.
    const variance = p * (1 - p) * value ** 2
    expect(Math.abs(total / n - p * value)).toBeLessThan(5 * Math.sqrt(variance / n))
    const spread = Math.abs(1 - 2 * p) * Math.sqrt(p * (1 - p)) * value ** 2
    expect(Math.abs(squares / n - variance)).toBeLessThan((5 * spread) / Math.sqrt(n))
  })
})

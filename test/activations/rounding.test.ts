// Values and derivatives where a formula as written would lose digits.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { kernels, portableKernels } from '../../src/kernels/index.js'
import { someDraw } from '../kernels/random-inputs.js'

describe('xielu just below 0', () => {
  const xielu = parseActivation('xielu')
  // f(x) = 0.8·(eˣ − 1 − x) + x/2 with the α of the start, in its Taylor series: exact to 1e-18 here.
  it.each([-1e-5, -2e-6, -1e-6, -9e-7, -5e-7, -1e-9, -1e-12])('value and slope at %d', x => {
    expect(Math.abs(xielu.forward(x, 0) - (0.4 * x * x + x / 2))).toBeLessThan(1e-15)
    expect(Math.abs(xielu.derivative(x, 0) - (0.8 * (x + (x * x) / 2) + 0.5))).toBeLessThan(1e-14)
  })

  it('is 0 at 0, with slope one half from both sides', () => {
    expect(xielu.forward(0, 0)).toBeCloseTo(0, 300)
    expect(xielu.derivative(0, 0)).toBeCloseTo(0.5, 14)
    expect(xielu.derivative(1e-12, 0)).toBeCloseTo(0.5, 10)
  })
})

describe("the gradient of swish's learned β in single precision", () => {
  // x²·σ(βx)·σ(−βx) = x²/(2 + 2·cosh(βx)).
  const exact = (x: number, beta: number) => (x * x) / (2 + 2 * Math.cosh(beta * x))

  it.each([
    ['in use', kernels()],
    ['portable', portableKernels()],
  ])('backend %s', (_, backend) => {
    const act = parseActivation('swish:learned=neuron')
    const xs = [0.5, -3, 8, 15, 16.5, 20, -20, 40, 60, 80, -80]
    for (const beta of [0.25, 0.5, 1]) {
      const x = Float32Array.from(xs)
      const [ones, back] = [new Float32Array(xs.length).fill(1), new Float32Array(xs.length)]
      const parameters = new Float32Array(xs.length).fill(beta)
      const gradient = new Float32Array(xs.length)
      backend.activationBackward(act, ones, x, back, 1, xs.length, someDraw, parameters, gradient)
      for (const [i, at] of xs.entries()) {
        const expected = exact(Math.fround(at), beta)
        const error = Math.abs(gradient[i] - expected)
        expect(error, `x = ${at}, β = ${beta}`).toBeLessThan(2e-6 * expected + 1e-37)
      }
    }
  })
})

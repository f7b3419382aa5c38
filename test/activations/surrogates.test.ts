// Entries whose backward pass is deliberately not the derivative of the value: each does what it promises instead.

import { describe, expect, it } from 'vitest'
import { parseActivation, startParameters } from '../../src/activations/index.js'
import { everyForm } from './entries.js'

const grid = Array.from({ length: 161 }, (_, i) => -4 + i * 0.05 + 0.003)
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
const relu = (x: number): number => Math.max(x, 0)
const silu = (x: number): number => x * sigmoid(x)

/** Central difference. */
const slope = (f: (x: number) => number, x: number): number => (f(x + 1e-5) - f(x - 1e-5)) / 2e-5

describe('surrogate derivatives', () => {
  it('HeLU lets the gradient through for x > −α', () => {
    const helu = parseActivation('helu:alpha=0.5')
    for (const x of grid) expect(helu.derivative(x, 0)).toBe(x > -0.5 ? 1 : 0)
  })

  it('SUGAR goes backward as SiLU or B-SiLU', () => {
    const bsilu = (x: number) => (x + 1.2) * sigmoid(x) - 0.6
    for (const x of grid) {
      expect(parseActivation('sugar:form=silu').derivative(x, 0)).toBeCloseTo(slope(silu, x), 8)
      expect(parseActivation('sugar:alpha=1.2').derivative(x, 0)).toBeCloseTo(slope(bsilu, x), 8)
    }
  })

  it('the threshold of JumpReLU learns by a rectangle kernel', () => {
    const jump = parseActivation('jumprelu:theta=0.5,width=0.2')
    for (const x of grid) {
      expect(jump.derivative(x, 0)).toBe(x > 0.5 ? 1 : 0)
      const near = Math.abs(x - 0.5) < 0.1
      expect(jump.parameterDerivatives(x, 0)[0]).toBeCloseTo(near ? -(0.5 ** 2) / 0.2 : 0, 12)
    }
    // What it estimates: for evenly spread x, d/d log θ of the mean of x·1[x > θ] is −θ² times the density.
    const n = 100_000
    let total = 0
    for (let i = 0; i < n; i++) total += jump.parameterDerivatives(-4 + (8 * (i + 0.5)) / n, 0)[0]
    expect(total / n).toBeCloseTo(-(0.5 ** 2) / 8, 3)
  })

  it.each(['jumprelu', 'jumprelu:theta=0.001', 'jumprelu:theta=0.5,width=5'])(
    'no steps bring the threshold of %s to 0 or below',
    spec => {
      const jump = parseActivation(spec)
      const parameters = [...startParameters(jump, 1)]
      // Adam's step is about the learning rate, whatever the size of the gradient: here always downward, a thousand times.
      for (let step = 0; step < 1000; step++) parameters[0] -= 0.01
      // Below a threshold > 0 every negative x gives exactly 0.
      for (const x of [-100, -1, -0.1, -1e-3, -1e-6, 0])
        expect(jump.forward(x, 0, parameters)).toBeCloseTo(0, 300)
      expect(jump.forward(1, 0, parameters)).toBe(1)
    },
  )

  it('at the start the kernel of JumpReLU, as typed by default, reaches from θ/2 to 3θ/2', () => {
    const jump = parseActivation('jumprelu')
    const pulls = (x: number) => jump.parameterDerivatives(x, 0)[0] !== 0
    for (const x of [-0.04, -0.001, 0.0049, 0.0151, 0.05]) expect(pulls(x), `at ${x}`).toBe(false)
    for (const x of [0.0051, 0.01, 0.0149]) expect(pulls(x), `at ${x}`).toBe(true)
  })

  it.each([0.5, 1, 3])(
    'the gate of gumbel_stoch is hard forward and Gumbel-softmax backward, temperature %d',
    t => {
      const act = parseActivation(`gumbel_stoch:gate=neuron,temperature=${t}`)
      const logit = 0.4
      for (const u of [0.05, 0.3, 0.55, 0.65, 0.95]) {
        const noise = Math.log((u + 2 ** -25) / (1 - u))
        const soft = (theta: number) => sigmoid((theta - noise) / t)
        const hard = u < sigmoid(logit) ? 1 : 0
        for (const x of grid) {
          expect(act.forward(x, u, [logit])).toBe(hard === 1 ? relu(x) : silu(x))
          expect(act.derivative(x, u, [logit])).toBeCloseTo(
            hard * slope(relu, x) + (1 - hard) * slope(silu, x),
            8,
          )
          const expected = slope(soft, logit) * (relu(x) - silu(x))
          expect(act.parameterDerivatives(x, u, [logit])[0]).toBeCloseTo(expected, 8)
        }
      }
    },
  )

  it('the gate of gumbel_stoch prefers what lowers the loss: gradients over draws have the sign of the difference', () => {
    const act = parseActivation('gumbel_stoch:gate=neuron')
    for (const x of [-2, -0.5, 0.5, 2]) {
      let total = 0
      for (let i = 0; i < 1000; i++) total += act.parameterDerivatives(x, (i + 0.5) / 1000, [0])[0]
      expect(Math.sign(total)).toBe(Math.sign(relu(x) - silu(x)))
    }
  })

  it('smartmixed picks one function per draw, and the frozen phase the favorite', () => {
    const functions = [
      relu,
      sigmoid,
      Math.tanh,
      (x: number) => (x > 0 ? x : 0.01 * x),
      (x: number) => (x > 0 ? x : Math.expm1(x)),
      (x: number) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
    ]
    const learning = parseActivation('smartmixed')
    for (const draws of [
      [0.1, 0.9, 0.3, 0.5, 0.2, 0.7],
      [0.8, 0.2, 0.6, 0.95, 0.1, 0.4],
    ]) {
      const logits = [0.3, -0.2, 0.1, 0.4, -0.1, 0.2]
      const scores = logits.map((logit, k) => logit - Math.log(-Math.log1p(-draws[k])))
      const winner = scores.indexOf(Math.max(...scores))
      for (const x of grid) {
        expect(learning.forward(x, draws, logits)).toBeCloseTo(functions[winner](x), 12)
        expect(learning.derivative(x, draws, logits)).toBeCloseTo(slope(functions[winner], x), 8)
      }
      const frozen = learning.with({ phase: 'frozen' })
      expect(frozen.draws).toBe(false)
      for (const x of grid) expect(frozen.forward(x, draws, logits)).toBeCloseTo(functions[3](x), 12)
      // The soft choice: its derivatives by the logits add up to zero, as a softmax's do.
      const gradient = learning.parameterDerivatives(1.3, draws, logits)
      expect(gradient.reduce((sum, each) => sum + each, 0)).toBeCloseTo(0, 12)
      expect(gradient.some(each => Math.abs(each) > 1e-3)).toBe(true)
    }
  })

  it('only these entries have a surrogate, and each says why', () => {
    const named = new Set(everyForm().flatMap(act => (act.surrogate === undefined ? [] : [act.name])))
    expect(named).toEqual(new Set(['helu', 'sugar', 'jumprelu', 'gumbel_stoch', 'smartmixed', 'circa']))
  })
})

// Every form of every entry on the tape in f64: gradients by x, by up and by the learned parameters are those of the
// forward pass, statistics of a row and neighbors included.

import { describe, expect, it } from 'vitest'
import {
  type Activation,
  parameterLayout,
  parseActivation,
  startParameters,
} from '../../src/activations/index.js'
import { portableKernels } from '../../src/kernels/index.js'
import { ops, parameter, Tape, type Tensor } from '../../src/tensor/index.js'
import { formsOfOneElement } from '../activations/entries.js'
import { someDraw } from '../kernels/random-inputs.js'
import { expectGradients, leaf } from './finite-differences.js'

const [rows, width] = [3, 5]

/** The learned parameters as tensors, moved a little from where they start. */
function learnedLeaves(act: Activation): Tensor[] {
  const start = startParameters(act, width)
  return parameterLayout(act, width).map(({ offset, length }) => {
    const values = start
      .slice(offset, offset + length)
      .map((value, i) => value + 0.11 * Math.sin(3 * i + 1 + offset))
    return parameter(values, [length])
  })
}

/** Pre-activations away from kinks and steps, which stand at multiples of ½ and at the defaults of the settings. */
function awayFromKinks(): Tensor {
  const x = leaf([rows, width])
  for (let i = 0; i < x.size; i++) x.data[i] = (Math.floor(x.data[i] * 6) + 0.3 + 0.03 * Math.sin(i)) / 2
  return x
}

const forms = formsOfOneElement().filter(act => act.surrogate === undefined)

describe('gradients through the tape', () => {
  it.each(forms.map(act => [act.spec, act] as const))('%s', (_, act) => {
    const learned = learnedLeaves(act)
    const [x, up] = [awayFromKinks(), leaf([rows, width])]
    expectGradients([x, ...learned], tape => ops.activation(tape, act, x, someDraw, learned))
    expectGradients([x, up, ...learned], tape => ops.gate(tape, act, x, up, someDraw, learned))
  })

  it.each([0.3, 0.5, 0.7])(
    'dReLU with StochA p = %s draws for gate and up: 1 − p² zeros where both are negative',
    p => {
      const negative = () => parameter(new Float64Array(200 * 500).fill(-1), [200, 500])
      const tape = new Tape(portableKernels(), { dtype: 'f64' })
      const out = ops.dualGate(tape, parseActivation(`stocha:p=${p}`), negative(), negative(), someDraw)
      let zeros = 0
      for (const value of out.data.subarray(0, out.size)) if (value === 0) zeros++
      // Five standard deviations of a fraction of 100,000 draws.
      expect(Math.abs(zeros / out.size - (1 - p ** 2))).toBeLessThan(5 * Math.sqrt(0.25 / out.size))
    },
  )

  it('a learned parameter that two layers share gets the sum of their gradients', () => {
    const act = parseActivation('swish:learned=layer')
    const beta = parameter(Float64Array.of(1.3), [1])
    const x = leaf([rows, width])
    expectGradients([x, beta], tape => {
      const once = ops.activation(tape, act, x, someDraw, [beta])
      return ops.activation(tape, act, once, someDraw, [beta])
    })
  })

  it('parameters that do not fit are refused with both sizes', () => {
    const tape = new Tape(portableKernels(), { dtype: 'f64' })
    const act = parseActivation('rbf')
    const wrong = [parameter(new Float64Array(4), [4]), parameter(new Float64Array(5), [5])]
    expect(() => ops.activation(tape, act, leaf([rows, width]), someDraw, wrong)).toThrow(
      /rbf:.* learns c \(5\), s \(5\) in a layer of 5, but was given \(4\), \(5\)/,
    )
  })
})

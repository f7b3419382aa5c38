// Columns of a tensor on the tape.

import { describe, expect, it } from 'vitest'
import { portableKernels } from '../../src/kernels/index.js'
import { ops, parameter, Tape } from '../../src/tensor/index.js'
import { expectGradients, leaf } from './finite-differences.js'

describe('columns', () => {
  it('are those of every row', () => {
    const x = parameter(
      Float64Array.from({ length: 10 }, (_, i) => i),
      [2, 5],
    )
    const tape = new Tape(portableKernels(), { dtype: 'f64' })
    const some = ops.columns(tape, x, 1, 3)
    expect([some.shape, [...some.data]]).toEqual([
      [2, 2],
      [1, 2, 6, 7],
    ])
  })

  it('give their gradient back to where they stood, added where parts overlap', () => {
    const x = leaf([3, 7])
    const square = (value: number) => value * value
    expectGradients([x], tape => {
      const [a, b] = [ops.columns(tape, x, 0, 4), ops.columns(tape, x, 3, 7)]
      return ops.map(tape, ops.multiply(tape, a, b), square, value => 2 * value)
    })
  })

  it('that are not there are refused', () => {
    const tape = new Tape(portableKernels(), { dtype: 'f64' })
    for (const [from, to] of [
      [0, 8],
      [-1, 2],
      [3, 3],
      [0.5, 2],
    ]) {
      expect(() => ops.columns(tape, leaf([2, 7]), from, to)).toThrow(
        expect.objectContaining({ code: 'SHAPE_COLUMNS' }),
      )
    }
  })
})

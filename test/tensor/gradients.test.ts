// Every op of the tape against central finite differences in f64.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { ShapeError } from '../../src/errors.js'
import { portableKernels } from '../../src/kernels/index.js'
import { ropeTable } from '../../src/nn/rope.js'
import { constant, ops, Tape } from '../../src/tensor/index.js'
import { expectGradients, leaf } from './finite-differences.js'

const draw = { seedLow: 3, seedHigh: 4, purpose: 2, step: 5, layer: 1, firstRow: 7 }
const f64 = () => new Tape(portableKernels(), { dtype: 'f64' })

describe('gradients equal finite differences', () => {
  it('linear, with bias and residual', () => {
    const [x, w, b, r] = [leaf([3, 5]), leaf([4, 5]), leaf([4]), leaf([3, 4])]
    expectGradients([x, w], tape => ops.linear(tape, x, w))
    expectGradients([x, w, b, r], tape => ops.linear(tape, x, w, { bias: b, residual: r }))
  })

  it('linear whose residual is used elsewhere too', () => {
    const [x, w] = [leaf([3, 4]), leaf([4, 4])]
    expectGradients([x, w], tape => ops.multiply(tape, ops.linear(tape, x, w, { residual: x }), x))
  })

  it('embedding, with a token that occurs twice', () => {
    const table = leaf([5, 3])
    expectGradients([table], tape => ops.embedding(tape, Int32Array.of(1, 4, 1, 0), table))
  })

  it('rmsNorm', () => {
    const [x, w] = [leaf([3, 7]), leaf([7])]
    expectGradients([x, w], tape => ops.rmsNorm(tape, x, w, 1e-5))
  })

  it('rope', () => {
    const x = leaf([6, 8])
    const rotation = { frequencies: Float64Array.of(1, 0.01), magnitudes: Float64Array.of(1.2, 1) }
    expectGradients([x], tape => ops.rope(tape, x, ropeTable(tape.dtype, 3, rotation)))
  })

  it('attention, with grouped queries', () => {
    const shape = { batch: 2, seq: 5, heads: 4, kvHeads: 2, headDim: 3 }
    const [q, k, v] = [leaf([10, 12]), leaf([10, 6]), leaf([10, 6])]
    expectGradients([q, k, v], tape => ops.attention(tape, q, k, v, shape))
  })

  for (const spec of ['relu', 'silu', 'stocha:p=0.5', 'stocha:p=0.5,positive=silu', 'stoch:p=0.5']) {
    it(`activation and gate with ${spec}`, () => {
      const act = parseActivation(spec)
      const [x, up] = [leaf([3, 19], 0.01), leaf([3, 19])]
      expectGradients([x], tape => ops.activation(tape, act, x, draw))
      expectGradients([x, up], tape => ops.gate(tape, act, x, up, draw))
    })
  }

  it('crossEntropy, with a skipped row', () => {
    const [x, w] = [leaf([4, 3]), leaf([6, 3])]
    const targets = Int32Array.of(2, 5, -1, 0)
    expectGradients([x, w], tape => ops.crossEntropy(tape, ops.linear(tape, x, w), targets))
  })

  it('crossEntropy under a factor and beside another use of the logits', () => {
    const [x, w] = [leaf([2, 3]), leaf([5, 3])]
    expectGradients([x, w], tape => {
      const loss = ops.crossEntropy(tape, ops.linear(tape, x, w), Int32Array.of(1, 4))
      return ops.scale(tape, loss, 0.3)
    })
  })

  it('add, multiply, scale, map, sum and mean', () => {
    const [a, b] = [leaf([2, 3]), leaf([2, 3])]
    expectGradients([a, b], tape => ops.add(tape, a, b))
    expectGradients([a], tape => ops.add(tape, a, a))
    expectGradients([a, b], tape => ops.multiply(tape, a, b))
    expectGradients([a], tape => ops.multiply(tape, a, a))
    expectGradients([a], tape => ops.scale(tape, a, -2.5))
    expectGradients([a], tape => ops.map(tape, a, Math.tanh, (_, y) => 1 - y * y))
    expectGradients([a], tape => ops.sum(tape, a))
    expectGradients([a], tape => ops.mean(tape, a))
  })
})

describe('the tape', () => {
  it('passes no gradient into constants', () => {
    const [x, w] = [constant(Float64Array.of(1, 2), [1, 2]), leaf([3, 2])]
    const tape = f64()
    tape.backward(ops.sum(tape, ops.linear(tape, x, w)))
    expect(w.hasGrad).toBe(true)
    expect(x.grad).toBeNull()
  })

  it('adds up the gradients of several passes, until they are used', () => {
    const w = leaf([3])
    const tape = f64()
    for (let pass = 0; pass < 2; pass++) {
      tape.reset()
      tape.backward(ops.sum(tape, ops.scale(tape, w, 3)))
    }
    expect(Array.from(w.grad ?? [])).toEqual([6, 6, 6])
  })

  it('uses the same buffers in every step after the first', () => {
    const [x, w] = [leaf([8, 16]), leaf([16, 16])]
    const tape = f64()
    const step = () => {
      tape.reset()
      tape.backward(ops.sum(tape, ops.linear(tape, ops.linear(tape, x, w), w)))
      return tape.bytes
    }
    const bytes = step()
    for (let i = 0; i < 5; i++) expect(step()).toBe(bytes)
  })

  it('names the op and both shapes when shapes do not fit', () => {
    const tape = f64()
    const bad = () => ops.linear(tape, leaf([4, 3]), leaf([8, 5]))
    expect(bad).toThrow(ShapeError)
    expect(bad).toThrow('linear: input (4, 3) does not fit weight (8, 5)')
    expect(() => ops.add(tape, leaf([2, 3]), leaf([3, 2]))).toThrow('add: (2, 3) and (3, 2) differ')
    expect(() => ops.rmsNorm(tape, leaf([2, 3]), leaf([2]), 1e-5)).toThrow(ShapeError)
    expect(() =>
      ops.attention(tape, leaf([2, 4]), leaf([2, 4]), leaf([2, 2]), {
        batch: 1,
        seq: 2,
        heads: 2,
        kvHeads: 2,
        headDim: 2,
      }),
    ).toThrow('attention: v is (2, 2), expected (2, 4)')
  })
})

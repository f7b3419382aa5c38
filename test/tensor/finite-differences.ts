// Gradients by central finite differences in f64: the judge of every op.

import { expect } from 'vitest'
import { portableKernels } from '../../src/kernels/index.js'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'
import { ops, parameter, type Shape, sizeOf, Tape, type Tensor } from '../../src/tensor/index.js'

const random = new RandomStream({ seed: 11, purpose: Purpose.init, stream: 77 })

/** A trained f64 leaf of random numbers in [−1, 1), kept `away` from 0 (for functions with a kink there). */
export function leaf(shape: Shape, away = 0): Tensor {
  const data = Float64Array.from({ length: sizeOf(shape) }, () => {
    const x = 2 * random.uniform() - 1
    return x + Math.sign(x) * away
  })
  return parameter(data, shape)
}

/**
 * Checks d(Σ weights ⊙ f(leaves)) / d(leaves) for random weights against central differences, to a relative 1e-6.
 * `f` must be a function of the leaves alone.
 */
export function expectGradients(leaves: Tensor[], f: (tape: Tape) => Tensor): void {
  const kernels = portableKernels()
  const tape = new Tape(kernels, { dtype: 'f64' })
  const first = f(tape)
  const weights = leaf(first.shape)
  const objective = (t: Tape) => ops.sum(t, ops.multiply(t, f(t), weights))
  tape.reset()
  for (const tensor of leaves) tensor.hasGrad = false
  tape.backward(objective(tape))

  const value = () => {
    const forward = new Tape(kernels, { dtype: 'f64', training: false })
    return objective(forward).data[0]
  }
  const step = 1e-5
  for (const [index, tensor] of leaves.entries()) {
    const grad = Array.from(tensor.grad ?? [])
    expect(tensor.hasGrad, `leaf ${index} has a gradient`).toBe(true)
    for (let i = 0; i < tensor.size; i++) {
      const at = tensor.data[i]
      tensor.data[i] = at + step
      const above = value()
      tensor.data[i] = at - step
      const below = value()
      tensor.data[i] = at
      const expected = (above - below) / (2 * step)
      expect(
        Math.abs(grad[i] - expected),
        `leaf ${index}, element ${i}: ${grad[i]} against ${expected}`,
      ).toBeLessThan(1e-6 * Math.max(1, Math.abs(expected)))
    }
  }
}

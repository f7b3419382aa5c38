// A model's gradients against central differences of its loss.

import { expect } from 'vitest'
import type { Llama } from '../../src/nn/llama.js'
import type { Tape, Tensor } from '../../src/tensor/index.js'

/**
 * Compares the gradient of `loss` (f64) with (f(x + h) − f(x − h)) / 2h at about `samples` places of every parameter:
 * within 1e-7 plus `relative` of the expected value.
 */
export function expectFiniteDifferences(
  { parameters }: Llama,
  loss: (training: boolean) => { tape: Tape; loss: Tensor },
  { h, relative, samples }: { h: number; relative: number; samples: number },
): void {
  const first = loss(true)
  first.tape.backward(first.loss)
  for (const [name, { data, grad, size }] of parameters) {
    for (let i = 0; i < size; i += Math.max(1, Math.floor(size / samples))) {
      const at = data[i]
      data[i] = at + h
      const above = loss(false).loss.data[0]
      data[i] = at - h
      const below = loss(false).loss.data[0]
      data[i] = at
      const expected = (above - below) / (2 * h)
      expect(Math.abs((grad?.[i] ?? Number.NaN) - expected), `${name}[${i}]`).toBeLessThan(
        1e-7 + relative * Math.abs(expected),
      )
    }
  }
}

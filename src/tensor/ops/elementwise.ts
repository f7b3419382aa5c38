// Elementwise arithmetic and reductions.

import { ShapeError } from '../../errors.js'
import type { Tape } from '../tape.js'
import { show, type Tensor } from '../tensor.js'

function checkSame(op: string, a: Tensor, b: Tensor): void {
  if (a.size !== b.size || a.width !== b.width) {
    throw new ShapeError('SHAPE_ELEMENTWISE', `${op}: ${show(a.shape)} and ${show(b.shape)} differ`)
  }
}

/** a + b. */
export function add(tape: Tape, a: Tensor, b: Tensor): Tensor {
  checkSame('add', a, b)
  const { kernels } = tape
  const out = tape.output(a.shape, a, b)
  kernels.add(a.data, b.data, out.data, a.size)
  tape.record(out, dOut => {
    if (a.requiresGrad) kernels.axpy(1, dOut, tape.gradToAdd(a), a.size)
    tape.passGrad(out, b)
  })
  return out
}

/** a ⊙ b. */
export function multiply(tape: Tape, a: Tensor, b: Tensor): Tensor {
  checkSame('multiply', a, b)
  const { kernels, take } = tape
  const out = tape.output(a.shape, a, b)
  kernels.multiply(a.data, b.data, out.data, a.size)
  tape.record(out, dOut => {
    const product = take(a.size)
    if (a.requiresGrad) {
      kernels.multiply(dOut, b.data, product, a.size)
      kernels.axpy(1, product, tape.gradToAdd(a), a.size)
    }
    if (b.requiresGrad) {
      kernels.multiply(dOut, a.data, product, a.size)
      kernels.axpy(1, product, tape.gradToAdd(b), a.size)
    }
    tape.give(product)
  })
  return out
}

/** factor · x. */
export function scale(tape: Tape, x: Tensor, factor: number): Tensor {
  const { kernels } = tape
  const out = tape.output(x.shape, x)
  out.data.fill(0)
  kernels.axpy(factor, x.data, out.data, x.size)
  tape.record(out, dOut => kernels.axpy(factor, dOut, tape.gradToAdd(x), x.size))
  return out
}

/** f(x) element by element, for functions without a kernel of their own; `derivative` is given x and f(x). */
export function map(
  tape: Tape,
  x: Tensor,
  f: (x: number) => number,
  derivative: (x: number, y: number) => number,
): Tensor {
  const out = tape.output(x.shape, x)
  const [from, to] = [x.data, out.data]
  for (let i = 0; i < from.length; i++) to[i] = f(from[i])
  tape.record(out, dOut => {
    const grad = tape.gradToAdd(x)
    for (let i = 0; i < from.length; i++) grad[i] += derivative(from[i], to[i]) * dOut[i]
  })
  return out
}

/** cap · tanh(x / cap). */
export function softcap(tape: Tape, x: Tensor, cap: number): Tensor {
  return map(
    tape,
    x,
    value => cap * Math.tanh(value / cap),
    // Of x, not of the result: the loss may have written its gradient over that.
    value => 1 - Math.tanh(value / cap) ** 2,
  )
}

/** Sum of all elements: (1). */
export function sum(tape: Tape, x: Tensor): Tensor {
  const out = tape.output([1], x)
  out.data[0] = tape.kernels.sum(x.data, x.size)
  tape.record(out, dOut => {
    const grad = tape.gradToAdd(x)
    for (let i = 0; i < grad.length; i++) grad[i] += dOut[0]
  })
  return out
}

/** Mean of all elements: (1). */
export function mean(tape: Tape, x: Tensor): Tensor {
  return scale(tape, sum(tape, x), 1 / Math.max(1, x.size))
}

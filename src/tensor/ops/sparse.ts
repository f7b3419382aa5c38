// A gated FFN of which most hidden activations are exactly 0: the same sums as by linear layers, in another order, of which
// those that are 0 are left out, forward and backward.

import type { Activation } from '../../activations/activation.js'
import type { Draw, Floats } from '../../kernels/index.js'
import type { Tape } from '../tape.js'
import type { Tensor } from '../tensor.js'
import type { GradientOf } from './linear.js'

/**
 * Fraction of active neurons up to which the sparse products are taken. Of the sizes alone and the data, never of a clock: the order
 * of the sums, and so the bits of a run, would depend on it. Measured in docs/RESULTS.md.
 */
export const SPARSE_PRODUCTS_BELOW = 0.25

/** Whether a neuron that is 0 has no part in any gradient: what sparse products assume. */
export function skipsZeros(act: Activation): boolean {
  return act.exactZeros && !act.rowwise && act.surrogate === undefined && act.learned.length === 0
}

/** Hidden activations of which most are 0, and what says so. */
export interface SparseHidden {
  /** (rows, h). */
  readonly hidden: Tensor
  /** (rows, h): not 0 where a neuron is active. */
  readonly active: Floats
}

/**
 * act(gate) ⊙ (x · upᵀ), gate: (rows, h), x: (rows, d), up: (h, d). `gradient` says of the gate's gradient that most of it is 0.
 * Null, and nothing is recorded, where more than the fraction `most` of the neurons is active, or where an inactive neuron would
 * take part in the gradient.
 */
export function sparseGate(
  tape: Tape,
  act: Activation,
  gate: Tensor,
  x: Tensor,
  up: Tensor,
  { draw, gradient, most = SPARSE_PRODUCTS_BELOW }: SparseGateOptions,
): SparseHidden | null {
  const { kernels } = tape
  if (most === 0 || !skipsZeros(act)) return null
  const [rows, d, h] = [x.rows, x.width, up.rows]
  const active = tape.take(rows * h)
  kernels.activation(act, gate.data, active, rows, h, draw)
  if (rows * h - kernels.countZeros(active, rows * h) > most * rows * h) {
    tape.give(active)
    return null
  }
  gradient.mostlyZero = true
  const projected = tape.take(rows * h)
  kernels.sparseDots(active, x.data, up.data, projected, rows, h, d)
  const hidden = tape.output(gate.shape, gate, x, up)
  kernels.multiply(active, projected, hidden.data, rows * h)
  tape.record(hidden, dHidden => {
    const dUp = tape.take(rows * h)
    tape.writeGrads([gate], dGate => {
      kernels.gateBackward(act, dHidden, gate.data, projected, dGate, dUp, rows, h, draw)
    })
    if (up.requiresGrad) {
      const { buffer, accumulate } = tape.gradToWrite(up)
      kernels.sparseColumns(dUp, x.data, buffer, rows, h, d, accumulate)
    }
    if (x.requiresGrad) {
      const { buffer, accumulate } = tape.gradToWrite(x)
      kernels.sparseRows(dUp, up.data, buffer, rows, h, d, accumulate)
    }
    tape.give(dUp)
  })
  return { hidden, active }
}

export interface SparseGateOptions {
  readonly draw: Draw
  readonly gradient: GradientOf
  /** Default SPARSE_PRODUCTS_BELOW; 0: never. */
  readonly most?: number
}

/** hidden · weightᵀ + residual, weight: (d, h); residual and result: (rows, d). */
export function sparseDown(
  tape: Tape,
  { hidden, active }: SparseHidden,
  weight: Tensor,
  residual: Tensor,
): Tensor {
  const { kernels } = tape
  const [d, h] = weight.shape
  const { rows } = hidden
  const transposed = tape.take(d * h)
  kernels.transpose(weight.data, transposed, d, h, false)
  const out = tape.output(residual.shape, hidden, weight, residual)
  out.data.set(residual.data)
  kernels.sparseRows(hidden.data, transposed, out.data, rows, h, d, true)
  tape.record(out, dOut => {
    if (weight.requiresGrad) {
      const gradient = tape.take(d * h)
      kernels.sparseColumns(hidden.data, dOut, gradient, rows, h, d, false)
      const { buffer, accumulate } = tape.gradToWrite(weight)
      kernels.transpose(gradient, buffer, h, d, accumulate)
      tape.give(gradient)
    }
    tape.writeGrads([hidden], dHidden => {
      kernels.sparseDots(active, dOut, transposed, dHidden, rows, h, d)
    })
    tape.passGrad(out, residual)
  })
  return out
}

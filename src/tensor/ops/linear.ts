// Linear layer.

import { ShapeError } from '../../errors.js'
import type { Tape } from '../tape.js'
import { show, type Tensor } from '../tensor.js'

/** What is known of a result's gradient when the backward pass runs. */
export interface GradientOf {
  /** Few elements are not 0: products leave the others out. */
  mostlyZero: boolean
}

/**
 * x Wᵀ (+ bias) (+ residual). x: (…, in), weight: (out, in), bias: (out), residual and result: (…, out).
 * `residual` joins the stream without a separate addition; its gradient is the result's own.
 */
export function linear(
  tape: Tape,
  x: Tensor,
  weight: Tensor,
  {
    bias = null,
    residual = null,
    gradient,
  }: { bias?: Tensor | null; residual?: Tensor | null; gradient?: GradientOf } = {},
): Tensor {
  const [outputs, inputs] = weight.shape
  if (weight.shape.length !== 2 || x.width !== inputs) {
    throw new ShapeError(
      'SHAPE_LINEAR',
      `linear: input ${show(x.shape)} does not fit weight ${show(weight.shape)}; the input's last dimension must be the weight's second`,
    )
  }
  if (bias !== null && bias.size !== outputs) {
    throw new ShapeError(
      'SHAPE_LINEAR',
      `linear: bias ${show(bias.shape)} does not fit weight ${show(weight.shape)}`,
    )
  }
  const shape = [...x.shape.slice(0, -1), outputs]
  if (residual !== null && (residual.rows !== x.rows || residual.width !== outputs)) {
    throw new ShapeError(
      'SHAPE_LINEAR',
      `linear: residual ${show(residual.shape)} does not fit output ${show(shape)}`,
    )
  }
  const { kernels } = tape
  const { rows } = x
  const out = tape.output(shape, x, weight, bias, residual)
  if (residual !== null) out.data.set(residual.data)
  kernels.matmul(x.data, weight.data, out.data, rows, outputs, inputs, false, true, residual !== null)
  if (bias !== null) kernels.addBias(out.data, bias.data, rows, outputs)

  tape.record(out, dOut => {
    if (weight.requiresGrad) {
      const { buffer, accumulate } = tape.gradToWrite(weight)
      if (gradient?.mostlyZero) kernels.sparseColumns(dOut, x.data, buffer, rows, outputs, inputs, accumulate)
      else kernels.matmul(dOut, x.data, buffer, outputs, inputs, rows, true, false, accumulate)
    }
    if (bias?.requiresGrad) kernels.columnSums(dOut, tape.gradToAdd(bias), rows, outputs)
    if (x.requiresGrad) {
      const { buffer, accumulate } = tape.gradToWrite(x)
      if (gradient?.mostlyZero)
        kernels.sparseRows(dOut, weight.data, buffer, rows, outputs, inputs, accumulate)
      else kernels.matmul(dOut, weight.data, buffer, rows, inputs, outputs, false, false, accumulate)
    }
    if (residual !== null) tape.passGrad(out, residual)
  })
  return out
}

// Losses: scalars to minimize.

import { ShapeError } from '../../errors.js'
import type { Tape } from '../tape.js'
import { show, type Tensor } from '../tensor.js'

/**
 * Mean −log softmax(logits)[target] in nats over the rows whose target is not −1. logits: (n, vocab), targets: (n).
 * In training the gradient is written over the logits, which are then gone. Result: (1).
 */
export function crossEntropy(tape: Tape, logits: Tensor, targets: Int32Array): Tensor {
  const { rows, width: vocab } = logits
  if (targets.length !== rows) {
    throw new ShapeError(
      'SHAPE_LOSS',
      `crossEntropy: ${targets.length} targets for logits ${show(logits.shape)}; one target per row`,
    )
  }
  const { kernels, take } = tape
  const counted = targets.reduce((n, target) => n + (target >= 0 ? 1 : 0), 0)
  const losses = take(rows)
  const gradient = logits.requiresGrad ? logits.data : null
  kernels.crossEntropy(logits.data, targets, losses, gradient, rows, vocab, counted === 0 ? 0 : 1 / counted)
  const out = tape.output([1], logits)
  out.data[0] = counted === 0 ? 0 : kernels.sum(losses, rows) / counted
  tape.give(losses)

  tape.record(out, dOut => {
    if (logits.hasGrad) {
      kernels.axpy(dOut[0], logits.data, tape.gradToAdd(logits), logits.size)
      return
    }
    // The logits' own buffer is the gradient: no copy of the largest tensor of all.
    if (dOut[0] !== 1) kernels.axpy(dOut[0] - 1, logits.data, logits.data, logits.size)
    logits.grad = logits.data
    logits.hasGrad = true
  })
  return out
}

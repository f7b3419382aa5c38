// Softmax and cross-entropy in one pass over the logits, loss and gradient together.

import type { Floats } from '../interface/training.js'

/**
 * logits (rows, vocab), targets (rows) → losses (rows) in nats and, unless null, dLogits = (softmax − onehot) ·
 * scale, overwritten, possibly in place of the logits. Target −1: loss 0, gradient 0. Throws RangeError for any
 * other target outside the vocabulary.
 */
export function crossEntropy(
  logits: Floats,
  targets: Int32Array,
  losses: Floats,
  dLogits: Floats | null,
  rows: number,
  vocab: number,
  scale: number,
): void {
  for (let row = 0; row < rows; row++) {
    const start = row * vocab
    const target = targets[row]
    if (target < -1 || target >= vocab) {
      throw new RangeError(`crossEntropy: target ${target} of row ${row} is outside a vocabulary of ${vocab}`)
    }
    if (target === -1) {
      losses[row] = 0
      dLogits?.fill(0, start, start + vocab)
      continue
    }
    // Subtracting the largest logit keeps every exponential at most 1.
    let max = Number.NEGATIVE_INFINITY
    for (let i = 0; i < vocab; i++) max = Math.max(max, logits[start + i])
    let total = 0
    for (let i = 0; i < vocab; i++) total += Math.exp(logits[start + i] - max)
    losses[row] = Math.log(total) + max - logits[start + target]
    if (dLogits !== null) {
      const factor = scale / total
      for (let i = 0; i < vocab; i++) dLogits[start + i] = Math.exp(logits[start + i] - max) * factor
      dLogits[start + target] -= scale
    }
  }
}

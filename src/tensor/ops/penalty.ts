// A penalty on what a tensor holds, added to the loss without being part of its value.

import type { Tape } from '../tape.js'
import type { Tensor } from '../tensor.js'

const zeros = new Int32Array(1)

/**
 * Adds factor · Σ |x| to the loss, by its gradient alone: one pass over x while its gradient is passed on. `observe` is
 * then told Σ |x| and how many of the x are exactly zero.
 */
export function l1Penalty(
  tape: Tape,
  x: Tensor,
  factor: number,
  observe: (magnitudes: number, zeros: number) => void,
): void {
  tape.amendGrad(x, dX => {
    const magnitudes = tape.kernels.addSign(factor, x.data, dX, zeros, x.size)
    observe(magnitudes, zeros[0])
  })
}

// The uniform draws of a stochastic activation, one row at a time.

import type { Draw } from '../kernels.js'
import { philox4x32, uniform24 } from '../philox.js'

const words = new Uint32Array(4)

/** into[0..width) = the draws of row `row` of a call (the draw's row firstRow + row), four to a Philox call. */
export function drawRow(draw: Draw, row: number, width: number, into: Float64Array): void {
  const counterRow = draw.firstRow + row
  const counterUse = (draw.purpose << 16) | draw.layer
  for (let i = 0; i < width; i += 4) {
    philox4x32(i >>> 2, counterRow, draw.step, counterUse, draw.seedLow, draw.seedHigh, words)
    const lanes = Math.min(4, width - i)
    for (let lane = 0; lane < lanes; lane++) into[i + lane] = uniform24(words[lane])
  }
}

// The uniform draws of a stochastic activation, one row at a time.

import type { DrawPer } from '../../activations/activation.js'
import type { Draw } from '../interface/training.js'
import { philox4x32, uniform24 } from '../philox.js'

const words = new Uint32Array(4)

/** Added to the purpose for every channel of draws after the first. */
export const CHANNEL_STEP = 256
/** Channels that a program may read. */
export const MOST_CHANNELS = 200

/** into[0..width) = the draws of row `row` of a call, channel `channel`; see `Draw` for which numbers they are. */
export function drawRow(
  draw: Draw,
  row: number,
  width: number,
  into: Float64Array,
  per: DrawPer = 'element',
  channel = 0,
): void {
  const counterRow = drawnRow(draw, per, row)
  const counterUse = ((draw.purpose + channel * CHANNEL_STEP) << 16) | draw.layer
  const neurons = per === 'element' || per === 'neuron' ? width : Math.min(1, width)
  for (let i = 0; i < neurons; i += 4) {
    philox4x32(i >>> 2, counterRow, draw.step, counterUse, draw.seedLow, draw.seedHigh, words)
    const lanes = Math.min(4, neurons - i)
    for (let lane = 0; lane < lanes; lane++) into[i + lane] = uniform24(words[lane])
  }
  if (neurons < width) into.fill(into[0], 1, width)
}

/** The row whose draws row `row` of a call takes. */
function drawnRow(draw: Draw, per: DrawPer, row: number): number {
  if (per === 'neuron' || per === 'batch') return 0
  const at = draw.firstRow + row
  return per === 'sample' ? Math.floor(at / (draw.rowsPerSample ?? 1)) : at
}

// How large random weights are: uniform, with the standard deviation of GPT-2's initial weights, 0.02.

import type { WeightType } from '../weights/types.js'

export const WEIGHT_RANGE = 0.02 * Math.sqrt(3)

/** Scale of quantized weights whose codes are uniform in the range of their type. */
export function scaleFor(type: WeightType): number {
  return WEIGHT_RANGE / (type === 'q4_0' ? 8 : 128)
}

// How structured arguments are passed to the native functions: flattened into what contract.ts lists.

import type { Draw } from '../interface/training.js'
import { type PlainWeights, type Weights, weightTypeOf, weightTypes } from '../weights/types.js'

/** The memory of a matrix and the number of its type. */
export function stored(w: Weights): [data: PlainWeights | Uint8Array, weightType: number] {
  return ['data' in w ? w.data : w, weightTypes.indexOf(weightTypeOf(w))]
}

export type DrawWords = [seedLow: number, seedHigh: number, tag: number, step: number, firstRow: number]

/** A draw as five unsigned words, as `Draw` in native/kernels.h. */
export function drawWords({ seedLow, seedHigh, purpose, layer, step, firstRow }: Draw): DrawWords {
  return [seedLow, seedHigh, drawTag(purpose, layer), step, firstRow]
}

/** Purpose and layer in one word. */
export function drawTag(purpose: number, layer: number): number {
  return ((purpose << 16) | layer) >>> 0
}

// How structured arguments are passed to the native functions: flattened, in the order in which native/arguments.h reads
// them.

import type { Draw } from '../interface/training.js'
import type { PlainWeights, Weights } from '../weights/types.js'

/** In the order of native/kernels.h. */
const WEIGHT_TYPES = ['f32', 'bf16', 'q8_0', 'q4_0', 'f16']

/** The bytes of a matrix and the number of its type. */
export function stored(w: Weights): [PlainWeights | Uint8Array, number] {
  if (w instanceof Float32Array) return [w, 0]
  return w instanceof Uint16Array ? [w, 1] : [w.data, WEIGHT_TYPES.indexOf(w.type)]
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

// Matrices whose rows are not all of one width, such as a neuron's up row and its down column: rows stand one after the
// other, each with the bytes of its own width, so a place in one is a number of bytes.

import { alignedBytes } from '../native/addon.js'
import { allocateWeights, weightBytes } from './quantized.js'
import { bytesOf, type Weights, type WeightType } from './types.js'

/** Room for `bytes` bytes of rows, all zero, starting on a cache line. */
export function allocateRows(type: WeightType, bytes: number): Weights {
  if (type === 'f32' || type === 'bf16') return allocateWeights(type, bytes / weightBytes(type, 1), 1)
  return { type, data: alignedBytes(bytes) }
}

/**
 * The weights from byte `start` of `w` on, where a row begins: as a matrix of that row's width, it is row 0. bytes: default
 * all to the end.
 */
export function rowsFrom(w: Weights, start: number, bytes = bytesOf(w).length - start): Weights {
  const end = start + bytes
  if (w instanceof Float32Array) return w.subarray(start / w.BYTES_PER_ELEMENT, end / w.BYTES_PER_ELEMENT)
  if (w instanceof Uint16Array) return w.subarray(start / w.BYTES_PER_ELEMENT, end / w.BYTES_PER_ELEMENT)
  return { type: w.type, data: w.data.subarray(start, end) }
}

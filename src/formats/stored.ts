// The types that weights are stored in, in bytes: f32, f16 and bf16 number by number, q8_0 and q4_0 in ggml's blocks
// of 32. The rounding is that of the kernels, which is ggml's.

import {
  type QuantizedType,
  readBlocks,
  readRow,
  storeBlocks,
  storeRow,
  weightBytes,
} from '../kernels/index.js'
import { narrowBfloat16, narrowFloat16, widenBfloat16, widenFloat16 } from '../kernels/weights/half.js'
import type { StoredDtype } from './model-source.js'

/** Numbers and bytes of a block; a row is whole blocks. */
export const BLOCKS: Readonly<Record<StoredDtype, { readonly numbers: number; readonly bytes: number }>> = {
  f32: { numbers: 1, bytes: 4 },
  f16: { numbers: 1, bytes: 2 },
  bf16: { numbers: 1, bytes: 2 },
  q8_0: { numbers: 32, bytes: 34 },
  q4_0: { numbers: 32, bytes: 18 },
}

/** Numbers quantized at a time: whole blocks. */
const STRETCH = 1 << 14

/** Bytes of `numbers` values; `numbers` is whole blocks. */
export function storedBytes(dtype: StoredDtype, numbers: number): number {
  return (numbers / BLOCKS[dtype].numbers) * BLOCKS[dtype].bytes
}

/** The values of `bytes`, which are whole blocks and, unless q8_0 or q4_0, start at a multiple of a number's size. */
export function decodeStored(dtype: StoredDtype, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const count = (bytes.length / BLOCKS[dtype].bytes) * BLOCKS[dtype].numbers
  const out = new Float32Array(count)
  if (dtype === 'f32') new Uint8Array(out.buffer).set(bytes)
  else if (dtype === 'f16') widenFloat16(new Uint16Array(bytes.buffer, bytes.byteOffset, count), out)
  else if (dtype === 'bf16') widenBfloat16(new Uint16Array(bytes.buffer, bytes.byteOffset, count), out)
  else {
    for (let at = 0; at < count; at += STRETCH) {
      const values = out.subarray(at, at + STRETCH)
      const stretch = bytes.subarray(storedBytes(dtype, at), storedBytes(dtype, at + values.length))
      const row = oneRow(dtype, values.length)
      storeBlocks(row, 0, stretch, values.length)
      readRow(row, 0, values)
    }
  }
  return out
}

/** `values`, whole blocks, as they are stored. Throws OptionError QUANTIZE_RANGE. */
export function encodeStored(dtype: StoredDtype, values: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(new ArrayBuffer(storedBytes(dtype, values.length)))
  if (dtype === 'f32') out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  else if (dtype === 'f16') narrowFloat16(values, new Uint16Array(out.buffer))
  else if (dtype === 'bf16') narrowBfloat16(values, new Uint16Array(out.buffer))
  else {
    for (let at = 0; at < values.length; at += STRETCH) {
      const stretch = values.subarray(at, at + STRETCH)
      const row = oneRow(dtype, stretch.length)
      storeRow(row, 0, stretch)
      readBlocks(row, 0, out.subarray(storedBytes(dtype, at)), stretch.length)
    }
  }
  return out
}

/** Room for `columns` numbers in the kernels' order of bytes. */
function oneRow(type: QuantizedType, columns: number) {
  return { type, data: new Uint8Array(weightBytes(type, columns)) }
}

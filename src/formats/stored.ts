// The types that weights are stored in, in bytes: f32, f16 and bf16 value by value, q8_0 and q4_0 in ggml's blocks
// of 32. The rounding is that of the kernels, which is ggml's.

import {
  type QuantizedType,
  readBlocks,
  readRow,
  storeBlocks,
  storeRow,
  type WeightType,
  weightBytes,
} from '../kernels/index.js'
import { narrowBfloat16, narrowFloat16, widenBfloat16, widenFloat16 } from '../kernels/weights/half.js'

/** How files name and lay out one type of weights. */
interface StoredType {
  /** Values and bytes of a block; a row is whole blocks. */
  readonly values: number
  readonly bytes: number
  /** Its numbers in GGUF: of a tensor's type (ggml_type), and of a file with mostly such tensors (llama_ftype). */
  readonly ggml: number
  readonly ftype: number
  /** Its names in safetensors and in config.json, for the types that they have. */
  readonly safetensors?: string
  readonly torch?: string
}

/**
 * Every type that weights are stored in. The block types are ggml's: 32 values of a row one after the other, q8_0 as a
 * float16 scale and 32 int8, q4_0 as a float16 scale and 32 nibbles (byte i has value i low, value i + 16 high; value =
 * scale · (nibble − 8)).
 */
export const STORED_TYPES = {
  f32: { values: 1, bytes: 4, ggml: 0, ftype: 0, safetensors: 'F32', torch: 'float32' },
  f16: { values: 1, bytes: 2, ggml: 1, ftype: 1, safetensors: 'F16', torch: 'float16' },
  bf16: { values: 1, bytes: 2, ggml: 30, ftype: 32, safetensors: 'BF16', torch: 'bfloat16' },
  q8_0: { values: 32, bytes: 34, ggml: 8, ftype: 7 },
  q4_0: { values: 32, bytes: 18, ggml: 2, ftype: 2 },
} as const satisfies Readonly<Record<WeightType, StoredType>>
export type StoredDtype = keyof typeof STORED_TYPES
/** Types that safetensors can hold. */
export type WeightDtype = {
  [Dtype in StoredDtype]: (typeof STORED_TYPES)[Dtype] extends { safetensors: string } ? Dtype : never
}[StoredDtype]

export const STORED_DTYPES = Object.keys(STORED_TYPES) as StoredDtype[]

export function isWeightDtype(dtype: StoredDtype): dtype is WeightDtype {
  return 'safetensors' in STORED_TYPES[dtype]
}

/** Values quantized at a time: whole blocks. */
const STRETCH = 1 << 14

/** Bytes of `count` values, which are whole blocks. */
export function storedBytes(dtype: StoredDtype, count: number): number {
  return (count / STORED_TYPES[dtype].values) * STORED_TYPES[dtype].bytes
}

/** The values of `bytes`, which are whole blocks and, unless q8_0 or q4_0, start at a multiple of a value's size. */
export function decodeStored(dtype: StoredDtype, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const count = (bytes.length / STORED_TYPES[dtype].bytes) * STORED_TYPES[dtype].values
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

/** An empty row of `columns` values in the kernels' order of bytes. */
function oneRow(type: QuantizedType, columns: number) {
  return { type, data: new Uint8Array(weightBytes(type, columns)) }
}

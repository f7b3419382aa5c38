// The types that tensors are stored in, in bytes: those that weights have in memory too (f32, f16 and bf16 value by value,
// and ggml's blocks q8_0, q4_0, q4_k, q5_k and q6_k), which can be written, and those of blocks/, which are only read. The
// rounding is that of the kernels.

import {
  isKQuant,
  type QuantizedType,
  readBlocks,
  readRow,
  storeBlocks,
  storeRow,
  type WeightType,
  weightBytes,
} from '../kernels/index.js'
import { narrowBfloat16, narrowFloat16, widenBfloat16, widenFloat16 } from '../kernels/weights/half.js'
import { K_BLOCKS } from './blocks/k-quants.js'
import { NUMBER_BLOCKS } from './blocks/numbers.js'
import { SMALL_BLOCKS } from './blocks/small-blocks.js'
import { TABLE_BLOCKS } from './blocks/tables.js'
import { TERNARY_BLOCKS } from './blocks/ternary.js'
import type { BlockType } from './blocks/types.js'

/** How files name and lay out one type of weights. */
interface WrittenType {
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
 * Every type that weights are written in. The block types are ggml's: 32 values of a row one after the other, q8_0 as a
 * float16 scale and 32 int8, q4_0 as a float16 scale and 32 nibbles (byte i has value i low, value i + 16 high; value =
 * scale · (nibble − 8)); the K-quants, 256 values each, are described in src/kernels/weights/k-quants.ts.
 */
export const WRITTEN_TYPES = {
  f32: { values: 1, bytes: 4, ggml: 0, ftype: 0, safetensors: 'F32', torch: 'float32' },
  f16: { values: 1, bytes: 2, ggml: 1, ftype: 1, safetensors: 'F16', torch: 'float16' },
  bf16: { values: 1, bytes: 2, ggml: 30, ftype: 32, safetensors: 'BF16', torch: 'bfloat16' },
  q8_0: { values: 32, bytes: 34, ggml: 8, ftype: 7 },
  q4_0: { values: 32, bytes: 18, ggml: 2, ftype: 2 },
  q4_k: { values: 256, bytes: 144, ggml: 12, ftype: 14 },
  q5_k: { values: 256, bytes: 176, ggml: 13, ftype: 16 },
  q6_k: { values: 256, bytes: 210, ggml: 14, ftype: 18 },
} as const satisfies Readonly<Record<WeightType, WrittenType>>
/** Types that are read and never written. */
export const READ_TYPES = {
  ...SMALL_BLOCKS,
  ...K_BLOCKS,
  ...TABLE_BLOCKS,
  ...TERNARY_BLOCKS,
  ...NUMBER_BLOCKS,
} as const

type ReadDtype = keyof typeof READ_TYPES
export type StoredDtype = WeightType | ReadDtype
/** Types that safetensors can hold. */
export type WeightDtype = {
  [Dtype in WeightType]: (typeof WRITTEN_TYPES)[Dtype] extends { safetensors: string } ? Dtype : never
}[WeightType]

/** Blocks of every type. */
export const STORED_TYPES: Readonly<
  Record<StoredDtype, { readonly values: number; readonly bytes: number; readonly ggml: number }>
> = { ...WRITTEN_TYPES, ...READ_TYPES }
export const WRITTEN_DTYPES = Object.keys(WRITTEN_TYPES) as WeightType[]
export const STORED_DTYPES = Object.keys(STORED_TYPES) as StoredDtype[]

export function isWeightDtype(dtype: StoredDtype): dtype is WeightDtype {
  return isWritten(dtype) && 'safetensors' in WRITTEN_TYPES[dtype]
}

/** Whether weights are written in this type, and held so in memory. */
export function isWritten(dtype: StoredDtype): dtype is WeightType {
  return dtype in WRITTEN_TYPES
}

/** What the engine holds a matrix as that is stored so: the type itself, or one of at least the same precision. */
export function heldAs(dtype: StoredDtype): WeightType {
  return isWritten(dtype) ? dtype : READ_TYPES[dtype].held
}

/**
 * The blocks of `heldAs(dtype)` that stand for the same values as `bytes`, a row of blocks that are only read; null where
 * there are none, and the values have to be rounded.
 */
export function heldBlocks(dtype: StoredDtype, bytes: Uint8Array): Uint8Array | null {
  if (isWritten(dtype)) return null
  const type: BlockType = READ_TYPES[dtype]
  return type.blocks?.(bytes) ?? null
}

/** Values quantized at a time: whole blocks. */
const STRETCH = 1 << 14

/** Bytes of `count` values, which are whole blocks. */
export function storedBytes(dtype: StoredDtype, count: number): number {
  return (count / STORED_TYPES[dtype].values) * STORED_TYPES[dtype].bytes
}

/** The values of `bytes`, which are whole blocks; f16 and bf16 start at a multiple of 2. */
export function decodeStored(dtype: StoredDtype, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const count = (bytes.length / STORED_TYPES[dtype].bytes) * STORED_TYPES[dtype].values
  const out = new Float32Array(count)
  if (!isWritten(dtype)) READ_TYPES[dtype].decode(bytes, out)
  else if (dtype === 'f32') new Uint8Array(out.buffer).set(bytes)
  else if (dtype === 'f16') widenFloat16(new Uint16Array(bytes.buffer, bytes.byteOffset, count), out)
  else if (dtype === 'bf16') widenBfloat16(new Uint16Array(bytes.buffer, bytes.byteOffset, count), out)
  else if (isKQuant(dtype)) readRow({ type: dtype, data: bytes }, 0, out)
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
export function encodeStored(dtype: WeightType, values: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(new ArrayBuffer(storedBytes(dtype, values.length)))
  if (dtype === 'f32') out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  else if (dtype === 'f16') narrowFloat16(values, new Uint16Array(out.buffer))
  else if (dtype === 'bf16') narrowBfloat16(values, new Uint16Array(out.buffer))
  else if (isKQuant(dtype)) storeRow({ type: dtype, data: out }, 0, values)
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

// The element types of safetensors: their sizes, and how their bytes become float32.

import { widenBfloat16, widenFloat16 } from '../kernels/weights/half.js'

export const BYTES_PER_ELEMENT = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const

export type SafetensorsDtype = keyof typeof BYTES_PER_ELEMENT

/**
 * Every 8-bit float by its bits (OCP 8-bit Floating Point Specification 1.0). E5M2 has infinities as IEEE 754 would; E4M3 has
 * none, and NaN is all ones.
 */
const FLOAT8_E4M3 = float8(3, 7, bits => ((bits & 0x7f) === 0x7f ? Number.NaN : null))
const FLOAT8_E5M2 = float8(2, 15, bits => {
  if ((bits & 0x7c) !== 0x7c) return null
  return (bits & 3) === 0 ? Number.POSITIVE_INFINITY : Number.NaN
})

/** `special`: the magnitude of bits that are no number of the usual form, else null. */
function float8(fraction: number, bias: number, special: (bits: number) => number | null): Float32Array {
  return Float32Array.from({ length: 256 }, (_, bits) => {
    const exponent = (bits & 0x7f) >> fraction
    const mantissa = (bits & (2 ** fraction - 1)) / 2 ** fraction
    const magnitude =
      special(bits) ?? (exponent === 0 ? mantissa * 2 ** (1 - bias) : (1 + mantissa) * 2 ** (exponent - bias))
    return bits & 0x80 ? -magnitude : magnitude
  })
}

/** How each dtype turns a block of its bytes into float32; F32 needs none. */
export const WIDEN: Partial<Record<SafetensorsDtype, (block: Uint8Array, out: Float32Array) => void>> = {
  F16: (block, out) => widenFloat16(new Uint16Array(block.buffer, block.byteOffset, out.length), out),
  BF16: (block, out) => widenBfloat16(new Uint16Array(block.buffer, block.byteOffset, out.length), out),
  F64: (block, out) => out.set(new Float64Array(block.buffer, block.byteOffset, out.length)),
  F8_E4M3: (block, out) => out.set(Float32Array.from(block, bits => FLOAT8_E4M3[bits])),
  F8_E5M2: (block, out) => out.set(Float32Array.from(block, bits => FLOAT8_E5M2[bits])),
  BOOL: (block, out) => out.set(block),
  U8: (block, out) => out.set(block),
  I8: (block, out) => out.set(new Int8Array(block.buffer, block.byteOffset, out.length)),
  U16: (block, out) => out.set(new Uint16Array(block.buffer, block.byteOffset, out.length)),
  I16: (block, out) => out.set(new Int16Array(block.buffer, block.byteOffset, out.length)),
  U32: (block, out) => out.set(new Uint32Array(block.buffer, block.byteOffset, out.length)),
  I32: (block, out) => out.set(new Int32Array(block.buffer, block.byteOffset, out.length)),
  U64: (block, out) =>
    out.set(Float32Array.from(new BigUint64Array(block.buffer, block.byteOffset, out.length), Number)),
  I64: (block, out) =>
    out.set(Float32Array.from(new BigInt64Array(block.buffer, block.byteOffset, out.length), Number)),
}

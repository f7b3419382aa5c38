// float16 and bfloat16 as bit patterns, to and from float32. Widening is exact for every pattern (subnormals,
// infinities, NaN payloads); narrowing rounds to the nearest, ties to even, as IEEE 754 asks.

/** The float32 bits of a float16 pattern. */
function float16ToFloat32Bits(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >> 10) & 0x1f
  let mantissa = half & 0x3ff
  if (exponent === 0x1f) return (sign | 0x7f800000 | (mantissa << 13)) >>> 0
  if (exponent !== 0) return (sign | ((exponent + 112) << 23) | (mantissa << 13)) >>> 0
  if (mantissa === 0) return sign >>> 0
  // Subnormal: mantissa · 2⁻²⁴; shift its leading one up to where float32 has it implied.
  const shift = Math.clz32(mantissa) - 21
  mantissa = (mantissa << shift) & 0x3ff
  return (sign | ((113 - shift) << 23) | (mantissa << 13)) >>> 0
}

/** The float16 pattern nearest to a float32 given by its bits; 65520 and above become infinity. */
function float32BitsToFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff)
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude >= 0x38800000) {
    // Normal: rebias the exponent by 112, then round away 13 bits; a carry moves into the exponent by itself.
    const rebiased = magnitude - 0x38000000
    return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13)
  }
  if (magnitude < 0x33000000) return sign
  // Subnormal: count units of 2⁻²⁴.
  const mantissa = (magnitude & 0x7fffff) | 0x800000
  const shift = 126 - (magnitude >>> 23)
  const quotient = mantissa >>> shift
  const remainder = mantissa & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  const up = remainder > half || (remainder === half && (quotient & 1) === 1)
  return sign | (up ? quotient + 1 : quotient)
}

/** The bfloat16 pattern nearest to a float32 given by its bits. */
function float32BitsToBfloat16(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16
}

/** out[i] = the float32 of half[i]; `out` is at least as long. NaN payloads survive: only bits are moved. */
export function widenFloat16(half: Uint16Array, out: Float32Array): void {
  const bits = bitsOf(out)
  for (let i = 0; i < half.length; i++) bits[i] = float16ToFloat32Bits(half[i])
}

/** out[i] = the float32 of half[i], a bfloat16; `out` is at least as long. */
export function widenBfloat16(half: Uint16Array, out: Float32Array): void {
  const bits = bitsOf(out)
  for (let i = 0; i < half.length; i++) bits[i] = half[i] << 16
}

/** out[i] = the float16 nearest to values[i]; `out` is at least as long. */
export function narrowFloat16(values: Float32Array, out: Uint16Array): void {
  const bits = bitsOf(values)
  for (let i = 0; i < bits.length; i++) out[i] = float32BitsToFloat16(bits[i])
}

/** out[i] = the bfloat16 nearest to values[i]; `out` is at least as long. */
export function narrowBfloat16(values: Float32Array, out: Uint16Array): void {
  const bits = bitsOf(values)
  for (let i = 0; i < bits.length; i++) out[i] = float32BitsToBfloat16(bits[i])
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}

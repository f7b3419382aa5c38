// Rows of ggml's K-quants as the engine holds them: q4_k, q5_k and q6_k in super-blocks of 256 columns, byte for byte as
// in GGUF files (block_q4_K, block_q5_K and block_q6_K of github.com/ggml-org/ggml). A row whose width is no multiple of
// 256 is filled up with zeros.
//
// - q4_k, 144 bytes: f16 d, f16 dmin, 12 bytes with eight 6-bit scales and eight 6-bit minimums, 128 bytes of 4-bit codes;
//   value = d · scale · code − dmin · minimum, with one scale and minimum per 32 columns.
// - q5_k, 176 bytes: as q4_k, with 32 bytes of fifth bits before the codes.
// - q6_k, 210 bytes: 128 bytes of low halves, 64 bytes of high pairs of bits, 16 int8 scales, f16 d;
//   value = d · scale · (code − 32), with one scale per 16 columns.
//
// Products of d, a scale and a code are exact in f32, so a value is rounded once, by the subtraction, wherever it is used.

import { widenFloat16 } from './half.js'
import type { KQuantType } from './types.js'

/** Columns of a super-block. */
export const SUPER_BLOCK = 256
/** Bytes of a super-block. */
export const SUPER_BLOCK_BYTES = { q4_k: 144, q5_k: 176, q6_k: 210 } as const satisfies Record<
  KQuantType,
  number
>

/** A super-block in integers: column k is d · scales[k / scaleColumns] · codes[k] − dmin · minimums[k / 32]. */
export interface SuperBlock {
  d: number
  /** 0 for q6_k, which has no minimums. */
  dmin: number
  readonly scales: Int8Array
  readonly minimums: Uint8Array
  /** (256). */
  readonly codes: Int8Array
}

/** Columns that share a scale. */
export function scaleColumns(type: KQuantType): number {
  return type === 'q6_k' ? 16 : 32
}

export function emptySuperBlock(type: KQuantType): SuperBlock {
  const scales = new Int8Array(SUPER_BLOCK / scaleColumns(type))
  return { d: 0, dmin: 0, scales, minimums: new Uint8Array(8), codes: new Int8Array(SUPER_BLOCK) }
}

/** `into` = the super-block at byte `at` of `bytes`. */
export function readSuperBlock(type: KQuantType, bytes: Uint8Array, at: number, into: SuperBlock): void {
  if (type === 'q6_k') readQ6(bytes, at, into)
  else readQ4OrQ5(bytes, at, type === 'q5_k', into)
}

const decoded = {
  q4_k: emptySuperBlock('q4_k'),
  q5_k: emptySuperBlock('q5_k'),
  q6_k: emptySuperBlock('q6_k'),
}

/** out [to, to + 256) = the values of the super-block at byte `at` of `bytes`. */
export function decodeSuperBlock(
  type: KQuantType,
  bytes: Uint8Array,
  at: number,
  out: Float32Array,
  to: number,
): void {
  const block = decoded[type]
  readSuperBlock(type, bytes, at, block)
  const { d, dmin, scales, minimums, codes } = block
  const columns = scaleColumns(type)
  for (let group = 0, k = 0; group < scales.length; group++) {
    const scale = d * scales[group]
    const minimum = dmin * minimums[k >> 5]
    for (let i = 0; i < columns; i++, k++) out[to + k] = scale * codes[k] - minimum
  }
}

function readQ4OrQ5(bytes: Uint8Array, at: number, fifth: boolean, into: SuperBlock): void {
  into.d = float16At(bytes, at)
  into.dmin = float16At(bytes, at + 2)
  const bits = at + 16
  const codes = fifth ? bits + 32 : bits
  for (let group = 0; group < 8; group++) {
    into.scales[group] = scaleAt(bytes, at + 4, group)
    into.minimums[group] = minAt(bytes, at + 4, group)
    const from = codes + 32 * (group >> 1)
    const shift = 4 * (group & 1)
    for (let i = 0; i < 32; i++) {
      const code = (bytes[from + i] >> shift) & 15
      into.codes[32 * group + i] = fifth ? code | (((bytes[bits + i] >> group) & 1) << 4) : code
    }
  }
}

function readQ6(bytes: Uint8Array, at: number, into: SuperBlock): void {
  into.d = float16At(bytes, at + 208)
  for (let group = 0; group < 16; group++) into.scales[group] = bytes[at + 192 + group]
  for (let column = 0; column < SUPER_BLOCK; column++) into.codes[column] = q6Code(bytes, at, column) - 32
}

/** The 6-bit code of a column: halves of 128 columns, each with four groups of 32 that share bytes. */
export function q6Code(bytes: Uint8Array, at: number, column: number): number {
  const half = column >> 7
  const group = (column >> 5) & 3
  const i = column & 31
  const low = bytes[at + 64 * half + 32 * (group & 1) + i] >> (4 * (group >> 1))
  const high = bytes[at + 128 + 32 * half + i] >> (2 * group)
  return (low & 15) | ((high & 3) << 4)
}

/** Puts the 6-bit code of a column into a super-block whose bits for it are 0. */
export function putQ6Code(bytes: Uint8Array, at: number, column: number, code: number): void {
  const half = column >> 7
  const group = (column >> 5) & 3
  const i = column & 31
  bytes[at + 64 * half + 32 * (group & 1) + i] |= (code & 15) << (4 * (group >> 1))
  bytes[at + 128 + 32 * half + i] |= (code >> 4) << (2 * group)
}

/** Scale of a group of 32 columns among the 12 bytes that start at `at`: 0 to 63. */
function scaleAt(bytes: Uint8Array, at: number, group: number): number {
  if (group < 4) return bytes[at + group] & 63
  return (bytes[at + group + 4] & 15) | ((bytes[at + group - 4] >> 6) << 4)
}

/** Minimum of a group of 32 columns, likewise. */
function minAt(bytes: Uint8Array, at: number, group: number): number {
  if (group < 4) return bytes[at + group + 4] & 63
  return (bytes[at + group + 4] >> 4) | ((bytes[at + group] >> 6) << 4)
}

/** Scale and minimum, 0 to 63, of a group of 32 columns among the 12 bytes that start at `at`. */
export function scaleAndMin(bytes: Uint8Array, at: number, group: number): { scale: number; min: number } {
  return { scale: scaleAt(bytes, at, group), min: minAt(bytes, at, group) }
}

/** Puts scale and minimum (0 to 63) of a group into 12 bytes whose bits for them are 0. */
export function putScaleAndMin(
  bytes: Uint8Array,
  at: number,
  group: number,
  scale: number,
  min: number,
): void {
  if (group < 4) {
    bytes[at + group] |= scale
    bytes[at + group + 4] |= min
  } else {
    bytes[at + group + 4] |= (scale & 15) | ((min & 15) << 4)
    bytes[at + group - 4] |= (scale >> 4) << 6
    bytes[at + group] |= (min >> 4) << 6
  }
}

let float16: Float32Array | undefined

/** Every float16 as a number, by its bits. */
export function widenedFloat16(): Float32Array {
  if (float16 === undefined) {
    float16 = new Float32Array(1 << 16)
    widenFloat16(
      Uint16Array.from({ length: 1 << 16 }, (_, half) => half),
      float16,
    )
  }
  return float16
}

/** The float16 at byte `at`, little-endian. */
export function float16At(bytes: Uint8Array, at: number): number {
  return widenedFloat16()[bytes[at] | (bytes[at + 1] << 8)]
}

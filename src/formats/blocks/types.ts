// How a type of tensor that is only read is described: its blocks, the values that they stand for, and what the engine
// holds them as. The layouts are ggml's (github.com/ggml-org/ggml, ggml-common.h and ggml-quants.c).

import type { WeightType } from '../../kernels/weights/types.js'

export interface BlockType {
  /** Values and bytes of a block; a row is whole blocks. */
  readonly values: number
  readonly bytes: number
  /** Its number in GGUF (ggml_type). */
  readonly ggml: number
  /** out = the values of `bytes`, whole blocks. */
  decode(bytes: Uint8Array, out: Float32Array): void
  /** The type of at least the same precision in which the engine holds such a matrix. */
  readonly held: WeightType
  /**
   * The blocks of `held` that stand for the same values, where there are such: what the engine computes with is then
   * exactly what the file says. Null for a row whose scales `held` cannot hold. Without it values are rounded to `held`.
   */
  readonly blocks?: (bytes: Uint8Array) => Uint8Array | null
}

/** Bytes of a block of q8_0: an f16 scale and 32 int8. */
const Q8_BYTES = 34

/** An empty row of q8_0 for `count` values. */
export function q8Row(count: number): Uint8Array {
  return new Uint8Array((count / 32) * Q8_BYTES)
}

/** Puts group `group` into a row of q8_0: the bits of its scale, and 32 codes from `from` on. */
export function putQ8(row: Uint8Array, group: number, scale: number, codes: Int8Array, from = 0): void {
  const at = group * Q8_BYTES
  row[at] = scale & 0xff
  row[at + 1] = scale >> 8
  for (let i = 0; i < 32; i++) row[at + 2 + i] = codes[from + i]
}

/** The 16-bit word at byte `at`. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8)
}

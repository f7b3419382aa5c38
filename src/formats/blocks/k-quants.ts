// The K-quants that the engine has no kernels for: q2_k, q3_k and q8_k, in super-blocks of 256 values.

import { decodeSuperBlock, float16At, putQ6Code, SUPER_BLOCK_BYTES } from '../../kernels/weights/k-quants.js'
import type { BlockType } from './types.js'

/** The two bits of value i of a super-block whose pairs of bits start at `at`: 128 values in 32 bytes, twice. */
function pairAt(bytes: Uint8Array, at: number, i: number): number {
  return (bytes[at + 32 * (i >> 7) + (i & 31)] >> (2 * ((i >> 5) & 3))) & 3
}

/** Scale of a group of 16 values of q3_k among its 12 bytes of 6-bit scales: −32 to 31. */
function q3Scale(bytes: Uint8Array, at: number, group: number): number {
  const low = group < 8 ? bytes[at + group] & 15 : bytes[at + group - 8] >> 4
  const high = (bytes[at + 8 + (group & 3)] >> (2 * (group >> 2))) & 3
  return (low | (high << 4)) - 32
}

const Q3_BYTES = 110

export const K_BLOCKS = {
  // 16 bytes with a 4-bit scale and a 4-bit minimum per 16 values, 64 bytes of codes, f16 d, f16 dmin.
  q2_k: {
    values: 256,
    bytes: 84,
    ggml: 10,
    held: 'q8_0',
    decode(bytes, out) {
      for (let at = 0, to = 0; at < bytes.length; at += 84, to += 256) {
        const d = float16At(bytes, at + 80)
        const dmin = float16At(bytes, at + 82)
        for (let i = 0; i < 256; i++) {
          const both = bytes[at + (i >> 4)]
          out[to + i] = d * (both & 15) * pairAt(bytes, at + 16, i) - dmin * (both >> 4)
        }
      }
    },
  },
  // 32 bytes of third bits, 64 bytes of pairs, 12 bytes of scales, f16 d; value = d · scale · (code − 4). q6_k, whose
  // scales and codes are wider, has the same groups and d, and so the same values.
  q3_k: {
    values: 256,
    bytes: Q3_BYTES,
    ggml: 11,
    held: 'q6_k',
    decode(bytes, out) {
      const row = asQ6(bytes)
      for (let at = 0, to = 0; at < row.length; at += SUPER_BLOCK_BYTES.q6_k, to += 256) {
        decodeSuperBlock('q6_k', row, at, out, to)
      }
    },
    blocks: asQ6,
  },
  // f32 d, 256 int8, 16 int16 sums of groups: what ggml makes of activations; no file should have it.
  q8_k: {
    values: 256,
    bytes: 292,
    ggml: 15,
    held: 'f32',
    decode(bytes, out) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      for (let at = 0, to = 0; at < bytes.length; at += 292, to += 256) {
        const d = view.getFloat32(at, true)
        for (let i = 0; i < 256; i++) out[to + i] = d * view.getInt8(at + 4 + i)
      }
    },
  },
} as const satisfies Record<string, BlockType>

function asQ6(bytes: Uint8Array): Uint8Array {
  const size = SUPER_BLOCK_BYTES.q6_k
  const row = new Uint8Array((bytes.length / Q3_BYTES) * size)
  for (let at = 0, to = 0; at < bytes.length; at += Q3_BYTES, to += size) {
    for (let i = 0; i < 256; i++) {
      const third = (bytes[at + (i & 31)] >> (i >> 5)) & 1
      putQ6Code(row, to, i, pairAt(bytes, at + 32, i) + 4 * third + 28)
    }
    for (let group = 0; group < 16; group++) row[to + 192 + group] = q3Scale(bytes, at + 96, group)
    row.set(bytes.subarray(at + 108, at + 110), to + 208)
  }
  return row
}

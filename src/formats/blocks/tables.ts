// Types whose 4-bit codes choose from a table of 16 values: iq4_nl, iq4_xs and mxfp4.

import { narrowFloat16 } from '../../kernels/weights/half.js'
import { float16At } from '../../kernels/weights/k-quants.js'
import { type BlockType, putQ8, q8Row, wordAt } from './types.js'

/** Of iq4_nl and iq4_xs (kvalues_iq4nl of ggml). */
const NONLINEAR = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
/** Of mxfp4, in halves: E2M1, sign in the highest bit (OCP Microscaling Formats 1.0). */
const E2M1 = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)

const chosen = new Int8Array(32)

/** chosen[i], chosen[i + 16] = the table's values for the halves of byte i of 16 that start at `at`. */
function choose(table: Int8Array, bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) {
    chosen[i] = table[bytes[at + i] & 15]
    chosen[i + 16] = table[bytes[at + i] >> 4]
  }
}

/** Scale of group `group` of a super-block of iq4_xs that starts at `at`: f16 d times a 6-bit number. */
function xsScale(bytes: Uint8Array, at: number, group: number): number {
  const low = (bytes[at + 4 + (group >> 1)] >> (4 * (group & 1))) & 15
  const high = (wordAt(bytes, at + 2) >> (2 * group)) & 3
  return float16At(bytes, at) * ((low | (high << 4)) - 32)
}

/** d of mxfp4: the shared exponent, halved since the table is in halves. */
function e8m0(exponent: number): number {
  return 2 ** (exponent - 128)
}

const float = new Float32Array(1)
const half = new Uint16Array(1)

/** The bits of the float16 nearest to x. */
function float16Bits(x: number): number {
  float[0] = x
  narrowFloat16(float, half)
  return half[0]
}

export const TABLE_BLOCKS = {
  // f16 d, 16 bytes of codes.
  iq4_nl: {
    values: 32,
    bytes: 18,
    ggml: 20,
    held: 'q8_0',
    decode(bytes, out) {
      for (let at = 0, to = 0; at < bytes.length; at += 18, to += 32) {
        const d = float16At(bytes, at)
        choose(NONLINEAR, bytes, at + 2)
        for (let i = 0; i < 32; i++) out[to + i] = d * chosen[i]
      }
    },
    blocks(bytes) {
      const row = q8Row((bytes.length / 18) * 32)
      for (let at = 0, group = 0; at < bytes.length; at += 18, group++) {
        choose(NONLINEAR, bytes, at + 2)
        putQ8(row, group, wordAt(bytes, at), chosen)
      }
      return row
    },
  },
  // f16 d, 8 pairs of upper scale bits, 4 bytes of lower ones, 128 bytes of codes. As q8_0 the codes stay what they are
  // and the scale is rounded to f16, by 1 in 2,048 at most.
  iq4_xs: {
    values: 256,
    bytes: 136,
    ggml: 23,
    held: 'q8_0',
    decode(bytes, out) {
      for (let at = 0, to = 0; at < bytes.length; at += 136) {
        for (let group = 0; group < 8; group++, to += 32) {
          const scale = xsScale(bytes, at, group)
          choose(NONLINEAR, bytes, at + 8 + 16 * group)
          for (let i = 0; i < 32; i++) out[to + i] = scale * chosen[i]
        }
      }
    },
    blocks(bytes) {
      const row = q8Row((bytes.length / 136) * 256)
      for (let at = 0, to = 0; at < bytes.length; at += 136) {
        for (let group = 0; group < 8; group++, to++) {
          const scale = xsScale(bytes, at, group)
          // Subnormal halves, which q8_0 has as scales too, would be rounded by more.
          if (!(Math.abs(scale) < 65504) || (Math.abs(scale) < 2 ** -14 && scale !== 0)) return null
          choose(NONLINEAR, bytes, at + 8 + 16 * group)
          putQ8(row, to, float16Bits(scale), chosen)
        }
      }
      return row
    },
  },
  // One byte of exponent, 16 bytes of codes.
  mxfp4: {
    values: 32,
    bytes: 17,
    ggml: 39,
    held: 'q8_0',
    decode(bytes, out) {
      for (let at = 0, to = 0; at < bytes.length; at += 17, to += 32) {
        const d = e8m0(bytes[at])
        choose(E2M1, bytes, at + 1)
        for (let i = 0; i < 32; i++) out[to + i] = d * chosen[i]
      }
    },
    blocks(bytes) {
      const row = q8Row((bytes.length / 17) * 32)
      for (let at = 0, group = 0; at < bytes.length; at += 17, group++) {
        const d = e8m0(bytes[at])
        // The powers of 2 that float16 has.
        if (d < 2 ** -24 || d > 2 ** 15) return null
        choose(E2M1, bytes, at + 1)
        putQ8(row, group, float16Bits(d), chosen)
      }
      return row
    },
  },
} as const satisfies Record<string, BlockType>

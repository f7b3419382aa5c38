// q4_1, q5_0 and q5_1: blocks of 32 values with one f16 scale, and for the types that end in _1 an f16 minimum. Byte i of
// the codes has value i in its low half and value i + 16 in its high half; the fifth bits are one 32-bit word.

import { float16At } from '../../kernels/weights/k-quants.js'
import { type BlockType, putQ8, q8Row, wordAt } from './types.js'

const codes = new Int8Array(32)

/** codes[i] = the codes of a block whose halves start at `at`; `fifth`: where its fifth bits are, if it has any. */
function readCodes(bytes: Uint8Array, at: number, fifth: number | null): void {
  for (let i = 0; i < 16; i++) {
    codes[i] = bytes[at + i] & 15
    codes[i + 16] = bytes[at + i] >> 4
  }
  if (fifth === null) return
  for (let i = 0; i < 32; i++) codes[i] |= ((bytes[fifth + (i >> 3)] >> (i & 7)) & 1) << 4
}

function withMinimum(size: number, fifth: boolean): BlockType['decode'] {
  return (bytes, out) => {
    for (let at = 0, to = 0; at < bytes.length; at += size, to += 32) {
      const scale = float16At(bytes, at)
      const min = float16At(bytes, at + 2)
      readCodes(bytes, at + (fifth ? 8 : 4), fifth ? at + 4 : null)
      for (let i = 0; i < 32; i++) out[to + i] = scale * codes[i] + min
    }
  }
}

export const SMALL_BLOCKS = {
  q4_1: { values: 32, bytes: 20, ggml: 3, held: 'q8_0', decode: withMinimum(20, false) },
  q5_0: {
    values: 32,
    bytes: 22,
    ggml: 6,
    held: 'q8_0',
    decode(bytes, out) {
      for (let at = 0, to = 0; at < bytes.length; at += 22, to += 32) {
        const scale = float16At(bytes, at)
        readCodes(bytes, at + 6, at + 2)
        for (let i = 0; i < 32; i++) out[to + i] = scale * (codes[i] - 16)
      }
    },
    blocks(bytes) {
      const row = q8Row((bytes.length / 22) * 32)
      for (let at = 0, group = 0; at < bytes.length; at += 22, group++) {
        readCodes(bytes, at + 6, at + 2)
        for (let i = 0; i < 32; i++) codes[i] -= 16
        putQ8(row, group, wordAt(bytes, at), codes)
      }
      return row
    },
  },
  q5_1: { values: 32, bytes: 24, ggml: 7, held: 'q8_0', decode: withMinimum(24, true) },
} as const satisfies Record<string, BlockType>

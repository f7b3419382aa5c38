// tq1_0 and tq2_0: blocks of 256 values −1, 0 or 1 times an f16 scale. tq1_0 packs five of them into a byte, as the digits
// of a fraction in base 3; tq2_0 four, as two bits each.

import { float16At } from '../../kernels/weights/k-quants.js'
import { type BlockType, putQ8, q8Row, wordAt } from './types.js'

const digits = new Int8Array(256)

/** Digit n of a byte that holds ⌈256 · (digits in base 3) / 243⌉: multiplying moves it before the point. */
function base3(byte: number, n: number): number {
  return (((byte * 3 ** n) & 0xff) * 3) >> 8
}

/** digits = those of a block of tq1_0: 32 bytes of five, 16 bytes of five, 4 bytes of four. */
function readTq1(bytes: Uint8Array, at: number): void {
  let to = 0
  for (const [start, count, each] of [
    [0, 32, 5],
    [32, 16, 5],
    [48, 4, 4],
  ]) {
    for (let n = 0; n < each; n++) {
      for (let i = 0; i < count; i++) digits[to++] = base3(bytes[at + start + i], n) - 1
    }
  }
}

/** digits = those of a block of tq2_0: 128 values in 32 bytes, twice. */
function readTq2(bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 256; i++) {
    digits[i] = ((bytes[at + 32 * (i >> 7) + (i & 31)] >> (2 * ((i >> 5) & 3))) & 3) - 1
  }
}

function ternary(size: number, ggml: number, readDigits: (bytes: Uint8Array, at: number) => void): BlockType {
  return {
    values: 256,
    bytes: size,
    ggml,
    held: 'q8_0',
    decode(bytes, out) {
      for (let at = 0, to = 0; at < bytes.length; at += size, to += 256) {
        readDigits(bytes, at)
        const d = float16At(bytes, at + size - 2)
        for (let i = 0; i < 256; i++) out[to + i] = d * digits[i]
      }
    },
    blocks(bytes) {
      const row = q8Row((bytes.length / size) * 256)
      for (let at = 0, group = 0; at < bytes.length; at += size) {
        readDigits(bytes, at)
        for (let i = 0; i < 256; i += 32, group++) putQ8(row, group, wordAt(bytes, at + size - 2), digits, i)
      }
      return row
    },
  }
}

export const TERNARY_BLOCKS = {
  tq1_0: ternary(54, 34, readTq1),
  tq2_0: ternary(66, 35, readTq2),
} as const satisfies Record<string, BlockType>

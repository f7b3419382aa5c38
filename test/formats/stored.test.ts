// Weights in bytes: ggml's own output for the block types, IEEE 754 for the others, and the order of rotary rows.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { headRows } from '../../src/formats/architectures/tensors.js'
import { pairsToHalves } from '../../src/formats/rope.js'
import { decodeStored, encodeStored, storedBytes } from '../../src/formats/stored.js'
import type { WeightType } from '../../src/kernels/index.js'
import { tinyConfig } from './tiny-model.js'

const values = Float32Array.from({ length: 64 }, (_, i) =>
  i < 32 ? (((i * 37) % 64) - 31.5) / 7 : (i - 50) * 0.3,
)

describe('the block types', () => {
  // Written by quantize_row_q8_0_ref and quantize_row_q4_0_ref of ggml's library.
  it.each<[WeightType, string]>([
    [
      'q8_0',
      '89288116a93ed267fa8d22b54bde7306992ec257ea7f12a53ace63f6891eb147da6f712981888f969da4abb2b9c0c8cfd6dde4ebf2f900070e151c232a313840474e555c',
    ],
    ['q4_0', '803840d973fc952ec851ea731da63fc862fb6639708081819292a3a3b4b4c4c5c5d6d6e7'],
  ])('%s is what ggml makes of the same numbers', (dtype, hex) => {
    expect(Buffer.from(encodeStored(dtype, values)).toString('hex')).toBe(hex)
  })

  it('q8_0 is off by half a step at most, q4_0 by one', () => {
    const block = fc.array(fc.float({ noNaN: true, min: -1e4, max: 1e4 }), { minLength: 32, maxLength: 32 })
    fc.assert(
      fc.property(block, numbers => {
        const exact = Float32Array.from(numbers)
        const largest = Math.max(...exact.map(Math.abs))
        for (const [dtype, step] of [
          ['q8_0', largest / 127 / 2],
          ['q4_0', largest / 8],
        ] as const) {
          const read = decodeStored(dtype, encodeStored(dtype, exact))
          // The scale itself is rounded to float16, and is lost where that has no number so small.
          const slack = largest * 2 ** -10 + 127 * 2 ** -24
          const worst = Math.max(...exact.map((x, i) => Math.abs(read[i] - x)))
          expect(worst, `${dtype} of ${exact}`).toBeLessThanOrEqual(step + slack)
        }
      }),
    )
  })

  it('refuse a number that they cannot hold', () => {
    const broken = new Float32Array(32)
    broken[3] = Number.NaN
    expect(() => encodeStored('q8_0', broken)).toThrow(expect.objectContaining({ code: 'QUANTIZE_RANGE' }))
  })
})

describe('any type', () => {
  it.each<[WeightType, number]>([
    ['f32', 256],
    ['f16', 128],
    ['bf16', 128],
    ['q8_0', 68],
    ['q4_0', 36],
  ])('%s has its size, and reading what was written changes nothing more', (dtype, size) => {
    expect(storedBytes(dtype, 64)).toBe(size)
    const bytes = encodeStored(dtype, values)
    expect(bytes).toHaveLength(size)
    const once = decodeStored(dtype, bytes)
    expect(decodeStored(dtype, encodeStored(dtype, once))).toEqual(once)
    if (dtype === 'f32') expect(once).toEqual(values)
  })
})

describe('rotary rows', () => {
  it('of a head of 4: pairs 0 1, 2 3 become halves 0 2, 1 3', () => {
    expect([...pairsToHalves(Uint8Array.of(0, 1, 2, 3, 10, 11, 12, 13), 8, 4)]).toEqual([
      0, 2, 1, 3, 10, 12, 11, 13,
    ])
  })

  it.each([
    // Of a head of 6 the first 4 are rotated: files have a0 a1 b0 b1, or a0 b0 a1 b1, then what stays, c0 c1.
    ['halves', 'a0 a1 b0 b1 c0 c1'],
    ['pairs', 'a0 b0 a1 b1 c0 c1'],
  ] as const)(
    'of a head that is rotated in part, in files as %s: what stays fills both halves',
    (order, file) => {
      const config = { ...tinyConfig, hiddenSize: 12, numAttentionHeads: 2, rotaryDim: 4 }
      const rows = headRows(config, order, 12)
      const names = `${file} ${file.toUpperCase()}`.split(' ')
      const ours = Array.from({ length: 12 }, (_, row) => names[rows?.at(row) ?? row])
      expect(ours.join(' ')).toBe('a0 a1 c0 b0 b1 c1 A0 A1 C0 B0 B1 C1')
    },
  )
})

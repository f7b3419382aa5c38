// The tensor types of GGUF: blocks worked out by hand from the layouts in ggml-common.h, and random blocks with the values
// that ggml's own library gives them (test/fixtures/gguf/blocks.json, written by bench/peers/ggml_blocks.py).

import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import {
  decodeStored,
  encodeStored,
  heldAs,
  heldBlocks,
  isWritten,
  READ_TYPES,
  STORED_TYPES,
  type StoredDtype,
} from '../../src/formats/stored.js'

const fixture: Record<string, { blocks: string; values: string }> = JSON.parse(
  fs.readFileSync(new URL('../fixtures/gguf/blocks.json', import.meta.url), 'utf8'),
)
const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))
const floatsOf = (hex: string) => new Float32Array(bytesOf(hex).buffer)
const blockTypes = Object.keys(STORED_TYPES).filter(
  type => STORED_TYPES[type as StoredDtype].values > 1,
) as StoredDtype[]

describe.each(blockTypes)('%s', type => {
  const { blocks, values } = fixture[type]

  it('stands for the values that ggml gives it', () => {
    expect(bytesOf(blocks)).toHaveLength(STORED_TYPES[type].bytes)
    expect(floatsOf(values)).toHaveLength(STORED_TYPES[type].values)
    expect(decodeStored(type, bytesOf(blocks))).toEqual(floatsOf(values))
  })

  it('several blocks follow each other', () => {
    const twice = decodeStored(type, bytesOf(blocks + blocks))
    expect(twice.subarray(twice.length / 2)).toEqual(floatsOf(values))
  })
})

describe('held by the engine', () => {
  it.each(['q5_0', 'q3_k', 'iq4_nl', 'tq1_0', 'tq2_0'] as const)('%s keeps its values', type => {
    const { blocks, values } = fixture[type]
    const held = heldBlocks(type, bytesOf(blocks))
    if (held === null) expect.fail('no blocks')
    expect(decodeStored(heldAs(type), held)).toEqual(floatsOf(values))
  })

  it('iq4_xs is off by the rounding of its scales to f16 alone', () => {
    const { blocks } = fixture.iq4_xs
    // d = 1.0009765625 times 17 needs more bits than f16 has.
    const bytes = bytesOf(blocks)
    bytes.set([0x01, 0x3c], 0)
    const values = decodeStored('iq4_xs', bytes)
    const held = heldBlocks('iq4_xs', bytes)
    if (held === null) expect.fail('no blocks')
    const rounded = decodeStored('q8_0', held)
    let [most, differing] = [0, 0]
    for (const [i, value] of values.entries()) {
      if (value === 0) expect(rounded[i]).toBe(0)
      else most = Math.max(most, Math.abs(rounded[i] / value - 1))
      if (rounded[i] !== value) differing++
    }
    expect(differing).toBeGreaterThan(0)
    expect(most).toBeLessThanOrEqual(2 ** -11)
  })

  it('mxfp4 keeps its values where f16 has its powers of 2, and has no blocks elsewhere', () => {
    // Exponents 128 − 24 to 128 + 15: the least and the largest power of 2 of float16.
    for (const exponent of [104, 128, 143]) {
      const bytes = new Uint8Array(17).fill(0x79)
      bytes[0] = exponent
      const held = heldBlocks('mxfp4', bytes)
      if (held === null) expect.fail('no blocks')
      // 9 is −1 in halves, 7 is 12.
      const [low, high] = [-(2 ** (exponent - 128)), 12 * 2 ** (exponent - 128)]
      const expected = Float32Array.from({ length: 32 }, (_, i) => (i < 16 ? low : high))
      expect(decodeStored('q8_0', held)).toEqual(expected)
      expect(decodeStored('mxfp4', bytes)).toEqual(expected)
    }
    for (const exponent of [0, 103, 144, 255]) {
      const bytes = new Uint8Array(17)
      bytes[0] = exponent
      expect(heldBlocks('mxfp4', bytes)).toBeNull()
    }
  })

  it('every type that is only read has a type to be held as, of no fewer bits', () => {
    const bits = (type: StoredDtype) => (8 * STORED_TYPES[type].bytes) / STORED_TYPES[type].values
    const types = Object.keys(READ_TYPES) as (keyof typeof READ_TYPES)[]
    expect(types.length).toBeGreaterThan(10)
    for (const type of types) {
      expect(isWritten(heldAs(type)), type).toBe(true)
      // Doubles and long integers become f32, which is what everything is computed in.
      if (!['f64', 'i64'].includes(type))
        expect(bits(heldAs(type))).toBeGreaterThanOrEqual(Math.min(32, bits(type)) - 1e-9)
    }
  })
})

describe('by hand', () => {
  const f16 = { half: [0x00, 0x38], one: [0x00, 0x3c], two: [0x00, 0x40] }
  const block = (size: number, parts: readonly (readonly [number, readonly number[]])[]) => {
    const bytes = new Uint8Array(size)
    for (const [at, part] of parts) bytes.set(part, at)
    return bytes
  }
  const at = (values: Float32Array, ...columns: number[]) => columns.map(column => values[column])

  it('q4_1: scale 2, minimum 1, codes 3 low and 15 high', () => {
    const values = decodeStored(
      'q4_1',
      block(20, [
        [0, f16.two],
        [2, f16.one],
        [4, [0xf3]],
      ]),
    )
    expect(at(values, 0, 16, 1, 17)).toEqual([7, 31, 1, 1])
  })

  it('q5_0: scale 2, a fifth bit for value 17 alone', () => {
    const values = decodeStored(
      'q5_0',
      block(22, [
        [0, f16.two],
        [4, [0x02]],
        [7, [0xf3]],
      ]),
    )
    // Codes 3 and 15 | 16, less 16; all others 0 less 16.
    expect(at(values, 1, 17, 0)).toEqual([-26, 30, -32])
  })

  it('q5_1: scale 1, minimum 2, a fifth bit for value 0', () => {
    const values = decodeStored(
      'q5_1',
      block(24, [
        [0, f16.one],
        [2, f16.two],
        [4, [0x01]],
        [8, [0x21]],
      ]),
    )
    expect(at(values, 0, 16, 1)).toEqual([19, 4, 2])
  })

  it('q2_k: d 1, dmin 1/2; group 9 has scale 3 and minimum 4', () => {
    // Value 150 = 128 + 22: the second half, first pair of bits, byte 22 of 32; its group is 9.
    const values = decodeStored(
      'q2_k',
      block(84, [
        [9, [0x43]],
        [16 + 32 + 22, [0b10]],
        [80, f16.one],
        [82, f16.half],
      ]),
    )
    expect(at(values, 150, 151, 0)).toEqual([4, -2, 0])
  })

  it('q3_k: d 2, group 5 of scale 33 − 32, code 2 with and without its third bit', () => {
    // Values 80 and 81: pairs at shift 4 of bytes 16 and 17; third bits: bit 2 of bytes 16 and 17. Scale 5: low half of
    // byte 5, upper bits 1 << 2 of byte 8 + 1, as 33 = 1 + 16 · 2.
    const bytes = block(110, [
      [16, [0b100, 0]],
      [32 + 16, [0x20, 0x20]],
      [96 + 5, [1]],
      [96 + 9, [0b1000]],
      [108, f16.two],
    ])
    const values = decodeStored('q3_k', bytes)
    expect(at(values, 80, 81)).toEqual([2 * 2, 2 * (2 - 4)])
    // All other scales are 0 − 32.
    expect(values[0]).toBe(2 * -32 * -4)
  })

  it('q4_k: d 1, dmin 1/2; groups 1 and 6 with scales and minimums of six bits', () => {
    // Group 1: scale 33, minimum 17. Group 6: scale 50 = 2 + 16 · 3, minimum 21 = 5 + 16.
    const scales = [0, 33, 0b11000000, 0, 0, 17, 0b01000000, 0, 0, 0, 0x52, 0]
    const bytes = block(144, [
      [0, f16.one],
      [2, f16.half],
      [4, scales],
      [16 + 7, [0x90]],
      [16 + 96 + 5, [0x0b]],
    ])
    const values = decodeStored('q4_k', bytes)
    expect(at(values, 32 + 7, 32, 192 + 5, 192)).toEqual([33 * 9 - 8.5, -8.5, 50 * 11 - 10.5, -10.5])
    expect(values[0]).toBe(0)
  })

  it('q5_k: as q4_k, with a bit of 16', () => {
    const bytes = block(176, [
      [0, f16.one],
      [4, [0, 2]],
      [16 + 7, [0b10]],
      [48 + 7, [0x90]],
    ])
    expect(at(decodeStored('q5_k', bytes), 32 + 7, 32)).toEqual([2 * 25, 0])
  })

  it('q6_k: d 1/2, scale −3; code 0x2a in the third group of the second half', () => {
    // Value 128 + 64 + 18: high half of byte 64 + 18, pair 2 of byte 128 + 32 + 18, scale (128 + 64 + 18) / 16 = 13.
    const bytes = block(210, [
      [64 + 18, [0xa0]],
      [128 + 32 + 18, [2 << 4]],
      [192 + 13, [0xfd]],
      [208, f16.half],
    ])
    expect(decodeStored('q6_k', bytes)[128 + 64 + 18]).toBe(0.5 * -3 * (0x2a - 32))
  })

  it('iq4_nl and iq4_xs: entries 0, 8 and 15 of the table are −127, 1 and 113', () => {
    expect(
      at(
        decodeStored(
          'iq4_nl',
          block(18, [
            [0, f16.two],
            [2, [0xf0, 0x08]],
          ]),
        ),
        0,
        16,
        1,
      ),
    ).toEqual([-254, 226, 2])
    // Group 3: scale 0x25 − 32 = 5 from low half 5 of byte 4 + 1, upper, and 2 << 6 of the word at 2.
    const bytes = block(136, [
      [0, f16.one],
      [2, [0x80]],
      [4 + 1, [0x50]],
      [8 + 48, [0xf8]],
    ])
    expect(at(decodeStored('iq4_xs', bytes), 96, 112)).toEqual([5, 565])
  })

  it('tq1_0 and tq2_0: digits of base 3, and pairs of bits, less 1', () => {
    // 2 0 1 2 1 in base 3 is 178; the byte is 178 · 256 / 243, rounded up.
    const one = decodeStored(
      'tq1_0',
      block(54, [
        [3, [Math.ceil((178 * 256) / 243)]],
        [52, f16.two],
      ]),
    )
    expect(at(one, 3, 35, 67, 99, 131)).toEqual([2, -2, 0, 2, 0])
    const two = decodeStored(
      'tq2_0',
      block(66, [
        [32, [0b01_10_00_10]],
        [64, f16.half],
      ]),
    )
    expect(at(two, 128, 160, 192, 224)).toEqual([0.5, -0.5, 0.5, 0])
  })

  it('integers and doubles', () => {
    const i64 = new Uint8Array(BigInt64Array.of(-3n, 2n ** 40n).buffer)
    expect([...decodeStored('i64', i64)]).toEqual([-3, 2 ** 40])
    expect([...decodeStored('i8', Uint8Array.of(0xff, 5))]).toEqual([-1, 5])
    expect([...decodeStored('i16', Uint8Array.of(0xfe, 0xff))]).toEqual([-2])
    expect([...decodeStored('i32', Uint8Array.of(1, 0, 1, 0))]).toEqual([65537])
    expect([...decodeStored('f64', new Uint8Array(Float64Array.of(0.1).buffer))]).toEqual([Math.fround(0.1)])
  })
})

describe('encoding K-quants', () => {
  /** Normal numbers by the polar method of a fixed generator. */
  const normal = (count: number) => {
    let state = 1
    const uniform = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return (state + 0.5) / 2 ** 32
    }
    return Float32Array.from(
      { length: count },
      () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
    )
  }
  const errorOf = (values: Float32Array, type: 'q4_k' | 'q5_k' | 'q6_k') => {
    const back = decodeStored(type, encodeStored(type, values))
    return Math.sqrt(values.reduce((sum, x, i) => sum + (x - back[i]) ** 2, 0) / values.length)
  }

  // What quantize_row_q4_K_ref, q5_K and q6_K of ggml's library leave of these very numbers.
  it.each([
    ['q4_k', 0.07254],
    ['q5_k', 0.03672],
    ['q6_k', 0.01806],
  ] as const)("%s of normal numbers is no further from them than ggml's", (type, most) => {
    expect(errorOf(normal(1 << 14), type)).toBeLessThan(most)
  })

  it.each(['q4_k', 'q5_k', 'q6_k'] as const)('%s keeps values that are whole blocks already', type => {
    const { blocks, values } = fixture[type]
    const once = decodeStored(type, encodeStored(type, floatsOf(values)))
    // Random blocks have scales that an encoder would choose otherwise; what it has made itself it nearly keeps.
    const twice = decodeStored(type, encodeStored(type, once))
    const largest = Math.max(...once.map(Math.abs))
    expect(blocks.length).toBeGreaterThan(0)
    for (const [i, value] of once.entries()) expect(Math.abs(twice[i] - value)).toBeLessThan(0.03 * largest)
  })

  it.each(['q4_k', 'q5_k', 'q6_k'] as const)('%s of zeros, of one value, of positive numbers', type => {
    const zeros = decodeStored(type, encodeStored(type, new Float32Array(256)))
    expect(zeros).toHaveLength(256)
    expect(zeros.every(value => value === 0)).toBe(true)
    const constant = decodeStored(type, encodeStored(type, new Float32Array(256).fill(-2)))
    for (const value of constant) expect(Math.abs(value + 2)).toBeLessThan(0.02)
    const positive = normal(256).map(x => 5 + Math.abs(x))
    const back = decodeStored(type, encodeStored(type, positive))
    for (const [i, value] of positive.entries()) expect(Math.abs(back[i] - value)).toBeLessThan(0.4)
  })

  it.each(['q4_k', 'q5_k', 'q6_k'] as const)('%s refuses what it cannot hold', type => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, 1e30]) {
      const values = normal(512)
      values[300] = bad
      expect(() => encodeStored(type, values)).toThrow(expect.objectContaining({ code: 'QUANTIZE_RANGE' }))
    }
  })
})

// Quantized weights against ggml's definition of its blocks q8_0 and q4_0, written out here once more from the reference
// (quantize_row_q8_0_ref, quantize_row_q4_0_ref): the same bytes from the same numbers, and back.

import { describe, expect, it } from 'vitest'
import {
  allocateWeights,
  type QuantizedWeights,
  readBlocks,
  readRow,
  storeBlocks,
  storeRow,
  weightBytes,
  weightTypeOf,
} from '../../src/kernels/index.js'
import { Inputs, weightTypes } from './decode-inputs.js'

type QuantizedType = 'q8_0' | 'q4_0'
const types: QuantizedType[] = ['q8_0', 'q4_0']
const BLOCK_BYTES = { q8_0: 34, q4_0: 18 }
const f32 = Math.fround

/** The float16 nearest to x, ties to even, by trying what is near. */
function toFloat16(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0
  const [magnitude, values] = [Math.abs(x), [0, 1, 2, 3]]
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude || 1)))
  const ulp = 2 ** (exponent - 10)
  const low = Math.floor(magnitude / ulp) - 1
  const distance = (n: number) => Math.abs(n * ulp - magnitude)
  const nearest = values
    .map(i => low + i)
    .filter(n => n >= 0)
    .reduce((a, b) => (distance(b) < distance(a) || (distance(b) === distance(a) && b % 2 === 0) ? b : a))
  // n counts units of ulp: 1024 is the least normal number of this exponent.
  return sign | (nearest < 1024 ? nearest : ((exponent + 14) << 10) + nearest)
}

function fromFloat16(bits: number): number {
  const [sign, exponent, mantissa] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023]
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15))
}

/** C's roundf: halves away from zero. */
function roundf(x: number): number {
  return Math.sign(x) * Math.floor(Math.abs(x) + 0.5)
}

/** A row of blocks, as ggml's reference makes them. */
function ggmlBlocks(type: QuantizedType, x: Float32Array): Uint8Array {
  const blocks = new Uint8Array((x.length / 32) * BLOCK_BYTES[type])
  const view = new DataView(blocks.buffer)
  for (let block = 0; block < x.length / 32; block++) {
    const group = x.subarray(block * 32, (block + 1) * 32)
    const at = block * BLOCK_BYTES[type]
    if (type === 'q8_0') {
      const amax = group.reduce((most, v) => Math.max(most, Math.abs(v)), 0)
      const d = f32(amax / 127)
      const id = d !== 0 ? f32(1 / d) : 0
      view.setUint16(at, toFloat16(d), true)
      for (let j = 0; j < 32; j++) view.setInt8(at + 2 + j, roundf(f32(group[j] * id)))
    } else {
      let [amax, max] = [0, 0]
      for (const v of group) {
        if (amax < Math.abs(v)) {
          amax = Math.abs(v)
          max = v
        }
      }
      const d = f32(max / -8)
      const id = d !== 0 ? f32(1 / d) : 0
      const nibble = (v: number) => Math.min(15, Math.trunc(f32(f32(v * id) + 8.5)))
      view.setUint16(at, toFloat16(d), true)
      for (let j = 0; j < 16; j++) {
        view.setUint8(at + 2 + j, nibble(group[j]) | (nibble(group[j + 16]) << 4))
      }
    }
  }
  return blocks
}

/** The numbers of a row of blocks, as ggml's dequantize_row gives them. */
function ggmlNumbers(type: QuantizedType, blocks: Uint8Array, n: number): Float32Array {
  const view = new DataView(blocks.buffer, blocks.byteOffset)
  return Float32Array.from({ length: n }, (_, k) => {
    const at = Math.floor(k / 32) * BLOCK_BYTES[type]
    const [d, j] = [fromFloat16(view.getUint16(at, true)), k % 32]
    if (type === 'q8_0') return d * view.getInt8(at + 2 + j)
    const byte = view.getUint8(at + 2 + (j % 16))
    return d * ((j < 16 ? byte & 15 : byte >> 4) - 8)
  })
}

function matrix(type: QuantizedType, rows: number, columns: number): QuantizedWeights {
  return allocateWeights(type, rows, columns) as QuantizedWeights
}

/** Rows of all sorts: normal, tiny, large, ties, zeros, one outlier. */
function rowsOf(columns: number): Float32Array[] {
  const inputs = new Inputs(columns)
  const ties = Float32Array.from({ length: columns }, (_, k) => (k % 32 === 0 ? 127 : (k % 21) - 10.5))
  const outlier = inputs.floats(columns)
  outlier[columns - 1] = -1000
  return [
    inputs.floats(columns),
    inputs.floats(columns, 1e-6),
    inputs.floats(columns, 1e4),
    inputs.floats(columns, 1e-12),
    ties,
    ties.map(x => -x),
    new Float32Array(columns),
    outlier,
  ]
}

describe.each(types)('%s', type => {
  it('rounds as ggml does, byte for byte', () => {
    for (const columns of [32, 64, 96, 128, 160, 1056]) {
      const rows = rowsOf(columns)
      const w = matrix(type, rows.length, columns)
      for (const [row, values] of rows.entries()) storeRow(w, row, values)
      for (const [row, values] of rows.entries()) {
        const blocks = new Uint8Array((columns / 32) * BLOCK_BYTES[type])
        readBlocks(w, row, blocks, columns)
        expect(blocks).toEqual(ggmlBlocks(type, values))
      }
    }
  })

  it("keeps ggml's blocks as they are, whatever bytes they are", () => {
    for (const columns of [32, 96, 128, 288]) {
      const rows = Array.from({ length: 3 }, (_, i) => {
        return Uint8Array.from(new Inputs(columns + i).integers((columns / 32) * BLOCK_BYTES[type], 256))
      })
      const w = matrix(type, rows.length, columns)
      for (const [row, blocks] of rows.entries()) storeBlocks(w, row, blocks, columns)
      for (const [row, blocks] of rows.entries()) {
        const back = new Uint8Array(blocks.length)
        readBlocks(w, row, back, columns)
        expect(back).toEqual(blocks)
      }
    }
  })

  it("reads the numbers of ggml's blocks", () => {
    for (const columns of [32, 160, 512]) {
      const values = new Inputs(columns).floats(columns)
      const w = matrix(type, 2, columns)
      storeBlocks(w, 1, ggmlBlocks(type, values), columns)
      const numbers = new Float32Array(columns)
      readRow(w, 1, numbers)
      expect(numbers).toEqual(ggmlNumbers(type, ggmlBlocks(type, values), columns))
    }
  })

  it('takes rows of any number of columns: the last group is as if filled up with zeros', () => {
    for (const columns of [1, 5, 31, 33, 63, 65, 100, 127, 129]) {
      const values = new Inputs(columns).floats(columns)
      const filled = new Float32Array(Math.ceil(columns / 32) * 32)
      filled.set(values)
      const w = matrix(type, 3, columns)
      storeRow(w, 1, values)
      const numbers = new Float32Array(columns)
      readRow(w, 1, numbers)
      const expected = ggmlNumbers(type, ggmlBlocks(type, filled), filled.length)
      expect(numbers).toEqual(expected.subarray(0, columns))
      for (const other of [0, 2]) {
        readRow(w, other, numbers)
        expect(numbers.every(number => number === 0)).toBe(true)
      }
    }
  })

  it('numbers too small for a scale become 0', () => {
    const w = matrix(type, 1, 64)
    storeRow(w, 0, new Inputs(1).floats(64, 1e-40))
    const numbers = new Float32Array(64).fill(1)
    readRow(w, 0, numbers)
    expect(numbers.every(number => number === 0)).toBe(true)
  })

  it('refuses numbers that it cannot hold, and says which and where', () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e30]) {
      for (const at of [0, 40, 69]) {
        const values = new Inputs(1).floats(70)
        values[at] = bad
        const store = () => storeRow(matrix(type, 4, 70), 3, values)
        expect(store).toThrow(expect.objectContaining({ code: 'QUANTIZE_RANGE' }))
        expect(store).toThrow(
          new RegExp(`row 3 .* holds ${Math.fround(bad)} .* ${type} `.replace('+', '\\+')),
        )
      }
    }
  })

  it('has rows that start on cache lines', () => {
    for (const columns of [1, 32, 33, 64, 896, 2048]) expect(weightBytes(type, columns) % 64).toBe(0)
  })

  it('costs what it should on wide rows', () => {
    const perWeight = { q8_0: 34 / 32, q4_0: 18 / 32 }[type]
    expect(weightBytes(type, 2048)).toBe(2048 * perWeight)
  })
})

describe('weights of every type', () => {
  it('a stored row is read back, within the rounding of its type', () => {
    const [q4_k, q5_k, q6_k] = [1 / 8, 1 / 16, 1 / 25]
    const error = { f32: 0, bf16: 2 ** -8, f16: 2 ** -11, q8_0: 1 / 250, q4_0: 1 / 8, q4_k, q5_k, q6_k }
    for (const type of weightTypes) {
      const values = new Inputs(3).floats(77)
      const w = allocateWeights(type, 3, 77)
      expect(weightTypeOf(w)).toBe(type)
      storeRow(w, 2, values)
      const back = new Float32Array(77)
      readRow(w, 2, back)
      const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
      for (const [k, value] of values.entries()) {
        expect(Math.abs(back[k] - value)).toBeLessThanOrEqual(error[type] * largest)
      }
    }
  })
})

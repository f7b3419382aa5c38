// Native conversion of tensors into rows against the plain one, which is held to the definitions elsewhere.

import { describe, expect, it } from 'vitest'
import { encodeStored, storedBytes } from '../../src/formats/stored.js'
import {
  allocateRows,
  availableKernels,
  bytesOf,
  type QuantizedWeights,
  readRow,
  rowsFrom,
  storeBlocks,
  storeRow,
  type WeightType,
  weightBytes,
  weightStoresOf,
} from '../../src/kernels/index.js'
import { RandomInputs } from './random-inputs.js'

const natives = availableKernels().flatMap(kernels => {
  const stores = weightStoresOf(kernels)
  return stores === null ? [] : [[kernels.isa, stores] as const]
})

function values(n: number, seed: number): Float32Array {
  return Float32Array.from(new RandomInputs(Float32Array, seed).normal(n, { std: 0.02 }))
}

/** Rows of `rows` values, one for each column of a (rows, columns) matrix. */
function columnsOf(matrix: Float32Array, rows: number, columns: number): Float32Array[] {
  return Array.from({ length: columns }, (_, c) => {
    return Float32Array.from({ length: rows }, (_, r) => matrix[r * columns + c])
  })
}

it.runIf(natives.length === 0)('there is no native code here', () => expect(natives).toEqual([]))

describe.each(natives)('conversion in native code, %s', (_, stores) => {
  it.each(['q8_0', 'q4_0'] as const)('blocks of %s become rows, with gaps between them', type => {
    const [rows, columns, gap] = [67, 224, 128]
    const bytes = encodeStored(type, values(rows * columns, 1))
    const step = weightBytes(type, columns) + gap
    const out = new Uint8Array(rows * step - gap)
    stores.blocksToRows(type, { bytes, rows, columns, out, step })
    const width = storedBytes(type, columns)
    for (let row = 0; row < rows; row++) {
      const expected = allocateRows(type, step - gap) as QuantizedWeights
      storeBlocks(expected, 0, bytes.subarray(row * width, (row + 1) * width), columns)
      expect(out.subarray(row * step, (row + 1) * step - gap)).toEqual(bytesOf(expected))
    }
  })

  it.each(['f32', 'bf16', 'f16'] as const)('columns of %s become rows unchanged', type => {
    const [rows, columns] = [70, 131]
    const matrix = values(rows * columns, 2)
    const step = weightBytes(type, rows) + 4
    const out = allocateRows(type, columns * step)
    const bytes = encodeStored(type, matrix)
    const all = { bytes, rows, columns, out: bytesOf(out), step, first: 0, total: rows }
    expect(stores.columnsToRows(type, type, all)).toBe(true)
    for (const [c, column] of columnsOf(matrix, rows, columns).entries()) {
      const expected = encodeStored(type, column)
      expect(bytesOf(out).subarray(c * step, c * step + expected.length)).toEqual(expected)
    }
  })

  const cases: [from: WeightType, to: 'q6_k' | 'q8_0', rows: number, columns: number][] = [
    ['q4_k', 'q6_k', 512, 256],
    ['q4_k', 'q6_k', 300, 512],
    ['q5_k', 'q8_0', 96, 512],
    ['q6_k', 'q8_0', 200, 256],
    ['q8_0', 'q8_0', 100, 288],
    ['q4_0', 'q6_k', 256, 96],
  ]
  it.each(cases)('columns of %s become rows of %s: %i × %i', (from, to, rows, columns) => {
    const matrix = values(rows * columns, 3)
    // Groups of zeros and of one sign, and an outlier.
    for (let k = 0; k < columns; k++) {
      for (let r = 0; r < 40; r++) matrix[r * columns + k] = r < 32 ? 0 : Math.abs(matrix[r * columns + k])
    }
    matrix[50 * columns + 5] = -3
    const bytes = encodeStored(from, matrix)
    const decoded = new Float32Array(rows * columns)
    const row = allocateRows(from, weightBytes(from, columns))
    const width = storedBytes(from, columns)
    for (let r = 0; r < rows; r++) {
      storeBlocks(row as QuantizedWeights, 0, bytes.subarray(r * width, (r + 1) * width), columns)
      readRow(row, 0, decoded.subarray(r * columns, (r + 1) * columns))
    }
    const step = weightBytes(to, rows)
    const out = allocateRows(to, columns * step)
    const all = { bytes, rows, columns, out: bytesOf(out), step, first: 0, total: rows }
    expect(stores.columnsToRows(from, to, all)).toBe(true)
    const [ours, expected] = [new Float32Array(rows), new Float32Array(rows)]
    const plain = allocateRows(to, step)
    let differing = 0
    for (const [c, column] of columnsOf(decoded, rows, columns).entries()) {
      storeRow(plain, 0, column, 'one')
      readRow(rowsFrom(out, c * step), 0, ours)
      readRow(plain, 0, expected)
      const largest = column.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      for (let r = 0; r < rows; r++) {
        if (ours[r] === expected[r]) continue
        differing++
        // A value halfway between two codes may become either, where f32 and f64 round differently.
        expect(Math.abs(ours[r] - expected[r])).toBeLessThan(largest / 30)
      }
    }
    expect(differing).toBeLessThan((rows * columns) / 1000)
  })

  it.each([
    ['f16', 'f16'],
    ['q8_0', 'q8_0'],
    ['q4_k', 'q6_k'],
  ] as const)(
    'columns of %s that come in pieces become the rows of %s that they become together',
    (from, to) => {
      const [piece, rows, columns] = [256, 532, 256]
      const bytes = encodeStored(from, values(rows * columns, 5))
      const step = weightBytes(to, rows)
      const [whole, pieces] = [allocateRows(to, columns * step), allocateRows(to, columns * step)].map(
        bytesOf,
      )
      expect(
        stores.columnsToRows(from, to, { bytes, rows, columns, out: whole, step, first: 0, total: rows }),
      ).toBe(true)
      const width = storedBytes(from, columns)
      for (let first = 0; first < rows; first += piece) {
        const some = Math.min(piece, rows - first)
        const part = bytes.slice(first * width, (first + some) * width)
        const destination = { bytes: part, rows: some, columns, out: pieces, step, first, total: rows }
        expect(stores.columnsToRows(from, to, destination)).toBe(true)
      }
      expect(pieces).toEqual(whole)
    },
  )

  it.each(['f32', 'bf16', 'q4_k'] as const)('rows of %s are copied, with gaps between them', type => {
    const [rows, columns, gap] = [130, 256, 12]
    const bytes = encodeStored(type, values(rows * columns, 6))
    const width = storedBytes(type, columns)
    const out = new Uint8Array(rows * (width + gap))
    stores.blocksToRows(type, { bytes, rows, columns, out, step: width + gap })
    for (let row = 0; row < rows; row++) {
      const [start, end] = [row * (width + gap), row * (width + gap) + width]
      expect(out.subarray(start, end)).toEqual(bytes.subarray(row * width, (row + 1) * width))
      expect(out.subarray(end, end + gap)).toEqual(new Uint8Array(gap))
    }
  })

  it('what the type cannot hold is told', () => {
    const [rows, columns] = [256, 256]
    const bytes = encodeStored('q4_k', values(rows * columns, 4))
    // The scale of a block becomes infinite.
    bytes[144 * 9 + 1] = 0x7c
    bytes[144 * 9] = 0
    for (const to of ['q6_k', 'q8_0'] as const) {
      const step = weightBytes(to, rows)
      const out = bytesOf(allocateRows(to, columns * step))
      expect(
        stores.columnsToRows('q4_k', to, { bytes, rows, columns, out, step, first: 0, total: rows }),
      ).toBe(false)
    }
  })
})

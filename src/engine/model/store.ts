// From tensors as files hold them to rows of the engine's matrices, for every pair of weight types.

import { CheckpointError } from '../../errors.js'
import type { StoredTensor } from '../../formats/index.js'
import { decodeStored, heldAs, heldBlocks, storedBytes } from '../../formats/stored.js'
import {
  bytesOf,
  isQuantized,
  rowsFrom,
  storeBlocks,
  storeRow,
  type Weights,
  weightTypeOf,
} from '../../kernels/index.js'

/** Throws CheckpointError TENSOR_SHAPE unless `tensor` holds as many values as `shape` has. */
export function checkSize(name: string, tensor: StoredTensor, shape: readonly number[]): void {
  const wanted = shape.reduce((a, b) => a * b)
  const bytes = storedBytes(tensor.dtype, wanted)
  if (tensor.bytes.length === bytes) return
  const held = (tensor.bytes.length / bytes) * wanted
  throw new CheckpointError(
    'TENSOR_SHAPE',
    `tensor ${name} holds ${held} values, the config needs ${shape.join(' × ')}`,
  )
}

/** Row r of the matrix `tensor` (rows, columns) becomes the row of as many columns at byte byteOf(r) of `out`. */
export function storeRows(
  tensor: StoredTensor,
  shape: { readonly rows: number; readonly columns: number },
  out: Weights,
  byteOf: (row: number) => number,
): void {
  const { dtype, bytes } = tensor
  const { rows, columns } = shape
  const width = storedBytes(dtype, columns)
  for (let row = 0; row < rows; row++) {
    const from = bytes.subarray(row * width, (row + 1) * width)
    const to = rowsFrom(out, byteOf(row))
    const blocks = isQuantized(to) && heldAs(dtype) === to.type ? heldBlocks(dtype, from) : null
    if (isQuantized(to) && blocks !== null) storeBlocks(to, 0, blocks, columns)
    else if (dtype !== weightTypeOf(to)) storeRow(to, 0, decodeStored(dtype, from))
    else if (isQuantized(to)) storeBlocks(to, 0, from, columns)
    else bytesOf(to).set(from)
  }
}

/** Rows and columns that are transposed together: both sides stay in the caches. */
const TILE_ROWS = 64
const TILE_COLUMNS = 512

/** Column c of the matrix `tensor` (rows, columns) becomes the row of `rows` columns at byte byteOf(c) of `out`. */
export function storeColumns(
  tensor: StoredTensor,
  shape: { readonly rows: number; readonly columns: number },
  out: Weights,
  byteOf: (column: number) => number,
): void {
  const { dtype, bytes } = tensor
  const { rows, columns } = shape
  const transposed = new Float32Array(Math.min(TILE_COLUMNS, columns) * rows)
  for (let first = 0; first < columns; first += TILE_COLUMNS) {
    const count = Math.min(TILE_COLUMNS, columns - first)
    for (let top = 0; top < rows; top += TILE_ROWS) {
      const parts: Float32Array[] = []
      for (let row = top; row < Math.min(rows, top + TILE_ROWS); row++) {
        const start = storedBytes(dtype, row * columns + first)
        parts.push(decodeStored(dtype, bytes.subarray(start, start + storedBytes(dtype, count))))
      }
      for (let i = 0; i < count; i++) {
        for (let k = 0; k < parts.length; k++) transposed[i * rows + top + k] = parts[k][i]
      }
    }
    for (let i = 0; i < count; i++) {
      storeRow(rowsFrom(out, byteOf(first + i)), 0, transposed.subarray(i * rows, (i + 1) * rows))
    }
  }
}

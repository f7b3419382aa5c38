// From tensors as files hold them to rows of the engine's matrices, for every pair of weight types.

import { CheckpointError } from '../../errors.js'
import type { StoredTensor } from '../../formats/index.js'
import { decodeStored, heldAs, heldBlocks, isWritten, storedBytes } from '../../formats/stored.js'
import {
  bytesOf,
  isQuantized,
  kernels,
  rowsFrom,
  storeBlocks,
  storeRow,
  type Weights,
  type WeightType,
  weightStoresOf,
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

/** Rows of a matrix of the engine: the first at byte `first`, the others `step` bytes apart. */
export interface Destination {
  readonly out: Weights
  readonly first: number
  readonly step: number
}

/** Row r of the matrix `tensor` (rows, columns) becomes row r of the destination, as wide. */
export function storeRows(
  { dtype, bytes }: StoredTensor,
  { rows, columns }: { readonly rows: number; readonly columns: number },
  { out, first, step }: Destination,
): void {
  const type = weightTypeOf(out)
  const width = storedBytes(dtype, columns)
  if (dtype === type && (dtype === 'q8_0' || dtype === 'q4_0')) {
    const stores = weightStoresOf(kernels())
    if (stores !== null) {
      stores.blocksToRows(dtype, { bytes, rows, columns, out: bytesOf(out).subarray(first), step })
      return
    }
  } else if (dtype === type && step === width) {
    bytesOf(out).set(bytes, first)
    return
  }
  for (let row = 0; row < rows; row++) {
    const from = bytes.subarray(row * width, (row + 1) * width)
    const to = rowsFrom(out, first + row * step)
    const blocks = isQuantized(to) && heldAs(dtype) === to.type ? heldBlocks(dtype, from) : null
    if (isQuantized(to) && blocks !== null) storeBlocks(to, 0, blocks, columns)
    else if (dtype !== type) storeRow(to, 0, decodeStored(dtype, from))
    else if (isQuantized(to)) storeBlocks(to, 0, from, columns)
    else bytesOf(to).set(from)
  }
}

/** Rows and columns that are transposed together: both sides stay in the caches. */
const TILE_ROWS = 64
const TILE_COLUMNS = 512

/**
 * Column c of the matrix `tensor` (rows, columns) becomes row c of the destination, of `rows` columns. Quantized values are
 * requantized, with one candidate per scale.
 */
export function storeColumns(
  tensor: StoredTensor,
  shape: { readonly rows: number; readonly columns: number },
  { out, first: start, step }: Destination,
): void {
  const { dtype, bytes } = tensor
  const { rows, columns } = shape
  const type = weightTypeOf(out)
  const requantized = isQuantizedType(heldAs(dtype))
  if (isWritten(dtype) && (requantized ? type === 'q6_k' || type === 'q8_0' : type === dtype)) {
    const destination = { bytes, rows, columns, out: bytesOf(out).subarray(start), step }
    // What cannot be stored is found again below, and named.
    if (weightStoresOf(kernels())?.columnsToRows(dtype, type, destination) === true) return
  }
  const candidates = requantized ? 'one' : 'several'
  const transposed = new Float32Array(Math.min(TILE_COLUMNS, columns) * rows)
  for (let first = 0; first < columns; first += TILE_COLUMNS) {
    const count = Math.min(TILE_COLUMNS, columns - first)
    for (let top = 0; top < rows; top += TILE_ROWS) {
      const parts: Float32Array[] = []
      for (let row = top; row < Math.min(rows, top + TILE_ROWS); row++) {
        const at = storedBytes(dtype, row * columns + first)
        parts.push(decodeStored(dtype, bytes.subarray(at, at + storedBytes(dtype, count))))
      }
      for (let i = 0; i < count; i++) {
        for (let k = 0; k < parts.length; k++) transposed[i * rows + top + k] = parts[k][i]
      }
    }
    for (let i = 0; i < count; i++) {
      const to = rowsFrom(out, start + (first + i) * step)
      storeRow(to, 0, transposed.subarray(i * rows, (i + 1) * rows), candidates)
    }
  }
}

function isQuantizedType(type: WeightType): boolean {
  return type !== 'f32' && type !== 'bf16' && type !== 'f16'
}

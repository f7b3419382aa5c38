// From tensors as files hold them to rows of the engine's matrices, for every pair of weight types.

import { CheckpointError } from '../../errors.js'
import type { TensorReader } from '../../formats/file-bytes.js'
import type { StoredTensor } from '../../formats/index.js'
import {
  decodeStored,
  heldAs,
  heldBlocks,
  isWritten,
  type StoredDtype,
  storedBytes,
} from '../../formats/stored.js'
import {
  alignedBytes,
  bytesOf,
  isQuantized,
  isQuantizedType,
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
  if (dtype === type) {
    if (isOneCopy(dtype, step, width)) {
      bytesOf(out).set(bytes, first)
      return
    }
    const stores = weightStoresOf(kernels())
    if (stores !== null) {
      stores.blocksToRows(dtype, { bytes, rows, columns, out: bytesOf(out).subarray(first), step })
      return
    }
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

/** Whether rows of a file, of `width` bytes, are rows of the engine as they stand. */
function isOneCopy(dtype: StoredDtype, step: number, width: number): boolean {
  return step === width && dtype !== 'q8_0' && dtype !== 'q4_0'
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
  const all = { bytes, rows, columns, out: bytesOf(out).subarray(start), step, first: 0, total: rows }
  // What cannot be stored is found again below, and named.
  if (
    isConverted(dtype, out) &&
    weightStoresOf(kernels())?.columnsToRows(dtype, weightTypeOf(out), all) === true
  )
    return
  const candidates = isQuantizedType(heldAs(dtype)) ? 'one' : 'several'
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

/** Whether columns of this type become rows of `out` by native code. */
function isConverted(dtype: StoredDtype, out: Weights): dtype is WeightType {
  const type = weightTypeOf(out)
  if (!isWritten(dtype)) return false
  return isQuantizedType(heldAs(dtype)) ? type === 'q6_k' || type === 'q8_0' : type === dtype
}

/** How much of a tensor is read at a time: it stays in the caches until it is stored. */
const PIECE_BYTES = 1 << 22
/** A piece whose columns are stored has a multiple of so many rows: whole blocks of any type. */
const PIECE_ROWS = 256
let piece: Uint8Array = new Uint8Array(0)

/**
 * `storeRows` or, `transposed`, `storeColumns` of a tensor that is read piece by piece, so that it is in memory once. Returns
 * false where it has to be read as a whole: then what has been stored is to be stored again.
 */
export function storePieces(
  { dtype, reader }: { readonly dtype: StoredDtype; readonly reader: TensorReader },
  { rows, columns }: { readonly rows: number; readonly columns: number },
  { out, first, step }: Destination,
  transposed: boolean,
): boolean {
  const width = storedBytes(dtype, columns)
  if (!transposed && dtype === weightTypeOf(out) && isOneCopy(dtype, step, width)) {
    reader(0, bytesOf(out).subarray(first, first + rows * width))
    return true
  }
  const stores = weightStoresOf(kernels())
  if (transposed && (stores === null || !isConverted(dtype, out))) return false
  const fitting = Math.max(1, Math.floor(PIECE_BYTES / width))
  const count = Math.min(
    rows,
    transposed ? Math.max(1, Math.floor(fitting / PIECE_ROWS)) * PIECE_ROWS : fitting,
  )
  if (piece.length < count * width)
    piece = stores === null ? new Uint8Array(count * width) : alignedBytes(count * width)
  for (let row = 0; row < rows; row += count) {
    const some = Math.min(count, rows - row)
    const bytes = piece.subarray(0, some * width)
    reader(row * width, bytes)
    if (!transposed) {
      storeRows(
        { dtype, shape: [some, columns], bytes },
        { rows: some, columns },
        { out, first: first + row * step, step },
      )
    } else if (stores !== null && isConverted(dtype, out)) {
      const part = {
        bytes,
        rows: some,
        columns,
        out: bytesOf(out).subarray(first),
        step,
        first: row,
        total: rows,
      }
      if (!stores.columnsToRows(dtype, weightTypeOf(out), part)) return false
    }
  }
  return true
}

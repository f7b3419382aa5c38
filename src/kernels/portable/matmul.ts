// Matrix products in plain TypeScript. Operands are seen through strides, so a transpose costs nothing to say;
// they are packed into panels of doubles, and one 4×4 register tile does all the arithmetic, whatever the
// precision of the buffers. Layout after Goto & van de Geijn 2008.

import type { Floats } from '../interface/training.js'
import { narrowBfloat16, widenBfloat16 } from '../weights/half.js'
import { scratch } from './scratch.js'

/** A matrix inside a buffer: element (i, j) stands at offset + i·rowStride + j·colStride. */
export interface MatrixView {
  readonly data: Floats
  readonly offset: number
  readonly rowStride: number
  readonly colStride: number
}

/** The row-major matrix at `offset` whose rows are `rowStride` apart. */
export function matrix(data: Floats, offset: number, rowStride: number): MatrixView {
  return { data, offset, rowStride, colStride: 1 }
}

export function transpose(view: MatrixView): MatrixView {
  return { ...view, rowStride: view.colStride, colStride: view.rowStride }
}

/** Side of the square register tile: 16 running sums. */
const TILE = 4
/** Rows of a, columns of b and depth that are packed at a time: 128 KiB and 512 KiB of doubles. */
const BLOCK_M = 64
const BLOCK_N = 256
const BLOCK_K = 256

const packedA = scratch()
const packedB = scratch()
const tile = new Float64Array(TILE * TILE)

/** c (m×n) = op(a) · op(b), or += with `accumulate`; see Kernels.matmul. */
export function matmul(
  a: Floats,
  b: Floats,
  c: Floats,
  m: number,
  n: number,
  k: number,
  transA: boolean,
  transB: boolean,
  accumulate: boolean,
): void {
  const viewA = transA ? transpose(matrix(a, 0, m)) : matrix(a, 0, k)
  const viewB = transB ? transpose(matrix(b, 0, k)) : matrix(b, 0, n)
  multiply(viewA, viewB, matrix(c, 0, n), m, n, k, accumulate)
}

/** See Kernels.matmulBf16: rounded copies, and the product of those. */
export function matmulBf16(
  a: Floats,
  b: Floats,
  c: Floats,
  m: number,
  n: number,
  k: number,
  transA: boolean,
  transB: boolean,
  accumulate: boolean,
): boolean {
  const rounded = (values: Floats, length: number) => {
    const half = new Uint16Array(length)
    const out = Float32Array.from(values.subarray(0, length))
    narrowBfloat16(out, half)
    widenBfloat16(half, out)
    return out
  }
  matmul(rounded(a, m * k), rounded(b, k * n), c, m, n, k, transA, transB, accumulate)
  return false
}

/** c (m×n) = a (m×k) · b (k×n), or += with `accumulate`. Products are summed in double, 256 at a time. */
export function multiply(
  a: MatrixView,
  b: MatrixView,
  c: MatrixView,
  m: number,
  n: number,
  k: number,
  accumulate: boolean,
): void {
  if (k === 0 && !accumulate) {
    for (let i = 0; i < m; i++) c.data.fill(0, c.offset + i * c.rowStride, c.offset + i * c.rowStride + n)
  }
  for (let k0 = 0; k0 < k; k0 += BLOCK_K) {
    const depth = Math.min(BLOCK_K, k - k0)
    for (let n0 = 0; n0 < n; n0 += BLOCK_N) {
      const cols = Math.min(BLOCK_N, n - n0)
      const panelsB = packPanels(transpose(b), n0, k0, cols, depth, packedB)
      for (let m0 = 0; m0 < m; m0 += BLOCK_M) {
        const rows = Math.min(BLOCK_M, m - m0)
        const panelsA = packPanels(a, m0, k0, rows, depth, packedA)
        for (let j = 0; j < cols; j += TILE) {
          for (let i = 0; i < rows; i += TILE) {
            multiplyTile(panelsA, i * depth, panelsB, j * depth, depth)
            storeTile(
              c.data,
              c.offset + (m0 + i) * c.rowStride + n0 + j,
              c.rowStride,
              Math.min(TILE, rows - i),
              Math.min(TILE, cols - j),
              accumulate || k0 > 0,
            )
          }
        }
      }
    }
  }
}

/**
 * Copies rows [row0, row0 + rows) and columns [col0, col0 + depth) of `source` into panels of 4 rows, stored
 * column after column; the last panel is filled up with zeros.
 */
function packPanels(
  source: MatrixView,
  row0: number,
  col0: number,
  rows: number,
  depth: number,
  into: (length: number) => Float64Array,
): Float64Array {
  const { data, rowStride, colStride } = source
  const panels = into(Math.ceil(rows / TILE) * TILE * depth)
  for (let row = 0; row < rows; row += TILE) {
    const height = Math.min(TILE, rows - row)
    const start = source.offset + (row0 + row) * rowStride + col0 * colStride
    if (height === TILE) {
      for (let p = 0, from = start, to = row * depth; p < depth; p++, from += colStride, to += TILE) {
        panels[to] = data[from]
        panels[to + 1] = data[from + rowStride]
        panels[to + 2] = data[from + 2 * rowStride]
        panels[to + 3] = data[from + 3 * rowStride]
      }
    } else {
      for (let p = 0, from = start, to = row * depth; p < depth; p++, from += colStride, to += TILE) {
        for (let i = 0; i < TILE; i++) panels[to + i] = i < height ? data[from + i * rowStride] : 0
      }
    }
  }
  return panels
}

/** tile (4×4) = the product of one panel of a and one of b, each `depth` long. */
function multiplyTile(a: Float64Array, startA: number, b: Float64Array, startB: number, depth: number): void {
  let c00 = 0
  let c01 = 0
  let c02 = 0
  let c03 = 0
  let c10 = 0
  let c11 = 0
  let c12 = 0
  let c13 = 0
  let c20 = 0
  let c21 = 0
  let c22 = 0
  let c23 = 0
  let c30 = 0
  let c31 = 0
  let c32 = 0
  let c33 = 0
  for (let p = 0, i = startA, j = startB; p < depth; p++, i += TILE, j += TILE) {
    const b0 = b[j]
    const b1 = b[j + 1]
    const b2 = b[j + 2]
    const b3 = b[j + 3]
    const a0 = a[i]
    c00 += a0 * b0
    c01 += a0 * b1
    c02 += a0 * b2
    c03 += a0 * b3
    const a1 = a[i + 1]
    c10 += a1 * b0
    c11 += a1 * b1
    c12 += a1 * b2
    c13 += a1 * b3
    const a2 = a[i + 2]
    c20 += a2 * b0
    c21 += a2 * b1
    c22 += a2 * b2
    c23 += a2 * b3
    const a3 = a[i + 3]
    c30 += a3 * b0
    c31 += a3 * b1
    c32 += a3 * b2
    c33 += a3 * b3
  }
  tile[0] = c00
  tile[1] = c01
  tile[2] = c02
  tile[3] = c03
  tile[4] = c10
  tile[5] = c11
  tile[6] = c12
  tile[7] = c13
  tile[8] = c20
  tile[9] = c21
  tile[10] = c22
  tile[11] = c23
  tile[12] = c30
  tile[13] = c31
  tile[14] = c32
  tile[15] = c33
}

/** Writes the tile's first rows×cols elements to c at `start`, over or onto what is there. */
function storeTile(
  c: Floats,
  start: number,
  rowStride: number,
  rows: number,
  cols: number,
  onto: boolean,
): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      const at = start + i * rowStride + j
      const sum = tile[i * TILE + j]
      c[at] = onto ? c[at] + sum : sum
    }
  }
}

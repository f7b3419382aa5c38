// A matrix whose rows come from several tensors: one block of rows per type, since a K-quant cannot be held in another type
// without rounding it again (in Q4_K_M files v often has 6 bits where q and k have 4).

import { type DecodeKernels, type Weights, weightBytes, weightTypeOf } from '../../kernels/index.js'

export interface RowBlock {
  readonly weights: Weights
  readonly rows: number
}

let scratch = new Float32Array(0)

/** y (batch, all rows) = x (batch, columns) · rowsᵀ + bias (all rows): DecodeKernels.matvec of the blocks together. */
export function multiplyRowBlocks(
  decode: DecodeKernels,
  blocks: readonly RowBlock[],
  x: Float32Array,
  y: Float32Array,
  columns: number,
  batch: number,
  bias: Float32Array | null,
): void {
  if (blocks.length === 1) {
    const [{ weights, rows }] = blocks
    decode.matvec(weights, x, y, rows, columns, batch, false, bias)
    return
  }
  const width = blocks.reduce((sum, { rows }) => sum + rows, 0)
  let first = 0
  for (const { weights, rows } of blocks) {
    const own = bias?.subarray(first, first + rows) ?? null
    if (batch === 1) {
      decode.matvec(weights, x, y.subarray(first, first + rows), rows, columns, 1, false, own)
    } else {
      if (scratch.length < batch * rows) scratch = new Float32Array(batch * rows)
      decode.matvec(weights, x, scratch, rows, columns, batch, false, own)
      for (let b = 0; b < batch; b++) y.set(scratch.subarray(b * rows, (b + 1) * rows), b * width + first)
    }
    first += rows
  }
}

/** Bytes of all blocks. */
export function rowBlockBytes(blocks: readonly RowBlock[], columns: number): number {
  return blocks.reduce(
    (sum, { weights, rows }) => sum + rows * weightBytes(weightTypeOf(weights), columns),
    0,
  )
}

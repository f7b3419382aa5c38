// The embedding table: a row per token, read forward and added to backward.

import type { Floats } from '../interface/training.js'

/** Where the row of `token` starts in the table. Throws RangeError for a token outside it. */
function rowStart(token: number, table: Floats, width: number): number {
  if (token < 0 || (token + 1) * width > table.length) {
    const tokens = Math.floor(table.length / width)
    throw new RangeError(`embedding: token ${token} is outside a table of ${tokens} tokens`)
  }
  return token * width
}

/** tokens (rows), table (vocab, width) → out (rows, width). Throws RangeError for a token outside the table. */
export function embedding(tokens: Int32Array, table: Floats, out: Floats, rows: number, width: number): void {
  for (let row = 0; row < rows; row++) {
    const start = rowStart(tokens[row], table, width)
    for (let i = 0; i < width; i++) out[row * width + i] = table[start + i]
  }
}

/** dTable[tokens[r]] += dOut[r], row after row. Throws RangeError for a token outside the table. */
export function embeddingBackward(
  tokens: Int32Array,
  dOut: Floats,
  dTable: Floats,
  rows: number,
  width: number,
): void {
  for (let row = 0; row < rows; row++) {
    const start = rowStart(tokens[row], dTable, width)
    for (let i = 0; i < width; i++) dTable[start + i] += dOut[row * width + i]
  }
}

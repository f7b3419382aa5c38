// The narrow gate in plain TypeScript: the bounds written out as docs/narrow-gate.md derives them. Positions are taken as
// they are, in f64: their 16 bits are for speed.

import type { NarrowGateKernels, NarrowGateOptions } from '../interface/narrow-gate.js'
import {
  emptyNarrowIndex,
  FINER,
  NARROW_BLOCK,
  type NarrowIndex,
  roundedDown,
  roundedUp,
} from '../weights/narrow-index.js'
import { readRow, weightBytes } from '../weights/quantized.js'
import { rowsFrom } from '../weights/rows.js'
import type { Weights } from '../weights/types.js'
import { weightTypeOf } from '../weights/types.js'
import { portableDecodeKernels } from './decoding.js'
import { drawRow } from './draws.js'

/** The portable narrow gate. It runs on the calling thread. */
export function portableNarrowGateKernels(): NarrowGateKernels {
  return { backend: 'portable', isa: 'typescript', buildNarrowIndex, narrowGate }
}

/** Beyond this norm nothing is proven: what stays below it cannot overflow on the way. */
const LARGEST_NORM = 2 ** 60
/** Unit roundoff of f32. */
const UNIT = 2 ** -24

function buildNarrowIndex(w: Weights, rows: number, columns: number): NarrowIndex {
  const index = emptyNarrowIndex(w, rows, columns, bytes => new Uint8Array(bytes))
  const { codes, scales, bounds } = index
  const blocks = Math.ceil(columns / NARROW_BLOCK)
  const roundings = (columns + 16) * UNIT
  const gamma = roundings / (1 - roundings)
  // For the rounding of the bounds' own sum at run time.
  const slack = 1 + 2 * (blocks + 8) * UNIT
  const values = new Float32Array(columns)
  for (let row = 0; row < rows; row++) {
    readRow(w, row, values)
    let [full, narrow] = [0, 0]
    for (let block = 0; block < blocks; block++) {
      const first = block * NARROW_BLOCK
      const end = Math.min(columns, first + NARROW_BLOCK)
      let largest = 0
      for (let k = first; k < end; k++) largest = Math.max(largest, Math.abs(values[k]))
      const scale = Math.fround(largest / 127)
      const usable = scale > 0 && scale < Number.POSITIVE_INFINITY
      let [w2, n2, e2] = [0, 0, 0]
      for (let k = first; k < end; k++) {
        const code = usable ? Math.max(-127, Math.min(127, Math.round(values[k] / scale))) : 0
        const near = usable ? scale * code : 0
        codes[row * columns + k] = code
        w2 += values[k] ** 2
        n2 += near ** 2
        e2 += (values[k] - near) ** 2
      }
      full += w2
      narrow += n2
      scales[row * blocks + block] = usable ? scale : 0
      // At least a part of the norm, for what positions are off by where they are taken in 16 bits.
      const off = Math.max(Math.sqrt(e2), Math.sqrt(n2) / FINER)
      const error = off + gamma * (Math.sqrt(w2) + Math.sqrt(n2))
      bounds[row * blocks + block] = roundedUp(error * slack)
    }
    const provable = Math.sqrt(Math.max(full, narrow)) <= LARGEST_NORM && columns < 2 ** 20
    if (!provable) bounds.fill(Number.POSITIVE_INFINITY, row * blocks, (row + 1) * blocks)
  }
  return index
}

function narrowGate(
  w: Weights,
  index: NarrowIndex,
  x: Float32Array,
  y: Float32Array,
  { batch, threshold, bias = null, drawn }: NarrowGateOptions,
): number {
  const { rows, columns } = index
  const below = roundedDown(threshold)
  const filler = Math.fround(below > 0 ? -1 : 2 * below - 1)
  const draws = new Float64Array(rows)
  const unproven = new Uint8Array(rows)
  const { matvec } = portableDecodeKernels()
  for (let b = 0; b < batch; b++) {
    const position = x.subarray(b * columns, (b + 1) * columns)
    const norms = blockNorms(position)
    if (drawn !== undefined) drawRow(drawn.draws[b], 0, rows, draws)
    for (let row = 0; row < rows; row++) {
      const at = b * rows + row
      const needed = drawn !== undefined && draws[row] < drawn.p
      const added = bias?.[row] ?? 0
      if (
        !needed &&
        norms !== null &&
        Math.fround(roundedUp(upperBound(index, row, position, norms)) + added) < below
      ) {
        y[at] = filler
      } else {
        unproven[row] = 1
        const weights = rowsFrom(w, row * weightBytes(weightTypeOf(w), columns))
        matvec(weights, position, y.subarray(at, at + 1), 1, columns, 1, false, bias?.subarray(row, row + 1))
      }
    }
  }
  return unproven.reduce((sum, one) => sum + one, 0)
}

/** At least the norm of x in each block, as f32; null where nothing can be proven. */
function blockNorms(x: Float32Array): Float32Array | null {
  const norms = new Float32Array(Math.ceil(x.length / NARROW_BLOCK))
  let all = 0
  for (let block = 0; block < norms.length; block++) {
    let sum = 0
    for (const value of x.subarray(block * NARROW_BLOCK, (block + 1) * NARROW_BLOCK)) sum += value ** 2
    all += sum
    norms[block] = roundedUp(Math.sqrt(sum) * (1 + 2 ** -30))
  }
  return Math.sqrt(all) <= LARGEST_NORM ? norms : null
}

/** At least the full dot product of `row` and x, however it is rounded; NaN or +∞ when nothing is known. */
function upperBound(index: NarrowIndex, row: number, x: Float32Array, norms: Float32Array): number {
  const { columns, codes, scales, bounds } = index
  const blocks = norms.length
  let dot = 0
  // More than all that is lost to underflow.
  let bound = columns * 2 ** -110
  for (let block = 0; block < blocks; block++) {
    const end = Math.min(columns, (block + 1) * NARROW_BLOCK)
    let sum = 0
    for (let k = block * NARROW_BLOCK; k < end; k++) sum += codes[row * columns + k] * x[k]
    dot += scales[row * blocks + block] * sum
    bound += bounds[row * blocks + block] * norms[block]
  }
  return dot + bound
}

// Decoding with quantized weights and hidden states as integers of 16 bits, in plain TypeScript: the definition that the
// native kernels (native/integer_products.h) have the bits of. Every operation in f32 is rounded by itself.

import type { FfnShape } from '../interface/decoding.js'
import {
  emptySuperBlock,
  readSuperBlock,
  SUPER_BLOCK,
  SUPER_BLOCK_BYTES,
  type SuperBlock,
  scaleColumns,
} from '../weights/k-quants.js'
import { readCodes, rowOf, weightBytes } from '../weights/quantized.js'
import { rowsFrom } from '../weights/rows.js'
import { isKQuant, type QuantizedWeights, type Weights } from '../weights/types.js'

/** Columns that share a scale, or a minimum. */
const GROUP = 32
/** The largest integer of a position's block. */
const LARGEST = 32767
/** Sums of a dot product in f32. */
const SUMS = 8
/** Adding it to a number below 2²² in f32 and taking it away rounds to an integer, ties to even. */
const ROUNDER = 1.5 * 2 ** 23

const { fround } = Math

/** What one of the integers of a group stands for, and its inverse, given the group's largest magnitude. */
function stepOf(largest: number): { readonly size: number; readonly inverse: number } {
  if (!Number.isFinite(largest)) return { size: Number.NaN, inverse: 0 }
  const size = fround(largest / LARGEST)
  const inverse = fround(1 / size)
  // Infinite where the step is 0 or subnormal: such values count as 0.
  return Number.isFinite(inverse) ? { size, inverse } : { size: 0, inverse: 0 }
}

function largestMagnitude(values: ArrayLike<number>): number {
  let largest = 0
  // Math.max passes NaN on.
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i]))
  return largest
}

function toInteger(value: number, inverse: number): number {
  return fround(fround(fround(value * inverse) + ROUNDER) - ROUNDER)
}

/** A position as integers with a scale per block of them. */
interface IntegerPosition {
  readonly values: Int16Array
  readonly scales: Float32Array
}

/**
 * n values of `x` from `start` on, each a multiple of the scale of its block of so many columns: the largest magnitude / 32767.
 */
export function quantizePosition(x: Float32Array, start: number, n: number, block = GROUP): IntegerPosition {
  const values = new Int16Array(n)
  const scales = new Float32Array(Math.ceil(n / block))
  for (let b = 0; b < scales.length; b++) {
    const own = x.subarray(start + b * block, start + Math.min(n, (b + 1) * block))
    const { size, inverse } = stepOf(largestMagnitude(own))
    scales[b] = size
    for (let k = 0; k < own.length; k++) values[b * block + k] = toInteger(own[k], inverse)
  }
  return { values, scales }
}

/** A row of weights: column k is scales[k / scaleColumns] · codes[k] − minimums[k / 32]. */
interface Row {
  readonly codes: Int8Array
  readonly scaleColumns: number
  readonly scales: Float32Array
  /** Of types without them 0. */
  readonly minimums: Float32Array
  /** Of K-quants what these come from. */
  readonly blocks: readonly SuperBlock[]
}

function readIntegerRow(w: QuantizedWeights, row: number, columns: number): Row {
  const codes = new Int8Array(columns)
  const minimums = new Float32Array(Math.ceil(columns / GROUP))
  const { type } = w
  if (!isKQuant(type)) {
    const scales = new Float32Array(minimums.length)
    readCodes(w as QuantizedWeights<'q8_0' | 'q4_0'>, row, codes, scales)
    return { codes, scaleColumns: GROUP, scales, minimums, blocks: [] }
  }
  const [bytes, perScale] = [rowOf(w, row, columns), scaleColumns(type)]
  const scales = new Float32Array(Math.ceil(columns / perScale))
  const blocks = Array.from({ length: Math.ceil(columns / SUPER_BLOCK) }, (_, b) => {
    const block = emptySuperBlock(type)
    readSuperBlock(type, bytes, b * SUPER_BLOCK_BYTES[type], block)
    return block
  })
  for (let k = 0; k < columns; k++) {
    const [block, at] = [blocks[Math.floor(k / SUPER_BLOCK)], k % SUPER_BLOCK]
    codes[k] = block.codes[at]
    if (k % perScale === 0) scales[k / perScale] = block.d * block.scales[at / perScale]
    if (k % GROUP === 0) minimums[k / GROUP] = block.dmin * block.minimums[at / GROUP]
  }
  return { codes, scaleColumns: perScale, scales, minimums, blocks }
}

/** Columns of a position that share a scale. */
function positionBlock({ type }: QuantizedWeights): number {
  return isKQuant(type) ? SUPER_BLOCK : GROUP
}

function dot(row: Row, x: IntegerPosition): number {
  const sums = new Float32Array(SUMS)
  if (row.blocks.length > 0) {
    for (const [b, block] of row.blocks.entries()) addBlockDot(block, row.scaleColumns, x, b, sums)
  } else {
    addGroupDots(row, x, sums)
  }
  for (let width = SUMS / 2; width >= 1; width /= 2) {
    for (let i = 0; i < width; i++) sums[i] += sums[i + width]
  }
  return sums[0]
}

/** Group b of 32 columns adds to sum b mod 8. */
function addGroupDots({ codes, scales }: Row, x: IntegerPosition, sums: Float32Array): void {
  for (let group = 0; group < scales.length; group++) {
    let integer = 0
    const end = Math.min(codes.length, (group + 1) * GROUP)
    for (let k = group * GROUP; k < end; k++) integer += codes[k] * x.values[k]
    sums[group % SUMS] += fround(fround(scales[group] * x.scales[group]) * fround(integer))
  }
}

/**
 * Super-block b, or each half of it where 16 columns share a scale: columns 4l to 4l + 3 of each group of 32 add to sum l; the
 * minimum of group l takes away from it.
 */
function addBlockDot(
  { d, dmin, scales, minimums, codes }: SuperBlock,
  perScale: number,
  x: IntegerPosition,
  b: number,
  sums: Float32Array,
): void {
  const values = x.values.subarray(b * SUPER_BLOCK, (b + 1) * SUPER_BLOCK)
  const size = fround(d * x.scales[b])
  const part = perScale === GROUP ? SUPER_BLOCK : SUPER_BLOCK / 2
  for (let start = 0; start < SUPER_BLOCK; start += part) {
    const integers = new Float64Array(SUMS)
    for (let k = start; k < Math.min(values.length, start + part); k++)
      integers[(k >> 2) % SUMS] += scales[Math.floor(k / perScale)] * codes[k] * values[k]
    for (let l = 0; l < SUMS; l++) sums[l] += fround(size * fround(integers[l]))
  }
  if (perScale !== GROUP) return
  const minimumSize = fround(dmin * x.scales[b])
  for (let group = 0; group < SUMS; group++) {
    const own = values.subarray(group * GROUP, (group + 1) * GROUP)
    const integer = minimums[group] * own.reduce((sum, value) => sum + value, 0)
    sums[group] -= fround(minimumSize * fround(integer))
  }
}

function positionsOf(w: QuantizedWeights, x: Float32Array, n: number, batch: number): IntegerPosition[] {
  return Array.from({ length: batch }, (_, b) => quantizePosition(x, b * n, n, positionBlock(w)))
}

/** See DecodeKernels.matvec; with `chosen`, see selectedRows. */
export function integerMatvec(
  w: QuantizedWeights,
  chosen: Float32Array | null,
  x: Float32Array,
  y: Float32Array,
  rows: number,
  columns: number,
  batch: number,
  accumulate: boolean,
  bias: Float32Array | null,
): void {
  const positions = positionsOf(w, x, columns, batch)
  if (chosen !== null) y.fill(0, 0, batch * rows)
  for (let row = 0; row < rows; row++) {
    if (chosen !== null && !positions.some((_, b) => chosen[b * rows + row] !== 0)) continue
    const own = readIntegerRow(w, row, columns)
    for (const [b, position] of positions.entries()) {
      const at = b * rows + row
      const value = dot(own, position)
      const biased = bias === null ? value : fround(value + bias[row])
      y[at] = accumulate ? y[at] + biased : biased
    }
  }
}

/** Neurons of a block, whose sums are exact: about 24 blocks, of 64 to 256. */
function neuronBlock(neurons: number): number {
  return Math.max(64, Math.min(256, Math.ceil(Math.ceil(neurons / 24) / 32) * 32))
}

/** See DecodeKernels.ffnNeurons. */
export function integerNeurons(
  w: QuantizedWeights,
  activated: Float32Array,
  x: Float32Array,
  y: Float32Array,
  active: Int32Array,
  { neurons, width, upWidth = width, batch, gated, maxActive, rowOf }: FfnShape,
): number {
  const upBytes = gated ? weightBytes(w.type, upWidth) : 0
  const neuronBytes = upBytes + weightBytes(w.type, width)
  const at = (neuron: number, more: number) =>
    rowsFrom(w as Weights, (rowOf?.[neuron] ?? neuron) * neuronBytes + more) as QuantizedWeights
  const anywhere = new Uint8Array(neurons)
  for (let b = 0; b < batch; b++) {
    active[b] = 0
    for (let neuron = 0; neuron < neurons; neuron++) {
      if (activated[b * neurons + neuron] === 0) continue
      anywhere[neuron] = 1
      active[b]++
    }
  }
  const count = anywhere.reduce((sum, one) => sum + one, 0)
  const positions = gated ? positionsOf(w, x, upWidth, batch) : []
  const block = neuronBlock(neurons)
  const totals = new Float32Array(batch * width)
  for (let first = 0; first < neurons; first += block) {
    const downs: { readonly row: Row; readonly hidden: Float32Array }[] = []
    for (let neuron = first; neuron < Math.min(neurons, first + block); neuron++) {
      if ((rowOf?.[neuron] ?? neuron) < 0 || (count <= maxActive && anywhere[neuron] === 0)) continue
      const hidden = Float32Array.from({ length: batch }, (_, b) => activated[b * neurons + neuron])
      if (gated) {
        const up = readIntegerRow(at(neuron, 0), 0, upWidth)
        for (const [b, position] of positions.entries()) hidden[b] *= dot(up, position)
      }
      downs.push({ row: readIntegerRow(at(neuron, upBytes), 0, width), hidden })
    }
    for (let b = 0; b < batch; b++) addBlock(downs, b, totals.subarray(b * width, (b + 1) * width))
  }
  for (let k = 0; k < totals.length; k++) y[k] += totals[k]
  return count
}

/** totals (width) += Σ hidden · row over the neurons of a block, at position b. */
function addBlock(
  downs: readonly { readonly row: Row; readonly hidden: Float32Array }[],
  b: number,
  totals: Float32Array,
): void {
  if (downs.length === 0) return
  const columns = downs[0].row.scaleColumns
  for (let start = 0, group = 0; start < totals.length; start += columns, group++) {
    const factors = downs.map(({ row, hidden }) => fround(hidden[b] * row.scales[group]))
    const { size, inverse } = stepOf(largestMagnitude(factors))
    const sums = new Float64Array(Math.min(columns, totals.length - start))
    let minimum = 0
    for (const [i, { row, hidden }] of downs.entries()) {
      const factor = toInteger(factors[i], inverse)
      for (let k = 0; k < sums.length; k++) sums[k] += factor * row.codes[start + k]
      minimum = fround(minimum + fround(hidden[b] * row.minimums[Math.floor(start / GROUP)]))
    }
    for (let k = 0; k < sums.length; k++)
      totals[start + k] += fround(fround(size * fround(sums[k])) - minimum)
  }
}

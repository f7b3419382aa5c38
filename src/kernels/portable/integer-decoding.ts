// Decoding with q8_0 or q4_0 weights and hidden states as integers of 16 bits, in plain TypeScript: the definition that the
// native kernels (native/integer_rows.h) have the bits of. Every operation in f32 is rounded by itself.

import type { FfnShape } from '../interface/decoding.js'
import { readCodes, weightBytes } from '../weights/quantized.js'
import { rowsFrom } from '../weights/rows.js'
import type { QuantizedWeights, Weights } from '../weights/types.js'

/** Columns that share a scale. */
const GROUP = 32
/** The largest integer of a group. */
const LARGEST = 32767
/** Sums of a dot product in f32; group b adds to sum b mod 8. */
const SUMS = 8
/** Adding it to a number below 2²² in f32 and taking it away rounds to an integer, ties to even. */
const ROUNDER = 1.5 * 2 ** 23

const { fround } = Math
type IntegerWeights = QuantizedWeights<'q8_0' | 'q4_0'>

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

/** A position as integers with a scale per 32 of them. */
interface IntegerPosition {
  readonly values: Int16Array
  readonly scales: Float32Array
}

/** n values of `x` from `start` on, each a multiple of its group's scale: the largest magnitude / 32767. */
export function quantizePosition(x: Float32Array, start: number, n: number): IntegerPosition {
  const values = new Int16Array(n)
  const scales = new Float32Array(Math.ceil(n / GROUP))
  for (let group = 0; group < scales.length; group++) {
    const own = x.subarray(start + group * GROUP, start + Math.min(n, (group + 1) * GROUP))
    const { size, inverse } = stepOf(largestMagnitude(own))
    scales[group] = size
    for (let k = 0; k < own.length; k++) values[group * GROUP + k] = toInteger(own[k], inverse)
  }
  return { values, scales }
}

/** A row of weights: a weight is scale · code. */
interface Row {
  readonly codes: Int8Array
  readonly scales: Float32Array
}

function emptyRow(columns: number): Row {
  return { codes: new Int8Array(columns), scales: new Float32Array(Math.ceil(columns / GROUP)) }
}

function dot({ codes, scales }: Row, x: IntegerPosition): number {
  const sums = new Float32Array(SUMS)
  for (let group = 0; group < scales.length; group++) {
    let integer = 0
    const end = Math.min(codes.length, (group + 1) * GROUP)
    for (let k = group * GROUP; k < end; k++) integer += codes[k] * x.values[k]
    sums[group % SUMS] += fround(fround(scales[group] * x.scales[group]) * fround(integer))
  }
  for (let width = SUMS / 2; width >= 1; width /= 2) {
    for (let i = 0; i < width; i++) sums[i] += sums[i + width]
  }
  return sums[0]
}

function positionsOf(x: Float32Array, n: number, batch: number): IntegerPosition[] {
  return Array.from({ length: batch }, (_, b) => quantizePosition(x, b * n, n))
}

/** See DecodeKernels.matvec; with `chosen`, see selectedRows. */
export function integerMatvec(
  w: IntegerWeights,
  chosen: Float32Array | null,
  x: Float32Array,
  y: Float32Array,
  rows: number,
  columns: number,
  batch: number,
  accumulate: boolean,
  bias: Float32Array | null,
): void {
  const positions = positionsOf(x, columns, batch)
  const own = emptyRow(columns)
  if (chosen !== null) y.fill(0, 0, batch * rows)
  for (let row = 0; row < rows; row++) {
    if (chosen !== null && !positions.some((_, b) => chosen[b * rows + row] !== 0)) continue
    readCodes(w, row, own.codes, own.scales)
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
  w: IntegerWeights,
  activated: Float32Array,
  x: Float32Array,
  y: Float32Array,
  active: Int32Array,
  { neurons, width, upWidth = width, batch, gated, maxActive, rowOf }: FfnShape,
): number {
  const upBytes = gated ? weightBytes(w.type, upWidth) : 0
  const neuronBytes = upBytes + weightBytes(w.type, width)
  const at = (neuron: number, more: number) =>
    rowsFrom(w as Weights, (rowOf?.[neuron] ?? neuron) * neuronBytes + more) as IntegerWeights
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
  const positions = gated ? positionsOf(x, upWidth, batch) : []
  const [up, block] = [emptyRow(upWidth), neuronBlock(neurons)]
  const totals = new Float32Array(batch * width)
  for (let first = 0; first < neurons; first += block) {
    const downs: { readonly row: Row; readonly hidden: Float32Array }[] = []
    for (let neuron = first; neuron < Math.min(neurons, first + block); neuron++) {
      if ((rowOf?.[neuron] ?? neuron) < 0 || (count <= maxActive && anywhere[neuron] === 0)) continue
      const hidden = Float32Array.from({ length: batch }, (_, b) => activated[b * neurons + neuron])
      if (gated) {
        readCodes(at(neuron, 0), 0, up.codes, up.scales)
        for (const [b, position] of positions.entries()) hidden[b] *= dot(up, position)
      }
      const row = emptyRow(width)
      readCodes(at(neuron, upBytes), 0, row.codes, row.scales)
      downs.push({ row, hidden })
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
  for (let start = 0, group = 0; start < totals.length; start += GROUP, group++) {
    const factors = downs.map(({ row, hidden }) => fround(hidden[b] * row.scales[group]))
    const { size, inverse } = stepOf(largestMagnitude(factors))
    const sums = new Float64Array(Math.min(GROUP, totals.length - start))
    for (const [i, { row }] of downs.entries()) {
      const factor = toInteger(factors[i], inverse)
      for (let k = 0; k < sums.length; k++) sums[k] += factor * row.codes[start + k]
    }
    for (let k = 0; k < sums.length; k++) totals[start + k] += fround(size * fround(sums[k]))
  }
}

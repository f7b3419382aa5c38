// Setting elements of vectors to 0 as a `Cut` says, and products with matrices that are stored by input channel: the
// channels whose element is 0 are not read. Masking without skipping gives the same bits.

import { type DecodeKernels, type Weights, weightBytes, weightTypeOf } from '../kernels/index.js'
import type { Cut } from '../nn/cuts.js'

/** Bytes of weights that were read, and those that were not, as their input is 0. */
export interface Traffic {
  readonly read: number
  readonly skipped: number
}

/** Sets elements of `row` to 0 in place, as `cut` says. */
export function cutRow(cut: Cut, row: Float32Array): void {
  if (cut.kind === 'top') {
    keepTop(row, cut.keep, cut.scale)
    return
  }
  const { limits } = cut
  if (limits.length === 1) {
    const [limit] = limits
    for (let j = 0; j < row.length; j++) if (Math.abs(row[j]) < limit) row[j] = 0
  } else for (let j = 0; j < row.length; j++) if (Math.abs(row[j]) < limits[j]) row[j] = 0
}

let scores = new Float32Array(0)

function keepTop(row: Float32Array, keep: number, scale: Float32Array | null): void {
  const n = row.length
  if (keep >= n) return
  if (scores.length < n) scores = new Float32Array(n)
  for (let j = 0; j < n; j++) scores[j] = Math.abs(row[j]) * (scale === null ? 1 : scale[j])
  const least = nthLargest(scores.subarray(0, n), keep)
  for (let j = 0; j < n; j++) if (scores[j] < least) row[j] = 0
}

const LEVELS = [20, 9, 0] as const
const counts = new Uint32Array(2 ** 12)

/**
 * The n-th largest of `values` (none negative, 1 ≤ n ≤ values.length): floats that are not negative are ordered as their
 * bits, so three passes over 12, 11 and 9 bits find it, without sorting.
 */
export function nthLargest(values: Float32Array, n: number): number {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  let [prefix, above, left] = [0, 32, n]
  for (const shift of LEVELS) {
    const mask = 2 ** (above - shift) - 1
    counts.fill(0, 0, mask + 1)
    for (let i = 0; i < bits.length; i++) {
      if (above === 32 || bits[i] >>> above === prefix) counts[(bits[i] >>> shift) & mask]++
    }
    let bin = mask
    for (; bin > 0 && counts[bin] < left; bin--) left -= counts[bin]
    prefix = ((above === 32 ? 0 : prefix << (above - shift)) | bin) >>> 0
    above = shift
  }
  return new Float32Array(Uint32Array.of(prefix).buffer)[0]
}

/** `LowRank` as the engine holds it: rows of `into` and of `out` are components. */
export interface LowRankWeights {
  readonly rank: number
  readonly into: Weights
  readonly out: Weights
}

/** The rows of a matrix of inputs, and which of them are cut. */
export interface CutInput {
  /** (rows, channels). */
  readonly x: Float32Array
  readonly rows: number
  readonly channels: number
  /** Null: no row is cut. */
  readonly cut: Cut | null
  /** (rows): 1 for the rows that are cut. */
  readonly cutRows: Uint8Array
  /** Skip where at most this fraction of the channels is not 0 at one row or more: 0 never, 1 always. */
  readonly mostActive: number
  /** Whether elements of x are exactly 0 without a cut, so that skipping may pay. Default: no. */
  readonly zeros?: boolean
  /** Stands for what the cut leaves out. Default: nothing does. */
  readonly lowRank?: LowRankWeights
}

/** Products with matrices stored by input channel. */
export class ChannelProduct {
  readonly #decode: DecodeKernels
  #masked = new Float32Array(0)
  /** What the cut leaves out, (rows, channels), and its components, (rows, rank). */
  #rest = new Float32Array(0)
  #components = new Float32Array(0)
  #none = new Int32Array(0)
  /** Elements of each row that are not 0, after `add`. */
  active = new Int32Array(0)

  constructor(decode: DecodeKernels) {
    this.#decode = decode
  }

  /** y (rows, width) += x (rows, channels), cut, · w; w: (channels, width), a row for each input channel. */
  add(w: Weights, input: CutInput, y: Float32Array, width: number): Traffic {
    const { x, rows, channels, cut, cutRows, mostActive } = input
    if (this.active.length < rows) this.active = new Int32Array(rows)
    const cuts = cut !== null && cutRows.subarray(0, rows).includes(1)
    const masked = cuts ? this.#mask(cut, input) : x
    const maxActive = cuts || input.zeros === true ? Math.floor(mostActive * channels) : 0
    const union = this.#decode.ffnNeurons(w, masked, x, y, this.active, {
      neurons: channels,
      width,
      upWidth: 1,
      batch: rows,
      gated: false,
      maxActive,
    })
    const bytes = weightBytes(weightTypeOf(w), width)
    const read = union <= maxActive ? union : channels
    const { lowRank } = input
    const more = cuts && lowRank !== undefined ? this.#addRest(lowRank, input, masked, y, width) : 0
    return { read: read * bytes + more, skipped: (channels - read) * bytes }
  }

  /** y += the low-rank product of what is in x and not in `masked`; returns the bytes read. */
  #addRest(
    { rank, into, out }: LowRankWeights,
    { x, rows, channels }: CutInput,
    masked: Float32Array,
    y: Float32Array,
    width: number,
  ): number {
    const size = rows * channels
    if (this.#rest.length < size) this.#rest = new Float32Array(size)
    if (this.#components.length < rows * rank) this.#components = new Float32Array(rows * rank)
    if (this.#none.length < rows) this.#none = new Int32Array(rows)
    const [rest, components] = [this.#rest, this.#components]
    for (let i = 0; i < size; i++) rest[i] = masked[i] === 0 ? x[i] : 0
    this.#decode.matvec(into, rest, components, rank, channels, rows, false)
    const shape = { neurons: rank, width, upWidth: 1, batch: rows, gated: false, maxActive: 0 }
    this.#decode.ffnNeurons(out, components, components, y, this.#none, shape)
    return rank * (weightBytes(weightTypeOf(into), channels) + weightBytes(weightTypeOf(out), width))
  }

  /** A copy of x with its rows cut, (rows, channels); valid until the next call. */
  #mask(cut: Cut, { x, rows, channels, cutRows }: CutInput): Float32Array {
    const size = rows * channels
    if (this.#masked.length < size) this.#masked = new Float32Array(size)
    this.#masked.set(x.subarray(0, size))
    for (let row = 0; row < rows; row++) {
      if (cutRows[row] === 1) cutRow(cut, this.#masked.subarray(row * channels, (row + 1) * channels))
    }
    return this.#masked
  }
}

// What a narrow index is (docs/narrow-gate.md): one byte per weight, a scale and a bound per block of a row.

import { OptionError } from '../../errors.js'
import { type Weights, type WeightType, weightTypeOf } from './types.js'

/** Columns that share a scale and a bound. */
export const NARROW_BLOCK = 256
/** A bound is at least this fraction (1 / FINER) of the norm of the codes: positions are taken in 16 bits. */
export const FINER = 256

/** The index of one gate matrix (rows, columns); `blocks` = ⌈columns / NARROW_BLOCK⌉. */
export interface NarrowIndex {
  readonly rows: number
  readonly columns: number
  /** (rows, columns): a weight is about scale · code, |code| ≤ 127. */
  readonly codes: Int8Array
  /** (rows, blocks). */
  readonly scales: Float32Array
  /**
   * (rows, blocks): bound · ‖x in the block‖₂, summed over the blocks, is at least how far the narrow dot product can be
   * from the full one, rounding of both included. +∞ where nothing can be proven (a weight that is not finite).
   */
  readonly bounds: Float32Array
}

/** Whether weights of this type can have a narrow index: only those that are wider than it. */
export function narrowable(type: WeightType): boolean {
  return type === 'f32' || type === 'bf16' || type === 'f16'
}

/** Memory of an index, in bytes. */
export function narrowIndexBytes(rows: number, columns: number): number {
  return rows * (columns + 8 * Math.ceil(columns / NARROW_BLOCK))
}

/** An index of zeros, to be filled. */
export function emptyNarrowIndex(
  w: Weights,
  rows: number,
  columns: number,
  allocate: (bytes: number) => Uint8Array,
): NarrowIndex {
  if (!narrowable(weightTypeOf(w))) {
    throw new OptionError(
      'NARROW_GATE_DTYPE',
      'the narrow gate stands beside f32, bf16 or f16 weights; quantized ones are narrow already. Leave it off',
    )
  }
  const blocks = Math.ceil(columns / NARROW_BLOCK)
  const codes = allocate(rows * columns)
  const [scales, bounds] = [0, 1].map(() => {
    const { buffer, byteOffset } = allocate(rows * blocks * 4)
    return new Float32Array(buffer, byteOffset, rows * blocks)
  })
  return {
    rows,
    columns,
    codes: new Int8Array(codes.buffer, codes.byteOffset, codes.length),
    scales,
    bounds,
  }
}

/** The largest f32 that is not above `x`: what is below it is below x. */
export function roundedDown(x: number): number {
  float[0] = x
  if (float[0] <= x || Number.isNaN(x)) return float[0]
  // The next float towards −∞.
  if (float[0] === 0) return -(2 ** -149)
  bits[0] += float[0] > 0 ? -1 : 1
  return float[0]
}

/** The smallest f32 that is not below `x`. */
export function roundedUp(x: number): number {
  return -roundedDown(-x)
}

const float = new Float32Array(1)
const bits = new Int32Array(float.buffer)

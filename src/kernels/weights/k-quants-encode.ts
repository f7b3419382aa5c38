// Encodes rows as K-quants (k-quants.ts). The format leaves open how scales are found; here they minimize the squared
// error of each group over a set of candidate steps, with scale and minimum fitted to the codes by least squares.

import { narrowFloat16, widenFloat16 } from './half.js'
import { putScaleAndMin, SUPER_BLOCK, SUPER_BLOCK_BYTES } from './k-quants.js'
import type { KQuantType } from './types.js'

/**
 * How many scales of a group of q6_k are tried. `one`, the extreme value over −32, is for what is requantized while a model is
 * loaded (native/store_weights.cc): its error is 6 to 9 % larger than that of the best of `several`
 * (docs/formats.md says what that adds to the error of a file).
 */
export type Candidates = 'one' | 'several'

/**
 * A row of super-blocks = values (columns), the last filled up with zeros; `out` is as long. Returns false for values that
 * are not finite or too large for an f16 scale.
 */
export function encodeSuperBlocks(
  type: KQuantType,
  values: Float32Array,
  out: Uint8Array,
  { candidates = 'several' }: { readonly candidates?: Candidates } = {},
): boolean {
  const size = SUPER_BLOCK_BYTES[type]
  out.fill(0)
  for (let start = 0, at = 0; start < values.length; start += SUPER_BLOCK, at += size) {
    block.fill(0)
    block.set(values.subarray(start, Math.min(values.length, start + SUPER_BLOCK)))
    const fits =
      type === 'q6_k' ? encodeQ6(block, out, at, candidates) : encodeQ4OrQ5(block, out, at, type === 'q5_k')
    if (!fits) return false
  }
  return true
}

const block = new Float32Array(SUPER_BLOCK)
const codes = new Uint8Array(SUPER_BLOCK)
const scales = new Float64Array(16)
const mins = new Float64Array(8)

/** Steps that are tried: (levels + offset) / range. Smaller steps clip the extremes, larger ones waste codes. */
const OFFSETS = [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1]
/** The same without a minimum, where more of them bring less than 1 %. */
const SYMMETRIC_OFFSETS = [-0.75, -0.25, 0.25, 0.75]
/** From here on a scale rounds to infinity in f16. */
const LARGEST_SCALE = 65520

function encodeQ4OrQ5(x: Float32Array, out: Uint8Array, at: number, fifth: boolean): boolean {
  const levels = fifth ? 31 : 15
  let [largestScale, largestMin] = [0, 0]
  for (let group = 0; group < 8; group++) {
    if (!fitWithMin(x, 32 * group, levels, group)) return false
    largestScale = Math.max(largestScale, scales[group])
    largestMin = Math.max(largestMin, mins[group])
  }
  const d = putFloat16(out, at, largestScale / 63)
  const dmin = putFloat16(out, at + 2, largestMin / 63)
  if (!Number.isFinite(d) || !Number.isFinite(dmin)) return false
  for (let group = 0; group < 8; group++) {
    const scale = d > 0 ? Math.min(63, Math.round(scales[group] / d)) : 0
    const min = dmin > 0 ? Math.min(63, Math.round(mins[group] / dmin)) : 0
    putScaleAndMin(out, at + 4, group, scale, min)
    const [step, offset] = [d * scale, dmin * min]
    for (let i = 32 * group; i < 32 * group + 32; i++) {
      codes[i] = step > 0 ? clamped(Math.round((x[i] + offset) / step), 0, levels) : 0
    }
  }
  const bits = at + 16
  const first = fifth ? bits + 32 : bits
  for (let i = 0; i < SUPER_BLOCK; i++) {
    const [group, k] = [i >> 5, i & 31]
    out[first + 32 * (group >> 1) + k] |= (codes[i] & 15) << (4 * (group & 1))
    if (fifth) out[bits + k] |= (codes[i] >> 4) << group
  }
  return true
}

/** Sets scales[group] and mins[group] ≥ 0 so that scale · code − min is close to 32 values; false if they are not finite. */
function fitWithMin(x: Float32Array, start: number, levels: number, group: number): boolean {
  let [low, high, sum, squares] = [0, x[start], 0, 0]
  for (let i = start; i < start + 32; i++) {
    const value = x[i]
    if (value < low) low = value
    if (value > high) high = value
    sum += value
    squares += value * value
  }
  if (!Number.isFinite(sum)) return false
  scales[group] = 0
  mins[group] = -low
  const range = high - low
  if (!(range > 0)) return true
  let best = Number.POSITIVE_INFINITY
  for (const offset of OFFSETS) {
    const inverse = (levels + offset) / range
    let [q1, q2, xq] = [0, 0, 0]
    for (let i = start; i < start + 32; i++) {
      const value = x[i]
      // Not negative: truncation rounds down.
      let code = (inverse * (value - low) + 0.5) | 0
      if (code > levels) code = levels
      q1 += code
      q2 += code * code
      xq += value * code
    }
    // Least squares of x ≈ scale · code + base; base is at most 0, since the format subtracts a minimum.
    const determinant = 32 * q2 - q1 * q1
    if (determinant <= 0) continue
    let scale = (32 * xq - q1 * sum) / determinant
    let base = (q2 * sum - q1 * xq) / determinant
    if (base > 0) {
      base = 0
      scale = xq / q2
    }
    if (!(scale > 0)) continue
    // Σ (scale · code + base − x)².
    const error =
      squares + scale * scale * q2 + 32 * base * base + 2 * (scale * base * q1 - scale * xq - base * sum)
    if (error >= best) continue
    best = error
    scales[group] = scale
    mins[group] = -base
  }
  return true
}

function encodeQ6(x: Float32Array, out: Uint8Array, at: number, candidates: Candidates): boolean {
  let extreme = 0
  for (let group = 0; group < 16; group++) {
    if (!fitSymmetric(x, 16 * group, group, candidates)) return false
    if (Math.abs(scales[group]) > Math.abs(extreme)) extreme = scales[group]
  }
  // The scale of largest magnitude becomes −128, so that no bit of the int8 scales is wasted.
  const d = putFloat16(out, at + 208, extreme / -128)
  if (!Number.isFinite(d)) return false
  for (let group = 0; group < 16; group++) {
    const scale = d === 0 ? 0 : clamped(Math.floor(scales[group] / d + 0.5), -128, 127)
    out[at + 192 + group] = scale & 0xff
    const step = d * scale
    const inverse = step === 0 ? 0 : 1 / step
    for (let i = 16 * group; i < 16 * group + 16; i++) {
      const code = Math.floor(x[i] * inverse + 32.5)
      codes[i] = code < 0 ? 0 : code > 63 ? 63 : code
    }
  }
  packQ6(out, at)
  return true
}

/** `codes` into a super-block of q6_k: four groups of 32 share bytes, in each half of 128. */
function packQ6(out: Uint8Array, at: number): void {
  for (let half = 0; half < 2; half++) {
    const [from, low, high] = [128 * half, at + 64 * half, at + 128 + 32 * half]
    for (let i = 0; i < 32; i++) {
      const [a, b] = [codes[from + i], codes[from + 32 + i]]
      const [c, d] = [codes[from + 64 + i], codes[from + 96 + i]]
      out[low + i] = (a & 15) | ((c & 15) << 4)
      out[low + 32 + i] = (b & 15) | ((d & 15) << 4)
      out[high + i] = (a >> 4) | ((b >> 4) << 2) | ((c >> 4) << 4) | ((d >> 4) << 6)
    }
  }
}

/** Sets scales[group] so that scale · code, −32 ≤ code ≤ 31, is close to 16 values; false if they are not finite. */
function fitSymmetric(x: Float32Array, start: number, group: number, candidates: Candidates): boolean {
  let extreme = 0
  for (let i = start; i < start + 16; i++) {
    if (!Number.isFinite(x[i])) return false
    if (Math.abs(x[i]) > Math.abs(extreme)) extreme = x[i]
  }
  scales[group] = candidates === 'one' ? extreme / -32 : 0
  if (extreme === 0 || candidates === 'one') return true
  let best = 0
  for (const offset of SYMMETRIC_OFFSETS) {
    const inverse = -(32 + offset) / extreme
    let [q2, xq] = [0, 0]
    for (let i = start; i < start + 16; i++) {
      const value = x[i]
      let code = Math.floor(inverse * value + 0.5)
      if (code > 31) code = 31
      else if (code < -32) code = -32
      q2 += code * code
      xq += value * code
    }
    // The least squares scale xq / q2 leaves Σ x² − xq² / q2.
    if (q2 === 0 || xq * xq <= best * q2) continue
    best = (xq * xq) / q2
    scales[group] = xq / q2
  }
  return true
}

function clamped(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value))
}

const float = new Float32Array(1)
const half = new Uint16Array(1)

/** Stores `value` as a float16 at byte `at`; returns what it has become, infinity if it was too large. */
function putFloat16(out: Uint8Array, at: number, value: number): number {
  if (!(Math.abs(value) < LARGEST_SCALE)) return Number.POSITIVE_INFINITY
  float[0] = value
  narrowFloat16(float, half)
  out[at] = half[0] & 0xff
  out[at + 1] = half[0] >> 8
  widenFloat16(half, float)
  return float[0]
}

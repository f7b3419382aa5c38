// Matrices of weights in the types that decoding reads: f32, bf16, f16 and the quantized q8_0 and q4_0, q4_k, q5_k and
// q6_k. Their numbers are those of ggml's blocks of the same names (github.com/ggml-org/ggml). Rows of the K-quants are
// ggml's bytes (k-quants.ts); of q8_0 and q4_0 the order of the bytes is ours: one row is one stream, its scales first.
//
// A row of groups of 32 columns, the last filled up with zeros:
// - scales: one f16 per group, filled up to a multiple of 64 bytes;
// - q8_0: one int8 per column, filled up to a multiple of 64; number = scale · int8;
// - q4_0: 64 bytes per 128 columns; byte 4i + m holds number i of group m in its low half and number i + 16 in its high
//   half, so that a shift by 4j of the block as 16 words brings columns 16j … 16j + 15; number = scale · (half − 8).

import { OptionError } from '../../errors.js'
import { alignedBytes } from '../native/addon.js'
import { narrowBfloat16, narrowFloat16, widenBfloat16, widenFloat16 } from './half.js'
import { decodeSuperBlock, SUPER_BLOCK, SUPER_BLOCK_BYTES, widenedFloat16 } from './k-quants.js'
import { type Candidates, encodeSuperBlocks } from './k-quants-encode.js'
import {
  isKQuant,
  type KQuantType,
  type PackedWeights,
  type QuantizedType,
  type QuantizedWeights,
  type Weights,
  type WeightType,
} from './types.js'

/** Columns that share a scale. */
const GROUP = 32
/** Rows and what they consist of start at multiples of this. */
const ALIGNMENT = 64
/** Bytes of ggml's block of one group: an f16 scale, then the numbers. */
const BLOCK_BYTES = { q8_0: 34, q4_0: 18 } as const

/** Bytes of one row: how far apart rows start. */
export function weightBytes(type: WeightType, columns: number): number {
  if (type === 'f32') return 4 * columns
  if (type === 'bf16' || type === 'f16') return 2 * columns
  if (isKQuant(type)) return Math.ceil(columns / SUPER_BLOCK) * SUPER_BLOCK_BYTES[type]
  return scaleBytes(columns) + roundUp(columns, type === 'q8_0' ? ALIGNMENT : 2 * ALIGNMENT) / perByte(type)
}

/** A matrix of zeros, starting on a cache line. */
export function allocateWeights(type: WeightType, rows: number, columns: number): Weights {
  const data = alignedBytes(rows * weightBytes(type, columns))
  const { buffer, byteOffset, length } = data
  if (type === 'f32') return new Float32Array(buffer, byteOffset, length / 4)
  if (type === 'bf16') return new Uint16Array(buffer, byteOffset, length / 2)
  return { type, data }
}

/**
 * Row `row` of `w` = values (columns), rounded to its type: bf16 and f16 to the nearest, ties to even; the quantized types as
 * ggml rounds; q6_k with so many candidates per scale. Throws OptionError QUANTIZE_RANGE for numbers that a quantized type
 * cannot hold.
 */
export function storeRow(
  w: Weights,
  row: number,
  values: Float32Array,
  candidates: Candidates = 'several',
): void {
  const columns = values.length
  if (w instanceof Float32Array) {
    w.set(values, row * columns)
  } else if (w instanceof Uint16Array) {
    narrowBfloat16(values, w.subarray(row * columns, (row + 1) * columns))
  } else if (w.type === 'f16') {
    narrowFloat16(values, halvesOf(rowOf(w, row, columns)))
  } else if (isKQuant(w.type)) {
    if (!encodeSuperBlocks(w.type, values, rowOf(w, row, columns), { candidates })) {
      throw outOfRange(w.type, row, values, 0, columns)
    }
  } else {
    const bytes = rowOf(w, row, columns)
    const first = scaleBytes(columns)
    for (let start = 0, group = 0; start < columns; start += GROUP, group++) {
      const end = Math.min(columns, start + GROUP)
      const scale = (w.type === 'q8_0' ? quantize8 : quantize4)(values, start, end, codes)
      if (!(Math.abs(scale) < LARGEST_SCALE)) throw outOfRange(w.type, row, values, start, end)
      scaleFloat[0] = scale
      narrowFloat16(scaleFloat, scaleHalf)
      bytes[2 * group] = scaleHalf[0] & 0xff
      bytes[2 * group + 1] = scaleHalf[0] >> 8
      if (w.type === 'q8_0') bytes.set(codes, first + start)
      else placeHalves(bytes, first, group, codes)
    }
  }
}

/** out (columns) = row `row` of `w`, exactly. */
export function readRow(w: Weights, row: number, out: Float32Array): void {
  const columns = out.length
  if (w instanceof Float32Array) {
    out.set(w.subarray(row * columns, (row + 1) * columns))
  } else if (w instanceof Uint16Array) {
    widenBfloat16(w.subarray(row * columns, (row + 1) * columns), out)
  } else if (w.type === 'f16') {
    widenFloat16(halvesOf(rowOf(w, row, columns)), out)
  } else if (isKQuant(w.type)) {
    readSuperBlocks(w.type, rowOf(w, row, columns), out)
  } else {
    const bytes = rowOf(w, row, columns)
    const first = scaleBytes(columns)
    for (let start = 0, group = 0; start < columns; start += GROUP, group++) {
      const n = Math.min(GROUP, columns - start)
      const scale = widenedFloat16()[bytes[2 * group] | (bytes[2 * group + 1] << 8)]
      if (w.type === 'q8_0') {
        for (let k = 0; k < n; k++) out[start + k] = scale * ((bytes[first + start + k] << 24) >> 24)
      } else {
        for (let k = 0; k < n; k++) {
          const byte = bytes[first + halfAt(group, k & 15)]
          out[start + k] = scale * ((k < 16 ? byte & 15 : byte >> 4) - 8)
        }
      }
    }
  }
}

/** codes (columns) and scales (a value per 32 columns) of row `row` of q8_0 or q4_0: a weight is scale · code. */
export function readCodes(
  w: QuantizedWeights<'q8_0' | 'q4_0'>,
  row: number,
  codes: Int8Array,
  scales: Float32Array,
): void {
  const columns = codes.length
  const bytes = rowOf(w, row, columns)
  const first = scaleBytes(columns)
  for (let k = 0; k < columns; k++) {
    const group = Math.floor(k / GROUP)
    if (k % GROUP === 0) scales[group] = widenedFloat16()[bytes[2 * group] | (bytes[2 * group + 1] << 8)]
    if (w.type === 'q8_0') {
      codes[k] = bytes[first + k]
    } else {
      const byte = bytes[first + halfAt(group, k & 15)]
      codes[k] = (k % GROUP < 16 ? byte & 15 : byte >> 4) - 8
    }
  }
}

function readSuperBlocks(type: KQuantType, bytes: Uint8Array, out: Float32Array): void {
  const size = SUPER_BLOCK_BYTES[type]
  const whole = out.length - (out.length % SUPER_BLOCK)
  for (let k = 0, at = 0; k < whole; k += SUPER_BLOCK, at += size) decodeSuperBlock(type, bytes, at, out, k)
  if (whole === out.length) return
  decodeSuperBlock(type, bytes, (whole / SUPER_BLOCK) * size, lastBlock, 0)
  out.set(lastBlock.subarray(0, out.length - whole), whole)
}

/**
 * Row `row` of `w` = a row of ggml's blocks of the same type, unchanged; `columns` is a multiple of 32, of 256 for the
 * K-quants. Rows in GGUF files are such.
 */
export function storeBlocks(w: QuantizedWeights, row: number, blocks: Uint8Array, columns: number): void {
  const bytes = rowOf(w, row, columns)
  if (isKQuant(w.type)) {
    bytes.set(blocks)
    return
  }
  const first = scaleBytes(columns)
  const size = BLOCK_BYTES[w.type]
  for (let group = 0, from = 0; group < columns / GROUP; group++, from += size) {
    bytes[2 * group] = blocks[from]
    bytes[2 * group + 1] = blocks[from + 1]
    if (w.type === 'q8_0') {
      for (let i = 0; i < 32; i++) bytes[first + group * 32 + i] = blocks[from + 2 + i]
    } else {
      for (let i = 0; i < 16; i++) bytes[first + halfAt(group, i)] = blocks[from + 2 + i]
    }
  }
}

/** The inverse of storeBlocks: `blocks`, which may be longer, begins with row `row` of `w`, unchanged. */
export function readBlocks(w: QuantizedWeights, row: number, blocks: Uint8Array, columns: number): void {
  const bytes = rowOf(w, row, columns)
  if (isKQuant(w.type)) {
    blocks.set(bytes)
    return
  }
  const first = scaleBytes(columns)
  const size = BLOCK_BYTES[w.type]
  for (let group = 0, to = 0; group < columns / GROUP; group++, to += size) {
    blocks[to] = bytes[2 * group]
    blocks[to + 1] = bytes[2 * group + 1]
    if (w.type === 'q8_0') {
      for (let i = 0; i < 32; i++) blocks[to + 2 + i] = bytes[first + group * 32 + i]
    } else {
      for (let i = 0; i < 16; i++) blocks[to + 2 + i] = bytes[first + halfAt(group, i)]
    }
  }
}

/** Bytes before a row's numbers. */
export function scaleBytes(columns: number): number {
  return roundUp(2 * Math.ceil(columns / GROUP), ALIGNMENT)
}

/** Where numbers i and i + 16 of a group of q4_0 stand among the bytes of a row's numbers. */
function halfAt(group: number, i: number): number {
  return 64 * (group >> 2) + 4 * i + (group & 3)
}

/** From here on a scale rounds to infinity in f16. */
const LARGEST_SCALE = 65520
const codes = new Uint8Array(GROUP)
const lastBlock = new Float32Array(SUPER_BLOCK)
const scaleFloat = new Float32Array(1)
const scaleHalf = new Uint16Array(1)

/**
 * The scale of values [start, end), at most 32, in q8_0: largest magnitude / 127. `into` (32) receives their codes, int8,
 * the rest 0.
 */
export function quantize8(
  values: Float32Array,
  start: number,
  end: number,
  into: Int8Array | Uint8Array,
): number {
  let largest = 0
  for (let k = start; k < end; k++) largest = Math.max(largest, Math.abs(values[k]))
  const scale = Math.fround(largest / 127)
  const inverse = inverseOf(scale)
  into.fill(0)
  for (let k = start; k < end; k++) {
    const x = Math.fround(values[k] * inverse)
    // Halves away from zero, as C's roundf.
    into[k - start] = x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5)
  }
  return scale
}

/** As quantize8 for q4_0: the value of largest magnitude / −8, codes from 0 to 15, the rest 8. */
function quantize4(values: Float32Array, start: number, end: number, into: Uint8Array): number {
  let [largest, extreme] = [0, 0]
  for (let k = start; k < end; k++) {
    const magnitude = Math.abs(values[k])
    if (magnitude <= largest) continue
    if (Number.isNaN(magnitude)) return magnitude
    largest = magnitude
    extreme = values[k]
  }
  const scale = Math.fround(extreme / -8)
  const inverse = inverseOf(scale)
  into.fill(8)
  for (let k = start; k < end; k++) {
    into[k - start] = Math.min(15, Math.trunc(Math.fround(Math.fround(values[k] * inverse) + 8.5)))
  }
  return scale
}

/** 1 / scale in f32; 0 where the scale is 0 or so small that it is 0 in f16 and its inverse no number. */
function inverseOf(scale: number): number {
  const inverse = Math.fround(1 / scale)
  return Number.isFinite(inverse) ? inverse : 0
}

/** The 32 halves of a group of q4_0 into a row's numbers, which start at `first`. */
function placeHalves(bytes: Uint8Array, first: number, group: number, of: Uint8Array): void {
  for (let i = 0; i < 16; i++) bytes[first + halfAt(group, i)] = of[i] | (of[i + 16] << 4)
}

/** The bytes of row `row` of `w`. */
export function rowOf(w: PackedWeights, row: number, columns: number): Uint8Array {
  const size = weightBytes(w.type, columns)
  return w.data.subarray(row * size, (row + 1) * size)
}

function halvesOf({ buffer, byteOffset, byteLength }: Uint8Array): Uint16Array {
  return new Uint16Array(buffer, byteOffset, byteLength / 2)
}

function outOfRange(
  type: WeightType,
  row: number,
  values: Float32Array,
  start: number,
  end: number,
): OptionError {
  const group = values.subarray(start, end)
  const extreme = group.find(Number.isNaN) ?? group.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a))
  return new OptionError(
    'QUANTIZE_RANGE',
    `row ${row} of a matrix holds ${extreme} among columns ${start} to ${end - 1}, which ${type} cannot hold; ` +
      'give dtype bf16 or f32',
  )
}

function perByte(type: QuantizedType): number {
  return type === 'q8_0' ? 1 : 2
}

function roundUp(n: number, to: number): number {
  return Math.ceil(n / to) * to
}

// Keys and values as a cache stores them: f32, f16, or q8, a row of q8_0 (../quantized.ts) whose scales are not filled up.

import { type CacheSegment, type CacheType, cacheRowBytes } from '../interface/decoding.js'
import { narrowFloat16 } from '../weights/half.js'
import { widenedFloat16 } from '../weights/k-quants.js'
import { quantize8 } from '../weights/quantized.js'

const GROUP = 32
const codes = new Int8Array(GROUP)
const scale = new Float32Array(1)
const half = new Uint16Array(1)

/** Row `row` of a cache's bytes = values, one key or value. */
export function storeCacheRow(type: CacheType, bytes: Uint8Array, row: number, values: Float32Array): void {
  const n = values.length
  if (type === 'f32') {
    floatsOf(bytes).set(values, row * n)
  } else if (type === 'f16') {
    narrowFloat16(values, halvesOf(bytes).subarray(row * n, (row + 1) * n))
  } else {
    const groups = Math.ceil(n / GROUP)
    const first = row * cacheRowBytes(type, n)
    for (let group = 0; group < groups; group++) {
      scale[0] = quantize8(values, group * GROUP, Math.min(n, (group + 1) * GROUP), codes)
      narrowFloat16(scale, half)
      bytes[first + 2 * group] = half[0] & 0xff
      bytes[first + 2 * group + 1] = half[0] >> 8
      bytes.set(codes, first + 2 * groups + group * GROUP)
    }
  }
}

/** out (length, headDim) = what `segments` hold for positions 0 … length − 1 of one head: keys or values. */
export function readCacheRows(
  type: CacheType,
  segments: readonly CacheSegment[],
  part: 'keys' | 'values',
  { head, headDim, length }: { head: number; headDim: number; length: number },
  out: Float32Array,
): void {
  for (const [i, segment] of segments.entries()) {
    const end = Math.min(length, segments[i + 1]?.start ?? length)
    const rows = Math.max(0, end - segment.start)
    const row = head * segment.capacity
    readRows(type, segment[part], row, rows, headDim, out.subarray(segment.start * headDim))
  }
}

function readRows(
  type: CacheType,
  bytes: Uint8Array,
  row: number,
  rows: number,
  n: number,
  out: Float32Array,
): void {
  if (type === 'f32') {
    out.set(floatsOf(bytes).subarray(row * n, (row + rows) * n))
    return
  }
  const widened = widenedFloat16()
  if (type === 'f16') {
    const halves = halvesOf(bytes)
    for (let i = 0; i < rows * n; i++) out[i] = widened[halves[row * n + i]]
    return
  }
  const groups = Math.ceil(n / GROUP)
  for (let r = 0; r < rows; r++) {
    const first = (row + r) * cacheRowBytes(type, n)
    for (let start = 0, at = first; start < n; start += GROUP, at += 2) {
      const factor = widened[bytes[at] | (bytes[at + 1] << 8)]
      const from = first + 2 * groups + start
      for (let k = 0; k < GROUP && start + k < n; k++) {
        out[r * n + start + k] = factor * ((bytes[from + k] << 24) >> 24)
      }
    }
  }
}

function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2)
}

function halvesOf(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1)
}

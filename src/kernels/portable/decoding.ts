// The decoding kernels in plain TypeScript. Sums run in double precision, in an order that depends on the sizes alone.

import type {
  ActivationType,
  AttentionHeads,
  CachedSequence,
  CacheType,
  DecodeKernels,
  FfnShape,
} from '../interface/decoding.js'
import { readRow, weightBytes } from '../weights/quantized.js'
import { rowsFrom } from '../weights/rows.js'
import { isQuantized, type Weights, weightTypeOf } from '../weights/types.js'
import { readCacheRows, storeCacheRow } from './cache-rows.js'
import { integerMatvec, integerNeurons } from './integer-decoding.js'
import { rope } from './rope.js'

/** The portable decoding kernels. They run on the calling thread. */
export function portableDecodeKernels(activations: ActivationType = 'f32'): DecodeKernels {
  const plain = {
    backend: 'portable',
    isa: 'typescript',
    matvec,
    selectedRows,
    ffnNeurons,
    attention,
  } as const
  if (activations === 'f32') return { ...plain, activations }
  return {
    ...plain,
    activations,
    matvec: (w, x, y, rows, columns, batch, accumulate, bias = null) => {
      if (isQuantized(w)) integerMatvec(w, null, x, y, rows, columns, batch, accumulate, bias)
      else matvec(w, x, y, rows, columns, batch, accumulate, bias)
    },
    selectedRows: (w, chosen, x, y, rows, columns, batch) => {
      if (isQuantized(w)) integerMatvec(w, chosen, x, y, rows, columns, batch, false, null)
      else selectedRows(w, chosen, x, y, rows, columns, batch)
    },
    ffnNeurons: (w, activated, x, y, active, shape) =>
      (isQuantized(w) ? integerNeurons : ffnNeurons)(w as never, activated, x, y, active, shape),
  }
}

/** Scratch memory, kept from call to call and grown as needed. */
const kept = { row: new Float32Array(0), keys: new Float32Array(0), values: new Float32Array(0) }

function scratch(name: keyof typeof kept, n: number): Float32Array {
  if (kept[name].length < n) kept[name] = new Float32Array(n)
  return kept[name].subarray(0, n)
}

/** Row `row` of n weights as f32: a view, or `into`. */
function floats(w: Weights, row: number, n: number, into: Float32Array): Float32Array {
  if (w instanceof Float32Array) return w.subarray(row * n, (row + 1) * n)
  const own = into.subarray(0, n)
  readRow(w, row, own)
  return own
}

/** Σ a[i + k] · x[j + k], k < n: four partial sums, so that no product waits for the one before. */
function dot(a: Float32Array, i: number, x: Float32Array, j: number, n: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0]
  let k = 0
  for (; k + 4 <= n; k += 4) {
    s0 += a[i + k] * x[j + k]
    s1 += a[i + k + 1] * x[j + k + 1]
    s2 += a[i + k + 2] * x[j + k + 2]
    s3 += a[i + k + 3] * x[j + k + 3]
  }
  for (; k < n; k++) s0 += a[i + k] * x[j + k]
  return s0 + s1 + (s2 + s3)
}

/** See DecodeKernels.matvec. */
function matvec(
  w: Weights,
  x: Float32Array,
  y: Float32Array,
  rows: number,
  columns: number,
  batch: number,
  accumulate: boolean,
  bias: Float32Array | null = null,
): void {
  const into = scratch('row', columns)
  for (let row = 0; row < rows; row++) {
    const weights = floats(w, row, columns, into)
    for (let b = 0; b < batch; b++) {
      const value = dot(weights, 0, x, b * columns, columns) + (bias === null ? 0 : bias[row])
      const at = b * rows + row
      y[at] = accumulate ? y[at] + value : value
    }
  }
}

/** See DecodeKernels.selectedRows. */
function selectedRows(
  w: Weights,
  chosen: Float32Array,
  x: Float32Array,
  y: Float32Array,
  rows: number,
  columns: number,
  batch: number,
): void {
  const into = scratch('row', columns)
  y.fill(0, 0, batch * rows)
  for (let row = 0; row < rows; row++) {
    let anywhere = false
    for (let b = 0; b < batch; b++) if (chosen[b * rows + row] !== 0) anywhere = true
    if (!anywhere) continue
    const weights = floats(w, row, columns, into)
    for (let b = 0; b < batch; b++) y[b * rows + row] = dot(weights, 0, x, b * columns, columns)
  }
}

/** See DecodeKernels.ffnNeurons. */
function ffnNeurons(
  w: Weights,
  activated: Float32Array,
  x: Float32Array,
  y: Float32Array,
  active: Int32Array,
  shape: FfnShape,
): number {
  const { neurons, width, upWidth = width, batch, gated, maxActive, rowOf } = shape
  const type = weightTypeOf(w)
  const upBytes = gated ? weightBytes(type, upWidth) : 0
  const neuronBytes = upBytes + weightBytes(type, width)
  const into = scratch('row', Math.max(width, upWidth))
  const sums = new Float64Array(batch * width)
  const hidden = new Float64Array(batch)
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
  const skips = count <= maxActive
  for (let neuron = 0; neuron < neurons; neuron++) {
    const index = rowOf?.[neuron] ?? neuron
    if (index < 0 || (skips && anywhere[neuron] === 0)) continue
    for (let b = 0; b < batch; b++) hidden[b] = activated[b * neurons + neuron]
    if (gated) {
      const up = floats(rowsFrom(w, index * neuronBytes), 0, upWidth, into)
      for (let b = 0; b < batch; b++) hidden[b] *= dot(up, 0, x, b * upWidth, upWidth)
    }
    const down = floats(rowsFrom(w, index * neuronBytes + upBytes), 0, width, into)
    for (let b = 0; b < batch; b++) addScaled(sums, b * width, hidden[b], down, 0, width)
  }
  for (let k = 0; k < sums.length; k++) y[k] += sums[k]
  return count
}

/** sums[i + k] += factor · row[j + k], k < n. */
function addScaled(
  sums: Float64Array,
  i: number,
  factor: number,
  row: Float32Array,
  j: number,
  n: number,
): void {
  for (let k = 0; k < n; k++) sums[i + k] += factor * row[j + k]
}

/** See DecodeKernels.attention. */
function attention(
  qkv: Float32Array,
  cos: Float32Array,
  sin: Float32Array,
  cache: CacheType,
  sequences: readonly CachedSequence[],
  out: Float32Array,
  shape: AttentionHeads,
): void {
  const { heads, kvHeads, headDim } = shape
  const [row, width] = [(heads + 2 * kvHeads) * headDim, heads * headDim]
  let first = 0
  for (const sequence of sequences) {
    const { count } = sequence
    const own = qkv.subarray(first * row, (first + count) * row)
    turnAndStore(own, cos, sin, cache, sequence, shape)
    attend(own, cache, sequence, out.subarray(first * width, (first + count) * width), shape)
    first += count
  }
}

/** Turns q and k of one sequence's rows [q | k | v] in place, and stores k and v. */
function turnAndStore(
  rows: Float32Array,
  cos: Float32Array,
  sin: Float32Array,
  cache: CacheType,
  { count, position, segments }: CachedSequence,
  { heads, kvHeads, headDim }: AttentionHeads,
): void {
  const row = (heads + 2 * kvHeads) * headDim
  const half = headDim / 2
  const { keys, values, capacity, start } = segments[segments.length - 1]
  for (let b = 0; b < count; b++) {
    const at = position + b
    const turned = rows.subarray(b * row, (b + 1) * row)
    rope(turned, cos.subarray(at * half), sin.subarray(at * half), turned, 1, 1, heads + kvHeads, headDim)
    for (let head = 0; head < kvHeads; head++) {
      const key = (heads + head) * headDim
      const value = key + kvHeads * headDim
      const to = head * capacity + at - start
      storeCacheRow(cache, keys, to, turned.subarray(key, key + headDim))
      storeCacheRow(cache, values, to, turned.subarray(value, value + headDim))
    }
  }
}

/** out (count, heads·headDim) of one sequence, whose keys and values are all stored. */
function attend(
  rows: Float32Array,
  cache: CacheType,
  { count, position, segments }: CachedSequence,
  out: Float32Array,
  { heads, kvHeads, headDim, scale = 1 / Math.sqrt(headDim), softcap, window }: AttentionHeads,
): void {
  const row = (heads + 2 * kvHeads) * headDim
  const group = heads / kvHeads
  const length = position + count
  const keys = scratch('keys', length * headDim)
  const values = scratch('values', length * headDim)
  const weights = new Float64Array(length)
  const mixed = new Float64Array(headDim)
  for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
    readCacheRows(cache, segments, 'keys', { head: kvHead, headDim, length }, keys)
    readCacheRows(cache, segments, 'values', { head: kvHead, headDim, length }, values)
    for (let b = 0; b < count; b++) {
      const seen = position + b + 1
      const oldest = window === undefined ? 0 : Math.max(0, seen - window)
      for (let head = kvHead * group; head < (kvHead + 1) * group; head++) {
        let largest = Number.NEGATIVE_INFINITY
        for (let t = oldest; t < seen; t++) {
          const score = scale * dot(keys, t * headDim, rows, b * row + head * headDim, headDim)
          weights[t] = softcap === undefined ? score : softcap * Math.tanh(score / softcap)
          largest = Math.max(largest, weights[t])
        }
        let total = 0
        mixed.fill(0)
        for (let t = oldest; t < seen; t++) {
          const weight = Math.exp(weights[t] - largest)
          total += weight
          addScaled(mixed, 0, weight, values, t * headDim, headDim)
        }
        const to = (b * heads + head) * headDim
        for (let c = 0; c < headDim; c++) out[to + c] = mixed[c] / total
      }
    }
  }
}

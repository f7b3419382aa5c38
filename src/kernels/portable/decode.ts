// The decoding kernels in plain TypeScript. Sums run in double precision, in the order of their terms.

import type { CachedAttentionShape, DecodeKernels, FfnShape, Weights } from '../decode.js'
import { rope } from './rope.js'

/** The portable decoding kernels. They run on the calling thread. */
export function portableDecodeKernels(): Omit<DecodeKernels, 'attention'> {
  return { backend: 'portable', isa: 'typescript', matvec, ffnNeurons, cachedAttention }
}

let widened = new Float32Array(0)
let widenedBits = new Uint32Array(widened.buffer)

/** Weights [start, start + n) as f32: a view, or a copy that lasts until the next call. */
function floats(w: Weights, start: number, n: number): Float32Array {
  if ('type' in w) throw new Error('products with quantised weights are being built')
  if (w instanceof Float32Array) return w.subarray(start, start + n)
  if (widened.length < n) {
    widened = new Float32Array(n)
    widenedBits = new Uint32Array(widened.buffer)
  }
  for (let i = 0; i < n; i++) widenedBits[i] = w[start + i] << 16
  return widened
}

function dot(a: Float32Array, x: Float32Array, start: number, n: number): number {
  let sum = 0
  for (let k = 0; k < n; k++) sum += a[k] * x[start + k]
  return sum
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
  for (let row = 0; row < rows; row++) {
    const weights = floats(w, row * columns, columns)
    for (let b = 0; b < batch; b++) {
      const value = dot(weights, x, b * columns, columns) + (bias === null ? 0 : bias[row])
      const at = b * rows + row
      y[at] = accumulate ? y[at] + value : value
    }
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
): void {
  const { neurons, width, batch, gated, sparse } = shape
  const stride = gated ? 2 * width : width
  const sums = new Float64Array(batch * width)
  const hidden = new Float64Array(batch)
  active.fill(0, 0, batch)
  for (let neuron = 0; neuron < neurons; neuron++) {
    let anywhere = false
    for (let b = 0; b < batch; b++) {
      hidden[b] = activated[b * neurons + neuron]
      if (hidden[b] === 0) continue
      anywhere = true
      active[b]++
    }
    if (sparse && !anywhere) continue
    const weights = floats(w, neuron * stride, stride)
    const down = weights.subarray(stride - width, stride)
    for (let b = 0; b < batch; b++) {
      const factor = gated ? hidden[b] * dot(weights, x, b * width, width) : hidden[b]
      for (let k = 0; k < width; k++) sums[b * width + k] += factor * down[k]
    }
  }
  for (let k = 0; k < sums.length; k++) y[k] += sums[k]
}

/** See DecodeKernels.cachedAttention. */
function cachedAttention(
  qkv: Float32Array,
  cos: Float32Array,
  sin: Float32Array,
  keys: Float32Array,
  values: Float32Array,
  out: Float32Array,
  shape: CachedAttentionShape,
): void {
  const { batch, position, capacity, heads, kvHeads, headDim } = shape
  const row = (heads + 2 * kvHeads) * headDim
  const group = heads / kvHeads
  const half = headDim / 2
  const scale = 1 / Math.sqrt(headDim)
  const weights = new Float64Array(position + batch)
  for (let b = 0; b < batch; b++) {
    const at = position + b
    const turned = qkv.subarray(b * row, (b + 1) * row)
    rope(turned, cos.subarray(at * half), sin.subarray(at * half), turned, 1, 1, heads + kvHeads, headDim)
    for (let head = 0; head < kvHeads; head++) {
      const key = (heads + head) * headDim
      const value = key + kvHeads * headDim
      keys.set(turned.subarray(key, key + headDim), (head * capacity + at) * headDim)
      values.set(turned.subarray(value, value + headDim), (head * capacity + at) * headDim)
    }
    for (let head = 0; head < heads; head++) {
      const cache = Math.floor(head / group) * capacity * headDim
      const query = head * headDim
      let largest = Number.NEGATIVE_INFINITY
      for (let t = 0; t <= at; t++) {
        const key = keys.subarray(cache + t * headDim, cache + (t + 1) * headDim)
        weights[t] = scale * dot(key, turned, query, headDim)
        largest = Math.max(largest, weights[t])
      }
      let total = 0
      for (let t = 0; t <= at; t++) {
        weights[t] = Math.exp(weights[t] - largest)
        total += weights[t]
      }
      for (let c = 0; c < headDim; c++) {
        let sum = 0
        for (let t = 0; t <= at; t++) sum += weights[t] * values[cache + t * headDim + c]
        out[b * heads * headDim + query + c] = sum / total
      }
    }
  }
}

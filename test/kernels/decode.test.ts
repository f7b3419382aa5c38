// The decoding kernels of every backend against their definitions written out in f64, and the promise that decoding
// rests on: the same bits for any number of threads, any batch, sparse and dense.

import { afterAll, describe, expect, it } from 'vitest'
import {
  availableDecodeKernels,
  type DecodeKernels,
  defaultThreads,
  setThreads,
  type Weights,
} from '../../src/kernels/index.js'
import { RandomInputs } from './random-inputs.js'

type Dtype = 'f32' | 'bf16'

/** Sums of up to 2,000 f32 terms, as a share of the largest value. */
const TOLERANCE = 1e-5
/** What stands behind the end of each output must stay. */
const GUARD = 123.5

class Inputs extends RandomInputs {
  constructor(seed: number) {
    super(Float32Array, seed)
  }

  floats(n: number, std = 1): Float32Array {
    return Float32Array.from(this.normal(n, { std }))
  }

  /** n weights, and the numbers they stand for. */
  weights(n: number, dtype: Dtype): { stored: Weights; values: Float32Array } {
    const values = this.floats(n)
    if (dtype === 'f32') return { stored: values, values }
    const bits = new Uint32Array(values.buffer)
    const stored = Uint16Array.from(bits, word => word >>> 16)
    for (let i = 0; i < n; i++) bits[i] = stored[i] << 16
    return { stored, values }
  }

  /** Activations of which about `zeros` are exactly 0, of either sign. */
  activated(n: number, zeros: number): Float32Array {
    const uniform = this.integers(n, 1000)
    return this.floats(n).map((x, i) => (uniform[i] < zeros * 1000 ? (i % 2 === 0 ? 0 : -0) : x))
  }
}

function guarded(n: number, initial?: Float32Array): Float32Array {
  const out = new Float32Array(n + 2).fill(GUARD)
  out.set(initial ?? new Float32Array(n).fill(Number.NaN))
  return out
}

function expectClose(actual: Float32Array, expected: number[]): void {
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  // Math.max passes NaN on, so that it is not taken for close.
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(actual[i] - value)), 0)
  expect(worst).toBeLessThanOrEqual(TOLERANCE * largest)
  expect([...actual.subarray(expected.length)]).toEqual(Array(actual.length - expected.length).fill(GUARD))
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}

function dot(a: ArrayLike<number>, aStart: number, b: ArrayLike<number>, bStart: number, n: number): number {
  let sum = 0
  for (let i = 0; i < n; i++) sum += a[aStart + i] * b[bStart + i]
  return sum
}

/** Runs `body` with 1, 2 and 3 threads and returns what it gave each time. */
function withThreads<T>(body: () => T): T[] {
  return [1, 2, 3].map(n => {
    setThreads(n)
    return body()
  })
}

afterAll(() => setThreads(defaultThreads()))

const backends = availableDecodeKernels().map(
  kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const,
)
const dtypes: Dtype[] = ['f32', 'bf16']

describe.each(backends)('matvec, %s', (_, kernels) => {
  const shapes = [
    { rows: 1, columns: 1, batch: 1 },
    { rows: 3, columns: 7, batch: 1 },
    { rows: 4, columns: 16, batch: 2 },
    { rows: 5, columns: 33, batch: 3 },
    { rows: 17, columns: 64, batch: 5 },
    { rows: 9, columns: 31, batch: 8 },
    { rows: 260, columns: 100, batch: 13 },
    { rows: 700, columns: 513, batch: 1 },
  ]
  it.each(shapes.flatMap(shape => dtypes.map(dtype => ({ ...shape, dtype }))))(
    'is y (+)= x · wᵀ: %o',
    ({ rows, columns, batch, dtype }) => {
      const inputs = new Inputs(rows + columns)
      const w = inputs.weights(rows * columns, dtype)
      const x = inputs.floats(batch * columns)
      const before = inputs.floats(batch * rows)
      for (const accumulate of [false, true]) {
        const y = guarded(before.length, accumulate ? before : undefined)
        kernels.matvec(w.stored, x, y, rows, columns, batch, accumulate)
        const expected = Array.from(before, (old, at) => {
          const [b, r] = [Math.floor(at / rows), at % rows]
          return (accumulate ? old : 0) + dot(w.values, r * columns, x, b * columns, columns)
        })
        expectClose(y, expected)
      }
    },
  )

  it('gives the same bits for any number of threads and any cut of the batch', () => {
    const [rows, columns, batch] = [333, 515, 13]
    for (const dtype of dtypes) {
      const inputs = new Inputs(4)
      const { stored } = inputs.weights(rows * columns, dtype)
      const x = inputs.floats(batch * columns)
      const together = withThreads(() => {
        const y = new Float32Array(batch * rows)
        kernels.matvec(stored, x, y, rows, columns, batch, false)
        return y
      })
      const apart = new Float32Array(batch * rows)
      for (let b = 0; b < batch; b++) {
        const y = apart.subarray(b * rows, (b + 1) * rows)
        kernels.matvec(stored, x.subarray(b * columns, (b + 1) * columns), y, rows, columns, 1, false)
      }
      for (const y of together) expect(bitsOf(y)).toEqual(bitsOf(apart))
    }
  })
})

/** One FFN with its inputs; `before` is what the result is added to. */
function ffnCase(shape: {
  neurons: number
  width: number
  batch: number
  gated: boolean
  dtype: Dtype
  zeros: number
}) {
  const { neurons, width, batch, gated, dtype, zeros } = shape
  const inputs = new Inputs(neurons + width)
  return {
    ...shape,
    w: inputs.weights(neurons * width * (gated ? 2 : 1), dtype),
    x: inputs.floats(batch * width),
    activated: inputs.activated(batch * neurons, zeros),
    before: inputs.floats(batch * width),
  }
}
type FfnCase = ReturnType<typeof ffnCase>

const ffnCases = [
  { neurons: 1, width: 1, batch: 1 },
  { neurons: 5, width: 7, batch: 1 },
  { neurons: 64, width: 32, batch: 2 },
  { neurons: 130, width: 50, batch: 3 },
  { neurons: 200, width: 129, batch: 9 },
  { neurons: 4500, width: 9, batch: 1 },
].flatMap(shape =>
  [true, false].flatMap(gated =>
    dtypes.flatMap(dtype => [0, 0.5, 0.95, 1].map(zeros => ffnCase({ ...shape, gated, dtype, zeros }))),
  ),
)

function runFfn(kernels: DecodeKernels, one: FfnCase, sparse: boolean) {
  const y = guarded(one.before.length, one.before)
  const active = new Int32Array(one.batch + 1).fill(-1)
  kernels.ffnNeurons(one.w.stored, one.activated, one.x, y, active, { ...one, sparse })
  return { y, active: [...active] }
}

describe.each(backends)('ffnNeurons, %s', (_, kernels) => {
  it('adds hidden · down of every neuron and counts those that are not 0', () => {
    for (const one of ffnCases) {
      const { neurons, width, batch, gated, w, x, activated, before } = one
      const stride = gated ? 2 * width : width
      const expected = Array.from(before)
      for (let b = 0; b < batch; b++) {
        for (let i = 0; i < neurons; i++) {
          const up = gated ? dot(w.values, i * stride, x, b * width, width) : 1
          const hidden = activated[b * neurons + i] * up
          for (let k = 0; k < width; k++) {
            expected[b * width + k] += hidden * w.values[(i + 1) * stride - width + k]
          }
        }
      }
      const counts = Array.from({ length: batch }, (_, b) => {
        return activated.subarray(b * neurons, (b + 1) * neurons).filter(value => value !== 0).length
      })
      const { y, active } = runFfn(kernels, one, true)
      expectClose(y, expected)
      expect(active).toEqual([...counts, -1])
    }
  })

  it('sparse and dense give the same bits, with any number of threads', () => {
    for (const one of ffnCases) {
      const results = withThreads(() => [true, false].map(sparse => runFfn(kernels, one, sparse))).flat()
      for (const { y, active } of results) {
        expect(bitsOf(y)).toEqual(bitsOf(results[0].y))
        expect(active).toEqual(results[0].active)
      }
    }
  })

  it('a batch gives the same bits as its positions one by one', () => {
    for (const one of ffnCases.filter(({ batch }) => batch > 1)) {
      const { neurons, width, batch, w, x, activated, before } = one
      const apart = guarded(before.length, before)
      for (let b = 0; b < batch; b++) {
        const [wide, tall] = [(n: number) => n * width, (n: number) => n * neurons]
        kernels.ffnNeurons(
          w.stored,
          activated.subarray(tall(b), tall(b + 1)),
          x.subarray(wide(b), wide(b + 1)),
          apart.subarray(wide(b), wide(b + 1)),
          new Int32Array(1),
          { ...one, batch: 1, sparse: true },
        )
      }
      expect(bitsOf(runFfn(kernels, one, true).y)).toEqual(bitsOf(apart))
    }
  })

  it('a neuron that is not a number is not skipped', () => {
    const shape = { neurons: 3, width: 2, batch: 1, gated: false, sparse: true }
    const y = new Float32Array(2)
    const active = new Int32Array(1)
    kernels.ffnNeurons(new Float32Array(6), Float32Array.of(0, Number.NaN, 0), y, y, active, shape)
    expect([...y]).toEqual([Number.NaN, Number.NaN])
    expect(active[0]).toBe(1)
  })
})

interface AttentionCase {
  readonly length: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
}

/** Queries, keys and values of all positions, as rows [q | k | v], and the rotation angles. */
function attentionInputs({ length, heads, kvHeads, headDim }: AttentionCase) {
  const inputs = new Inputs(length + headDim)
  const row = (heads + 2 * kvHeads) * headDim
  const qkv = inputs.floats(length * row)
  const capacity = length + 3
  const { cos, sin } = inputs.angles(capacity, headDim / 2) as { cos: Float32Array; sin: Float32Array }
  return { row, qkv, capacity, cos, sin }
}

/** Attention over `length` positions, in pieces of `batch`; the queries' rows of all positions. */
function runAttention(
  kernels: DecodeKernels,
  one: AttentionCase,
  inputs: ReturnType<typeof attentionInputs>,
  batch: number,
): Float32Array {
  const { length, heads, kvHeads, headDim } = one
  const { row, qkv, capacity, cos, sin } = inputs
  const keys = new Float32Array(kvHeads * capacity * headDim).fill(Number.NaN)
  const values = keys.slice()
  const out = new Float32Array(length * heads * headDim)
  for (let position = 0; position < length; position += batch) {
    const rows = Math.min(batch, length - position)
    kernels.cachedAttention(
      qkv.slice(position * row, (position + rows) * row),
      cos,
      sin,
      keys,
      values,
      out.subarray(position * heads * headDim, (position + rows) * heads * headDim),
      { batch: rows, position, capacity, heads, kvHeads, headDim },
    )
  }
  return out
}

/** softmax(q kᵀ / √headDim) v with rotated q and k, every position from all up to it. */
function attentionByDefinition(one: AttentionCase): number[] {
  const { length, heads, kvHeads, headDim } = one
  const { row, qkv } = attentionInputs(one)
  const half = headDim / 2
  const vector = (t: number, slot: number, turn: boolean) => {
    const start = t * row + slot * headDim
    const x = Array.from(qkv.subarray(start, start + headDim))
    if (!turn) return x
    return x.map((value, i) => {
      const angle = t * 10000 ** -((i % half) / half)
      const partner = i < half ? -x[i + half] : x[i - half]
      return value * Math.cos(angle) + partner * Math.sin(angle)
    })
  }
  const out: number[] = []
  for (let t = 0; t < length; t++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads)
      const q = vector(t, head, true)
      const scores = Array.from({ length: t + 1 }, (_, s) => {
        return Math.exp(dot(q, 0, vector(s, heads + kvHead, true), 0, headDim) / Math.sqrt(headDim))
      })
      const total = scores.reduce((a, b) => a + b)
      const mixed: number[] = Array(headDim).fill(0)
      for (const [s, score] of scores.entries()) {
        for (const [c, value] of vector(s, heads + kvHeads + kvHead, false).entries()) {
          mixed[c] += (score / total) * value
        }
      }
      out.push(...mixed)
    }
  }
  return out
}

describe.each(backends)('cachedAttention, %s', (_, kernels) => {
  const cases: AttentionCase[] = [
    { length: 1, heads: 1, kvHeads: 1, headDim: 2 },
    { length: 9, heads: 4, kvHeads: 2, headDim: 6 },
    { length: 37, heads: 3, kvHeads: 1, headDim: 16 },
    { length: 40, heads: 7, kvHeads: 1, headDim: 10 },
    { length: 33, heads: 2, kvHeads: 2, headDim: 66 },
  ]
  it.each(cases)('is the softmax over all positions up to each: %o', one => {
    const expected = attentionByDefinition(one)
    const inputs = attentionInputs(one)
    for (const batch of [1, 5, one.length]) expectClose(runAttention(kernels, one, inputs, batch), expected)
  })

  it('gives the same bits for any number of threads and any cut into pieces', () => {
    for (const one of [...cases, { length: 120, heads: 4, kvHeads: 4, headDim: 32 }]) {
      const inputs = attentionInputs(one)
      const run = (batch: number) => runAttention(kernels, one, inputs, batch)
      const results = withThreads(() => [1, 6, one.length].map(run)).flat()
      for (const out of results) expect(bitsOf(out)).toEqual(bitsOf(results[0]))
    }
  })
})

describe.each(backends.filter(([, kernels]) => kernels.backend === 'native'))(
  'the door to %s',
  (_, kernels) => {
    it('refuses buffers that are too short, and types that are not weights', () => {
      const [short, x] = [new Float32Array(5), new Float32Array(8)]
      expect(() => kernels.matvec(short, x, x, 2, 3, 1, false)).toThrow(RangeError)
      expect(() => kernels.matvec(new Uint16Array(5), x, x, 2, 3, 1, false)).toThrow(RangeError)
      expect(() => kernels.matvec(new Int32Array(6) as unknown as Weights, x, x, 2, 3, 1, false)).toThrow(
        RangeError,
      )
      const shape = { neurons: 3, width: 2, batch: 1, gated: true, sparse: true }
      expect(() => kernels.ffnNeurons(new Float32Array(11), x, x, x, new Int32Array(1), shape)).toThrow(
        RangeError,
      )
      expect(() => kernels.ffnNeurons(new Float32Array(12), x, x, x, new Int32Array(0), shape)).toThrow(
        RangeError,
      )
      const attention = { batch: 1, position: 3, capacity: 3, heads: 1, kvHeads: 1, headDim: 2 }
      const call = (change: object) => () =>
        kernels.cachedAttention(x, x, x, x, x, x, { ...attention, ...change })
      expect(call({})).toThrow(RangeError)
      expect(call({ capacity: 4, kvHeads: 0 })).toThrow(RangeError)
      expect(call({ capacity: 4, headDim: 3 })).toThrow(RangeError)
      expect(call({ capacity: 5 })).toThrow(RangeError)
      expect(call({ capacity: 4 })).not.toThrow()
    })
  },
)

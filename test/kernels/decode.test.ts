// matvec and ffnNeurons of every backend against their definitions written out in f64, and the promise that decoding
// rests on: the same bits for any number of threads, any cut of the batch, sparse and dense.

import { afterAll, describe, expect, it } from 'vitest'
import {
  type DecodeKernels,
  defaultThreads,
  setThreads,
  type Weights,
  type WeightType,
} from '../../src/kernels/index.js'
import {
  backends,
  dot,
  expectClose,
  expectSameBits,
  guarded,
  Inputs,
  weightTypes,
  withThreads,
} from './decode-inputs.js'

afterAll(() => setThreads(defaultThreads()))

describe.each(backends)('matvec, %s', (_, kernels) => {
  // Columns around the vectors, groups and units of every type; batches for one position, few and many.
  const shapes = [
    { rows: 1, columns: 1, batch: 1 },
    { rows: 3, columns: 7, batch: 1 },
    { rows: 5, columns: 31, batch: 2 },
    { rows: 4, columns: 32, batch: 1 },
    { rows: 6, columns: 33, batch: 3 },
    { rows: 17, columns: 64, batch: 5 },
    { rows: 9, columns: 65, batch: 7 },
    { rows: 13, columns: 127, batch: 8 },
    { rows: 13, columns: 128, batch: 15 },
    { rows: 14, columns: 129, batch: 16 },
    { rows: 11, columns: 100, batch: 17 },
    { rows: 3, columns: 1, batch: 40 },
    { rows: 130, columns: 161, batch: 40 },
    { rows: 300, columns: 1100, batch: 1 },
    { rows: 21, columns: 650, batch: 7 },
    { rows: 30, columns: 1100, batch: 33 },
  ]
  it.each(weightTypes)('is y (+)= x · wᵀ + bias: %s', type => {
    for (const { rows, columns, batch } of shapes) {
      const inputs = new Inputs(rows + columns)
      const w = inputs.weights(rows, columns, type)
      const x = inputs.floats(batch * columns)
      const before = inputs.floats(batch * rows)
      for (const [accumulate, bias] of [
        [false, null],
        [true, null],
        [false, inputs.floats(rows)],
        [true, inputs.floats(rows)],
      ] as const) {
        const y = guarded(before.length, accumulate ? before : undefined)
        kernels.matvec(w.stored, x, y, rows, columns, batch, accumulate, bias)
        const expected = Float64Array.from(before, (old, at) => {
          const [b, r] = [Math.floor(at / rows), at % rows]
          const value = dot(w.values, r * columns, x, b * columns, columns) + (bias?.[r] ?? 0)
          return accumulate ? old + value : value
        })
        expectClose(y, expected)
      }
    }
  })

  it.each(weightTypes)('gives the same bits for any number of threads and any cut of the batch: %s', type => {
    for (const [rows, columns, batch] of [
      [61, 515, 40],
      [7, 33, 9],
      // More positions than are packed at a time.
      [5, 8000, 50],
    ]) {
      const inputs = new Inputs(4)
      const { stored } = inputs.weights(rows, columns, type)
      const x = inputs.floats(batch * columns)
      const run = (cut: number) => {
        const y = new Float32Array(batch * rows)
        for (let b = 0; b < batch; b += cut) {
          const count = Math.min(cut, batch - b)
          const positions = x.subarray(b * columns, (b + count) * columns)
          kernels.matvec(stored, positions, y.subarray(b * rows), rows, columns, count, false)
        }
        return y
      }
      const apart = run(1)
      const cuts = columns > 1000 ? [30] : [2, 3, 5, 6, 7, 8, 11, 13, 16, 17]
      for (const y of [...withThreads(() => run(batch)), ...cuts.map(run)]) expectSameBits(y, apart)
    }
  })
})

/** One FFN with its inputs; `before` is what the result is added to. */
function ffnCase(shape: {
  neurons: number
  width: number
  batch: number
  gated: boolean
  type: WeightType
  zeros: number
}) {
  const { neurons, width, batch, gated, type, zeros } = shape
  const inputs = new Inputs(neurons + width)
  return {
    ...shape,
    w: inputs.weights(neurons * (gated ? 2 : 1), width, type),
    x: inputs.floats(batch * width),
    activated: inputs.activated(batch * neurons, zeros),
    before: inputs.floats(batch * width),
  }
}
type FfnCase = ReturnType<typeof ffnCase>

const ffnShapes = [
  { neurons: 1, width: 1, batch: 1 },
  { neurons: 5, width: 7, batch: 1 },
  { neurons: 70, width: 33, batch: 2 },
  { neurons: 130, width: 50, batch: 7 },
  { neurons: 99, width: 129, batch: 13 },
  { neurons: 67, width: 161, batch: 16 },
  { neurons: 75, width: 65, batch: 29 },
  { neurons: 4500, width: 9, batch: 1 },
]
function ffnCases(type: WeightType): FfnCase[] {
  return ffnShapes.flatMap(shape =>
    [true, false].flatMap(gated => [0, 0.5, 0.95, 1].map(zeros => ffnCase({ ...shape, gated, type, zeros }))),
  )
}

function runFfn(kernels: DecodeKernels, one: FfnCase, sparse: boolean) {
  const y = guarded(one.before.length, one.before)
  const active = new Int32Array(one.batch + 1).fill(-1)
  kernels.ffnNeurons(one.w.stored, one.activated, one.x, y, active, {
    ...one,
    maxActive: sparse ? one.neurons : 0,
  })
  return { y, active: [...active] }
}

/** What is left when the result is computed in pieces of `cut` positions. */
function runFfnInPieces(kernels: DecodeKernels, one: FfnCase, cut: number): Float32Array {
  const { neurons, width, batch, w, x, activated, before } = one
  const y = guarded(before.length, before)
  for (let b = 0; b < batch; b += cut) {
    const count = Math.min(cut, batch - b)
    kernels.ffnNeurons(
      w.stored,
      activated.subarray(b * neurons, (b + count) * neurons),
      x.subarray(b * width, (b + count) * width),
      y.subarray(b * width, (b + count) * width),
      new Int32Array(count),
      { ...one, batch: count, maxActive: neurons },
    )
  }
  return y
}

describe.each(backends)('ffnNeurons, %s', (_, kernels) => {
  it.each(weightTypes)('adds hidden · down of every neuron and counts those that are not 0: %s', type => {
    for (const one of ffnCases(type)) {
      const { neurons, width, batch, gated, w, x, activated, before } = one
      const stride = gated ? 2 * width : width
      const expected = Float64Array.from(before)
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

  it.each(weightTypes)('sparse and dense give the same bits, with any number of threads: %s', type => {
    for (const one of ffnCases(type)) {
      const results = withThreads(() => [true, false].map(sparse => runFfn(kernels, one, sparse))).flat()
      for (const { y, active } of results) {
        expectSameBits(y, results[0].y)
        expect(active).toEqual(results[0].active)
      }
    }
  })

  it.each(weightTypes)('a batch gives the same bits as its positions one by one: %s', type => {
    for (const one of ffnCases(type).filter(({ batch }) => batch > 1)) {
      const apart = runFfnInPieces(kernels, one, 1)
      for (const cut of [2, 5, 8, 9, 16, 17]) expectSameBits(runFfnInPieces(kernels, one, cut), apart)
      expectSameBits(runFfn(kernels, one, true).y, apart)
    }
  })

  it('hundreds of positions give the same bits as each alone', () => {
    for (const gated of [true, false]) {
      const shape = { neurons: 70, width: 40, batch: 300, gated, type: 'bf16', zeros: 0.5 } as const
      const one = ffnCase(shape)
      expectSameBits(runFfn(kernels, one, true).y, runFfnInPieces(kernels, one, 1))
    }
  })

  it('counts the neurons that are active anywhere, and skips the others up to a limit', () => {
    // 0 and 1 are active at the first position, 0 and 2 at the second. A row that is not skipped shows: 0 · ∞ is no number.
    const activated = Float32Array.of(1, 2, 0, 0, 0, -1, 0, 3, 0, 0)
    const w = Float32Array.of(1, 1, 1, Number.POSITIVE_INFINITY, 1)
    for (const [maxActive, skips] of [
      [3, true],
      [2, false],
      [5, true],
      [0, false],
    ] as const) {
      const [y, active] = [new Float32Array(2), new Int32Array(2)]
      const shape = { neurons: 5, width: 1, batch: 2, gated: false, maxActive }
      expect(kernels.ffnNeurons(w, activated, y, y, active, shape)).toBe(3)
      expect([...active]).toEqual([2, 2])
      expect([...y]).toEqual(skips ? [3, 2] : [Number.NaN, Number.NaN])
    }
  })

  it('a neuron that is not a number is not skipped', () => {
    const shape = { neurons: 3, width: 2, batch: 1, gated: false, maxActive: 3 }
    const y = new Float32Array(2)
    const active = new Int32Array(1)
    kernels.ffnNeurons(new Float32Array(6), Float32Array.of(0, Number.NaN, 0), y, y, active, shape)
    expect([...y]).toEqual([Number.NaN, Number.NaN])
    expect(active[0]).toBe(1)
  })
})

describe.each(backends.filter(([, kernels]) => kernels.backend === 'native'))(
  'the arguments of decoding, %s',
  (_, kernels) => {
    it('refuses buffers that are too short, and types that are not weights', () => {
      const [short, x] = [new Float32Array(5), new Float32Array(8)]
      const matvec = (w: Weights, bias?: Float32Array) => () => kernels.matvec(w, x, x, 2, 3, 1, false, bias)
      expect(matvec(short)).toThrow(RangeError)
      expect(matvec(new Uint16Array(5))).toThrow(RangeError)
      expect(matvec(new Int32Array(6) as unknown as Weights)).toThrow(RangeError)
      expect(matvec({ type: 'q8_0', data: new Uint8Array(2 * 128 - 1) })).toThrow(RangeError)
      expect(matvec({ type: 'q4_0', data: new Uint8Array(2 * 128 - 1) })).toThrow(RangeError)
      expect(matvec({ type: 'q5' as 'q4_0', data: new Uint8Array(500) })).toThrow(RangeError)
      expect(matvec({ type: 'q4_0', data: new Uint8Array(2 * 128) })).not.toThrow()
      expect(matvec(new Float32Array(6), new Float32Array(1))).toThrow(RangeError)
      const shape = { neurons: 3, width: 2, batch: 1, gated: true, maxActive: 3 }
      const ffn = (w: Weights, active: number) => () =>
        kernels.ffnNeurons(w, x, x, x, new Int32Array(active), shape)
      expect(ffn(new Float32Array(11), 1)).toThrow(RangeError)
      expect(ffn(new Float32Array(12), 0)).toThrow(RangeError)
      expect(ffn({ type: 'q8_0', data: new Uint8Array(6 * 128 - 1) }, 1)).toThrow(RangeError)
      expect(ffn(new Float32Array(12), 1)).not.toThrow()
    })
  },
)

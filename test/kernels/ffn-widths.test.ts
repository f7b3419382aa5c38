// Neurons whose up rows have another width than their down columns, as a Spark FFN has them: the definition, and the
// same bits however the work is cut.

import { afterAll, describe, expect, it } from 'vitest'
import {
  allocateRows,
  type DecodeKernels,
  defaultThreads,
  readRow,
  rowsFrom,
  setThreads,
  storeRow,
  type Weights,
  type WeightType,
  weightBytes,
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

const shapes = [
  { neurons: 1, width: 2, upWidth: 1, batch: 1 },
  { neurons: 66, width: 33, upWidth: 65, batch: 1 },
  { neurons: 70, width: 130, upWidth: 17, batch: 1 },
  { neurons: 130, width: 50, upWidth: 31, batch: 5 },
  { neurons: 75, width: 300, upWidth: 129, batch: 29 },
]
type Shape = (typeof shapes)[number]

/** Neurons of each width, the numbers they stand for as rows [up | down], and everything else that goes in. */
function ffnCase(shape: Shape, type: WeightType, zeros: number) {
  const { neurons, width, upWidth, batch } = shape
  const inputs = new Inputs(neurons + width)
  const [up, down] = [weightBytes(type, upWidth), weightBytes(type, width)]
  const stored: Weights = allocateRows(type, neurons * (up + down))
  const values = inputs.floats(neurons * (upWidth + width))
  for (let i = 0; i < neurons; i++) {
    for (const [place, first, count] of [
      [i * (up + down), i * (upWidth + width), upWidth],
      [i * (up + down) + up, i * (upWidth + width) + upWidth, width],
    ]) {
      const row = values.subarray(first, first + count)
      storeRow(rowsFrom(stored, place), 0, row)
      readRow(rowsFrom(stored, place), 0, row)
    }
  }
  return {
    ...shape,
    stored,
    values,
    x: inputs.floats(batch * upWidth),
    activated: inputs.activated(batch * neurons, zeros),
    before: inputs.floats(batch * width),
  }
}
type FfnCase = ReturnType<typeof ffnCase>

const casesOf = (type: WeightType) =>
  shapes.flatMap(shape => [0, 0.6, 0.95].map(zeros => ffnCase(shape, type, zeros)))

/** The result, computed in pieces of `cut` positions. */
function run(kernels: DecodeKernels, one: FfnCase, sparse: boolean, cut = one.batch): Float32Array {
  const { neurons, width, upWidth, batch, activated, x } = one
  const y = guarded(one.before.length, one.before)
  for (let b = 0; b < batch; b += cut) {
    const count = Math.min(cut, batch - b)
    const part = <T extends Float32Array>(of: T, n: number) => of.subarray(b * n, (b + count) * n)
    const shape = { neurons, width, upWidth, batch: count, gated: true, maxActive: sparse ? neurons : 0 }
    const active = new Int32Array(count)
    kernels.ffnNeurons(one.stored, part(activated, neurons), part(x, upWidth), part(y, width), active, shape)
  }
  return y
}

afterAll(() => setThreads(defaultThreads()))

describe.each(backends)('up rows of another width, %s', (_, kernels) => {
  it.each(weightTypes)('hidden · down of every neuron, hidden being activated · (up · x): %s', type => {
    for (const one of casesOf(type)) {
      const { neurons, width, upWidth, batch, values, x, activated, before } = one
      const expected = Float64Array.from(before)
      for (let b = 0; b < batch; b++) {
        for (let i = 0; i < neurons; i++) {
          const at = i * (upWidth + width)
          const hidden = activated[b * neurons + i] * dot(values, at, x, b * upWidth, upWidth)
          for (let k = 0; k < width; k++) expected[b * width + k] += hidden * values[at + upWidth + k]
        }
      }
      expectClose(run(kernels, one, true), expected)
    }
  })

  it.each(weightTypes)('sparse, dense, any threads, any cut of the batch: the same bits: %s', type => {
    for (const one of casesOf(type)) {
      const apart = run(kernels, one, true, 1)
      for (const y of withThreads(() => [true, false].map(sparse => run(kernels, one, sparse))).flat()) {
        expectSameBits(y, apart)
      }
      for (const cut of [2, 5, 17]) expectSameBits(run(kernels, one, true, cut), apart)
    }
  })
})

describe.each(backends.filter(([, { backend }]) => backend === 'native'))('%s', (_, kernels) => {
  it('refuses buffers that are too short for both widths', () => {
    const one = ffnCase({ neurons: 4, width: 6, upWidth: 40, batch: 1 }, 'q8_0', 0)
    const run = (changes: Partial<FfnCase>) => {
      const { stored, activated, x, before } = { ...one, ...changes }
      const { neurons, width, upWidth } = one
      const shape = { neurons, width, upWidth, batch: 1, gated: true, maxActive: neurons }
      kernels.ffnNeurons(stored, activated, x, before, new Int32Array(1), shape)
    }
    run({})
    expect(() => run({ x: one.x.subarray(1) })).toThrow(/has 39 elements, needs/)
    const data = 'data' in one.stored ? one.stored.data.subarray(1) : new Uint8Array(0)
    expect(() => run({ stored: { type: 'q8_0', data } })).toThrow(
      /argument 0 \(w\) has \d+ elements, needs \d+/,
    )
  })
})

// The FFN where few neurons are active: skipped blocks, positions that need different neurons, and neurons of which only
// some are stored. All of it the same bits as everything computed.

import { afterAll, describe, expect, it } from 'vitest'
import {
  allocateWeights,
  bytesOf,
  type DecodeKernels,
  defaultThreads,
  type FfnShape,
  setThreads,
  type Weights,
  weightBytes,
} from '../../src/kernels/index.js'
import { backends, expectSameBits, Inputs, weightTypes, withThreads } from './decode-inputs.js'

afterAll(() => setThreads(defaultThreads()))

const [neurons, width] = [1900, 45]

function run(
  kernels: DecodeKernels,
  w: Weights,
  { activated, x, before }: ReturnType<typeof inputsOf>,
  shape: Omit<FfnShape, 'neurons' | 'width'>,
) {
  const y = before.slice()
  const active = new Int32Array(shape.batch)
  kernels.ffnNeurons(w, activated, x, y, active, { neurons, width, ...shape })
  return { y, active: [...active] }
}

function inputsOf(batch: number, activeAt: (neuron: number, position: number) => boolean) {
  const inputs = new Inputs(batch)
  const activated = inputs.floats(batch * neurons).map((value, at) => {
    return activeAt(at % neurons, Math.floor(at / neurons)) ? value : at % 3 === 0 ? -0 : 0
  })
  return { activated, x: inputs.floats(batch * width), before: inputs.floats(batch * width) }
}

/** Which neurons fire. */
const patterns: Record<string, (neuron: number, position: number) => boolean> = {
  none: () => false,
  one: neuron => neuron === 1234,
  'one block': neuron => neuron >= 640 && neuron < 700,
  'the ends': neuron => neuron < 3 || neuron > 1895,
  'every 40th': neuron => neuron % 40 === 7,
  'others at every position': (neuron, position) => (neuron * 7 + position * 131) % 17 === 0,
  'the same at every position': neuron => neuron % 11 === 0,
  'nothing at some positions': (neuron, position) => position % 3 === 1 && neuron % 9 === 0,
}

describe.each(backends)('few active neurons, %s', (_, kernels) => {
  it.each(weightTypes)('give the bits of all of them, with any number of threads: %s', type => {
    for (const gated of [true, false]) {
      const w = new Inputs(3).weights(neurons * (gated ? 2 : 1), width, type).stored
      for (const batch of [1, 2, 5, 16, 19]) {
        for (const pattern of Object.values(patterns)) {
          const inputs = inputsOf(batch, pattern)
          const dense = run(kernels, w, inputs, { batch, gated, maxActive: 0 })
          for (const { y, active } of withThreads(() =>
            run(kernels, w, inputs, { batch, gated, maxActive: neurons }),
          )) {
            expectSameBits(y, dense.y)
            expect(active).toEqual(dense.active)
          }
        }
      }
    }
  })

  it.each(weightTypes)('need not be stored where they never fire: %s', type => {
    for (const gated of [true, false]) {
      const rows = gated ? 2 : 1
      const full = new Inputs(5).weights(neurons * rows, width, type).stored
      const stored = Int32Array.from({ length: neurons }, (_, i) => i).filter(i => i % 5 === 2 || i > 1700)
      const few = allocateWeights(type, stored.length * rows, width)
      const places = new Int32Array(neurons).fill(-1)
      const bytes = weightBytes(type, width) * rows
      for (const [i, neuron] of stored.entries()) {
        // In another order than they are numbered.
        const place = (i * 13) % stored.length
        places[neuron] = place
        bytesOf(few).set(bytesOf(full).subarray(neuron * bytes, (neuron + 1) * bytes), place * bytes)
      }
      for (const batch of [1, 3, 18]) {
        for (const [share, maxActive] of [
          [0.05, neurons],
          [0.9, neurons],
          [0.9, 0],
        ] as const) {
          const inputs = inputsOf(
            batch,
            (neuron, b) => places[neuron] >= 0 && ((neuron * 31 + b * 17) % 100) / 100 < share,
          )
          const whole = run(kernels, full, inputs, { batch, gated, maxActive })
          const part = run(kernels, few, inputs, { batch, gated, maxActive, rowOf: places })
          expectSameBits(part.y, whole.y)
          expect(part.active).toEqual(whole.active)
        }
      }
    }
  })
})

describe.runIf(backends.length > 1)('places', () => {
  const [, kernels] = backends.at(-1) as (typeof backends)[number]
  const w = new Inputs(1).weights(10, width, 'f32').stored
  const inputs = inputsOf(1, () => false)

  it.each([
    ['beyond the weights', 10],
    ['below −1', -2],
  ])('%s are refused', (_, place) => {
    const places = new Int32Array(neurons).fill(-1)
    places[77] = place
    expect(() =>
      run(kernels, w, inputs, { batch: 1, gated: false, maxActive: neurons, rowOf: places }),
    ).toThrow(RangeError)
  })
})

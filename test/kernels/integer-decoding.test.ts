// Quantized weights times hidden states in integers of 16 bits: products in f64 within the rounding, the bits of the portable
// implementation on every instruction set, and the extremes, where nothing may overflow.

import { afterAll, describe, expect, it } from 'vitest'
import {
  allocateWeights,
  availableDecodeKernels,
  bytesOf,
  type DecodeKernels,
  defaultThreads,
  type FfnShape,
  isKQuant,
  setThreads,
  storeRow,
  type Weights,
} from '../../src/kernels/index.js'
import { quantizePosition } from '../../src/kernels/portable/integer-decoding.js'
import { putScaleAndMin, SUPER_BLOCK_BYTES } from '../../src/kernels/weights/k-quants.js'
import { dot, expectClose, expectSameBits, guarded, Inputs, withThreads } from './decode-inputs.js'

afterAll(() => setThreads(defaultThreads()))

const backends = availableDecodeKernels('int16').map(
  kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const,
)
const [[, portable], ...compiled] = backends
const types = ['q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k'] as const

/** Columns around groups, units, chunks and vectors; one position, few and more than are computed together. */
const shapes = [
  [1, 1, 1],
  [3, 7, 1],
  [5, 32, 2],
  [6, 33, 3],
  [4, 65, 1],
  [17, 127, 5],
  [9, 128, 1],
  [13, 129, 8],
  [7, 256, 1],
  [11, 257, 2],
  [130, 300, 1],
  [10, 1100, 9],
  [3, 260, 70],
] as const

describe('a position as integers', () => {
  it('is a multiple of the largest magnitude / 32767 in each group, off by at most half a step', () => {
    const x = new Inputs(1).floats(100, 3)
    const { values, scales } = quantizePosition(x, 0, 100)
    expect(scales).toHaveLength(4)
    for (const [k, value] of x.entries()) {
      const scale = scales[k >> 5]
      const largest = Math.max(...x.subarray(k & ~31, (k & ~31) + 32).map(Math.abs))
      expect(scale).toBe(Math.fround(largest / 32767))
      // Half a step, and what the division and the product lose to rounding.
      expect(Math.abs(values[k] * scale - value)).toBeLessThanOrEqual(scale * (0.5 + 32767 * 2 ** -22))
    }
  })

  it('ties go to the even integer, the extremes to 32767, and values too small for a step to 0', () => {
    const x = new Float32Array(64)
    x.set([32767, -32767, 0.5, 1.5, -2.5])
    x[32] = 2 ** -140
    const { values, scales } = quantizePosition(x, 0, 64)
    expect([...values.subarray(0, 5)]).toEqual([32767, -32767, 0, 2, -2])
    expect([...scales]).toEqual([1, 0])
    expect(values[32]).toBe(0)
  })
})

describe.each(compiled)('the bits of the portable kernels, with any number of threads: %s', (_, kernels) => {
  it.each(types)('matvec and selectedRows: %s', type => {
    for (const [rows, columns, batch] of shapes) {
      const inputs = new Inputs(rows + columns)
      const { stored } = inputs.weights(rows, columns, type)
      const x = inputs.floats(batch * columns)
      const before = inputs.floats(batch * rows)
      const chosen = inputs.activated(batch * rows, 0.7)
      const bias = inputs.floats(rows)
      const runs: ((own: DecodeKernels, y: Float32Array) => void)[] = [
        (own, y) => own.matvec(stored, x, y, rows, columns, batch, false),
        (own, y) => own.matvec(stored, x, y, rows, columns, batch, true, bias),
        (own, y) => own.selectedRows(stored, chosen, x, y, rows, columns, batch),
      ]
      for (const run of runs) {
        const expected = guarded(before.length, before)
        run(portable, expected)
        const results = withThreads(() => {
          const y = guarded(before.length, before)
          run(kernels, y)
          return y
        })
        for (const y of results) expectSameBits(y, expected)
      }
    }
  })

  it.each(types)('ffnNeurons, sparse and dense: %s', type => {
    for (const one of ffnCases(type)) {
      const expected = runFfn(portable, one)
      for (const maxActive of [0, one.neurons]) {
        for (const { y, active } of withThreads(() => runFfn(kernels, one, maxActive))) {
          expectSameBits(y, expected.y)
          expect(active).toEqual(expected.active)
        }
      }
    }
  })
})

describe.each(backends)('matvec with int16, %s', (_, kernels) => {
  it.each(types)('is within the rounding of the position of x · wᵀ: %s', type => {
    const [rows, columns, batch] = [40, 700, 3]
    const inputs = new Inputs(5)
    const w = inputs.weights(rows, columns, type)
    const x = inputs.floats(batch * columns)
    const y = guarded(batch * rows)
    kernels.matvec(w.stored, x, y, rows, columns, batch, false)
    const exact = Float64Array.from({ length: batch * rows }, (_, at) =>
      dot(w.values, (at % rows) * columns, x, Math.floor(at / rows) * columns, columns),
    )
    expectClose(y, exact, 1e-4)
    expect([...y.subarray(0, 3)]).not.toEqual([...Float32Array.from(exact.subarray(0, 3))])
  })

  it.each(types)('gives a position the same bits alone and among others: %s', type => {
    const [rows, columns, batch] = [9, 515, 150]
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
    for (const cut of [2, 3, 8, 150]) expectSameBits(run(cut), run(1))
  })

  it.each(types)('does not overflow where every product is the largest: %s', type => {
    const columns = 1024
    for (const sign of [1, -1]) {
      const { w, code } = constantRows(type, 4, columns, sign)
      for (const batch of [1, 3]) {
        const x = new Float32Array(batch * columns).fill(32767)
        const y = new Float32Array(batch * 4)
        kernels.matvec(w, x, y, 4, columns, batch, false)
        const value = columns * code * 32767
        // Eight sums of 4 groups each, rounded to f32.
        for (const actual of y) expect(Math.abs(actual / value - 1)).toBeLessThan(2 ** -18)
      }
    }
  })

  it('what is not finite makes the result not a number, and only in its own position', () => {
    const { w } = constantRows('q8_0', 3, 70, 1)
    for (const strange of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const x = new Float32Array(2 * 70).fill(1)
      x[69] = strange
      const y = new Float32Array(6)
      kernels.matvec(w, x, y, 3, 70, 2, false)
      expect([...y].map(Number.isNaN)).toEqual([true, true, true, false, false, false])
    }
  })
})

/**
 * Rows whose codes are all of largest magnitude and whose scales too: 127 or −127, −8 or 7 with a scale of 1; of K-quants
 * 15 or 31 · 63 or, with the other sign, minimums of 63, and −32 or 31 · −128. `code`: their mean.
 */
function constantRows(
  type: (typeof types)[number],
  rows: number,
  columns: number,
  sign: number,
): { readonly w: Weights; readonly code: number } {
  const w = allocateWeights(type, rows, columns)
  if (!isKQuant(type)) {
    const values = new Float32Array(columns).fill(type === 'q8_0' ? 127 * sign : sign > 0 ? -8 : 7)
    // The group's extreme decides the scale of q4_0: −8 · 1.
    if (type === 'q4_0' && sign < 0) for (let k = 0; k < columns; k += 32) values[k] = -8
    for (let row = 0; row < rows; row++) storeRow(w, row, values)
    return { w, code: type === 'q8_0' ? 127 * sign : sign > 0 ? -8 : (31 * 7 - 8) / 32 }
  }
  const bytes = bytesOf(w)
  const one = [0, 0x3c]
  for (let at = 0; at < bytes.length; at += SUPER_BLOCK_BYTES[type]) {
    const block = bytes.subarray(at, at + SUPER_BLOCK_BYTES[type])
    if (type === 'q6_k') {
      block
        .fill(sign > 0 ? 0 : 255, 0, 192)
        .fill(-128, 192, 208)
        .set(one, 208)
      continue
    }
    block.fill(sign > 0 ? 255 : 0, 16).set([...one, ...one])
    for (let g = 0; g < 8; g++) putScaleAndMin(block, 4, g, sign > 0 ? 63 : 0, sign > 0 ? 0 : 63)
  }
  const codes = { q4_k: [-63, 63 * 15], q5_k: [-63, 63 * 31], q6_k: [31 * -128, 32 * 128] }
  return { w, code: codes[type][sign > 0 ? 1 : 0] }
}

const ffnShapes = [
  [1, 1, 1],
  [5, 7, 1],
  [70, 33, 2],
  [130, 50, 7],
  [99, 129, 13],
  [67, 257, 1],
  [75, 65, 29],
  [70, 40, 70],
  [1700, 20, 2],
] as const

interface FfnCase extends FfnShape {
  readonly w: Weights
  readonly activated: Float32Array
  readonly x: Float32Array
  readonly before: Float32Array
}

function ffnCases(type: (typeof types)[number]): FfnCase[] {
  return ffnShapes.flatMap(([neurons, width, batch]) =>
    [true, false].flatMap(gated =>
      [0, 0.6, 0.95, 1].map(zeros => {
        const inputs = new Inputs(neurons + width)
        return {
          ...{ neurons, width, batch, gated, maxActive: neurons },
          w: inputs.weights(neurons * (gated ? 2 : 1), width, type).stored,
          x: inputs.floats(batch * width),
          activated: inputs.activated(batch * neurons, zeros),
          before: inputs.floats(batch * width),
        }
      }),
    ),
  )
}

function runFfn(kernels: DecodeKernels, one: FfnCase, maxActive = one.maxActive) {
  const y = guarded(one.before.length, one.before)
  const active = new Int32Array(one.batch)
  const anywhere = kernels.ffnNeurons(one.w, one.activated, one.x, y, active, { ...one, maxActive })
  return { y, active: [...active, anywhere] }
}

describe.each(backends)('ffnNeurons with int16, %s', (_, kernels) => {
  it.each(types)('is within the rounding of hidden values of the f32 kernels: %s', type => {
    const [f32] = availableDecodeKernels()
    for (const one of ffnCases(type)) {
      const exact = runFfn(f32, one).y
      expectClose(runFfn(kernels, one).y, exact.subarray(0, one.before.length), 2e-4)
    }
  })

  it.each(types)('a batch gives the same bits as its positions one by one: %s', type => {
    for (const one of ffnCases(type).filter(({ batch }) => batch > 1)) {
      const { neurons, width, batch } = one
      const y = guarded(one.before.length, one.before)
      for (let b = 0; b < batch; b++) {
        const of = (values: Float32Array, n: number) => values.subarray(b * n, (b + 1) * n)
        const [activated, x] = [of(one.activated, neurons), of(one.x, width)]
        kernels.ffnNeurons(one.w, activated, x, of(y, width), new Int32Array(1), { ...one, batch: 1 })
      }
      expectSameBits(runFfn(kernels, one).y, y)
    }
  })

  it.each(types)('neurons that are stored nowhere or elsewhere: %s', type => {
    const [neurons, width] = [200, 70]
    for (const batch of [1, 3]) {
      const inputs = new Inputs(9)
      const stored = 50
      const rowOf = Int32Array.from({ length: neurons }, (_, i) =>
        i % 4 === 1 ? ((i >> 2) * 7) % stored : -1,
      )
      const activated = inputs.activated(batch * neurons, 0.3)
      for (let at = 0; at < activated.length; at++) if (rowOf[at % neurons] < 0) activated[at] = 0
      const one = {
        ...{ neurons, width, batch, gated: true, maxActive: neurons, rowOf, activated },
        w: inputs.weights(stored * 2, width, type).stored,
        x: inputs.floats(batch * width),
        before: inputs.floats(batch * width),
      }
      const expected = runFfn(portable, one)
      for (const maxActive of [0, neurons]) expectSameBits(runFfn(kernels, one, maxActive).y, expected.y)
    }
  })

  it.each(types)('does not overflow where every product is the largest: %s', type => {
    const [neurons, width] = [6144, 40]
    const { w, code } = constantRows(type, neurons, width, 1)
    for (const batch of [1, 2]) {
      const activated = new Float32Array(batch * neurons).fill(1)
      const y = new Float32Array(batch * width)
      const shape = { neurons, width, batch, gated: false, maxActive: 0 }
      kernels.ffnNeurons(w, activated, y, y, new Int32Array(batch), shape)
      for (const actual of y) expect(Math.abs(actual / (neurons * code) - 1)).toBeLessThan(2 ** -18)
    }
  })
})

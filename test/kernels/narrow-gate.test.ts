// The narrow gate of every backend against the full matrix product: what it proves inactive must be inactive in the
// rounded result, and everything else must be the same bits.

import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import {
  availableDecodeKernels,
  type DecodeKernels,
  defaultThreads,
  NARROW_BLOCK,
  type NarrowGateOptions,
  narrowGateKernelsOf,
  setThreads,
  type Weights,
} from '../../src/kernels/index.js'
import { Purpose, philox4x32, uniform24 } from '../../src/kernels/philox.js'
import { narrowFloat16, widenFloat16 } from '../../src/kernels/weights/half.js'
import { roundedDown, roundedUp } from '../../src/kernels/weights/narrow-index.js'
import { RandomInputs } from './random-inputs.js'

afterAll(() => setThreads(defaultThreads()))

const backends = availableDecodeKernels().map(
  kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const,
)

class Inputs extends RandomInputs {
  constructor(seed: number) {
    super(Float32Array, seed)
  }
  floats(n: number, std = 1): Float32Array {
    return Float32Array.from(this.normal(n, { std }))
  }
}

function bf16(values: Float32Array): Uint16Array {
  return Uint16Array.from(
    new Uint32Array(values.buffer, values.byteOffset, values.length),
    bits => bits >>> 16,
  )
}

function f16(values: Float32Array): Weights {
  const data = new Uint8Array(2 * values.length)
  narrowFloat16(values, new Uint16Array(data.buffer))
  return { type: 'f16', data }
}

const dtypes = ['f32', 'bf16', 'f16'] as const
type Dtype = (typeof dtypes)[number]

function weightsOf(values: Float32Array, dtype: Dtype): Weights {
  if (dtype === 'f32') return values
  return dtype === 'bf16' ? bf16(values) : f16(values)
}

/** The numbers that stored weights stand for. */
function numbers(w: Weights): Float32Array {
  if ('type' in w) {
    const out = new Float32Array(w.data.length / 2)
    widenFloat16(new Uint16Array(w.data.buffer), out)
    return out
  }
  return w instanceof Float32Array ? w : new Float32Array(Uint32Array.from(w, bits => bits << 16).buffer)
}

interface GateCase extends NarrowGateOptions {
  readonly w: Weights
  readonly x: Float32Array
  readonly rows: number
  readonly columns: number
}

function run(kernels: DecodeKernels, one: GateCase) {
  const { w, x, rows, columns, batch } = one
  const narrow = narrowGateKernelsOf(kernels)
  const dense = new Float32Array(batch * rows)
  kernels.matvec(w, x, dense, rows, columns, batch, false, one.bias)
  const gate = new Float32Array(batch * rows + 1).fill(Number.NaN)
  gate[batch * rows] = 123.5
  const index = narrow.buildNarrowIndex(w, rows, columns)
  const read = narrow.narrowGate(w, index, x, gate, one)
  expect(gate[batch * rows]).toBe(123.5)
  return { dense, gate: gate.subarray(0, batch * rows), index, read }
}

/** What the narrow gate promises of every element; returns how many it proved. */
function expectExact(kernels: DecodeKernels, one: GateCase): { proven: number; read: number } {
  const { dense, gate, read } = run(kernels, one)
  const [denseBits, gateBits] = [dense, gate].map(y => new Int32Array(y.buffer, y.byteOffset, y.length))
  let proven = 0
  for (let i = 0; i < dense.length; i++) {
    if (denseBits[i] === gateBits[i]) continue
    proven++
    const broken = !(dense[i] < one.threshold && gate[i] < one.threshold && Number.isFinite(gate[i]))
    if (broken) expect.fail(`element ${i}: dense ${dense[i]}, gate ${gate[i]}, threshold ${one.threshold}`)
  }
  return { proven, read }
}

/** The value below which the fraction of y lies. */
function quantile(y: Float32Array, share: number): number {
  return y.toSorted()[Math.min(y.length - 1, Math.floor(share * y.length))]
}

/** A case whose threshold leaves about `active` of the rows. */
function gaussian(options: {
  rows: number
  columns: number
  batch?: number
  active?: number
  seed?: number
  dtype?: Dtype
}): GateCase {
  const { rows, columns, batch = 1, active = 0.1, seed = 1, dtype = 'bf16' } = options
  const inputs = new Inputs(seed)
  const values = inputs.floats(rows * columns, 0.02)
  const x = inputs.floats(batch * columns)
  const w = weightsOf(values, dtype)
  const y = new Float32Array(batch * rows)
  availableDecodeKernels()[0].matvec(w, x, y, rows, columns, batch, false)
  return { w, x, rows, columns, batch, threshold: quantile(y, 1 - active) }
}

describe.each(backends)('the narrow gate, %s', (_, kernels) => {
  const shapes = [
    { rows: 1, columns: 1 },
    { rows: 3, columns: 7, batch: 2 },
    { rows: 5, columns: 255 },
    { rows: 70, columns: 256, batch: 3 },
    { rows: 131, columns: 257 },
    { rows: 300, columns: 1029, batch: 4 },
  ]
  it.each(shapes)('leaves the same neurons with the same bits: %o', shape => {
    for (const dtype of dtypes) {
      for (const active of [0, 0.05, 0.5, 1]) expectExact(kernels, gaussian({ ...shape, dtype, active }))
    }
  })

  it('proves most inactive rows inactive: of 90 % zeros it reads less than a fifth of the rows', () => {
    const { read } = expectExact(kernels, gaussian({ rows: 800, columns: 2048 }))
    expect(read).toBeGreaterThanOrEqual(80)
    expect(read).toBeLessThan(0.2 * 800)
  })

  it('compares products with their biases: all rows are inactive under one below every product', () => {
    const one = gaussian({ rows: 300, columns: 512, batch: 2, active: 1 })
    const low = new Float32Array(300).fill(-1e3)
    const { proven, read } = expectExact(kernels, { ...one, threshold: 0, bias: low })
    expect({ proven, read }).toEqual({ proven: 600, read: 0 })
    const high = low.map(value => -value)
    expect(expectExact(kernels, { ...one, threshold: 0, bias: high })).toEqual({ proven: 0, read: 300 })
  })

  it('holds for weights and inputs of any size, outliers and cancellation among them', () => {
    const scale = fc.integer({ min: -45, max: 38 })
    const property = fc.property(
      fc.record({
        seed: fc.nat(),
        columns: fc.integer({ min: 1, max: 600 }),
        batch: fc.integer({ min: 1, max: 3 }),
        weightScale: scale,
        inputScale: scale,
        outlierScale: fc.integer({ min: 0, max: 12 }),
        cancel: fc.boolean(),
        dtype: fc.constantFrom(...dtypes),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
        nudge: fc.constantFrom(-1, 0, 1),
        biasScale: fc.option(fc.double({ min: -4, max: 4, noNaN: true }), { nil: undefined }),
      }),
      ({
        seed,
        columns,
        batch,
        weightScale,
        inputScale,
        outlierScale,
        cancel,
        dtype,
        share,
        nudge,
        biasScale,
      }) => {
        const rows = 24
        const inputs = new Inputs(seed)
        // No f16 is larger than 65504.
        const size = dtype === 'f16' ? Math.min(weightScale, -10) : weightScale
        const values = inputs.floats(rows * columns).map(v => v * 10 ** size)
        const x = inputs.floats(batch * columns).map(v => v * 10 ** inputScale)
        const places = inputs.integers(6, columns)
        for (const k of places.subarray(0, 3)) x[k] *= 10 ** outlierScale
        for (const k of places.subarray(3)) values[k] *= 10 ** outlierScale
        if (cancel) {
          // Pairs that take each other away but for their last digits.
          for (let i = 1; i < values.length; i += 2) values[i] = -values[i - 1] * (1 + 2 ** -20)
          for (let i = 1; i < x.length; i += 2) x[i] = x[i - 1]
        }
        const w = weightsOf(values, dtype)
        const y = new Float32Array(batch * rows)
        kernels.matvec(w, x, y, rows, columns, batch, false)
        // Biases of the size of the products, and much smaller and larger.
        const size1 = Math.abs(y.find(value => value !== 0) ?? 1) * 10 ** (biasScale ?? 0)
        const usable = biasScale !== undefined && y.every(Number.isFinite) && Number.isFinite(size1)
        const bias = !usable ? null : inputs.floats(rows).map(value => value * size1)
        if (bias !== null) kernels.matvec(w, x, y, rows, columns, batch, false, bias)
        // A threshold that stands exactly on, just above or just below a value of the dense result.
        const at = quantile(y, share)
        const threshold = at + nudge * Math.abs(at) * 2 ** -23
        expectExact(kernels, { w, x, rows, columns, batch, threshold, bias })
      },
    )
    fc.assert(property, { numRuns: 150 })
  })

  it('holds where the bound is as tight as it can be: x along the error of the row', () => {
    const [rows, columns] = [40, 700]
    const w = new Inputs(8).floats(rows * columns)
    const narrow = narrowGateKernelsOf(kernels)
    const { codes, scales } = narrow.buildNarrowIndex(w, rows, columns)
    const blocks = Math.ceil(columns / NARROW_BLOCK)
    for (let row = 0; row < rows; row++) {
      const x = Float32Array.from({ length: columns }, (_, k) => {
        const scale = scales[row * blocks + Math.floor(k / NARROW_BLOCK)]
        return w[row * columns + k] - scale * codes[row * columns + k]
      })
      const y = new Float32Array(rows)
      kernels.matvec(w, x, y, rows, columns, 1, false)
      expectExact(kernels, { w, x, rows, columns, batch: 1, threshold: y[row] })
      expectExact(kernels, { w, x, rows, columns, batch: 1, threshold: roundedUp(y[row] + 1e-12) })
    }
  })

  it('proves nothing about rows or positions with a number that is not finite', () => {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38]) {
      const [rows, columns, batch] = [9, 300, 3]
      const inputs = new Inputs(3)
      const [w, x] = [inputs.floats(rows * columns), inputs.floats(batch * columns)]
      w[4 * columns + 17] = odd
      x[columns + 280] = odd
      const { dense, gate } = run(kernels, { w, x, rows, columns, batch, threshold: 1e30 })
      for (let i = 0; i < gate.length; i++) {
        const untouched = i % rows !== 4 && Math.floor(i / rows) !== 1
        expect(gate[i]).toBe(untouched ? gate[i] : dense[i])
        if (untouched) expect(gate[i]).toBe(-1)
      }
    }
  })

  it('proves everything below an infinite threshold, nothing below −∞ or what is not a number', () => {
    const one = gaussian({ rows: 8, columns: 40 })
    expect(run(kernels, { ...one, threshold: Number.POSITIVE_INFINITY }).read).toBe(0)
    expect(run(kernels, { ...one, threshold: Number.NEGATIVE_INFINITY }).read).toBe(8)
    expect(run(kernels, { ...one, threshold: Number.NaN }).read).toBe(8)
  })

  it('weights that are all zero or subnormal keep the promise', () => {
    const columns = 260
    const inputs = new Inputs(5)
    const tiny = inputs.floats(4 * columns).map(v => v * 1e-43)
    for (const w of [new Float32Array(4 * columns), tiny]) {
      for (const size of [1, 1e-40, 1e18]) {
        const x = inputs.floats(columns).map(v => v * size)
        for (const threshold of [0, -(2 ** -149), 2 ** -149, 1e-30]) {
          expectExact(kernels, { w, x, rows: 4, columns, batch: 1, threshold })
        }
      }
    }
  })

  it('gives the same bits and reads the same rows with any number of threads', () => {
    const one = gaussian({ rows: 1100, columns: 130, batch: 2, active: 0.2 })
    const results = [1, 2, 3].map(threads => {
      setThreads(threads)
      return run(kernels, one)
    })
    for (const { gate, read } of results) {
      expect(gate).toEqual(results[0].gate)
      expect(read).toBe(results[0].read)
    }
  })

  it('gives a batch the bits of its positions one by one', () => {
    const one = gaussian({ rows: 200, columns: 300, batch: 7 })
    const { gate } = run(kernels, one)
    for (let b = 0; b < 7; b++) {
      const x = one.x.subarray(b * 300, (b + 1) * 300)
      expect(run(kernels, { ...one, batch: 1, x }).gate).toEqual(gate.subarray(b * 200, (b + 1) * 200))
    }
  })

  it('computes in full the rows whose draw takes them off zero', () => {
    const one = gaussian({ rows: 150, columns: 64, batch: 2, active: 0 })
    const draws = [3, 8].map(firstRow => ({
      seedLow: 0x92345678,
      seedHigh: 9,
      purpose: Purpose.decode,
      layer: 2,
      step: 4,
      firstRow,
    }))
    const p = 0.4
    const words = new Uint32Array(4)
    const { dense, gate } = run(kernels, { ...one, threshold: 1e9, drawn: { p, draws } })
    for (let b = 0; b < 2; b++) {
      for (let row = 0; row < 150; row++) {
        const { firstRow, step, purpose, layer, seedLow, seedHigh } = draws[b]
        philox4x32(row >> 2, firstRow, step, (purpose << 16) | layer, seedLow, seedHigh, words)
        const at = b * 150 + row
        expect(gate[at]).toBe(uniform24(words[row & 3]) < p ? dense[at] : -1)
      }
    }
  })

  it('each bound covers the error of its block and the rounding of both sums', () => {
    const [rows, columns] = [6, 600]
    for (const size of [1e-30, 0.02, 1e15]) {
      const values = new Inputs(11).floats(rows * columns, size)
      for (const dtype of dtypes) {
        if (dtype === 'f16' && size !== 0.02) continue
        const w = weightsOf(values, dtype)
        const { codes, scales, bounds } = narrowGateKernelsOf(kernels).buildNarrowIndex(w, rows, columns)
        const exact = numbers(w)
        const gamma = columns * 2 ** -24
        for (let at = 0; at < bounds.length; at++) {
          const [row, block] = [Math.floor(at / 3), at % 3]
          let [error, full, narrow] = [0, 0, 0]
          for (let k = 256 * block; k < Math.min(columns, 256 * (block + 1)); k++) {
            const [weight, near] = [exact[row * columns + k], scales[at] * codes[row * columns + k]]
            error += (weight - near) ** 2
            full += weight ** 2
            narrow += near ** 2
          }
          const off = Math.max(Math.sqrt(error), Math.sqrt(narrow) / 256)
          const least = off + gamma * (Math.sqrt(full) + Math.sqrt(narrow))
          expect(bounds[at]).toBeGreaterThanOrEqual(least)
          expect(bounds[at]).toBeLessThan(1.01 * least)
        }
      }
    }
  })
})

describe('rounding to f32 in one direction', () => {
  it('brackets every number by neighbors', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), x => {
        const [down, up] = [roundedDown(x), roundedUp(x)]
        expect(Math.fround(down)).toBe(down)
        expect(Math.fround(up)).toBe(up)
        expect(down <= x && x <= up).toBe(true)
        // Nothing lies between them but x.
        const middle = Math.fround((down + up) / 2)
        expect(
          Number.isNaN(middle) || middle === down || middle === up || Math.abs(middle) === Infinity,
        ).toBe(true)
      }),
    )
  })
})

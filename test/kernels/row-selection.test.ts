// The fused kernels of top-k and the statistical top-k: the same neurons as the portable program keeps, whatever stands
// in a row, and slopes that hold against differences of the portable program.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import type { Kernels } from '../../src/kernels/index.js'
import { availableKernels, type Floats, portableKernels } from '../../src/kernels/index.js'
import { nativeFunctions } from '../../src/kernels/native/addon.js'
import { RandomInputs, someDraw } from './random-inputs.js'

const natives = availableKernels().filter(({ backend }) => backend === 'native')
const reference = portableKernels()

const { NaN: nan, POSITIVE_INFINITY: infinity } = Number
/** A NaN with its sign bit set, which x86 makes of ∞ − ∞. */
const negativeNaN = new Float32Array(Uint32Array.of(0xffc00000).buffer)[0]

/** Rows whose order is not that of usual numbers, of n elements. */
const rows: Record<string, (n: number) => number[]> = {
  'normal numbers': n => [...new RandomInputs(Float32Array, n).normal(n)],
  'numbers of all magnitudes': n => of(n, i => (i % 3 === 0 ? -1 : 1) * 10 ** (((i * 37) % 70) - 35)),
  'many ties': n => of(n, i => ((i * 7) % 5) - 2),
  'one number': n => of(n, () => -0.1),
  zeros: n => of(n, i => (i % 3 === 0 ? 0 : -0)),
  'neighboring floats': n => of(n, i => 1 + ((i * 5) % 16) * 2 ** -23),
  subnormals: n => of(n, i => ((i * 11) % 23) * 1e-44 - 1e-43),
  'the largest floats': n => of(n, i => (i % 2 === 0 ? 3.4e38 : -3.4e38)),
  infinities: n => of(n, i => [1, infinity, -2, -infinity, 0.5][i % 5]),
  'a NaN': n => of(n, i => (i === n >> 1 ? nan : i - n / 2)),
  'NaN of either sign': n => of(n, i => [negativeNaN, 0.25, -1, nan][i % 4]),
  'nothing but NaN': n => of(n, () => nan),
}

function of(n: number, value: (i: number) => number): number[] {
  return Array.from({ length: n }, (_, i) => value(i))
}

const widths = [1, 2, 7, 16, 33, 100, 777]
const ks = ['0', '1', '2', '0.1', '0.5', '31', '776', '100000']

type Pair = readonly [value: Floats, dX: Floats, hidden: Floats, dGate: Floats, dUp: Floats]

function run(kernels: Kernels, spec: string, row: Floats): Pair {
  const act = parseActivation(spec)
  const n = row.length
  const inputs = new RandomInputs(Float32Array, 3)
  const [dOut, up] = [inputs.normal(n), inputs.normal(n)]
  const [value, dX, hidden, dGate, dUp] = of(5, () => 0).map(() => new Float32Array(n))
  kernels.activation(act, row, value, 1, n, someDraw)
  kernels.activationBackward(act, dOut, row, dX, 1, n, someDraw)
  kernels.gate(act, row, up, hidden, 1, n, someDraw)
  kernels.gateBackward(act, dOut, row, up, dGate, dUp, 1, n, someDraw)
  return [value, dX, hidden, dGate, dUp]
}

const expectedResults = new Map<string, Pair>()

/** What the portable kernels compute for a row of that name; once. */
function expectedOf(spec: string, name: string, row: Floats): Pair {
  const key = `${spec} ${name} ${row.length}`
  const pair = expectedResults.get(key) ?? run(reference, spec, row)
  expectedResults.set(key, pair)
  return pair
}

it.runIf(natives.length === 0)('there are no native kernels here to test', () => {})

describe.each(natives.map(kernels => [kernels.isa, kernels] as const))('%s', (isa, kernels) => {
  describe.each(Object.keys(rows))('a row of %s', name => {
    it.each(['by=value,act=identity', 'by=magnitude,act=relu'])(
      'topk:%s is the portable one to the bit',
      how => {
        for (const n of widths) {
          const row = Float32Array.from(rows[name](n))
          for (const k of ks) {
            const [value, dX, ...gated] = run(kernels, `topk:k=${k},${how}`, row)
            const expected = expectedOf(`topk:k=${k},${how}`, name, row)
            expect([value, dX], `k = ${k} of ${n}`).toEqual(expected.slice(0, 2))
            // Three factors round twice in single precision.
            for (const [i, actual] of gated.entries())
              expectClose(actual, expected[i + 2], 2e-7, `k = ${k} of ${n}`)
          }
        }
      },
    )
  })

  it('the row program orders NaN of either sign above all numbers too', () => {
    const { fusedRows: _, ...unfused } = parseActivation('topk:k=3,act=identity')
    const row = Float32Array.of(1, negativeNaN, 5, nan, 2)
    const out = new Float32Array(5)
    kernels.activation(unfused, row, out, 1, 5, someDraw)
    expect(out).toEqual(Float32Array.of(0, nan, 5, nan, 0))
  })

  const usual = [
    'normal numbers',
    'many ties',
    'one number',
    'zeros',
    'a NaN',
    'infinities',
    'nothing but NaN',
  ]
  it.each(usual)('stat-topk of a row of %s is the portable one', name => {
    for (const n of widths) {
      const row = Float32Array.from(rows[name](n))
      for (const k of ks) {
        for (const act of ['relu', 'gelu']) {
          const expected = expectedOf(`stat-topk:k=${k},act=${act}`, name, row)
          for (const [i, actual] of run(kernels, `stat-topk:k=${k},act=${act}`, row).entries()) {
            expectClose(actual, expected[i], 4e-6, `buffer ${i}, ${act}, k = ${k} of ${n}`)
          }
        }
      }
    }
  })

  it('stat-topk of numbers far from 0 keeps its threshold: the mean cancels', () => {
    const row = Float32Array.from(rows['normal numbers'](1000), x => 1000 + x)
    const expected = run(reference, 'stat-topk:act=relu', row)
    // An ulp at 1000 is 6e-5.
    for (const [i, actual] of run(kernels, 'stat-topk:act=relu', row).entries()) {
      expectClose(actual, expected[i], 2e-6, `buffer ${i}`)
    }
  })

  it.each([
    'topk:k=20,act=gelu',
    'topk:k=0.3,by=magnitude,act=silu',
    'stat-topk:k=0.3',
    'stat-topk:k=0.2,act=silu',
  ])('%s: the gradient is that of finite differences in double precision', spec => {
    const n = 90
    const act = parseActivation(spec)
    const inputs = new RandomInputs(Float32Array, 8)
    const [x, dOut, direction] = [inputs.normal(n), inputs.normal(n), inputs.normal(n)]
    const dX = new Float32Array(n)
    kernels.activationBackward(act, dOut, x, dX, 1, n, someDraw)
    const along = (step: number): number => {
      const out = new Float64Array(n)
      const moved = Float64Array.from(x, (value, i) => value + step * direction[i])
      reference.activation(act, moved, out, 1, n, someDraw)
      return out.reduce((sum, value, i) => sum + value * dOut[i], 0)
    }
    const step = 1e-6
    const difference = (along(step) - along(-step)) / (2 * step)
    const slope = dX.reduce((sum, value, i) => sum + value * direction[i], 0)
    expect(Math.abs(slope - difference)).toBeLessThan(1e-4 * Math.max(1, Math.abs(difference)))
  })

  it('what is not a selection is a RangeError', () => {
    const [x, out] = [new Float32Array(8), new Float32Array(8)]
    const select = (keep: number, then: number, at: number, width = 4) =>
      nativeFunctions(isa).rowSelectionForward(keep, then, at, x, null, out, 2, width)
    expect(() => select(0, 0, 4)).not.toThrow()
    expect(() => select(2, 3, -9.5)).not.toThrow()
    for (const [keep, then, at, width] of [
      [3, 0, 1],
      [0, 4, 1],
      [0, 0, 0],
      [0, 0, 5],
      [1, 0, nan],
      [2, 0, infinity],
      [0, 0, 1, 5],
    ]) {
      expect(() => select(keep, then, at, width)).toThrow(RangeError)
    }
    expect(() => nativeFunctions(isa).rowSelectionBackward(0, 0, 1, out, x, x, out, null, 2, 4)).toThrow(
      RangeError,
    )
  })
})

/** Within `limit` of the largest number; NaN and infinities at the same places. */
function expectClose(actual: Floats, expected: Floats, limit: number, where: string): void {
  let largest = 0
  for (const value of expected) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value))
  const wrong = [...actual].findIndex((value, i) =>
    Number.isFinite(expected[i])
      ? !(Math.abs(value - expected[i]) <= limit * Math.max(largest, 1e-30))
      : !Object.is(value, expected[i]),
  )
  const at = wrong < 0 ? '' : `element ${wrong} is ${actual[wrong]}, not ${expected[wrong]}`
  expect(at, where).toBe('')
}

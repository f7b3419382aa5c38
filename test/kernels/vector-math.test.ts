// The accuracy that native/vector_math.h states, in units in the last place of f32, against double precision: run as
// activations on the machine, so that the kernels' own code is measured.

import { describe, expect, it } from 'vitest'
import {
  defineActivation,
  type Expression,
  expression as e,
  parseActivation,
} from '../../src/activations/index.js'
import { normalCdf, normalPdf, scalarFunctions } from '../../src/activations/scalar-functions.js'
import { availableKernels } from '../../src/kernels/index.js'
import { someDraw } from './random-inputs.js'

const natives = availableKernels().filter(({ backend }) => backend === 'native')

/** f32 numbers over a range: evenly spread, and over all magnitudes. */
function inputs(low: number, high: number): Float32Array {
  const even = Array.from({ length: 20_001 }, (_, i) => low + ((high - low) * i) / 20_000)
  const magnitudes = Array.from({ length: 8000 }, (_, i) => 10 ** (-30 + i * 0.0045))
  const both = magnitudes.flatMap(x => [x, -x]).filter(x => x >= low && x <= high)
  return Float32Array.from([...even, ...both])
}

/** |actual − expected| in units of the last place that f32 has at `expected`. */
function ulps(actual: number, expected: number): number {
  if (Math.abs(expected) < 1.2e-38) return Math.abs(actual) < 1.2e-38 ? 0 : Number.POSITIVE_INFINITY
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(expected))) - 23)
  return Math.abs(actual - expected) / unit
}

/** No output is more than `limit` ulps away. */
function expectWithin(
  limit: number,
  x: Float32Array,
  out: Float32Array,
  reference: (x: number) => number,
): void {
  let [worst, at] = [0, 0]
  for (let i = 0; i < x.length; i++) {
    const apart = ulps(out[i], reference(x[i]))
    if (!(apart <= worst)) [worst, at] = [apart, x[i]]
  }
  expect(worst, `at ${at}`).toBeLessThan(limit)
}

const functions: [string, Expression, (x: number) => number, [low: number, high: number], limit: number][] = [
  ['exp', e.exp(e.x), Math.exp, [-87.3, 88.7], 1.3],
  ['expm1', e.expm1(e.x), Math.expm1, [-40, 88.7], 1.7],
  ['sigmoid', e.sigmoid(e.x), scalarFunctions.sigmoid as (x: number) => number, [-87, 100], 2.05],
  ['tanh', e.tanh(e.x), Math.tanh, [-20, 20], 1.4],
  ['erf', e.erf(e.x), x => referenceErf(x), [-6, 6], 1.3],
  ['normalCdf', e.normalCdf(e.x), normalCdf, [-12.8, 10], 2.3],
  ['normalPdf', e.normalPdf(e.x), normalPdf, [-13.1, 13.1], 1.35],
  ['log', e.log(e.x), Math.log, [1e-30, 1e6], 1.1],
  ['log1p', e.log1p(e.x), Math.log1p, [-0.99999, 1e6], 1.6],
  ['softplus', e.softplus(e.x), x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), [-87, 100], 2],
  ['atan', e.atan(e.x), Math.atan, [-1000, 1000], 2],
  ['sin', e.sin(e.x), Math.sin, [-3, 3], 1.6],
  ['cos', e.cos(e.x), Math.cos, [-1.5, 1.5], 1.6],
  ['sqrt', e.sqrt(e.x), Math.sqrt, [0, 1e6], 0.51],
]

/** erf by its series of positive terms, or by a continued fraction of erfc from 3 on: neither is the library's fit. */
function referenceErf(x: number): number {
  if (x < 0) return -referenceErf(-x)
  if (x > 3) {
    let fraction = 0
    for (let n = 60; n > 0; n--) fraction = (n * 0.5) / (x + fraction)
    return 1 - Math.exp(-x * x) / (Math.sqrt(Math.PI) * (x + fraction))
  }
  let [term, sum] = [x, x]
  for (let n = 1; n < 100; n++) {
    term *= (2 * x * x) / (2 * n + 1)
    sum += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
}

it.runIf(natives.length === 0)('there are no native kernels here to test', () => {})

describe.each(natives.map(kernels => [kernels.isa, kernels] as const))('%s', (_, kernels) => {
  it.each(functions)('%s is within its stated error', (name, value, reference, [low, high], limit) => {
    const act = defineActivation({ name, value })
    const x = inputs(low, high)
    const out = new Float32Array(x.length)
    kernels.activation(act, x, out, 1, x.length, someDraw)
    expectWithin(limit, x, out, reference)
  })

  it('the fused GELU is within its stated error, down to the smallest normal number', () => {
    const x = inputs(-13, 20)
    const out = new Float32Array(x.length)
    kernels.activation(parseActivation('gelu'), x, out, 1, x.length, someDraw)
    expectWithin(2.1, x, out, one => one * normalCdf(one))
  })

  it("the fused GELU's slope is within its stated error", () => {
    const slope = (x: number): number => normalCdf(x) + x * normalPdf(x)
    for (const [low, high, inUnitsOf] of [
      [-13, -1.5, 0],
      [-1.5, 20, 2 ** -23],
    ] as const) {
      const x = inputs(low, high)
      const out = new Float32Array(x.length)
      kernels.activationBackward(
        parseActivation('gelu'),
        new Float32Array(x.length).fill(1),
        x,
        out,
        1,
        x.length,
        someDraw,
      )
      if (inUnitsOf === 0) expectWithin(4, x, out, slope)
      else for (let i = 0; i < x.length; i++) expect(Math.abs(out[i] - slope(x[i]))).toBeLessThan(inUnitsOf)
    }
  })

  it.each([
    ['exp', e.exp(e.x), [Number.NEGATIVE_INFINITY, 0], [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]],
    ['tanh', e.tanh(e.x), [Number.NEGATIVE_INFINITY, -1], [Number.POSITIVE_INFINITY, 1]],
    ['erf', e.erf(e.x), [Number.NEGATIVE_INFINITY, -1], [Number.POSITIVE_INFINITY, 1]],
    ['sigmoid', e.sigmoid(e.x), [Number.NEGATIVE_INFINITY, 0], [Number.POSITIVE_INFINITY, 1]],
    ['normalCdf', e.normalCdf(e.x), [-40, 0], [40, 1]],
    ['log', e.log(e.x), [0, Number.NEGATIVE_INFINITY], [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]],
    [
      'atan',
      e.atan(e.x),
      [Number.NEGATIVE_INFINITY, -Math.fround(Math.PI / 2)],
      [1e30, Math.fround(Math.PI / 2)],
    ],
  ])('%s at its ends, and NaN stays NaN', (name, value, ...ends) => {
    const act = defineActivation({ name, value })
    const x = Float32Array.from([...ends.map(([at]) => at), Number.NaN])
    const out = new Float32Array(x.length)
    kernels.activation(act, x, out, 1, x.length, someDraw)
    expect([...out]).toEqual([...ends.map(([, limit]) => limit), Number.NaN])
  })
})

// Every entry of the catalog on every backend: fused kernel, program on the native machine and portable program give
// the same values, derivatives and parameter gradients, whatever the shape and the thread count.

import { afterEach, describe, expect, it } from 'vitest'
import {
  type Activation,
  listActivations,
  parameterCount,
  parseActivation,
  startParameters,
} from '../../src/activations/index.js'
import type { Kernels } from '../../src/kernels/index.js'
import {
  availableKernels,
  type Draw,
  defaultThreads,
  type Floats,
  portableKernels,
  setThreads,
} from '../../src/kernels/index.js'
import { RandomInputs, someDraw } from './random-inputs.js'

const natives = availableKernels().filter(({ backend }) => backend === 'native')
const reference = portableKernels()

/** Entries with every word of their settings that changes what runs. */
const specs = [
  ...listActivations().map(({ spec }) => spec),
  ...['neuron', 'token', 'sample', 'batch'].map(unit => `stoch:per=${unit}`),
  'stocha:positive=silu,per=sample',
  'learnable_stoch:gate=neuron',
  'learnable_stoch:hidden=8',
  'gumbel_stoch:gate=neuron,per=neuron',
  'expected:stocha',
  ...['identity', 'gelu', 'silu'].map(act => `topk:act=${act},by=magnitude`),
  ...['relu', 'silu'].map(act => `stat-topk:act=${act}`),
]

/** Without its fused kernel, so that the program runs. */
function unfused({ fused: _, fusedRows: __, ...act }: Activation): Activation {
  return act
}

interface Results {
  readonly value: Floats
  readonly hidden: Floats
  readonly dX: Floats
  readonly dGate: Floats
  readonly dUp: Floats
  readonly dParameters: Floats
}

const rowsPerSample = 3

/** Everything that the four kernels compute for random inputs of a seed; gradients are added onto `before`. */
function run(
  kernels: Kernels,
  act: Activation,
  rows: number,
  width: number,
  floats: Float32ArrayConstructor | Float64ArrayConstructor,
): Results {
  const inputs = new RandomInputs(floats, 5)
  const size = rows * width
  const x = inputs.normal(size, { std: 2 })
  const [up, dOut] = [inputs.normal(size), inputs.normal(size)]
  const noise = inputs.normal(parameterCount(act, width), { std: 0.3 })
  const parameters = inputs.of(Float64Array.from(startParameters(act, width), (start, i) => start + noise[i]))
  const draw: Draw = { ...someDraw, rowsPerSample }
  const [value, hidden, dX, dGate, dUp] = Array.from({ length: 5 }, () => new floats(size))
  const dParameters = new floats(parameters.length).fill(0.5)
  kernels.activation(act, x, value, rows, width, draw, parameters)
  kernels.gate(act, x, up, hidden, rows, width, draw, parameters)
  kernels.activationBackward(act, dOut, x, dX, rows, width, draw, parameters, dParameters)
  kernels.gateBackward(act, dOut, x, up, dGate, dUp, rows, width, draw, parameters, dParameters)
  return { value, hidden, dX, dGate, dUp, dParameters }
}

/** The largest difference as a fraction of the largest value, or of a tenth where a row's terms cancel altogether. */
function difference(actual: Floats, expected: Floats): number {
  let [largest, apart] = [0.1, 0]
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]))
    const distance = Math.abs(actual[i] - expected[i])
    if (Number.isNaN(distance)) return Number.POSITIVE_INFINITY
    apart = Math.max(apart, distance)
  }
  return apart === 0 ? 0 : apart / largest
}

const expectedResults = new Map<string, Results[]>()

/** What the portable kernels compute in f64 for every shape; once per entry. */
function expectedOf(spec: string): Results[] {
  let results = expectedResults.get(spec)
  if (results === undefined) {
    const act = parseActivation(spec)
    results = shapes.map(([rows, width]) => run(reference, act, rows, width, Float64Array))
    expectedResults.set(spec, results)
  }
  return results
}

const shapes = [
  [1, 1],
  [5, 3],
  [70, 4],
  [3, 67],
  [1, 256],
  [3, 300],
]

it.runIf(natives.length === 0)('there are no native kernels here to test', () => {})

describe.each(natives.map(kernels => [kernels.isa, kernels] as const))('%s', (_, kernels) => {
  it.each(specs)('%s: kernel and program equal the portable program', spec => {
    const act = parseActivation(spec)
    for (const [i, [rows, width]] of shapes.entries()) {
      const expected = expectedOf(spec)[i]
      for (const variant of [act, unfused(act)]) {
        const actual = run(kernels, variant, rows, width, Float32Array)
        for (const key of Object.keys(expected) as (keyof Results)[]) {
          // Gradients of parameters are sums whose terms cancel.
          const limit = key === 'dParameters' ? 2e-5 : 2e-6
          expect(difference(actual[key], expected[key]), `${key} of ${rows} × ${width}`).toBeLessThan(limit)
        }
      }
    }
  })

  it.each([
    ...['stocha', 'learnable_stoch', 'gumbel_stoch:gate=neuron,per=sample', 'rbf', 'polynorm'],
    ...['topk', 'stat-topk'],
  ])('%s: the bits do not depend on the number of threads', spec => {
    const act = parseActivation(spec)
    setThreads(1)
    const one = run(kernels, act, 200, 70, Float32Array)
    setThreads(3)
    expect(run(kernels, act, 200, 70, Float32Array)).toEqual(one)
  })
})

describe.each(natives.map(kernels => [kernels.isa, kernels] as const))('%s', (_, kernels) => {
  it.each([0, 1, 17, 20_001])('dReLU of %d elements, forward and backward', n => {
    const both = (using: Kernels, floats: Float32ArrayConstructor | Float64ArrayConstructor): Floats[] => {
      const inputs = new RandomInputs(floats, 9)
      const [gate, up, dOut] = [inputs.normal(n), inputs.normal(n), inputs.normal(n)]
      const [out, dGate, dUp] = [new floats(n), new floats(n), new floats(n)]
      using.dRelu(gate, up, out, n)
      using.dReluBackward(dOut, gate, up, dGate, dUp, n)
      return [out, dGate, dUp]
    }
    const expected = both(reference, Float64Array)
    for (const [i, actual] of both(kernels, Float32Array).entries()) {
      expect(difference(actual, expected[i])).toBeLessThan(2e-7)
    }
  })
})

afterEach(() => setThreads(defaultThreads()))

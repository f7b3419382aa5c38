// The lab's network: the native kernel, the tape and a naive one agree; gradients are those of finite differences.

import { describe, expect, it } from 'vitest'
import { type Activation, listActivations, parseActivation } from '../../src/activations/index.js'
import {
  availableKernels,
  type Floats,
  mlpStack,
  mlpSupports,
  portableKernels,
} from '../../src/kernels/index.js'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'
import { nativeNetwork } from '../../src/lab/create-network.js'
import type { LabSplit } from '../../src/lab/data/index.js'
import { initialParameters, networkLayout, stackWidths } from '../../src/lab/layout.js'
import type { Moment, Network } from '../../src/lab/network.js'
import { tapeNetwork } from '../../src/lab/tape-network.js'
import { naiveForward, naiveLayers, naiveLoss } from './naive-network.js'

function randomSplit(samples: number, features: number, classes: number): LabSplit {
  const random = new RandomStream({ seed: 5, purpose: Purpose.data, stream: samples })
  return {
    x: Float32Array.from({ length: samples * features }, () => 4 * random.uniform() - 2),
    y: Int32Array.from({ length: samples }, () => random.below(classes)),
    samples,
  }
}

/** Parameters away from the start, so that learned gates have something to pass on. */
function someParameters(network: { layout: Network['layout'] }, activation: Activation): Float64Array {
  const random = new RandomStream({ seed: 9, purpose: Purpose.init, stream: 1 })
  return initialParameters(network.layout, activation, 3).map(value => value + (random.uniform() - 0.5))
}

function moment(activation: Activation, dropout = 0): Moment {
  return { activation, seed: 2 ** 40 + 7, purpose: Purpose.activation, step: 12, dropout }
}

/** Largest difference as a fraction of the largest reference value. */
function difference(actual: Floats, reference: Floats): number {
  let [largest, most] = [0, 0]
  for (let i = 0; i < reference.length; i++) {
    const distance = Math.abs(actual[i] - reference[i])
    if (Number.isNaN(distance)) return Number.POSITIVE_INFINITY
    most = Math.max(most, distance)
    largest = Math.max(largest, Math.abs(reference[i]))
  }
  return most === 0 ? 0 : most / largest
}

const SHAPES = [
  { features: 30, classes: 2, nLayers: 4, bottleneck: 4, samples: 128 },
  { features: 7, classes: 3, nLayers: 3, bottleneck: 5, samples: 37 },
  { features: 1, classes: 2, nLayers: 1, bottleneck: 1, samples: 1 },
  { features: 3, classes: 11, nLayers: 2, bottleneck: 19, samples: 300 },
]

const ACTIVATIONS = [
  'relu',
  'silu',
  'stoch',
  'stocha:p=0.3,positive=silu',
  'stoch:p=0.4,per=neuron',
  'stoch:p=0.4,per=sample',
  'stoch:p=0.4,per=batch',
  'stoch:p=1,per=sample',
  'learnable_stoch',
  'learnable_stoch:gate=neuron',
  'gumbel_stoch',
  'gumbel_stoch:gate=neuron,temperature=0.5',
  'gumbel_stoch:hidden=8,per=sample',
]

describe.each(availableKernels().flatMap(kernels => (kernels.backend === 'native' ? [kernels] : [])))(
  'the native network ($isa)',
  kernels => {
    const others = listActivations().filter(({ spec }) => mlpSupports(parseActivation(spec)))
    const cases = [
      ...ACTIVATIONS.flatMap(spec => SHAPES.map(shape => ({ spec, ...shape }))),
      ...others.map(({ spec }) => ({ spec, ...SHAPES[1] })),
    ]

    it.each(cases)(
      'has the losses and gradients of the tape in f64: $spec, $features features, $samples samples',
      one => {
        const activation = parseActivation(one.spec)
        expect(mlpSupports(activation)).toBe(true)
        const layout = networkLayout(stackWidths(one), activation)
        const start = someParameters({ layout }, activation)
        const data = randomSplit(one.samples + 3, one.features, one.classes)
        const order = Int32Array.from({ length: one.samples + 3 }, (_, i) => (i * 7) % data.samples)
        const stack = mlpStack(kernels, layout.widths)
        if (stack === null) throw new Error('no native stack')
        for (const dropout of [0, 0.3]) {
          const native = nativeNetwork(stack, layout, start)
          const reference = tapeNetwork(
            portableKernels(),
            layout,
            Float64Array.from(native.parameters),
            'f64',
          )
          const at = moment(activation, dropout)
          const expected = reference.learn(data, order, 2, one.samples, at)
          native.gradients.fill(Number.NaN)
          const actual = native.learn(data, order, 2, one.samples, at)
          expect(Math.abs(actual - expected) / expected).toBeLessThan(1e-5)
          expect(difference(native.gradients, reference.gradients)).toBeLessThan(3e-5)
        }
      },
    )

    it.each(cases)('has the outputs of the tape in f64: $spec, $features features, $samples samples', one => {
      const activation = parseActivation(one.spec)
      const layout = networkLayout(stackWidths(one), activation)
      const start = someParameters({ layout }, activation)
      const data = randomSplit(one.samples, one.features, one.classes)
      const stack = mlpStack(kernels, layout.widths)
      if (stack === null) throw new Error('no native stack')
      const native = nativeNetwork(stack, layout, start)
      const reference = tapeNetwork(portableKernels(), layout, Float64Array.from(native.parameters), 'f64')
      const at = moment(activation, 0.2)
      const [actual, expected] = [
        native.forward(data.x, one.samples, at),
        reference.forward(data.x, one.samples, at),
      ]
      expect(difference(actual.logits, expected.logits)).toBeLessThan(1e-5)
      expect(difference(actual.hidden, expected.hidden)).toBeLessThan(1e-5)
      expect(actual.gates === null).toBe(activation.gate === undefined)
      if (actual.gates !== null && expected.gates !== null) {
        expect(difference(actual.gates, expected.gates)).toBeLessThan(1e-5)
      }
    })

    it('refuses a sample outside the data and a class outside the last layer', () => {
      const activation = parseActivation('relu')
      const layout = networkLayout([3, 4, 2], activation)
      const stack = mlpStack(kernels, layout.widths)
      if (stack === null) throw new Error('no native stack')
      const native = nativeNetwork(stack, layout, initialParameters(layout, activation, 1))
      const data = randomSplit(4, 3, 2)
      expect(() => native.learn(data, Int32Array.of(0, 4), 0, 2, moment(activation))).toThrow(RangeError)
      expect(() => native.learn(data, Int32Array.of(0, -1), 0, 2, moment(activation))).toThrow(RangeError)
      expect(() => native.learn(data, Int32Array.of(0, 1), 1, 2, moment(activation))).toThrow(RangeError)
      const wrong = { ...data, y: Int32Array.of(0, 2, 0, 0) }
      expect(() => native.learn(wrong, Int32Array.of(0, 1), 0, 2, moment(activation))).toThrow(RangeError)
    })
  },
)

describe('the network on the tape', () => {
  const shape = { features: 5, classes: 3, nLayers: 3, bottleneck: 3 }
  const data = randomSplit(6, shape.features, shape.classes)
  const order = Int32Array.of(3, 1, 5, 0, 2, 4)

  // Straight-through gates promise another derivative than that of their value.
  it.each(ACTIVATIONS.filter(spec => !spec.startsWith('gumbel') && spec !== 'relu'))(
    'has the gradients of finite differences: %s',
    spec => {
      const activation = parseActivation(spec)
      const layout = networkLayout(stackWidths(shape), activation)
      const network = tapeNetwork(portableKernels(), layout, someParameters({ layout }, activation), 'f64')
      const at = moment(activation, 0.25)
      network.learn(data, order, 0, 6, at)
      const gradients = Float64Array.from(network.gradients)
      const step = 1e-5
      for (let i = 0; i < layout.length; i++) {
        const value = network.parameters[i]
        network.parameters[i] = value + step
        const above = network.learn(data, order, 0, 6, at) / 6
        network.parameters[i] = value - step
        const below = network.learn(data, order, 0, 6, at) / 6
        network.parameters[i] = value
        expect(Math.abs(gradients[i] - (above - below) / (2 * step))).toBeLessThan(1e-6)
      }
    },
  )

  it.each([
    ['relu', (x: number) => Math.max(0, x)],
    ['silu', (x: number) => x / (1 + Math.exp(-x))],
  ] as const)('computes what loops over samples and neurons compute: %s', (spec, f) => {
    const activation = parseActivation(spec)
    const layout = networkLayout(stackWidths(shape), activation)
    const network = tapeNetwork(portableKernels(), layout, someParameters({ layout }, activation), 'f64')
    const layers = naiveLayers(layout.widths, network.parameters)
    const { logits, hidden } = network.forward(data.x, data.samples, moment(activation))
    let total = 0
    for (let i = 0; i < data.samples; i++) {
      const naive = naiveForward(layers, [...data.x.subarray(i * 5, i * 5 + 5)], f)
      total += naiveLoss(naive.logits, data.y[i])
      for (const [c, logit] of naive.logits.entries()) expect(logits[i * 3 + c]).toBeCloseTo(logit, 12)
      let at = 0
      for (const layer of naive.hidden) {
        for (const [j, h] of layer.entries()) expect(hidden[at + j * data.samples + i]).toBeCloseTo(h, 12)
        at += layer.length * data.samples
      }
    }
    expect(network.learn(data, order, 0, 6, moment(activation))).toBeCloseTo(total, 12)
  })
})

// One training: a function of variant, seed and data; right by hand for two steps; any activation of the catalog.

import { describe, expect, it } from 'vitest'
import { listActivations, parseActivation } from '../../src/activations/index.js'
import { portableKernels } from '../../src/kernels/index.js'
import { Purpose, RandomStream } from '../../src/kernels/philox.js'
import type { LabSplit } from '../../src/lab/data/index.js'
import { initialParameters, networkLayout } from '../../src/lab/layout.js'
import { labSchema, type Variant, variantsOf } from '../../src/lab/options.js'
import type { RunRecord } from '../../src/lab/results.js'
import { type LabSplits, trainRun } from '../../src/lab/train-run.js'
import { naiveForward, naiveLayers, naiveLoss } from './naive-network.js'

/** Two classes, told apart by the sign of the first feature's product with the second. */
function split(samples: number, features: number, stream: number): LabSplit {
  const random = new RandomStream({ seed: 8, purpose: Purpose.data, stream })
  const x = Float32Array.from({ length: samples * features }, () => 4 * random.uniform() - 2)
  const y = Int32Array.from({ length: samples }, (_, i) =>
    x[i * features] * x[i * features + 1] > 0 ? 1 : 0,
  )
  return { x, y, samples }
}

function splits(features = 5, train = 70): LabSplits {
  return { train: split(train, features, 1), validation: split(40, features, 2), features, classes: 2 }
}

function variant(options: Record<string, unknown>): Variant {
  const config = labSchema.parse({ epochs: 2, batchSize: 32, variants: [{ name: 'one', ...options }] })
  return variantsOf(config)[0]
}

function record(options: Record<string, unknown>, seed = 3, data = splits()): Omit<RunRecord, 'seconds'> {
  const made = trainRun(variant(options), seed, data)
  if (made === null) throw new Error('nobody stopped it')
  const { seconds: _, ...rest } = made
  return rest
}

describe('a training', () => {
  it('is a function of the variant, the seed and the data', () => {
    const options = { activation: 'gumbel_stoch', dropout: 0.1 }
    expect(record(options)).toEqual(record(options))
    expect(record(options, 4)).not.toEqual(record(options))
    expect(record({ ...options, lr: 0.002 })).not.toEqual(record(options))
  })

  it('has the losses of a hand-made descent by finite differences', () => {
    const data = splits(3, 20)
    const [widths, lr] = [[3, 2, 2], 0.3]
    const silu = (x: number) => x / (1 + Math.exp(-x))
    const activation = parseActivation('silu')
    const parameters = initialParameters(networkLayout(widths, activation), activation, 3)
    const loss = ({ x, y, samples }: LabSplit) => {
      const layers = naiveLayers(widths, parameters)
      let sum = 0
      for (let i = 0; i < samples; i++) {
        sum += naiveLoss(naiveForward(layers, [...x.subarray(3 * i, 3 * i + 3)], silu).logits, y[i])
      }
      return sum / samples
    }
    const descend = () => {
      const gradients = parameters.map((value, i) => {
        parameters[i] = value + 1e-6
        const above = loss(data.train)
        parameters[i] = value - 1e-6
        const below = loss(data.train)
        parameters[i] = value
        return (above - below) / 2e-6
      })
      for (let i = 0; i < parameters.length; i++) parameters[i] -= lr * gradients[i]
    }
    const expected: { train: number; validation: number }[] = []
    for (let epoch = 0; epoch < 3; epoch++) {
      const train = loss(data.train)
      descend()
      expected.push({ train, validation: loss(data.validation) })
    }
    const made = record(
      {
        activation: 'silu',
        nLayers: 1,
        bottleneck: 2,
        batchSize: 20,
        optimizer: 'sgd',
        momentum: 0,
        lr,
        epochs: 3,
      },
      3,
      data,
    )
    for (const [epoch, { train, validation }] of expected.entries()) {
      expect(made.trainLoss[epoch]).toBeCloseTo(train, 5)
      expect(made.validationLoss[epoch]).toBeCloseTo(validation, 5)
    }
  })

  it('finds on the portable kernels what it finds on the native ones, up to rounding', () => {
    for (const activation of ['silu', 'stoch', 'learnable_stoch']) {
      const here = record({ activation })
      const portable = trainRun(variant({ activation }), 3, splits(), { kernels: portableKernels() })
      for (const curve of ['trainLoss', 'validationLoss'] as const) {
        for (const [epoch, value] of here[curve].entries()) {
          expect(portable?.[curve][epoch]).toBeCloseTo(value, 4)
        }
      }
    }
  })

  it('stops when it is told to', () => {
    const seen: number[] = []
    const stopped = trainRun(variant({ activation: 'relu', epochs: 9 }), 1, splits(), {
      onEpoch: epoch => seen.push(epoch) < 4,
    })
    expect(stopped).toBeNull()
    expect(seen).toEqual([1, 2, 3, 4])
  })

  it('whose loss is no longer a number is an error that names run, epoch and learning rate', () => {
    expect(() => record({ activation: 'silu', optimizer: 'sgd', lr: 1e30, epochs: 5 }, 6)).toThrow(
      expect.objectContaining({
        code: 'LAB_LOSS_NOT_FINITE',
        message: expect.stringMatching(/one, seed 6:.*1e\+30/),
      }),
    )
  })

  it('never drawn (p = 0) is ReLU and always drawn (p = 1) is SiLU, to the bit', () => {
    expect(record({ activation: 'stoch:p=0' })).toEqual(record({ activation: 'relu' }))
    expect(record({ activation: 'stoch:p=1' })).toEqual(record({ activation: 'silu' }))
  })

  it('a schedule from SiLU to ReLU trains as SiLU before the switch and is as sparse as ReLU after it', () => {
    const schedule = { p: { kind: 'switch', from: 1, to: 0, start: 0.5 } }
    const switched = record({ activation: 'stoch', schedule, epochs: 4 })
    const silu = record({ activation: 'silu', epochs: 4 })
    expect(switched.trainLoss.slice(0, 2)).toEqual(silu.trainLoss.slice(0, 2))
    expect(switched.sparsity[0]).toBe(0)
    expect(switched.sparsity[3]).toBeGreaterThan(0.2)
  })

  it('in expectation draws nothing: the mean of stoch has no zeros and the mixed loss of its parts', () => {
    const drawn = record({ activation: 'stoch' })
    const mean = record({ activation: 'stoch', trainMode: 'expectation', testMode: 'expectation' })
    expect(drawn.sparsity[1]).toBeGreaterThan(0.1)
    expect(mean.sparsity[1]).toBe(0)
    expect(mean.trainLoss).not.toEqual(drawn.trainLoss)
  })

  it('with one draw per layer and epoch, drawn again per step is another training', () => {
    const perEpoch = record({ activation: 'stoch:per=batch', drawEvery: 'epoch' })
    expect(perEpoch).not.toEqual(record({ activation: 'stoch:per=batch' }))
  })

  it.each(listActivations().map(({ spec }) => spec))('runs with %s', spec => {
    const { trainLoss, validationLoss, sparsity } = record({ activation: spec, epochs: 1 })
    for (const value of [trainLoss[0], validationLoss[0], sparsity[0]])
      expect(Number.isFinite(value)).toBe(true)
  })
})

describe('uncertainty', () => {
  const data = splits()
  const doubtOf = (options: Record<string, unknown>) =>
    trainRun(variant(options), 2, data, { uncertainty: { draws: 7, farScale: 3 } })?.uncertainty

  it('asks a network without draws once, one with draws or dropout as often as wanted', () => {
    const draws = (options: Record<string, unknown>) => doubtOf(options)?.atDraws.map(({ draws }) => draws)
    expect(draws({ activation: 'silu' })).toEqual([1])
    expect(draws({ activation: 'stoch' })).toEqual([1, 2, 5, 7])
    expect(draws({ activation: 'silu', dropout: 0.2 })).toEqual([1, 2, 5, 7])
  })

  it('numbers are shares and entropies of two classes', () => {
    const uncertainty = doubtOf({ activation: 'stoch' })
    for (const at of uncertainty?.atDraws ?? []) {
      for (const share of [at.accuracy, at.calibrationError, at.farAuroc]) {
        expect(share).toBeGreaterThanOrEqual(0)
        expect(share).toBeLessThanOrEqual(1)
      }
      for (const entropy of [at.entropy, at.farEntropy]) expect(entropy).toBeLessThanOrEqual(Math.LN2 + 1e-12)
    }
    expect(uncertainty?.reliability.reduce((sum, { samples }) => sum + samples, 0)).toBe(
      data.validation.samples,
    )
  })
})

// Regularizers: the penalty's gradient against finite differences, schedules against their closed forms, the steering of
// the coefficient, dead neurons, thresholds, and runs that resume with the same bits.

import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { latestRunCheckpoint, readCheckpoint } from '../../src/formats/index.js'
import { kernels, portableKernels } from '../../src/kernels/index.js'
import { Llama } from '../../src/nn/llama.js'
import { Tape, type Tensor } from '../../src/tensor/index.js'
import { DeadNeurons } from '../../src/train/dead-neurons.js'
import { type RegularizerInput, regularizerSchema, type TrainRun, train } from '../../src/train/index.js'
import { prosparseFactor, Regularizer } from '../../src/train/regularizers.js'
import { TrainingStep } from '../../src/train/step.js'
import { makeStrategy } from '../../src/train/strategies.js'
import { largestThreshold } from '../../src/train/threshold.js'
import { tinyConfig } from '../formats/tiny-model.js'
import { temporaryDirectory, tinyRun } from './tiny-run.js'

const relu = makeStrategy({ strategy: 'scratch', activation: 'relu' }, 100)
const draw = { seedLow: 3, seedHigh: 4, purpose: 2, step: 5, firstRow: 0 }
const parse = (options: RegularizerInput) => regularizerSchema.parse(options)

describe('the L1 penalty', () => {
  it.each(['gated', 'plain', 'drelu'] as const)('has the gradient of factor · Σ |h| (%s)', ffn => {
    const config = { ...tinyConfig, ffn, activation: 'relu', numHiddenLayers: 2 }
    const model = Llama.initialize(config, 7, 'f64')
    const tokens = Int32Array.of(1, 5, 2, 9, 3, 3, 8, 1)
    const targets = Int32Array.of(5, 2, 9, 3, 3, 8, 1, -1)
    const activation = parseActivation('relu')
    const factor = 0.7
    let observed = { magnitudes: 0, elements: 0, zeros: 0 }
    const objective = () => {
      const tape = new Tape(portableKernels(), { dtype: 'f64', training: false })
      let [sum, zeros] = [0, 0]
      const onHidden = (_: number, { data, size }: Tensor) => {
        for (const h of data.subarray(0, size)) {
          sum += Math.abs(h)
          if (h === 0) zeros++
        }
      }
      const loss = model.loss(tape, tokens, targets, 4, { activation, draw, onHidden })
      return { value: loss.data[0] + factor * sum, sum, zeros }
    }
    const tape = new Tape(portableKernels(), { dtype: 'f64' })
    const penalty = {
      factor,
      observe: (magnitudes: number, zeros: number, elements: number) => {
        observed = {
          magnitudes: observed.magnitudes + magnitudes,
          zeros: observed.zeros + zeros,
          elements: observed.elements + elements,
        }
      },
    }
    tape.backward(model.loss(tape, tokens, targets, 4, { activation, draw, penalty }))
    const { sum, zeros } = objective()
    expect(observed.magnitudes).toBeCloseTo(sum, 12)
    expect(observed.zeros).toBe(zeros)
    expect(observed.elements).toBe(2 * 8 * config.intermediateSize)
    let compared = 0
    for (const [name, tensor] of model.parameters) {
      for (let i = 0; i < tensor.size; i += Math.max(1, Math.floor(tensor.size / 5))) {
        const at = tensor.data[i]
        const step = 1e-6
        tensor.data[i] = at + step
        const above = objective().value
        tensor.data[i] = at - step
        const below = objective().value
        tensor.data[i] = at
        const expected = (above - below) / (2 * step)
        const error = Math.abs((tensor.grad?.[i] ?? 0) - expected)
        expect(error, `${name}[${i}]`).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected)))
        compared++
      }
    }
    expect(compared).toBeGreaterThan(40)
  })

  it('is a mean over tokens and layers, micro-batches included', () => {
    const steps = [1, 2].map(count => {
      const stepper = new TrainingStep(
        kernels(),
        Llama.initialize({ ...tinyConfig, activation: 'relu' }, 1),
        {
          ...{ beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0, clip: 1, seed: 1 },
        },
      )
      const inputs = Int32Array.of(1, 5, 2, 9)
      const batch = { inputs, targets: inputs, seq: 4 }
      const regularizer = new Regularizer(
        parse({ name: 'l1', coefficient: 2, coefficientWarmup: 0 }),
        relu,
        100,
      )
      return stepper.run(1, 0, parseActivation('relu'), Array(count).fill(batch), {
        factor: rows => regularizer.factor(1, rows, tinyConfig.numHiddenLayers),
      })
    })
    expect(steps[0].penalty?.value).toBeGreaterThan(0)
    expect(steps[1].penalty?.value).toBeCloseTo(steps[0].penalty?.value ?? 0, 9)
    expect(steps[1].penalty?.active).toBe(steps[0].penalty?.active)
    expect(steps[1].gradNorm).toBeCloseTo(steps[0].gradNorm, 5)
  })
})

describe('coefficients', () => {
  it('of l1 rise linearly over the warm-up, counted from the first step with exact zeros', () => {
    const swift = makeStrategy({ strategy: 'swift', from: 'silu', to: 'relu', alpha: 0.4 }, 100)
    const l1 = new Regularizer(parse({ name: 'l1', coefficient: 0.01, coefficientWarmup: 0.5 }), swift, 100)
    expect([1, 60].map(step => l1.coefficient(step))).toEqual([0, 0])
    expect(l1.coefficient(61)).toBeCloseTo(0.01 / 20, 12)
    expect(l1.coefficient(70)).toBeCloseTo(0.005, 12)
    expect([80, 100].map(step => l1.coefficient(step))).toEqual([0.01, 0.01])
    expect(l1.factor(80, 50, 4)).toBeCloseTo(0.01 / 200, 12)
  })

  it('of prosparse have the closed form at the ends and in the middle of each stage', () => {
    const stages = { factors: [0.1, 0.4, 0.4, 1], stages: [0.1, 0.3, 0.5, 0.9] }
    const at = (t: number) => prosparseFactor(t, 1000, stages)
    expect([1, 50, 100].map(at)).toEqual([0.1, 0.1, 0.1])
    expect(at(101)).toBeCloseTo(0.1 + 0.5 * (1 - Math.cos(Math.PI / 200)) * 0.3, 9)
    expect(at(200)).toBeCloseTo(0.25, 12)
    expect(at(300)).toBeCloseTo(0.4, 12)
    expect([400, 500].map(at)).toEqual([0.4, 0.4])
    expect(at(700)).toBeCloseTo(0.7, 12)
    expect(at(900)).toBeCloseTo(1, 12)
    expect(at(1000)).toBe(1)
    const prosparse = new Regularizer(parse({ name: 'prosparse', ...stages }), relu, 1000)
    // Σ over layers, mean over tokens.
    expect(prosparse.factor(700, 50, 4)).toBeCloseTo(0.7 / 50, 12)
  })

  it('with a target follow the fraction of active neurons up and down', () => {
    const l1 = new Regularizer(parse({ name: 'l1', targetActive: 0.1, coefficientWarmup: 0 }), relu, 100)
    const first = l1.coefficient(1)
    l1.observe(1, 0.5)
    const more = l1.coefficient(2)
    expect(more).toBeGreaterThan(first)
    l1.observe(2, 0.02)
    expect(l1.coefficient(3)).toBeLessThan(more)
  })

  it('reach their target where the fraction answers to the coefficient', () => {
    // A stand-in for training: the fraction follows 0.5 / (1 + 200 c) with a lag of ten steps.
    const l1 = new Regularizer(parse({ name: 'l1', targetActive: 0.1 }), relu, 600)
    let active = 0.5
    for (let step = 1; step <= 600; step++) {
      active += 0.1 * (0.5 / (1 + 200 * l1.coefficient(step)) - active)
      l1.observe(step, active)
    }
    expect(Math.abs(active - 0.1)).toBeLessThan(0.005)
    expect(Math.abs(l1.coefficient(600) / 0.02 - 1)).toBeLessThan(0.1)
  })

  it.each([40, 70, 140, 300])('reach it too in the %i steps that a late switch leaves', count => {
    const swift = makeStrategy({ strategy: 'swift', from: 'silu', to: 'relu', alpha: count / 700 }, 700)
    const l1 = new Regularizer(parse({ name: 'l1', targetActive: 0.1 }), swift, 700)
    let [active, lowest] = [0.5, 1]
    for (let step = 1; step <= 700; step++) {
      if (step <= 700 - count) continue
      active += 0.1 * (0.5 / (1 + 200 * l1.coefficient(step)) - active)
      lowest = Math.min(lowest, active)
      l1.observe(step, active)
    }
    // Without haste 40 steps end at 0.28, 70 at 0.24.
    expect(active).toBeLessThan(0.14)
    expect(lowest).toBeGreaterThan(0.08)
  })

  it('with a target leave out what is drawn from an activation without zeros', () => {
    const stocha = makeStrategy(
      { strategy: 'stocha', p: 0.5, positive: 'drawn', to: 'relu', alpha: 0.5 },
      100,
    )
    const options = parse({ name: 'l1', targetActive: 0.2, coefficientWarmup: 0 })
    const l1 = new Regularizer(options, stocha, 100)
    // 0.6 active, of which 0.5 are drawn: 0.2 of the others.
    l1.observe(1, 0.6)
    l1.observe(2, 0.6)
    expect(l1.coefficient(3)).toBeCloseTo(l1.coefficient(1), 12)
  })
})

describe('dead neurons', () => {
  const hidden = (...rows: number[][]): Tensor =>
    ({ data: Float32Array.from(rows.flat()), width: rows[0].length, rows: rows.length }) as Tensor

  it('are those that no row of the last steps fired, and reviving moves their gate weights alone', () => {
    const config = { ...tinyConfig, intermediateSize: 3, numHiddenLayers: 1, activation: 'relu' }
    const model = Llama.initialize(config, 1)
    const neurons = new DeadNeurons(model, 0)
    neurons.observe(1, 0, hidden([0, 1, 0], [0, 0, -2]))
    neurons.observe(2, 0, hidden([0, 0, 0], [0, 0, 3]))
    expect(neurons.dead(2, 1)).toEqual([[0, 1]])
    expect(neurons.dead(2, 2)).toEqual([[0]])
    expect(new DeadNeurons(model, 2, neurons.lastFired).dead(2, 1)).toEqual([[0, 1]])

    const gate = model.parameters.get('model.layers.0.mlp.gate_proj.weight') as Tensor
    const before = Float32Array.from(gate.data)
    const d = config.hiddenSize
    expect(neurons.revive(model, 2, { after: 2, lambda: 0.1, seed: 1 })).toBe(1)
    expect(gate.data.subarray(d)).toEqual(before.subarray(d))
    const moved = gate.data.subarray(0, d)
    for (const [i, w] of moved.entries()) {
      expect(w).not.toBe(before[i])
      // The random part has standard deviation 0.02: beyond 6 of them nothing may lie.
      expect(Math.abs(w - 0.9 * before[i])).toBeLessThan(0.1 * 6 * 0.02)
    }
  })
})

describe('the threshold search', () => {
  it('finds the largest threshold within the loss allowed, to the width of its last interval', () => {
    const loss = (t: number) => 2 + t ** 2
    // The interval of a factor 4 is halved five times.
    const found = largestThreshold(loss, 2.01)
    expect(found).toBeLessThanOrEqual(0.1)
    expect(found).toBeGreaterThan(0.1 / 4 ** (1 / 32) - 1e-3)
    expect(largestThreshold(loss, 2)).toBe(0)
  })
})

describe('regularized runs', () => {
  const regularized = (directory: string, regularizer: RegularizerInput, extra: Partial<TrainRun> = {}) =>
    tinyRun(directory, { strategy: { strategy: 'scratch', activation: 'relu' }, regularizer, ...extra })
  const weights = (directory: string): Buffer =>
    fs.readFileSync(path.join(latestRunCheckpoint(directory)?.dir ?? '', 'model.safetensors'))
  const lines = (directory: string) =>
    fs
      .readFileSync(path.join(directory, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))

  it('end sparser than without, and record penalty, coefficient, active fraction and dead neurons', async () => {
    const [plain, sparse] = [temporaryDirectory(), temporaryDirectory()]
    const zeros = async (directory: string, regularizer?: RegularizerInput) => {
      const run = regularized(directory, { name: 'l1' })
      const training = { ...run.training, steps: 60, learningRate: 0.01 }
      const { evaluations } = await train({ ...run, training, regularizer })
      const { sparsity, deadNeurons } = evaluations[evaluations.length - 1]
      expect(deadNeurons).toHaveLength(2)
      return (sparsity[0] + sparsity[1]) / 2
    }
    const without = await zeros(plain)
    const withL1 = await zeros(sparse, { name: 'l1', coefficient: 0.3 })
    expect(withL1).toBeGreaterThan(without + 0.1)
    const step = lines(sparse).find(line => line.kind === 'step' && line.step === 60)
    expect(step).toMatchObject({ coefficient: 0.3 })
    expect(step.penalty).toBeGreaterThan(0)
    expect(step.active).toBeGreaterThan(0)
    expect(step.active).toBeLessThan(1)
  })

  it('interrupted and resumed end with the same bits: coefficient and dead neurons are remembered', async () => {
    const regularizer = { name: 'l1', targetActive: 0.1, revive: 0.5, deadAfter: 2 } as const
    const [whole, parts] = [temporaryDirectory(), temporaryDirectory()]
    await train(regularized(whole, regularizer))
    for (const stop of [7, 16]) {
      const controller = new AbortController()
      const onProgress = ({ step }: { step: number }) => {
        if (step === stop - 1) controller.abort()
      }
      const run = regularized(parts, regularizer, { signal: controller.signal, onProgress })
      await expect(train(run)).rejects.toMatchObject({ code: 'INTERRUPTED' })
    }
    await train(regularized(parts, regularizer))
    expect(weights(parts).equals(weights(whole))).toBe(true)
    const other = regularized(parts, { ...regularizer, targetActive: 0.2 })
    await expect(train(other)).rejects.toThrow(/regularizer\.targetActive: 0\.1 there, 0\.2 now/)
  })

  it('with thresholdLoss end with fatrelu, sparser, within the loss allowed, also when opened again', async () => {
    const directory = temporaryDirectory()
    const run = regularized(directory, {
      name: 'prosparse',
      factors: [0.01, 0.1],
      stages: [0.2, 0.8],
      thresholdLoss: 0.05,
    })
    const { inference, evaluations, checkpoint } = await train(run)
    expect(inference.name).toBe('fatrelu')
    const [before, after] = evaluations.slice(-2)
    expect([before.activation, after.activation]).toEqual(['relu', inference.spec])
    expect(after.loss).toBeLessThanOrEqual(before.loss + 0.05)
    expect(after.sparsity[0]).toBeGreaterThan(before.sparsity[0])
    const stored = readCheckpoint(checkpoint)
    expect(stored.config.activation).toBe(inference.spec)
    stored.close()
    expect((await train(run)).inference.spec).toBe(inference.spec)
  })

  it.each<[RegularizerInput, Partial<TrainRun>, RegExp]>([
    [
      { name: 'l1' },
      { strategy: { strategy: 'scratch', activation: 'silu' } },
      /l1 .*silu, which is never exactly zero/,
    ],
    [
      { name: 'l1', thresholdLoss: 0.1 },
      { strategy: { strategy: 'scratch', activation: 'relu2' } },
      /ends with relu2/,
    ],
    [
      { name: 'prosparse', factors: [1, 2], stages: [0.5, 0.4] },
      {},
      /regularizer\.stages.*must rise: 0\.4 comes after 0\.5/,
    ],
    [
      { name: 'prosparse', factors: [2, 1], stages: [0.4, 0.5] },
      {},
      /regularizer\.factors.*must not fall: 1 comes after 2/,
    ],
    [
      { name: 'prosparse', factors: [1], stages: [0.4, 0.5] },
      {},
      /must be as many as factors: 2 ends for 1 factors/,
    ],
    [{ name: 'l1', targetActive: 1.5 }, {}, /regularizer\.targetActive/],
  ])('refuse %j with %j before anything is written', async (regularizer, extra, message) => {
    const directory = path.join(temporaryDirectory(), 'run')
    await expect(train(regularized(directory, regularizer, extra))).rejects.toThrow(message)
    expect(fs.existsSync(directory)).toBe(false)
  })
})

// Activations that learn, inside a language model: their parameters are the model's, they train, they are saved, and
// whoever reads the checkpoint computes with them.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { EngineModel } from '../../src/engine/index.js'
import { latestRunCheckpoint, readCheckpoint } from '../../src/formats/index.js'
import { kernels } from '../../src/kernels/index.js'
import { Purpose, seedWords } from '../../src/kernels/philox.js'
import { Llama } from '../../src/nn/llama.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { Tape } from '../../src/tensor/index.js'
import { type StrategyOptions, train } from '../../src/train/index.js'
import { temporaryDirectory, tinyRun } from './tiny-run.js'

/** The checkpoint of a short run with this strategy. */
async function trained(strategy: StrategyOptions) {
  const directory = temporaryDirectory()
  await train(tinyRun(directory, { strategy }))
  const checkpoint = readCheckpoint(latestRunCheckpoint(directory)?.dir ?? '')
  return { directory, checkpoint }
}

describe('learned parameters of an activation', () => {
  it.each([
    ['xielu', ['above', 'below'], 1],
    ['gumbel_stoch:gate=neuron', ['logit'], 40],
    ['tmaf', ['diagonal'], 6 * 40],
  ])('%s: they train and are saved, one set per layer', async (activation, names, length) => {
    const { checkpoint } = await trained({ strategy: 'scratch', activation })
    const start = new Map(parameterShapes(checkpoint.config).map(({ name, start }) => [name, start]))
    for (const layer of [0, 1]) {
      for (const name of names) {
        const tensor = `model.layers.${layer}.mlp.act.${name}`
        const values = checkpoint.tensor(tensor)
        expect(values.length).toBe(length)
        expect([...values]).not.toEqual([...Float32Array.from(start.get(tensor) ?? [])])
        expect([...values].every(Number.isFinite)).toBe(true)
      }
    }
  })

  it.each([
    'xielu',
    'polynorm',
    'rbf',
    'gumbel_stoch:gate=neuron',
    'stoch:per=token',
    'stoch:per=sample',
    'topk:k=0.2',
    'stat-topk:k=0.2',
  ])('%s: the engine computes what training computed', async activation => {
    const { checkpoint } = await trained({ strategy: 'scratch', activation })
    const { config } = checkpoint
    const tensor = (name: string) => checkpoint.tensor(name)
    const tokens = Int32Array.from({ length: 16 }, (_, i) => 40 + 3 * i)
    const [seedLow, seedHigh] = seedWords(0)
    const draw = { seedLow, seedHigh, purpose: Purpose.decode, step: 0, firstRow: 0 }
    const tape = new Tape(kernels(), { training: false })
    const options = { activation: parseActivation(config.activation), draw }
    const expected = Llama.from(config, tensor).logits(tape, tokens, tokens.length, options).data
    const actual = new EngineModel(config, tensor).logits(tokens)
    const largest = Math.max(...expected.map(Math.abs))
    for (let i = 0; i < expected.length; i++) {
      expect(Math.abs(actual[i] - expected[i])).toBeLessThan(1e-5 * largest)
    }
  })

  it('a run that switches keeps what its first activation learned, and says so in its config', async () => {
    const strategy = {
      strategy: 'swift',
      from: 'learnable_stoch:gate=neuron',
      to: 'relu',
      alpha: 0.25,
    } as const
    const { checkpoint } = await trained(strategy)
    expect(checkpoint.config.activation).toBe('relu')
    expect(checkpoint.config.trainedActivations).toEqual(['learnable_stoch:gate=neuron,hidden=4'])
    expect(checkpoint.tensor('model.layers.1.mlp.act.logit').some(value => value !== 0)).toBe(true)
  })

  it('a run that switches between activations that learn nothing names none in its config', async () => {
    const { checkpoint } = await trained({ strategy: 'swift', from: 'silu', to: 'relu', alpha: 0.25 })
    expect(checkpoint.config.activation).toBe('relu')
    expect(checkpoint.config.trainedActivations).toBeUndefined()
  })

  it('SmartMixed learns in its first phase and runs the favorites in its second', async () => {
    const strategy = {
      strategy: 'swift',
      from: 'smartmixed',
      to: 'smartmixed:phase=frozen',
      alpha: 0.5,
    } as const
    const { checkpoint, directory } = await trained(strategy)
    const choices = checkpoint.tensor('model.layers.0.mlp.act.choice')
    expect(choices.length).toBe(6 * 40)
    // Nothing is left to learn of the choice once it is frozen, and a resumed run goes on bit for bit.
    const again = temporaryDirectory()
    const controller = new AbortController()
    const stopping = tinyRun(again, {
      strategy,
      signal: controller.signal,
      onProgress: ({ step }) => {
        if (step === 9) controller.abort()
      },
    })
    await expect(train(stopping)).rejects.toMatchObject({ code: 'INTERRUPTED' })
    await train(tinyRun(again, { strategy }))
    const resumed = readCheckpoint(latestRunCheckpoint(again)?.dir ?? '')
    expect(resumed.tensor('model.layers.0.mlp.act.choice')).toEqual(choices)
    expect(directory).not.toBe(again)
  })

  it('weights start alike whatever the activation learns', () => {
    const config = {
      vocabSize: 20,
      hiddenSize: 8,
      intermediateSize: 12,
      numHiddenLayers: 1,
      numAttentionHeads: 2,
      numKeyValueHeads: 2,
      maxPositionEmbeddings: 8,
      rmsNormEps: 1e-5,
      ropeTheta: 10_000,
      tieWordEmbeddings: false,
      ffn: 'gated',
      activation: 'silu',
    } as const
    const plain = Llama.initialize(config, 5)
    const learning = Llama.initialize({ ...config, activation: 'xielu' }, 5)
    for (const [name, { data }] of plain.parameters) expect(learning.parameters.get(name)?.data).toEqual(data)
    expect(learning.parameterCount - plain.parameterCount).toBe(2)
  })

  it('two activations of one model may share a parameter, but not disagree about its size', () => {
    const config = Llama.initialize(
      {
        vocabSize: 20,
        hiddenSize: 8,
        intermediateSize: 12,
        numHiddenLayers: 1,
        numAttentionHeads: 2,
        numKeyValueHeads: 2,
        maxPositionEmbeddings: 8,
        rmsNormEps: 1e-5,
        ropeTheta: 10_000,
        tieWordEmbeddings: false,
        ffn: 'gated',
        activation: 'gumbel_stoch:gate=neuron',
        trainedActivations: ['learnable_stoch:gate=neuron'],
      },
      1,
    ).config
    expect(parameterShapes(config).filter(({ name }) => name.includes('.act.')).length).toBe(1)
    const clash = { ...config, activation: 'prelu:shared=layer', trainedActivations: ['prelu:shared=neuron'] }
    expect(() => parameterShapes(clash)).toThrow(/learns 12 values as "slope"/)
  })
})

// A trained model says in the engine what it said in training: every form of the FFN with activations of every kind,
// trained for some steps, saved, loaded and compared.

import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { EngineModel } from '../../src/engine/index.js'
import { openModel } from '../../src/formats/index.js'
import { kernels } from '../../src/kernels/index.js'
import { Purpose, seedWords } from '../../src/kernels/philox.js'
import { Tape } from '../../src/tensor/index.js'
import { modelSchema, train, trainingSchema } from '../../src/train/index.js'
import { relativeDifference } from '../engine/bits.js'
import { temporaryDirectory, tinyRun } from './tiny-run.js'

const forms = ['gated', 'plain', 'drelu', 'spark'] as const
/** Plain, smooth, with learned parameters, of whole rows, drawn with a learned gate. */
const activations = ['relu', 'gelu', 'xielu', 'topk:k=0.3', 'stat-topk:k=0.2', 'gumbel_stoch']
const tokens = Int32Array.from({ length: 16 }, (_, i) => (31 * i + 7) % 128)
const [seed, sequence] = [9, 4]

describe.each(forms)('trained with a %s FFN', ffn => {
  it.each(activations)('and %s, a model has the same logits in the engine', async activation => {
    const directory = temporaryDirectory()
    const run = tinyRun(directory, {
      model: modelSchema.parse({
        hiddenSize: 32,
        intermediateSize: 48,
        numHiddenLayers: 2,
        numAttentionHeads: 2,
        ffn,
      }),
      strategy: { strategy: 'scratch', activation },
      // Fast, for learned parameters to leave their start.
      training: trainingSchema.parse({
        steps: 5,
        batchSize: 2,
        context: 16,
        warmupSteps: 0,
        learningRate: 0.02,
        evalEvery: 5,
        evalTokens: 100,
      }),
    })
    const { model, checkpoint } = await train(run)
    const [seedLow, seedHigh] = seedWords(seed)
    const trained = model.logits(new Tape(kernels(), { training: false }), tokens, tokens.length, {
      activation: parseActivation(activation),
      draw: { seedLow, seedHigh, purpose: Purpose.decode, step: sequence, firstRow: 0 },
    })
    const source = openModel(checkpoint)
    const engine = new EngineModel(source.config, source)
    source.close()
    expect(path.dirname(checkpoint)).toBe(directory)
    const logits = engine.logits(tokens, { seed, sequence })
    expect(relativeDifference(logits, trained.data)).toBeLessThan(1e-5)

    // And they depend on what was learned: with the start values they are others.
    const { learned } = parseActivation(activation)
    if (learned.length === 0) return
    const untrained = new EngineModel(source.config, name => {
      const tensor = model.parameters.get(name)?.data as Float32Array
      return name.includes('.act.') ? tensor.map(value => value + 0.3) : tensor
    })
    expect(relativeDifference(untrained.logits(tokens, { seed, sequence }), trained.data)).toBeGreaterThan(
      1e-4,
    )
  })
})

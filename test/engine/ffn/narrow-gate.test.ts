// The narrow gate on a trained model: hidden states and weights as training leaves them, not as a generator draws them.

import { describe, expect, it } from 'vitest'
import { EngineModel, type EngineOptions, resolveModelDirectory } from '../../../src/engine/index.js'
import { readCheckpoint } from '../../../src/formats/index.js'
import { narrowIndexBytes } from '../../../src/kernels/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { modelSchema, train, trainingSchema } from '../../../src/train/index.js'
import { temporaryDirectory, tinyRun } from '../../train/tiny-run.js'
import { bitsOf } from '../bits.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'

const text = [...Buffer.from('seven 49. eight 56. nine 63. zero 70. '.repeat(3))]

describe('a trained model', () => {
  it('gives the same logits and active neurons with the narrow gate and without', async () => {
    const directory = temporaryDirectory()
    await train({
      ...tinyRun(directory),
      model: modelSchema.parse({
        hiddenSize: 48,
        intermediateSize: 300,
        numHiddenLayers: 3,
        numAttentionHeads: 4,
      }),
      strategy: { strategy: 'swift', from: 'silu', to: 'relu', alpha: 0.2 },
      training: trainingSchema.parse({
        steps: 200,
        batchSize: 4,
        context: 32,
        evalEvery: 80,
        evalTokens: 100,
      }),
    })
    const checkpoint = readCheckpoint(resolveModelDirectory(directory))
    const config = { ...checkpoint.config, maxPositionEmbeddings: text.length }
    const { weights } = new EngineModel(config, checkpoint, { dtype: 'bf16' })
    checkpoint.close()
    const run = (activation: string, options: EngineOptions) => {
      const session = new EngineModel(config, weights, { dtype: 'bf16', activation, ...options }).session({
        seed: 4,
      })
      const steps = text.map(token => {
        const logits = session.step(token).slice()
        return { logits, active: session.activeNeurons, skipped: session.stats.pass.ffnBytesSkipped }
      })
      return {
        bits: bitsOf(Float32Array.from(steps.flatMap(({ logits }) => [...logits]))),
        active: steps.map(step => step.active),
        skipped: steps.reduce((sum, step) => sum + step.skipped.reduce((a, b) => a + b), 0),
      }
    }
    for (const activation of ['relu', 'fatrelu:t=0.1', 'shifted-relu:b=-0.05', 'stocha:p=0.2']) {
      const dense = run(activation, { ffn: 'dense', narrowGate: 'off' })
      const whole = run(activation, { ffn: 'sparse', narrowGate: 'off' })
      const narrow = run(activation, { ffn: 'sparse', narrowGate: 'on' })
      expect(narrow.bits).toEqual(dense.bits)
      expect(narrow.active).toEqual(dense.active)
      expect(whole.bits).toEqual(dense.bits)
      // Rows of the gate were left out, for which the index was read.
      const indexBytes = text.length * config.numHiddenLayers * narrowIndexBytes(config.intermediateSize, 48)
      const rowsLeftOut = (narrow.skipped + indexBytes - whole.skipped) / (2 * 48)
      expect(rowsLeftOut).toBeGreaterThan(
        0.3 * text.length * config.numHiddenLayers * config.intermediateSize,
      )
    }
  })
})

describe('a plain FFN with biases', () => {
  it('leaves up rows unread and has the same logits', () => {
    const config: ModelConfig = {
      ...smallConfig,
      hiddenSize: 64,
      intermediateSize: 400,
      norm: 'layer',
      ffn: 'plain',
      ffnBias: true,
      attentionBias: 'qkvo',
    }
    const tensors = randomTensors(config, 3)
    for (const [name, values] of tensors) {
      // As in trained models: most neurons are far below 0.
      if (name.endsWith('up_proj.bias')) for (let i = 0; i < values.length; i++) values[i] -= 2
    }
    const run = (narrowGate: 'on' | 'off') => {
      const session = new EngineModel(config, tensorOf(tensors), { ffn: 'sparse', narrowGate }).session()
      const logits = [5, 11, 30, 2].map(token => Float32Array.from(session.step(token)))
      return { bits: logits.flatMap(row => [...bitsOf(row)]), read: session.stats.pass.ffnBytesRead }
    }
    const [narrow, whole] = [run('on'), run('off')]
    expect(narrow.bits).toEqual(whole.bits)
    // Of f32 weights the index is a little over a quarter of the up rows.
    for (const [layer, bytes] of narrow.read.entries()) expect(bytes).toBeLessThan(0.7 * whole.read[layer])
  })
})

// Blocks that differ from Llama's, on the device: each difference against the engine on the CPU, and skipping against
// computing everything.

import { expect, it } from 'vitest'
import { DeviceModel } from '../../../src/engine/device/device-model.js'
import { EngineModel } from '../../../src/engine/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { bitsOf, relativeDifference } from '../bits.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'
import { describeWithGpu } from './with-gpu.js'

/** More than one super-block, of which the last is not whole. */
const wide = { ...smallConfig, hiddenSize: 320, headDim: 6 }
const plain = { ffn: 'plain', activation: 'relu', headDim: 6 } as const

type Block = ModelConfig & { readonly dtype?: 'q4_k' | 'q5_k' | 'q6_k' }

/** Blocks that have between them everything that the device computes. */
const blocks: Record<string, Block> = {
  'a mixture of dReLU experts with norms on both sides': {
    ...smallConfig,
    ffn: 'drelu',
    normPlacement: 'both',
    experts: { count: 3, perToken: 2, normalized: false },
  },
  'SiLU in q4_k: the down projection as a file has it': { ...wide, activation: 'silu', dtype: 'q4_k' },
  'Spark: gate and up read a part of the input each, and the activation whole rows': {
    ...smallConfig,
    ffn: 'spark',
    sparkPredictorWidth: 10,
    activation: 'stat-topk:k=0.3',
  },
  'ReLU after norms, and top-k by magnitude on both sides of a dReLU FFN': {
    ...smallConfig,
    ffn: 'drelu',
    normActivation: 'relu',
    activation: 'topk:k=40,by=magnitude,act=identity',
  },
  'Gemma: norms on both sides, of queries and keys, windows, soft caps, factors': {
    ...smallConfig,
    normPlacement: 'both',
    qkNorm: 'head',
    slidingWindow: 4,
    windowLayers: [true, false],
    localRopeTheta: 300,
    attentionScale: 0.3,
    attentionSoftcap: 3,
    finalSoftcap: 5,
    embeddingScale: 1.7,
    tieWordEmbeddings: true,
  },
  'GPT-NeoX: LayerNorm, parallel branches with two norms, partial rotation, every bias': {
    ...smallConfig,
    ...plain,
    norm: 'layer',
    parallelBranches: 'twoNorms',
    rotaryDim: 4,
    attentionBias: 'qkvo',
    ffnBias: true,
    headBias: true,
    logitScale: 0.7,
  },
}

/** The same parts in other company: with FLICKER_FULL, since each takes a processor half a minute. */
const more: Record<string, Block> = {
  'dReLU in q4_k, drawn on both sides': { ...wide, ffn: 'drelu', activation: 'stocha:p=0.4', dtype: 'q4_k' },
  'a mixture of experts in q6_k, drawn': {
    ...wide,
    experts: { count: 5, perToken: 2, normalized: true },
    activation: 'stocha:p=0.4',
    dtype: 'q6_k',
  },
  'a mixture of dReLU experts in q4_k, drawn on both sides': {
    ...wide,
    ffn: 'drelu',
    experts: { count: 5, perToken: 2, normalized: true },
    activation: 'stocha:p=0.4',
    dtype: 'q4_k',
  },
  'GPT-2: LayerNorm and learned positions': {
    ...smallConfig,
    ...plain,
    norm: 'layer',
    learnedPositions: { offset: 2 },
    attentionBias: 'qkvo',
    ffnBias: true,
    tieWordEmbeddings: true,
  },
  'OLMo 2: norms after the branches, of whole projections': {
    ...smallConfig,
    normPlacement: 'after',
    qkNorm: 'projection',
    ropeLayers: [true, false],
  },
  'Granite: factors everywhere': { ...smallConfig, residualScale: 0.3, embeddingScale: 3, logitScale: 0.2 },
  'Falcon 7B: one norm of parallel branches': {
    ...smallConfig,
    ...plain,
    norm: 'layer',
    parallelBranches: 'oneNorm',
    numKeyValueHeads: 1,
  },
  'Cohere-like: parallel branches with one RMSNorm': { ...smallConfig, parallelBranches: 'oneNorm' },
}

const tokens = [1, 5, 9, 30, 2, 7, 11, 36, 0, 3]
const tried = process.env.FLICKER_FULL === undefined ? blocks : { ...blocks, ...more }

await describeWithGpu('blocks on the device', gpu => {
  it.each(Object.entries(tried))('%s', async (_, { dtype, ...config }) => {
    const tensors = tensorOf(randomTensors(config, 9))
    const cpu = new EngineModel(config, tensors, { dtype })
    const expected = cpu.logits(tokens)
    const sparse = await DeviceModel.create(config, tensors, { gpu, ffn: 'sparse', dtype })
    const dense = await DeviceModel.create(config, tensors, { gpu, ffn: 'dense', dtype })
    const logits = await sparse.logits(tokens)
    expect(relativeDifference(logits, expected)).toBeLessThan(1e-5)
    expect(bitsOf(await dense.logits(tokens))).toEqual(bitsOf(logits))
    const session = sparse.session()
    const reference = cpu.session()
    const steps = new Float32Array(logits.length)
    for (const [i, token] of tokens.entries()) {
      steps.set(await session.step(token), i * config.vocabSize)
      reference.step(token)
      expect([...session.activeNeurons]).toEqual([...reference.activeNeurons])
    }
    expect(bitsOf(steps)).toEqual(bitsOf(logits))
    sparse.dispose()
    dense.dispose()
  })
})

// The device against the engine on the CPU, and against the definition; skipping against computing everything.

import { expect, it } from 'vitest'
import { parseActivation } from '../../../src/activations/index.js'
import { DeviceModel } from '../../../src/engine/device/device-model.js'
import { EngineModel, type EngineOptions } from '../../../src/engine/index.js'
import type { Gpu } from '../../../src/kernels/webgpu/index.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { bitsOf, relativeDifference } from '../bits.js'
import { naiveForward, randomTensors, smallConfig, tensorOf } from '../naive-model.js'
import { describeWithGpu } from './with-gpu.js'

const llama: ModelConfig = smallConfig
const qwen2: ModelConfig = {
  ...smallConfig,
  hiddenSize: 40,
  intermediateSize: 136,
  attentionBias: 'qkv',
  tieWordEmbeddings: true,
  ropeTheta: 1e6,
}
const plain: ModelConfig = {
  ...smallConfig,
  ffn: 'plain',
  activation: 'relu2',
  attentionBias: 'qkvo',
  headDim: 6,
}
const tokens = [1, 5, 9, 30, 2, 7, 11, 36, 0, 3]
/** Without a GPU the shaders of each type take a processor seconds to compile: bf16 differs from f16 in one line of them, and
 * blocks.test.ts has K-quants. */
const full = process.env.FLICKER_FULL !== undefined
const types = full
  ? (['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k'] as const)
  : (['f32', 'f16', 'q8_0', 'q4_0'] as const)

async function compared(gpu: Gpu, config: ModelConfig, options: Pick<EngineOptions, 'dtype' | 'activation'>) {
  const tensors = tensorOf(randomTensors(config, 9))
  const cpu = new EngineModel(config, tensors, options)
  const sparse = await DeviceModel.create(config, tensors, { ...options, gpu, ffn: 'sparse' })
  const dense = await DeviceModel.create(config, tensors, { ...options, gpu, ffn: 'dense' })
  const expected = cpu.logits(tokens)
  const logits = await sparse.logits(tokens)
  const session = sparse.session()
  const reference = cpu.session()
  const steps = new Float32Array(logits.length)
  const active: number[][] = []
  for (const [i, token] of tokens.entries()) {
    steps.set(await session.step(token), i * config.vocabSize)
    reference.step(token)
    active.push([...session.activeNeurons])
    expect(active[i]).toEqual([...reference.activeNeurons])
  }
  const result = { expected, logits, steps, dense: await dense.logits(tokens), active }
  sparse.dispose()
  dense.dispose()
  return result
}

function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  expect(bitsOf(actual)).toEqual(bitsOf(expected))
}

await describeWithGpu('logits on the device', gpu => {
  it.each(types)(
    'of a Llama model in %s are those of the CPU, and the same bits dense and step by step',
    async dtype => {
      const { expected, logits, steps, dense, active } = await compared(gpu, llama, { dtype })
      expect(relativeDifference(logits, expected)).toBeLessThan(1e-5)
      expectSameBits(dense, logits)
      expectSameBits(steps, logits)
      // Some neurons are skipped, and some are not.
      const fractions = active.flat().map(count => count / llama.intermediateSize)
      expect(Math.min(...fractions)).toBeLessThan(0.6)
      expect(Math.max(...fractions)).toBeGreaterThan(0.3)
    },
  )

  it.each(['f32', 'q8_0'] as const)('of a Qwen2 model with silu in %s are those of the CPU', async dtype => {
    const { expected, logits, steps } = await compared(gpu, qwen2, { dtype, activation: 'silu' })
    expect(relativeDifference(logits, expected)).toBeLessThan(1e-5)
    expectSameBits(steps, logits)
  })

  it('of a plain FFN with every bias are those of the definition', async () => {
    const { logits, dense } = await compared(gpu, plain, {})
    const { logits: expected } = naiveForward(plain, randomTensors(plain, 9), tokens, {
      activation: parseActivation('relu2'),
    })
    expect(
      relativeDifference(
        logits,
        expected.flatMap(row => [...row]),
      ),
    ).toBeLessThan(1e-5)
    expectSameBits(dense, logits)
  })
})

await describeWithGpu(
  'logits without subgroup operations, with matrices in several bindings',
  gpu => {
    const some = full ? (['f32', 'q8_0', 'q4_0'] as const) : (['f32'] as const)
    it.each(some)('in %s are those of the CPU, and the same bits dense', async dtype => {
      const { expected, logits, steps, dense } = await compared(gpu, llama, { dtype })
      expect(relativeDifference(logits, expected)).toBeLessThan(1e-5)
      expectSameBits(dense, logits)
      expectSameBits(steps, logits)
    })

    // An expert is larger than a binding, and its activation looks at whole rows; or a binding holds two experts of three,
    // which takes a third of the time.
    const large = { intermediateSize: 70, activation: 'topk:k=20' }
    const two = { intermediateSize: 30, activation: 'stocha:p=0.4' }
    it.each(full ? [large, two] : [two])(
      'of experts that one binding does not hold (%o) are those of the CPU',
      async own => {
        const experts = { count: 3, perToken: 2, normalized: true }
        const { expected, logits, steps, dense } = await compared(gpu, { ...llama, ...own, experts }, {})
        expect(relativeDifference(logits, expected)).toBeLessThan(1e-5)
        expectSameBits(dense, logits)
        expectSameBits(steps, logits)
      },
    )
  },
  // Thirty-two rows of the smallest matrix: the 37 of the vocabulary and the 70 neurons do not fit into one.
  { subgroups: false, maxBindingBytes: 32 * 2 * 128 },
)

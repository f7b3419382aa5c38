// Models whose quantized weights are multiplied with integers of 16 bits: near the same model in f32, and the same bits
// however they are computed.

import { afterAll, describe, expect, it } from 'vitest'
import { EngineModel, type EngineOptions, Session } from '../../src/engine/index.js'
import { availableKernels, defaultThreads, setThreads } from '../../src/kernels/index.js'
import { bitsOf, relativeDifference } from './bits.js'
import { randomTensors, smallConfig, tensorOf } from './naive-model.js'

afterAll(() => setThreads(defaultThreads()))

const config = { ...smallConfig, hiddenSize: 32, maxPositionEmbeddings: 600, activation: 'relu' }
const tensors = randomTensors(config, 4)
const prompt = Array.from({ length: 90 }, (_, i) => (i * i + 3) % 37)
const types = ['q8_0', 'q4_0', 'q4_k', 'q6_k'] as const
const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)

describe.each(backends)('activations int16, %s', (_, kernels) => {
  const engine = (options: EngineOptions) =>
    new EngineModel(config, tensorOf(tensors), { kernels, ...options })

  it.each(types)('logits are near those of f32, and not the same: %s', dtype => {
    const exact = engine({ dtype }).logits(prompt)
    const rounded = engine({ dtype, activations: 'int16' }).logits(prompt)
    const difference = relativeDifference(rounded, exact)
    expect(difference).toBeGreaterThan(0)
    // Rounding to 1/65,534 of a range, about twenty times in a row.
    expect(difference).toBeLessThan(1e-3)
  })

  it.each(types)('one bit pattern for any way of computing: %s', dtype => {
    const options = { dtype, activations: 'int16' } as const
    const all = bitsOf(engine({ ...options, ffn: 'dense' }).logits(prompt))
    for (const threads of [1, 3]) {
      setThreads(threads)
      expect(bitsOf(engine({ ...options, ffn: 'sparse' }).logits(prompt))).toEqual(all)
    }
    // Token by token, and as one of several that step together.
    const model = engine({ ...options, ffn: 'sparse' })
    const session = model.session()
    session.prefill(prompt.slice(0, 80))
    const sessions = session.fork([{ sequence: 0 }, { sequence: 1 }])
    for (const [i, token] of prompt.slice(80).entries()) {
      session.step(token)
      Session.stepTogether(sessions, [token, 5])
      const own = bitsOf(session.logits)
      expect(own).toEqual(all.subarray((80 + i) * config.vocabSize, (81 + i) * config.vocabSize))
      expect(bitsOf(sessions[0].logits)).toEqual(own)
    }
  })

  it.each(['f32', 'bf16', 'f16'] as const)('weights of %s are multiplied in f32', dtype => {
    const bits = (activations: 'f32' | 'int16') =>
      bitsOf(engine({ dtype, activations }).logits(prompt.slice(0, 9)))
    expect(bits('int16')).toEqual(bits('f32'))
  })
})

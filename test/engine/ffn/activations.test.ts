// Every activation of the catalog runs in the engine as in the training graph, with what it has learned.

import { describe, expect, it } from 'vitest'
import { listActivations, parseActivation } from '../../../src/activations/index.js'
import { EngineModel } from '../../../src/engine/index.js'
import { kernels } from '../../../src/kernels/index.js'
import { Purpose, RandomStream } from '../../../src/kernels/philox.js'
import type { ModelConfig } from '../../../src/nn/config.js'
import { Llama } from '../../../src/nn/llama.js'
import { parameterShapes } from '../../../src/nn/parameters.js'
import { Tape } from '../../../src/tensor/index.js'
import { relativeDifference } from '../bits.js'
import { randomTensors, smallConfig, type Tensors, tensorOf } from '../naive-model.js'

const tokens = Int32Array.from({ length: 20 }, (_, i) => (i * i * 7 + 3) % 37)

/** Random weights, and learned parameters that differ from their start values and from layer to layer. */
function learnedTensors(config: ModelConfig): Tensors {
  const tensors = randomTensors(config, 6)
  for (const [stream, { name, start }] of parameterShapes(config).entries()) {
    if (start === undefined) continue
    const random = new RandomStream({ seed: 1, purpose: Purpose.init, stream })
    tensors.set(
      name,
      Float32Array.from(start, value => value + 0.2 * random.uniform()),
    )
  }
  return tensors
}

function graphLogits(config: ModelConfig, tensors: Tensors, activation: string): Float32Array {
  const tape = new Tape(kernels(), { training: false })
  const draw = { seedLow: 7, seedHigh: 0, purpose: Purpose.decode, step: 2, firstRow: 0 }
  const model = Llama.from(config, tensorOf(tensors))
  const options = { activation: parseActivation(activation), draw }
  return Float32Array.from(model.logits(tape, tokens, tokens.length, options).data)
}

function engineLogits(config: ModelConfig, tensors: Tensors, activation?: string): Float32Array {
  return new EngineModel(config, tensorOf(tensors), { activation }).logits(tokens, { seed: 7, sequence: 2 })
}

describe('in the engine', () => {
  const specs = listActivations().map(({ spec }) => spec)
  it.each(specs)('%s is what it is in training', activation => {
    for (const ffn of ['gated', 'plain', 'drelu'] as const) {
      const config = { ...smallConfig, ffn, activation }
      const tensors = learnedTensors(config)
      const expected = graphLogits(config, tensors, activation)
      expect(relativeDifference(engineLogits(config, tensors), expected)).toBeLessThan(1e-4)
    }
  })

  it("learned parameters are those of the activation that runs, when it replaces the model's", () => {
    const config = { ...smallConfig, activation: 'xsilu', trainedActivations: ['prelu'] }
    const tensors = learnedTensors(config)
    for (const activation of ['xsilu', 'prelu']) {
      const expected = graphLogits(config, tensors, activation)
      expect(relativeDifference(engineLogits(config, tensors, activation), expected)).toBeLessThan(1e-4)
      // Not by chance: at the start values the result is another.
      const start = new Map([...tensors].filter(([name]) => !name.includes('.act.')))
      for (const { name, start: values } of parameterShapes(config)) {
        if (values !== undefined) start.set(name, Float32Array.from(values))
      }
      expect(relativeDifference(engineLogits(config, start, activation), expected)).toBeGreaterThan(1e-2)
    }
  })
})

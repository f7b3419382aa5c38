// Models on the WebAssembly kernels: logits beside those of the definition and of the backend that this process uses, for
// every weight type; skipping against computing everything. That they were built is required in test/kernels/wasm.test.ts.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { EngineModel, type EngineOptions } from '../../src/engine/index.js'
import { portableKernels } from '../../src/kernels/index.js'
import { nativeKernels } from '../../src/kernels/native/training.js'
import { hasWasm, WASM_ISA } from '../../src/kernels/wasm/instance.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { bitsOf, relativeDifference } from './bits.js'
import { naiveForward, randomTensors, smallConfig, tensorOf } from './naive-model.js'

const qwen2: ModelConfig = {
  ...smallConfig,
  hiddenSize: 40,
  intermediateSize: 136,
  attentionBias: 'qkv',
  tieWordEmbeddings: true,
  ropeTheta: 1e6,
}
const tokens = [1, 5, 9, 30, 2, 7, 11, 36, 0, 3]
const types = ['f32', 'bf16', 'f16', 'q8_0', 'q6_k', 'q5_k', 'q4_k', 'q4_0'] as const

describe.skipIf(!hasWasm())(
  hasWasm() ? 'logits in WebAssembly' : 'logits in WebAssembly (skipped: npm run build:wasm has not run)',
  () => {
    const logitsOf = (config: ModelConfig, options: EngineOptions, wasm: boolean) => {
      const kernels = wasm ? { kernels: nativeKernels(WASM_ISA) } : {}
      const model = new EngineModel(config, tensorOf(randomTensors(config, 9)), { ...options, ...kernels })
      const logits = model.logits(tokens)
      const session = model.session()
      const steps = tokens.flatMap(token => [...session.step(token)])
      model.dispose()
      return { logits, steps: Float32Array.from(steps) }
    }

    describe.each([
      ['Llama', smallConfig],
      ['Qwen2', qwen2],
    ] as const)('of a %s model', (_, config) => {
      it.each(types)(
        'in %s are those of the other backends, the same bits skipped, dense and step by step',
        dtype => {
          const { logits, steps } = logitsOf(config, { dtype, ffn: 'sparse' }, true)
          const other = logitsOf(config, { dtype }, false).logits
          const portable = new EngineModel(config, tensorOf(randomTensors(config, 9)), {
            dtype,
            kernels: portableKernels(),
          }).logits(tokens)
          expect(relativeDifference(logits, other)).toBeLessThan(1e-5)
          expect(relativeDifference(logits, portable)).toBeLessThan(1e-5)
          expect(bitsOf(logitsOf(config, { dtype, ffn: 'dense' }, true).logits)).toEqual(bitsOf(logits))
          expect(bitsOf(steps)).toEqual(bitsOf(logits))
        },
      )
    })

    it('in f32 are those of the definition', () => {
      const { logits } = naiveForward(smallConfig, randomTensors(smallConfig, 9), tokens, {
        activation: parseActivation(smallConfig.activation),
      })
      const expected = logits.flatMap(row => [...row])
      expect(relativeDifference(logitsOf(smallConfig, {}, true).logits, expected)).toBeLessThan(1e-5)
    })
  },
)

// The Llama graph: gradients of the whole, and what its random draws depend on.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { availableKernels, portableKernels } from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { Llama } from '../../src/nn/llama.js'
import { Tape } from '../../src/tensor/index.js'
import { small as config } from './descriptions.js'
import { expectFiniteDifferences } from './finite-differences.js'

const draw = { seedLow: 1, seedHigh: 2, purpose: 2, step: 3, firstRow: 0 }
const inputs = Int32Array.of(1, 2, 3, 4, 10, 9, 8, 7)
const targets = Int32Array.of(2, 3, 4, 5, 9, 8, 7, -1)

describe('a Spark FFN', () => {
  const spark: ModelConfig = { ...config, ffn: 'spark', sparkPredictorWidth: 4, numHiddenLayers: 1 }
  const model = Llama.initialize(spark, 5, 'f64')
  const hidden = () => {
    const tape = new Tape(portableKernels(), { dtype: 'f64', training: false })
    let seen: number[] = []
    model.logits(tape, inputs, 4, {
      activation: parseActivation('relu'),
      draw,
      onHidden: (_, { data }) => {
        seen = [...data]
      },
    })
    return seen
  }

  it('has the weights of its parts: only the split of the input distinguishes it from a gated one', () => {
    const shape = (name: string) => model.parameters.get(`model.layers.0.mlp.${name}.weight`)?.shape
    expect([shape('gate_proj'), shape('up_proj'), shape('down_proj')]).toEqual([
      [10, 4],
      [10, 8],
      [12, 10],
    ])
  })

  it('reads the first values of its input with the gate and the others with up', () => {
    const norm = model.parameters.get('model.layers.0.post_attention_layernorm.weight')?.data
    const before = hidden()
    expect(before.some(value => value !== 0)).toBe(true)
    // The norm's weights scale the input: those of one part act on the gate alone, those of the other on up alone.
    norm?.fill(3, 0, 4)
    hidden().forEach((value, i) => {
      expect(value).toBeCloseTo(3 * before[i], 10)
    })
    norm?.fill(-2, 4)
    hidden().forEach((value, i) => {
      expect(value).toBeCloseTo(-6 * before[i], 10)
    })
  })
})

describe('the whole model', () => {
  for (const variant of [
    { ...config, activation: 'silu' },
    { ...config, activation: 'stocha:p=0.5', tieWordEmbeddings: true },
    { ...config, activation: 'silu', ffn: 'plain' as const, numKeyValueHeads: 3 },
    { ...config, ffn: 'drelu' as const, attentionBias: 'qkvo' as const, headDim: 6 },
    { ...config, ffn: 'spark' as const, activation: 'stat-topk:k=0.4' },
    { ...config, ffn: 'spark' as const, activation: 'gelu', sparkPredictorWidth: 1 },
  ]) {
    it(`has the gradients of finite differences (${variant.ffn}, ${variant.activation}, tied ${variant.tieWordEmbeddings})`, () => {
      const model = Llama.initialize(variant, 5, 'f64')
      // Away from the small initial weights, where everything is nearly linear.
      for (const { data } of model.parameters.values()) for (let i = 0; i < data.length; i++) data[i] *= 8
      const activation = parseActivation(variant.activation)
      const loss = (training: boolean) => {
        const tape = new Tape(portableKernels(), { dtype: 'f64', training })
        return { tape, loss: model.loss(tape, inputs, targets, 4, { activation, draw }) }
      }
      expectFiniteDifferences(model, loss, { h: 1e-5, relative: 1e-5, samples: 9 })
    })
  }

  it('starts with a loss near ln(vocabulary), which is what knowing nothing costs', () => {
    const model = Llama.initialize({ ...config, vocabSize: 97 }, 1)
    const tape = new Tape(portableKernels(), { training: false })
    const loss = model.loss(tape, inputs, targets, 4, { activation: parseActivation('silu'), draw })
    expect(Math.abs(loss.data[0] - Math.log(97))).toBeLessThan(0.05)
  })

  it('predicts a token from those before it alone', () => {
    const model = Llama.initialize(config, 5)
    const logits = (tokens: Int32Array) => {
      const tape = new Tape(portableKernels(), { training: false })
      return model
        .logits(tape, tokens, 4, { activation: parseActivation('silu'), draw })
        .data.slice(0, 3 * 11)
    }
    expect(logits(Int32Array.of(1, 2, 3, 4))).toEqual(logits(Int32Array.of(1, 2, 3, 9)))
    expect(logits(Int32Array.of(1, 2, 3, 4))).not.toEqual(logits(Int32Array.of(1, 5, 3, 4)))
  })

  it('draws by row of the whole batch: the same draws in one batch and in two', () => {
    const activation = parseActivation('stocha:p=0.5')
    for (const kernels of availableKernels()) {
      const model = Llama.initialize(config, 5)
      const logits = (tokens: Int32Array, firstRow: number) => {
        const tape = new Tape(kernels, { training: false })
        return Array.from(model.logits(tape, tokens, 4, { activation, draw: { ...draw, firstRow } }).data)
      }
      const whole = logits(inputs, 0)
      const parts = [...logits(inputs.slice(0, 4), 0), ...logits(inputs.slice(4), 4)]
      whole.forEach((x, i) => {
        expect(Math.abs(x - parts[i]), `${kernels.isa} logit ${i}`).toBeLessThan(1e-6)
      })
      expect(logits(inputs.slice(4), 0)).not.toEqual(logits(inputs.slice(4), 4))
    }
  })

  it('is the same on every backend', () => {
    const activation = parseActivation('stocha:p=0.7')
    const run = (kernels: ReturnType<typeof availableKernels>[number]) => {
      const model = Llama.initialize(config, 5)
      const tape = new Tape(kernels)
      const loss = model.loss(tape, inputs, targets, 4, { activation, draw })
      const value = loss.data[0]
      tape.backward(loss)
      return { value, grads: [...model.parameters.values()].map(({ grad }) => Array.from(grad ?? [])) }
    }
    const [reference, ...others] = availableKernels().map(run)
    for (const other of others) {
      expect(Math.abs(other.value - reference.value)).toBeLessThan(1e-5)
      other.grads.forEach((grad, p) => {
        const scale = Math.max(1e-3, ...reference.grads[p].map(Math.abs))
        grad.forEach((g, i) => {
          expect(Math.abs(g - reference.grads[p][i]) / scale).toBeLessThan(1e-4)
        })
      })
    }
  })
})

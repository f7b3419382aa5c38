// The engine against the definition of the model, and its promise: the same bits for any number of threads, dense or
// sparse, prompt in blocks or token by token.

import { afterAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { EngineModel, type EngineOptions, type Session, type SessionOptions } from '../../src/engine/index.js'
import { availableKernels, defaultThreads, type Kernels, setThreads } from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { bitsOf, relativeDifference } from './bits.js'
import {
  naiveForward,
  randomTensors,
  roundedToBf16,
  roundedToBlocks,
  smallConfig,
  type Tensors,
  tensorOf,
} from './naive-model.js'

const models: Record<string, ModelConfig> = {
  'gated, relu, grouped queries, own head': smallConfig,
  'plain, relu, tied head': { ...smallConfig, ffn: 'plain', tieWordEmbeddings: true },
  'gated, silu, one key head for three': {
    ...smallConfig,
    activation: 'silu',
    numAttentionHeads: 3,
    numKeyValueHeads: 1,
    hiddenSize: 42,
    ropeTheta: 500,
  },
  'gated, stocha, odd sizes': {
    ...smallConfig,
    activation: 'stocha:p=0.4',
    hiddenSize: 34,
    numAttentionHeads: 17,
    numKeyValueHeads: 17,
    intermediateSize: 201,
    vocabSize: 101,
  },
  'plain, stocha with positive=drawn': {
    ...smallConfig,
    ffn: 'plain',
    activation: 'stocha:p=0.8,positive=drawn',
    numHiddenLayers: 3,
  },
  'drelu, heads wider than hiddenSize / heads, biases everywhere, scaled rotation': {
    ...smallConfig,
    ffn: 'drelu',
    headDim: 10,
    attentionBias: 'qkvo',
    ropeScaling: {
      type: 'llama3',
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPositionEmbeddings: 40,
    },
  },
  'experts, gated, relu': { ...smallConfig, experts: { count: 5, perToken: 2, normalized: true } },
  'experts, gated, stocha, factors as they are': {
    ...smallConfig,
    activation: 'stocha:p=0.4',
    experts: { count: 4, perToken: 3, normalized: false },
  },
  'experts, drelu': { ...smallConfig, ffn: 'drelu', experts: { count: 3, perToken: 1, normalized: false } },
  'drelu, stocha on both sides': { ...smallConfig, ffn: 'drelu', activation: 'stocha:p=0.5' },
  'gated, silu, biases of q, k and v, interpolated positions': {
    ...smallConfig,
    activation: 'silu',
    attentionBias: 'qkv',
    tieWordEmbeddings: true,
    ropeScaling: { type: 'linear', factor: 4 },
  },
}

const tokens = Array.from({ length: 20 }, (_, i) => (i * i * 7 + 3) % 37)

const some = tokens.slice(0, 8)

/** Each model with its weights, and what the definition makes of them, and of them rounded. */
const modelList = Object.entries(models).map(([name, config]) => {
  const tensors = randomTensors(config, 5)
  const run = { activation: parseActivation(config.activation), seed: 11, sequence: 3 }
  const expected = naiveForward(config, tensors, tokens, run)
  const logits = (weights: Tensors) => naiveForward(config, weights, some, run).logits.flat()
  const rounded = {
    bf16: logits(roundedToBf16(tensors)),
    q8_0: logits(roundedToBlocks(config, tensors, 'q8_0')),
    q4_0: logits(roundedToBlocks(config, tensors, 'q4_0')),
  }
  return [name, { config, tensors, run: { seed: 11, sequence: 3 }, expected, rounded }] as const
})

const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)

function engine(config: ModelConfig, kernels: Kernels, options: EngineOptions = {}): EngineModel {
  return new EngineModel(config, tensorOf(randomTensors(config, 5)), { kernels, ...options })
}

/** Reads `tokens` one by one: the logits after each. */
function stepByStep(session: Session, ids: readonly number[]): Float32Array[] {
  return ids.map(id => session.step(id).slice())
}

afterAll(() => setThreads(defaultThreads()))

describe.each(backends)('%s', (_, kernels) => {
  it.each(modelList)('logits and active neurons are those of the definition: %s', (_name, one) => {
    const { config, tensors, run, expected } = one
    const model = new EngineModel(config, tensorOf(tensors), { kernels })
    expect(relativeDifference(model.logits(tokens, run), expected.logits.flat())).toBeLessThan(1e-4)

    const session = model.session(run)
    for (const [t, token] of tokens.entries()) {
      const logits = session.step(token)
      expect(relativeDifference(logits, expected.logits[t])).toBeLessThan(1e-4)
      expect([...session.activeNeurons]).toEqual(expected.active.map(layer => layer[t]))
    }
  })

  it.each(modelList)('in fewer bits they are those of the rounded weights: %s', (_name, one) => {
    const { config, tensors, run, rounded } = one
    for (const [dtype, expected] of Object.entries(rounded)) {
      const model = new EngineModel(config, tensorOf(tensors), {
        kernels,
        dtype: dtype as keyof typeof rounded,
      })
      expect(relativeDifference(model.logits(some, run), expected)).toBeLessThan(1e-4)
    }
  })

  it.each(modelList)(
    'has the same bits dense, sparse, in blocks, step by step, with any threads: %s',
    (_name, { config, tensors, run }) => {
      for (const dtype of ['f32', 'bf16'] as const) {
        const [dense, sparse] = (['dense', 'sparse'] as const).map(
          ffn => new EngineModel(config, tensorOf(tensors), { kernels, dtype, ffn }),
        )
        const results = [1, 2, 3].flatMap(threads => {
          setThreads(threads)
          return [dense, sparse].flatMap(model => {
            const single = stepByStep(model.session(run), tokens)
            const halves = model.session(run)
            halves.prefill(tokens.slice(0, 13))
            const last = halves.prefill(tokens.slice(13)).slice()
            return [model.logits(tokens, run), Float32Array.from(single.flatMap(row => [...row])), last]
          })
        })
        for (const [i, result] of results.entries()) {
          const whole = results[0]
          const expected = i % 3 === 2 ? whole.subarray(whole.length - config.vocabSize) : whole
          expect(bitsOf(result)).toEqual(bitsOf(expected))
        }
      }
    },
  )
})

const { hiddenSize, intermediateSize } = smallConfig
const [, kernels] = backends[backends.length - 1]

describe('drawn activations', () => {
  it('depend on the seed and on the sequence', () => {
    const model = engine(smallConfig, kernels, { activation: 'stocha:p=0.5' })
    const logits = (options: SessionOptions) => bitsOf(model.logits(tokens, options))
    expect(logits({ seed: 1 })).toEqual(logits({ seed: 1 }))
    expect(logits({ seed: 1 })).not.toEqual(logits({ seed: 2 }))
    expect(logits({ seed: 1 })).not.toEqual(logits({ seed: 1, sequence: 1 }))
  })

  it("replace the model's own in a session with another", () => {
    const model = engine(smallConfig, kernels)
    const other = engine(smallConfig, kernels, { activation: 'silu' })
    const activation = parseActivation('silu')
    expect(bitsOf(model.logits(tokens, { activation }))).toEqual(bitsOf(other.logits(tokens)))
  })
})

describe('a context', () => {
  it('grows to the limit of the model and not beyond: the error says both lengths', () => {
    const session = engine(smallConfig, kernels).session()
    const full = Array.from({ length: 96 }, (_, i) => i % 37)
    session.prefill(full)
    expect(session.position).toBe(96)
    expect(() => session.step(1)).toThrow(
      expect.objectContaining({ code: 'CONTEXT_OVERFLOW', message: expect.stringMatching(/97.*96/) }),
    )
    expect(session.position).toBe(96)
  })

  it('longer than one allocation of the cache has the logits of the definition', () => {
    const config = { ...smallConfig, maxPositionEmbeddings: 1000, numHiddenLayers: 1 }
    const long = Array.from({ length: 560 }, (_, i) => (i * 5 + (i >> 3)) % 37)
    const expected = naiveForward(config, randomTensors(config, 5), long, {
      activation: parseActivation('relu'),
    })
    const session = engine(config, kernels).session()
    session.prefill(long.slice(0, 100))
    for (const id of long.slice(100, 559)) session.step(id)
    expect(relativeDifference(session.step(long[559]), expected.logits[559])).toBeLessThan(1e-4)
    // At once it is more than one block of a prompt.
    expect(bitsOf(engine(config, kernels).session().prefill(long))).toEqual(bitsOf(session.logits))
  })

  it('may be stored in fewer bits, for a little of the precision', () => {
    const logits = (kv: EngineOptions['kv']) => engine(smallConfig, kernels, { kv }).logits(tokens)
    const exact = logits('f32')
    for (const [kv, most] of [
      ['f16', 2e-3],
      ['q8', 3e-2],
    ] as const) {
      const difference = relativeDifference(logits(kv), exact)
      expect(difference).toBeGreaterThan(0)
      expect(difference).toBeLessThan(most)
    }
  })

  it('refuses tokens that are not in the vocabulary, and no tokens at all', () => {
    const session = engine(smallConfig, kernels).session()
    for (const token of [37, -1, 0.5, Number.NaN]) {
      expect(() => session.step(token)).toThrow(expect.objectContaining({ code: 'TOKEN_OUT_OF_VOCABULARY' }))
    }
    expect(() => session.prefill([])).toThrow(expect.objectContaining({ code: 'PROMPT_EMPTY' }))
    expect(session.position).toBe(0)
  })
})

describe('building a model', () => {
  it('refuses a tensor of the wrong size by name', () => {
    const tensors = randomTensors(smallConfig, 1)
    tensors.set('model.layers.1.mlp.down_proj.weight', new Float32Array(hiddenSize * intermediateSize - 1))
    expect(() => new EngineModel(smallConfig, tensorOf(tensors))).toThrow(
      expect.objectContaining({ code: 'TENSOR_SHAPE', message: expect.stringContaining('1.mlp.down_proj') }),
    )
  })

  it('refuses a config whose sizes do not fit each other', () => {
    const config = { ...smallConfig, numAttentionHeads: 5 }
    expect(() => engine(config, kernels)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })

  it('refuses an activation that does not exist', () => {
    expect(() => engine(smallConfig, kernels, { activation: 'rellu' })).toThrow(/Did you mean "relu"/)
  })

  it('a disposed model says so', () => {
    const model = engine(smallConfig, kernels)
    const session = model.session()
    model.dispose()
    expect(() => session.step(1)).toThrow(expect.objectContaining({ code: 'MODEL_DISPOSED' }))
  })
})

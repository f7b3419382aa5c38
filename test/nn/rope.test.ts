// Rotary frequencies against their closed forms, and the shapes that follow from the optional parts of a config.

import { describe, expect, it } from 'vitest'
import { headDimOf, type ModelConfig, modelConfigProblem } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { type RopeScaling, ropeFrequencies } from '../../src/nn/rope.js'

/** Llama 3.1 8B. */
const llama31: ModelConfig = {
  vocabSize: 128_256,
  hiddenSize: 4096,
  intermediateSize: 14_336,
  numHiddenLayers: 32,
  numAttentionHeads: 32,
  numKeyValueHeads: 8,
  maxPositionEmbeddings: 131_072,
  rmsNormEps: 1e-5,
  ropeTheta: 500_000,
  tieWordEmbeddings: false,
  ffn: 'gated',
  activation: 'silu',
}
const llama3: RopeScaling = {
  type: 'llama3',
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 8192,
}

const frequenciesOf = (config: ModelConfig) => ropeFrequencies(config, headDimOf(config))

describe('ropeFrequencies', () => {
  it('is theta^(-2i/headDim) without scaling', () => {
    const frequencies = frequenciesOf(llama31)
    expect(frequencies).toHaveLength(64)
    for (const [i, frequency] of frequencies.entries()) {
      expect(Math.abs(Math.log(frequency) + (i / 64) * Math.log(500_000))).toBeLessThan(1e-12)
    }
  })

  it('takes headDim from the config where it is not hiddenSize / numAttentionHeads', () => {
    expect(frequenciesOf({ ...llama31, headDim: 6, ropeTheta: 1000 })).toEqual(
      Float64Array.of(1, 1000 ** (-1 / 3), 1000 ** (-2 / 3)),
    )
  })

  it('divides every frequency when scaled linearly, and each by its own factor when given factors', () => {
    const small = { ...llama31, headDim: 4, ropeTheta: 100 }
    expect(frequenciesOf({ ...small, ropeScaling: { type: 'linear', factor: 4 } })).toEqual(
      Float64Array.of(0.25, 0.025),
    )
    expect(frequenciesOf({ ...small, ropeScaling: { type: 'factors', factors: [1, 2] } })).toEqual(
      Float64Array.of(1, 0.05),
    )
  })

  it('keeps short wavelengths of Llama 3, divides long ones by 8 and blends continuously between', () => {
    const plain = frequenciesOf(llama31)
    const scaled = frequenciesOf({ ...llama31, ropeScaling: llama3 })
    for (const [i, frequency] of plain.entries()) {
      const wavelength = (2 * Math.PI) / frequency
      if (wavelength < 8192 / 4) expect(scaled[i]).toBe(frequency)
      else if (wavelength > 8192) expect(scaled[i]).toBe(frequency / 8)
      else {
        // 1/factor at wavelength 8192, 1 at 2048, linear in 1/wavelength between.
        const share = (1 / wavelength - 1 / 8192) / (1 / 2048 - 1 / 8192)
        expect(scaled[i] / frequency).toBeCloseTo(1 / 8 + share * (1 - 1 / 8), 12)
      }
    }
    // Indices where the two limits lie: 64 · ln(wavelength / 2π) / ln(theta).
    const index = (wavelength: number) => (64 * Math.log(wavelength / (2 * Math.PI))) / Math.log(500_000)
    expect(scaled.findIndex((frequency, i) => frequency !== plain[i])).toBe(Math.ceil(index(2048)))
    expect(scaled.findIndex((frequency, i) => frequency === plain[i] / 8)).toBe(Math.ceil(index(8192)))
  })
})

describe('the optional parts of a config', () => {
  const shapes = (config: ModelConfig) => new Map(parameterShapes(config).map(p => [p.name, p.shape]))

  it('Qwen2: biases on q, k and v, none on the output', () => {
    const found = shapes({ ...llama31, attentionBias: 'qkv' })
    expect(found.get('model.layers.3.self_attn.q_proj.bias')).toEqual([4096])
    expect(found.get('model.layers.3.self_attn.k_proj.bias')).toEqual([1024])
    expect(found.get('model.layers.3.self_attn.v_proj.bias')).toEqual([1024])
    expect(found.has('model.layers.3.self_attn.o_proj.bias')).toBe(false)
  })

  it("Llama's attention_bias: one on the output too", () => {
    expect(shapes({ ...llama31, attentionBias: 'qkvo' }).get('model.layers.0.self_attn.o_proj.bias')).toEqual(
      [4096],
    )
  })

  it('a headDim of its own: the projections are (heads·headDim, d), the output (d, heads·headDim)', () => {
    const found = shapes({ ...llama31, headDim: 64 })
    expect(found.get('model.layers.0.self_attn.q_proj.weight')).toEqual([2048, 4096])
    expect(found.get('model.layers.0.self_attn.k_proj.weight')).toEqual([512, 4096])
    expect(found.get('model.layers.0.self_attn.o_proj.weight')).toEqual([4096, 2048])
  })

  it('dReLU has a gate', () => {
    expect(shapes({ ...llama31, ffn: 'drelu' }).get('model.layers.0.mlp.gate_proj.weight')).toEqual([
      14_336, 4096,
    ])
  })

  it.each<[string, Partial<ModelConfig>, RegExp | null]>([
    ['a headDim that heads do not divide into hiddenSize', { numAttentionHeads: 24, headDim: 128 }, null],
    ['no headDim then', { numAttentionHeads: 24 }, /hiddenSize \(4096\) is not a multiple/],
    ['an odd headDim', { headDim: 127 }, /headDim \(127\) is odd/],
    ['a headDim of 0', { headDim: 0 }, /headDim \(0\) must be an integer above 0/],
    ['a headDim that is too large', { headDim: 2 ** 31 }, /headDim .* times numAttentionHeads/],
    [
      'an FFN that does not exist',
      { ffn: 'moe' as 'gated' },
      /ffn must be one of gated, plain, drelu, spark, not moe/,
    ],
    ['no activation', { activation: undefined as unknown as string }, /activation must be/],
    ['Llama 3 scaling', { ropeScaling: llama3 }, null],
    ['a factor of 0', { ropeScaling: { type: 'linear', factor: 0 } }, /ropeScaling.factor/],
    ['factors of another number', { ropeScaling: { type: 'factors', factors: [1] } }, /must be 64 values/],
    [
      'low not below high',
      { ropeScaling: { ...llama3, lowFreqFactor: 4 } },
      /lowFreqFactor < highFreqFactor/,
    ],
    ['no original context', { ropeScaling: { ...llama3, originalMaxPositionEmbeddings: 0 } }, /original/],
  ])('%s is judged', (_, change, problem) => {
    const found = modelConfigProblem({ ...llama31, ...change })
    if (problem === null) expect(found).toBeNull()
    else expect(found).toMatch(problem)
  })
})

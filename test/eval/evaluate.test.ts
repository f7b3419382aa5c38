// Measurements on held-out text against their definitions.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { Evaluator } from '../../src/eval/evaluate.js'
import { kernels, portableKernels } from '../../src/kernels/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { Llama } from '../../src/nn/llama.js'
import { Tape } from '../../src/tensor/index.js'

const config: ModelConfig = {
  vocabSize: 16,
  hiddenSize: 8,
  intermediateSize: 20,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 8,
  rmsNormEps: 1e-5,
  ropeTheta: 100,
  tieWordEmbeddings: true,
  ffn: 'gated',
  activation: 'relu',
}
const tokens = Uint16Array.from({ length: 43 }, (_, i) => (i * i + 3) % 16)
const options = { activation: parseActivation('relu'), step: 0, context: 8, seed: 1 }

describe('an evaluation', () => {
  it('of a model without knowledge costs log₂(vocabulary) bits per token', () => {
    const model = Llama.initialize(config, 1)
    for (const { data, shape } of model.parameters.values()) if (shape.length > 1) data.fill(0)
    const byteLengths = new Int32Array(16).fill(2)
    // Squares: token 0 has bytes like any other, and is no padding.
    const squares = Uint16Array.from({ length: 43 }, (_, i) => (i * i) % 16)
    expect(squares.slice(1)).toContain(0)
    const run = (byteLengths: Int32Array) =>
      new Evaluator(kernels()).run(model, { tokens: squares, byteLengths }, { ...options, batchSize: 2 })
    const result = run(byteLengths)
    expect(result.tokens).toBe(42)
    expect(result.loss).toBeCloseTo(Math.log(16), 5)
    expect(result.perplexity).toBeCloseTo(16, 4)
    // 4 bits for each token of two bytes.
    expect(result.bitsPerByte).toBeCloseTo(2, 5)
    expect(result.sparsity).toEqual([1, 1])
    // A text without bytes counts as one byte: 42 tokens of 4 bits.
    expect(run(new Int32Array(16)).bitsPerByte).toBeCloseTo(168, 3)
  })

  it('of a loss beyond the largest power of e has the largest number that JSON holds for its perplexity', () => {
    const model = Llama.initialize(config, 1)
    model.parameters.get('model.norm.weight')?.data.fill(1e6)
    const byteLengths = new Int32Array(16).fill(1)
    const result = new Evaluator(kernels()).run(model, { tokens, byteLengths }, { ...options, batchSize: 2 })
    expect(result.loss).toBeGreaterThan(Math.log(Number.MAX_VALUE))
    expect(result.perplexity).toBe(Number.MAX_VALUE)
  })

  it('does not depend on the batch size, and counts every predicted token once', () => {
    const model = Llama.initialize(config, 1)
    const byteLengths = Int32Array.from({ length: 16 }, (_, id) => (id === 0 ? 0 : 1 + (id % 3)))
    const drawn = { ...options, activation: parseActivation('stocha:p=0.4') }
    const [one, three] = [1, 3].map(batchSize =>
      new Evaluator(kernels()).run(model, { tokens, byteLengths }, { ...drawn, batchSize }),
    )
    expect(three.tokens).toBe(42)
    expect(three.loss).toBeCloseTo(one.loss, 5)
    expect(three.bitsPerByte).toBeCloseTo(one.bitsPerByte, 5)
    expect(three.sparsity).toEqual(one.sparsity)
    const bytes = [...tokens.slice(1)].reduce((sum, id) => sum + byteLengths[id], 0)
    expect(one.bitsPerByte).toBeCloseTo((one.loss * 42) / Math.LN2 / bytes, 10)
  })

  it('counts exactly the zeros of the hidden activations', () => {
    const model = Llama.initialize(config, 2)
    const byteLengths = new Int32Array(16).fill(1)
    const short = tokens.slice(0, 9)
    const result = new Evaluator(kernels()).run(
      model,
      { tokens: short, byteLengths },
      { ...options, batchSize: 3 },
    )
    const zeros = [0, 0]
    const tape = new Tape(portableKernels(), { training: false })
    model.logits(tape, Int32Array.from(short.slice(0, 8)), 8, {
      activation: options.activation,
      draw: { seedLow: 0, seedHigh: 0, purpose: 0, step: 0, firstRow: 0 },
      onHidden: (layer, { data }) => {
        for (const x of data) if (x === 0) zeros[layer]++
      },
    })
    expect(result.sparsity).toEqual(zeros.map(n => n / (8 * 20)))
  })

  it('of a sample is of windows from the whole text, the same for every seed of the draws', () => {
    const model = Llama.initialize(config, 1)
    const long = Uint16Array.from({ length: 801 }, (_, i) => (i * i + (i >> 4)) % 16)
    const byteLengths = new Int32Array(16).fill(1)
    const measure = (given: { maxTokens?: number; seed?: number; sampleSeed?: number }) =>
      new Evaluator(kernels()).run(
        model,
        { tokens: long, byteLengths },
        { ...options, batchSize: 3, ...given },
      )
    const whole = measure({})
    expect(whole.sample).toBeNull()
    expect(whole.tokens).toBe(800)
    const sample = measure({ maxTokens: 160 })
    expect(sample.sample).toEqual({ windows: 20, of: 100, seed: 1 })
    expect(sample.tokens).toBe(160)
    expect(measure({ maxTokens: 160, seed: 9 })).toEqual(sample)
    expect(measure({ maxTokens: 160, sampleSeed: 2 }).loss).not.toBe(sample.loss)
    // The mean over samples of every window is the loss of the whole text: 200 samples of 20 windows.
    const mean = Array.from({ length: 200 }, (_, sampleSeed) => measure({ maxTokens: 160, sampleSeed }).loss)
    expect(mean.reduce((a, b) => a + b, 0) / 200).toBeCloseTo(whole.loss, 2)
  })

  it('says what shared a draw', () => {
    const model = Llama.initialize(config, 1)
    const byteLengths = new Int32Array(16).fill(1)
    const drawnPer = (spec: string) =>
      new Evaluator(kernels()).run(
        model,
        { tokens, byteLengths },
        { ...options, activation: parseActivation(spec), batchSize: 2 },
      ).drawnPer
    expect(drawnPer('relu')).toBeNull()
    expect(drawnPer('stocha:p=0.4')).toBe('element')
    expect(drawnPer('stoch:per=batch')).toBe('batch')
  })

  it.each(['batch', 'neuron'])('with one draw per %s draws again for every window', per => {
    const model = Llama.initialize(config, 3)
    const byteLengths = new Int32Array(16).fill(1)
    const activation = parseActivation(`stoch:per=${per}`)
    // The same window 100 times: only the draws can differ.
    const repeated = Uint16Array.from({ length: 801 }, (_, i) => (i % 8) * 2)
    const run = (text: Uint16Array, seed: number, batchSize = 4) =>
      new Evaluator(kernels()).run(
        model,
        { tokens: text, byteLengths },
        { ...options, activation, seed, batchSize },
      )
    const one = Array.from({ length: 40 }, (_, seed) => run(repeated.subarray(0, 9), seed).sparsity[0])
    const spread = (values: number[]) => Math.max(...values) - Math.min(...values)
    const many = Array.from({ length: 40 }, (_, seed) => run(repeated, seed).sparsity[0])
    // The mean of 100 draws varies ten times less than one of them.
    expect(spread(one)).toBeGreaterThan(0)
    expect(spread(many)).toBeLessThan(spread(one) / 4)
    expect(run(repeated, 7, 1)).toEqual(run(repeated, 7, 8))
  })
})

// Mixtures of experts: only the chosen experts are read, in every way of computing the FFN with the same bits, and what needs
// all experts is refused.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../../src/activations/index.js'
import { EngineModel, type EngineOptions } from '../../../src/engine/index.js'
import { ffnBytes } from '../../../src/engine/model/weights.js'
import { bytesOf, kernels } from '../../../src/kernels/index.js'
import { type ModelConfig, neuronsPerToken } from '../../../src/nn/config.js'
import { Llama } from '../../../src/nn/llama.js'
import { parameterCounts } from '../../../src/nn/parameters.js'
import { METHODS, requireApplicable } from '../../../src/sparsify/methods.js'
import { Tape } from '../../../src/tensor/index.js'
import { bitsOf, relativeDifference } from '../bits.js'
import { randomTensors, smallConfig, tensorOf } from '../naive-model.js'

const experts = { count: 6, perToken: 2, normalized: true }
const config = { ...smallConfig, experts }
const tensors = randomTensors(config, 7)
const tokens = Array.from({ length: 12 }, (_, i) => (i * i * 5 + 2) % config.vocabSize)
const model = (options: EngineOptions = {}) => new EngineModel(config, tensorOf(tensors), options)

describe('a mixture of experts', () => {
  it('reads nothing of the experts that are not chosen', () => {
    const engine = model()
    const expected = engine.logits(tokens.slice(0, 1))
    let poisoned = 0
    for (const layer of engine.weights.layers) {
      for (const expert of layer.experts?.each ?? []) {
        const own = [expert.gate, expert.neurons as Float32Array].map(bytesOf)
        const kept = own.map(bytes => bytes.slice())
        // Every bit set is NaN.
        for (const bytes of own) bytes.fill(0xff)
        if (engine.logits(tokens.slice(0, 1)).every(Number.isFinite)) poisoned++
        else for (const [i, bytes] of own.entries()) bytes.set(kept[i])
      }
    }
    expect(poisoned).toBe(config.numHiddenLayers * (experts.count - experts.perToken))
    expect(bitsOf(engine.logits(tokens.slice(0, 1)))).toEqual(bitsOf(expected))
  })

  it('has the same bits dense, sparse and with the narrow gate, in a batch and token by token', () => {
    const expected = bitsOf(model({ ffn: 'dense', narrowGate: 'off' }).logits(tokens))
    for (const options of [{ ffn: 'sparse' }, { narrowGate: 'on' }, {}] as const) {
      const engine = model(options)
      expect(bitsOf(engine.logits(tokens))).toEqual(expected)
      const session = engine.session()
      const rows = tokens.map(token => Float32Array.from(session.step(token)))
      expect(rows.flatMap(row => [...bitsOf(row)])).toEqual([...expected])
      const sessions = [engine.session(), engine.session()]
      for (const token of tokens) engine.stepTogether(sessions, [token, token])
      for (const { logits } of sessions) expect(bitsOf(logits)).toEqual(bitsOf(rows[tokens.length - 1]))
    }
  })

  it('counts the bytes of the chosen experts and the router', () => {
    const session = model({ ffn: 'dense' }).session()
    session.step(3)
    const { pass, activeNeurons } = session.stats
    const [layer] = model().weights.layers
    const own = ffnBytes(config, layer.experts!.each[0])
    const router = 4 * experts.count * config.hiddenSize
    expect([...pass.ffnBytesRead]).toEqual(
      Array(config.numHiddenLayers).fill(experts.perToken * own + router),
    )
    expect([...pass.ffnBytesSkipped]).toEqual(Array(config.numHiddenLayers).fill(0))
    for (const count of activeNeurons) expect(count).toBeLessThan(neuronsPerToken(config))
  })

  it.each([
    ['with a norm before it', config],
    ['with ReLU after the norm, stored by input channel', { ...config, normActivation: 'relu' as const }],
  ] satisfies [string, ModelConfig][])('is the graph that is trained, %s', (_, config) => {
    const tape = new Tape(kernels(), { training: false })
    const activation = parseActivation(config.activation)
    const draw = { seedLow: 0, seedHigh: 0, purpose: 2, step: 0, firstRow: 0 }
    const graph = Llama.from(config, tensorOf(tensors)).logits(tape, Int32Array.from(tokens), tokens.length, {
      activation,
      draw,
    })
    const engine = new EngineModel(config, tensorOf(tensors))
    expect(relativeDifference(engine.logits(tokens), graph.data)).toBeLessThan(1e-5)
  })

  it('has parameters of which a token reads a part', () => {
    const { hiddenSize: d, intermediateSize: h, vocabSize, numHiddenLayers: layers } = config
    const attention = 2 * d * d + (2 * d * d * config.numKeyValueHeads) / config.numAttentionHeads
    const rest = 2 * vocabSize * d + d + layers * (2 * d + attention + experts.count * d)
    expect(parameterCounts(config)).toEqual({
      total: rest + layers * 6 * 3 * h * d,
      active: rest + layers * 2 * 3 * h * d,
    })
  })

  it('is refused where all neurons of a layer are needed', () => {
    const code = { code: 'EXPERTS_OPTION', message: expect.stringMatching(/mixture of experts/) }
    expect(() => model({ compact: tokens })).toThrow(expect.objectContaining(code))
    expect(() => model({ observer: () => {} })).toThrow(expect.objectContaining(code))
    expect(() => model({ reuse: 4 })).toThrow(expect.objectContaining(code))
    const cuts = Array.from({ length: config.numHiddenLayers }, () => ({ neurons: null, inputs: {} }))
    expect(() => model({ cuts })).toThrow(expect.objectContaining(code))
    expect(() => requireApplicable(METHODS.cats, config)).toThrow(
      expect.objectContaining({ code: 'METHOD_EXPERTS' }),
    )
    const stocha = parseActivation('stocha:p=0.5')
    const graph = Llama.from(config, tensorOf(tensors))
    const draw = { seedLow: 0, seedHigh: 0, purpose: 2, step: 0, firstRow: 0 }
    expect(() =>
      graph.logits(new Tape(kernels(), { training: false }), Int32Array.of(1), 1, {
        activation: stocha,
        draw,
      }),
    ).toThrow(expect.objectContaining({ code: 'ACTIVATION_EXPERTS' }))
  })
})

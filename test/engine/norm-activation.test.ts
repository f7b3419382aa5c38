// ReLU after the norms (ReLU Strikes Back, stage 2): the numbers of the definition, the same bits whether columns whose input
// is 0 are read or not, less read, and the ways of running that need another layout refused.

import { describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { EngineModel, type EngineOptions, Session } from '../../src/engine/index.js'
import { availableKernels } from '../../src/kernels/index.js'
import { FFN_FORMS, type ModelConfig } from '../../src/nn/config.js'
import { bitsOf } from './bits.js'
import { naiveForward, randomTensors, smallConfig, tensorOf } from './naive-model.js'

const backends = availableKernels().map(kernels => [`${kernels.backend} ${kernels.isa}`, kernels] as const)
const text = Array.from({ length: 20 }, (_, i) => (i * i + 3) % 37)
const relu = parseActivation('relu')

describe.each(backends)('a model with ReLU after its norms, %s', (_, kernels) => {
  const models = FFN_FORMS.map(ffn => {
    const config: ModelConfig = { ...smallConfig, ffn, attentionBias: 'qkvo', normActivation: 'relu' }
    const tensors = randomTensors(config, 5)
    const engine = (options: EngineOptions = {}) =>
      new EngineModel(config, tensorOf(tensors), { kernels, ...options })
    return { ffn, config, tensors, engine }
  })

  it.each(models)('computes its definition: $ffn', ({ config, tensors, engine }) => {
    const { logits, active } = naiveForward(config, tensors, text, { activation: relu })
    const plain = naiveForward({ ...config, normActivation: undefined }, tensors, text, { activation: relu })
    const session = engine().session()
    const ours = new Float32Array(text.length * config.vocabSize)
    session.prefill(text, ours)
    const scale = Math.max(...logits.flat().map(Math.abs))
    const distance = (to: number[][]) =>
      Math.max(...to.flat().map((value, i) => Math.abs(value - ours[i]))) / scale
    expect(distance(logits)).toBeLessThan(2e-5)
    expect(distance(plain.logits)).toBeGreaterThan(1e-2)
    expect([...session.activeNeurons]).toEqual(active.map(layer => layer[text.length - 1]))
  })

  const stored = models.flatMap(one => (['f32', 'bf16', 'q8_0'] as const).map(dtype => ({ ...one, dtype })))
  it.each(stored)('has the same bits sparse and dense, and reads less: $ffn, $dtype', ({ engine, dtype }) => {
    const [dense, sparse, auto] = (['dense', 'sparse', 'auto'] as const).map(ffn => engine({ dtype, ffn }))
    expect(bitsOf(sparse.logits(text))).toEqual(bitsOf(dense.logits(text)))
    expect(bitsOf(auto.logits(text))).toEqual(bitsOf(dense.logits(text)))
    const [a, b] = [dense.session(), sparse.session()]
    for (const token of text) expect(bitsOf(b.step(token))).toEqual(bitsOf(a.step(token)))
    const [read, less] = [a.stats.pass, b.stats.pass]
    expect(read.attentionBytesSkipped).toBe(0)
    // About half of the normed values are negative: half of q, k and v is not read.
    expect(less.attentionBytesSkipped).toBeGreaterThan(0)
    expect(less.otherBytesRead + less.attentionBytesSkipped).toBe(read.otherBytesRead)
    expect(less.ffnBytesRead[0] + less.ffnBytesSkipped[0]).toBe(read.ffnBytesRead[0])
    expect(less.ffnBytesRead[0]).toBeLessThan(0.8 * read.ffnBytesRead[0])
    expect(sparse.approximate).toBe(false)
  })

  it.each(models)('gives sequences together the bits of each alone: $ffn', ({ engine }) => {
    const model = engine()
    const texts = [text, text.toReversed()]
    const alone = texts.map(tokens => bitsOf(model.session().prefill(tokens)))
    const together = texts.map(() => model.session())
    for (let t = 0; t < text.length; t++)
      Session.stepTogether(
        together,
        texts.map(tokens => tokens[t]),
      )
    expect(together.map(({ logits }) => bitsOf(logits))).toEqual(alone)
  })

  it('keeps neurons that never fire out of memory with the same bits', () => {
    const { engine } = models[0]
    const compact = engine({ compact: text.slice(0, 4) })
    expect(compact.compaction?.dropped).toBeGreaterThan(0)
    expect(bitsOf(compact.logits(text))).toEqual(bitsOf(engine().logits(text)))
    compact.dispose()
  })

  it('has no narrow gate, which is kept neuron by neuron', () => {
    expect(() => models[0].engine({ narrowGate: 'on' })).toThrow(
      expect.objectContaining({ code: 'NARROW_GATE_STORAGE' }),
    )
  })
})

it('norms after the branches leave nothing to apply it to', () => {
  const config: ModelConfig = { ...smallConfig, normActivation: 'relu', normPlacement: 'after' }
  expect(() => new EngineModel(config, () => new Float32Array(0))).toThrow(
    /normActivation needs norms before/,
  )
})

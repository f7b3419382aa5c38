// LongRoPE beyond the original context: a text takes the short factors up to there and the long ones from its first token when
// it is longer, however it is divided; with `context` the long ones from the start. Held to models whose factors are fixed.

import { describe, expect, it } from 'vitest'
import { EngineModel } from '../../src/engine/engine-model.js'
import { Session } from '../../src/engine/generation/session.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { rotationOf } from '../../src/nn/rope.js'
import { randomTensors, smallConfig } from './naive-model.js'

const ORIGINAL = 6
const shortFactors = [1, 1.25]
const longFactors = [1.5, 4]
const config: ModelConfig = {
  ...smallConfig,
  hiddenSize: 8,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  maxPositionEmbeddings: 24,
  ropeScaling: {
    type: 'longrope',
    factor: 4,
    originalMaxPositionEmbeddings: ORIGINAL,
    shortFactors,
    longFactors,
    attentionFactor: 1,
  },
}
const tensors = randomTensors(config, 1)
const tensor = (name: string) => tensors.get(name)!
const model = (given: ModelConfig, context?: number) => new EngineModel(given, tensor, { context })
const fixed = (factors: readonly number[]) => model({ ...config, ropeScaling: { type: 'factors', factors } })
const tokens = Array.from({ length: 15 }, (_, i) => (i * 5 + 2) % config.vocabSize)
const { vocabSize } = config

/** Logits after the last of `read`. */
const lastLogits = (engine: EngineModel, read: readonly number[]) =>
  Float32Array.from(engine.session().prefill(read))

describe('a text of a model with LongRoPE', () => {
  it('rotates by position · theta^(−2i/d) / factor i, short up to the original context and long beyond', () => {
    const { ropeTheta } = config
    for (const [length, factors] of [
      [1, shortFactors],
      [ORIGINAL, shortFactors],
      [ORIGINAL + 1, longFactors],
      [24, longFactors],
    ] as const) {
      const { frequencies, magnitudes } = rotationOf(config, 4, 'global', length)
      expect([...frequencies]).toEqual([1 / factors[0], ropeTheta ** -0.5 / factors[1]])
      expect([...magnitudes]).toEqual([1, 1])
    }
  })

  it('is that of fixed short factors up to the original context, and of fixed long ones beyond', () => {
    const [short, long] = [fixed(shortFactors), fixed(longFactors)]
    const read = tokens.slice(0, ORIGINAL)
    expect(lastLogits(model(config), read)).toEqual(lastLogits(short, read))
    expect(lastLogits(model(config), read)).not.toEqual(lastLogits(long, read))
    expect(model(config).logits(tokens)).toEqual(long.logits(tokens))
  })

  it.each([1, 5, ORIGINAL, ORIGINAL + 1, 9])(
    'has the same bits when its first %i tokens are read before',
    first => {
      const session = model(config).session()
      session.prefill(tokens.slice(0, first))
      for (const token of tokens.slice(first)) session.step(token)
      expect(session.position).toBe(tokens.length)
      expect(Float32Array.from(session.logits)).toEqual(lastLogits(fixed(longFactors), tokens))
    },
  )

  it('grows long beside a short one in the same pass, and as a fork', () => {
    const engine = model(config)
    const prompt = engine.session()
    prompt.prefill(tokens.slice(0, ORIGINAL - 1))
    const [fork] = prompt.fork([{ sequence: 1 }])
    fork.prefill(tokens.slice(ORIGINAL - 1, 9))
    Session.stepTogether([prompt, fork], [tokens[ORIGINAL - 1], tokens[9]])
    expect(Float32Array.from(prompt.logits)).toEqual(
      lastLogits(fixed(shortFactors), tokens.slice(0, ORIGINAL)),
    )
    expect(Float32Array.from(fork.logits)).toEqual(lastLogits(fixed(longFactors), tokens.slice(0, 10)))
    // Both orders: rows of long texts before those of short ones.
    const other = engine.session()
    other.prefill(tokens.slice(0, 2))
    Session.stepTogether([fork, other, prompt], [tokens[10], tokens[2], tokens[ORIGINAL]])
    expect(Float32Array.from(other.logits)).toEqual(lastLogits(fixed(shortFactors), tokens.slice(0, 3)))
    expect(Float32Array.from(prompt.logits)).toEqual(
      lastLogits(fixed(longFactors), tokens.slice(0, ORIGINAL + 1)),
    )
    expect(Float32Array.from(fork.logits)).toEqual(lastLogits(fixed(longFactors), tokens.slice(0, 11)))
  })

  it('read together with others has the bits of one read alone', () => {
    const engine = model(config)
    const found = new Map<number, Float32Array>()
    const texts = [tokens, tokens.slice(0, 4), tokens.slice(0, ORIGINAL + 2)]
    const reads = texts.map(read => ({ session: engine.session(), tokens: read, wanted: 1 }))
    Session.readTogether(reads, (logits, rows) => {
      for (const [i, { read }] of rows.entries()) {
        found.set(read, logits.slice(i * vocabSize, (i + 1) * vocabSize))
      }
    })
    for (const [i, read] of texts.entries()) {
      expect(found.get(i)).toEqual(
        lastLogits(fixed(read.length > ORIGINAL ? longFactors : shortFactors), read),
      )
    }
  })
})

describe('a context that is asked for', () => {
  it('beyond the original one takes the long factors from the first token, as llama.cpp does', () => {
    const read = tokens.slice(0, 3)
    expect(lastLogits(model(config, 12), read)).toEqual(lastLogits(fixed(longFactors), read))
    expect(lastLogits(model(config, ORIGINAL), read)).toEqual(lastLogits(fixed(shortFactors), read))
  })

  it('ends texts there', () => {
    expect(() => model(config, 12).logits(tokens)).toThrow(
      expect.objectContaining({ code: 'CONTEXT_OVERFLOW' }),
    )
    expect(model(config, 15).config.maxPositionEmbeddings).toBe(15)
  })

  it.each([0, 25, 1.5, Number.NaN])('of %s tokens is refused', context => {
    expect(() => model(config, context)).toThrow(expect.objectContaining({ code: 'CONTEXT_RANGE' }))
  })

  it('leaves the table of learned positions as it is', () => {
    const learned: ModelConfig = {
      ...{ ...smallConfig, norm: 'layer', ffn: 'plain', ffnBias: true, attentionBias: 'qkvo' },
      learnedPositions: { offset: 2 },
      maxPositionEmbeddings: 24,
    }
    const own = randomTensors(learned, 2)
    const engine = (context?: number) => new EngineModel(learned, name => own.get(name)!, { context })
    const read = tokens.slice(0, 5)
    expect(lastLogits(engine(5), read)).toEqual(lastLogits(engine(), read))
  })
})

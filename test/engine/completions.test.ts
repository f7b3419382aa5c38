// Whole completions: one, or several continuations of one prompt.

import { describe, expect, it } from 'vitest'
import {
  bytesRead,
  bytesSkipped,
  type GeneratedToken,
  type GenerateManyOptions,
  type LanguageModel,
} from '../../src/engine/index.js'
import { config, generate, languageModel, text, withoutPass } from './text-model.js'

describe('several continuations of one prompt', () => {
  async function many(model: LanguageModel, options: GenerateManyOptions) {
    const texts = new Map<number, GeneratedToken[]>()
    for await (const token of model.generateMany('Once', { ignoreEos: true, ...options })) {
      texts.set(token.sequence, [...(texts.get(token.sequence) ?? []), token])
    }
    return texts
  }

  it.each([
    ['sampled', { temperature: 1.2, topP: 0.95, repetitionPenalty: 1.1 }],
    ['greedy with a drawn activation', { activation: 'stocha:p=0.5' }],
    ['both', { activation: 'stocha:p=0.5', temperature: 0.8, topK: 20 }],
  ])('are each, bit for bit, what that sequence is alone: %s', async (_, options) => {
    const [together, alone] = [languageModel(), languageModel()]
    const texts = await many(together, {
      ...options,
      n: 5,
      maxTokens: 12,
      seed: 4,
      sequence: 2,
      topLogprobs: 2,
    })
    expect([...texts.keys()]).toEqual([2, 3, 4, 5, 6])
    for (const [sequence, tokens] of texts) {
      const single = await generate(alone, { ...options, maxTokens: 12, seed: 4, sequence, topLogprobs: 2 })
      expect(withoutPass(tokens)).toEqual(withoutPass(single))
    }
    // Also the first tokens are chosen from logits of their own, or by draws of their own.
    const firsts = [...texts.values()].map(([{ id, logprob }]) => `${id} ${logprob}`)
    expect(new Set(firsts).size).toBeGreaterThan(1)
    // A prompt of one token is shared by nothing but its text.
    const one = { ...options, n: 2, maxTokens: 4, seed: 4 }
    const [, second] = await languageModel().completeMany([79], one)
    const { n: _n, ...single } = one
    const { tokens } = await languageModel().complete([79], { ...single, sequence: 1 })
    expect(withoutPass(tokens)).toEqual(withoutPass(second.tokens))
  })

  it('end independently', async () => {
    const stop = [...'abcdefghijklmnopqrstuvwxyz']
    const options = { temperature: 5, maxTokens: 30, ignoreEos: true, seed: 1, n: 8, stop }
    const completions = await languageModel().completeMany('Once', options)
    expect(new Set(completions.map(({ tokens }) => tokens.length)).size).toBeGreaterThan(2)
    for (const { sequence, ...completion } of completions) {
      const { n: _, ...single } = options
      const alone = await languageModel().complete('Once', { ...single, sequence })
      const plain = ({ stats: _, tokens, ...rest }: typeof alone) => ({
        ...rest,
        tokens: withoutPass(tokens),
      })
      expect(plain({ ...completion, sequence })).toEqual(plain(alone))
    }
  })

  it('that could not differ, or are too many, are refused', async () => {
    for (const [options, code] of [
      [{ n: 2 }, 'SAMPLING_CONTRADICTION'],
      [{ n: 2, temperature: 1, topK: 1 }, 'SAMPLING_CONTRADICTION'],
      [{ n: 0, temperature: 1 }, 'N_RANGE'],
      [{ n: 2000, temperature: 1 }, 'N_RANGE'],
      [{ n: 2, temperature: 1, sequence: 2 ** 32 - 1 }, 'SEQUENCE_RANGE'],
    ] as const) {
      await expect(many(languageModel(), options)).rejects.toMatchObject({ code })
    }
  })
})

describe('a completion', () => {
  it('has the text, the tokens, why it ended, and what it took', async () => {
    const tokens = await generate(languageModel(), { maxTokens: 7 })
    const completion = await languageModel().complete('Once', { maxTokens: 7, ignoreEos: true })
    expect(completion).toMatchObject({
      sequence: 0,
      text: tokens.map(token => token.text).join(''),
      finishReason: 'length',
      stopString: null,
      tokens,
      usage: { promptTokens: 4, completionTokens: 7, totalTokens: 11 },
    })
    const { stats } = completion
    expect(stats.promptSeconds).toBeGreaterThan(0)
    expect(stats.tokensPerSecond).toBeGreaterThan(0)
    // The first token comes from the prompt's pass; 6 passes of one token each follow.
    const later = tokens.slice(1).map(({ pass }) => pass)
    expect(stats.bytesReadPerToken).toBeCloseTo(later.reduce((sum, pass) => sum + bytesRead(pass), 0) / 6, 6)
    expect(stats.bytesSkippedPerToken).toBeCloseTo(
      later.reduce((sum, pass) => sum + bytesSkipped(pass), 0) / 6,
      6,
    )
    expect(stats.activeFraction).toHaveLength(config.numHiddenLayers)
    for (const [layer, fraction] of stats.activeFraction.entries()) {
      const counted = tokens.reduce((sum, token) => sum + token.activeNeurons[layer], 0)
      expect(fraction).toBeCloseTo(counted / 7 / config.intermediateSize, 12)
    }
  })

  it('that is aborted has the text so far, with what was held back for a stop string', async () => {
    const whole = await text(languageModel())
    const controller = new AbortController()
    const options = { signal: controller.signal, ignoreEos: true, maxTokens: 1000 }
    // Every text so far could be the beginning of this stop.
    let count = 0
    const {
      text: partial,
      finishReason,
      tokens,
    } = await languageModel().complete('Once', {
      ...options,
      stop: `${whole.slice(0, 20)}#`,
      onToken: () => ++count === 5 && controller.abort(),
    })
    expect([finishReason, tokens.length]).toEqual(['aborted', 5])
    expect(tokens.map(token => token.text).join('')).toBe('')
    expect(partial.length).toBeGreaterThan(0)
    // Bytes that are not a whole character yet show as U+FFFD.
    expect(whole.startsWith(partial.replace(/\ufffd+$/, ''))).toBe(true)
    const none = await languageModel().complete('Once', { signal: AbortSignal.abort() })
    expect(none).toMatchObject({
      text: '',
      tokens: [],
      finishReason: 'aborted',
      stats: { tokensPerSecond: null },
    })
  })
})

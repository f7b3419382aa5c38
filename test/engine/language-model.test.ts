// Text from a model: streamed, the same for the same seed, another for another seed, for any number of threads.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { bytesTokenizer } from '../../src/data/tokenizers/byte-pair.js'
import type { Tokenizer } from '../../src/data/tokenizers/tokenizer.js'
import { TextStream } from '../../src/engine/generation/text-stream.js'
import {
  bytesRead,
  bytesSkipped,
  EngineModel,
  type EngineOptions,
  type GeneratedToken,
  type GenerateManyOptions,
  type GenerateOptions,
  LanguageModel,
  load,
} from '../../src/engine/index.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { defaultThreads, kernels, setThreads } from '../../src/kernels/index.js'
import { Llama } from '../../src/nn/llama.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { Tape } from '../../src/tensor/index.js'
import { describeWith, sharedData } from '../data/shared-data.js'
import { naiveForward, randomTensors, smallConfig, tensorOf } from './naive-model.js'

const tokenizer = bytesTokenizer()
const config = { ...smallConfig, vocabSize: tokenizer.vocabSize, maxPositionEmbeddings: 64 }
const tensors = randomTensors(config, 9)

function languageModel(options: EngineOptions = {}): LanguageModel {
  return new LanguageModel(new EngineModel(config, tensorOf(tensors), options), tokenizer)
}

async function generate(
  model: LanguageModel,
  options: GenerateOptions = {},
  prompt: string | number[] = 'Once',
): Promise<GeneratedToken[]> {
  const tokens: GeneratedToken[] = []
  for await (const token of model.generate(prompt, { maxTokens: 24, ignoreEos: true, ...options })) {
    tokens.push(token)
  }
  return tokens
}

async function text(model: LanguageModel, options: GenerateOptions = {}): Promise<string> {
  return (await generate(model, options)).map(token => token.text).join('')
}

/** What a token is, apart from whom it was computed with. */
function withoutPass(tokens: readonly GeneratedToken[]) {
  return tokens.map(({ pass: _, ...token }) => token)
}

afterAll(() => setThreads(defaultThreads()))

describe('generating', () => {
  it('at temperature 0 chooses the most likely token of the definition, step by step, with its log-probability', async () => {
    const ids = [...tokenizer.encode('Once')]
    const run = { activation: parseActivation('relu') }
    for (const { id, logprob, activeNeurons } of await generate(languageModel(), { maxTokens: 6 })) {
      const { logits, active } = naiveForward(config, tensors, ids, run)
      const last = logits[logits.length - 1]
      const largest = Math.max(...last)
      expect(last[id]).toBe(largest)
      const logSum = Math.log(last.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
      expect(logprob).toBeCloseTo(-logSum, 3)
      expect([...activeNeurons]).toEqual(active.map(layer => layer[layer.length - 1]))
      ids.push(id)
    }
  })

  it('with a drawn activation gives one text per seed, for any number of threads, dense and sparse', async () => {
    const drawn = { activation: 'stocha:p=0.5' }
    const texts = new Map<number, Set<string>>()
    for (const threads of [1, 2, 3]) {
      setThreads(threads)
      for (const ffn of ['sparse', 'dense'] as const) {
        for (const seed of [1, 2, 3]) {
          const seen = texts.get(seed) ?? new Set()
          texts.set(seed, seen.add(await text(languageModel({ ffn }), { ...drawn, seed })))
        }
      }
    }
    expect([...texts.values()].map(seen => seen.size)).toEqual([1, 1, 1])
    expect(new Set([...texts.values()].flatMap(seen => [...seen])).size).toBe(3)
  })

  it('the last sequence is that of 2^32 − 1', async () => {
    const last = 2 ** 32 - 1
    const [token] = await generate(languageModel(), { sequence: last, temperature: 1, maxTokens: 1 })
    expect(token.sequence).toBe(last)
  })

  it('with temperature gives one text per seed', async () => {
    const sampled = (seed: number) => text(languageModel(), { temperature: 1.5, seed })
    expect(await sampled(1)).toBe(await sampled(1))
    expect(await sampled(1)).not.toBe(await sampled(2))
  })

  it('stops after maxTokens, and when the context is full, and says which', async () => {
    const reasons = async (maxTokens: number) =>
      (await generate(languageModel(), { maxTokens })).map(token => token.finishReason)
    expect(await reasons(1)).toEqual(['length'])
    expect(await reasons(5)).toEqual([null, null, null, null, 'length'])
    // 4 of the prompt, then 60 that are read again, and the one that the last of them gives.
    expect(await reasons(61)).toEqual([...Array(60).fill(null), 'length'])
    expect(await reasons(1000)).toEqual([...Array(60).fill(null), 'context'])
  })

  it('stops after an end-of-text token, which has no text', async () => {
    const end = tokenizer.endOfText
    if (end === null) throw new Error('bytes have an end of text')
    // A head whose row for the end of text is ten times the most likely token's.
    const biased = new Map(tensors)
    const [first] = await generate(languageModel(), { maxTokens: 1 })
    const head = tensorOf(tensors)('lm_head.weight').slice()
    const d = config.hiddenSize
    const row = head.subarray(first.id * d, (first.id + 1) * d)
    head.set(
      row.map(x => 10 * x),
      end * d,
    )
    biased.set('lm_head.weight', head)
    const model = new LanguageModel(new EngineModel(config, tensorOf(biased)), tokenizer)
    const ended = await generate(model, { ignoreEos: false })
    expect(ended.map(({ id, text, finishReason }) => [id, text, finishReason])).toEqual([[end, '', 'stop']])
    expect((await generate(model, { maxTokens: 3 })).length).toBe(3)
  })

  it('ends when its signal is aborted, also from a timer', async () => {
    const aborted = AbortSignal.abort()
    expect(await generate(languageModel(), { signal: aborted })).toEqual([])
    const controller = new AbortController()
    const model = languageModel()
    let count = 0
    setTimeout(() => controller.abort(), 0)
    for (let round = 0; round < 10_000 && !controller.signal.aborted; round++) {
      for await (const _ of model.generate('a', { signal: controller.signal, ignoreEos: true })) count++
    }
    expect(controller.signal.aborted).toBe(true)
    expect(count).toBeGreaterThan(0)
  })

  it('refuses a prompt longer than the context, saying both lengths', async () => {
    await expect(generate(languageModel(), {}, 'x'.repeat(65))).rejects.toMatchObject({
      code: 'CONTEXT_OVERFLOW',
      message: expect.stringMatching(/65.*64/),
    })
    expect(await generate(languageModel(), {}, 'x'.repeat(64))).toHaveLength(1)
  })

  it('refuses what there is no memory for, before it starts, saying how much it needs', async () => {
    let available = Number.POSITIVE_INFINITY
    const model = languageModel({ memory: { available: () => available } })
    const ask = (n: number) =>
      model.completeMany('Once', { n, maxTokens: 24, temperature: 1, ignoreEos: true })
    expect((await ask(1))[0].tokens).toHaveLength(24)
    // 4 tokens of the prompt, stored once, and 23 of each continuation: the last is not read.
    available = 1000
    for (const [n, needs] of [
      [1, '27 tokens × 1 sequence needs'],
      [2, '25 tokens × 2 sequences needs'],
    ] as const) {
      await expect(ask(n)).rejects.toMatchObject({
        code: 'CACHE_MEMORY',
        message: expect.stringContaining(needs),
      })
    }
  })

  it.each([[undefined], [null], [7]])('refuses %o as a prompt', async prompt => {
    const generated = languageModel().complete(prompt as unknown as string)
    await expect(generated).rejects.toMatchObject({ code: 'PROMPT_INVALID' })
  })

  it.each([
    [{ maxTokens: 0 }, 'MAX_TOKENS_RANGE'],
    [{ maxTokens: 2.5 }, 'MAX_TOKENS_RANGE'],
    [{ seed: -1 }, 'SEED_RANGE'],
    [{ seed: 0.5 }, 'SEED_RANGE'],
    [{ sequence: 2 ** 32 }, 'SEQUENCE_RANGE'],
    [{ temperature: -1 }, 'TEMPERATURE_RANGE'],
    [{ activation: 'stocha:p=2' }, 'ACTIVATION_PARAMETER_INVALID'],
    [{ topLogprobs: -1 }, 'TOP_LOGPROBS_RANGE'],
    [{ topLogprobs: 258 }, 'TOP_LOGPROBS_RANGE'],
    [{ stop: '' }, 'STOP_INVALID'],
    [{ signal: new AbortController() as unknown as AbortSignal }, 'SIGNAL_INVALID'],
    [{ repetitionPenalty: 0 }, 'REPETITION_PENALTY_RANGE'],
    [{ logitBias: { 300: 1 } }, 'LOGIT_BIAS_TOKEN'],
    [{ topP: 0.5 }, 'SAMPLING_CONTRADICTION'],
    [{ n: 2, temperature: 1 } as GenerateOptions, 'N_RANGE'],
    [{ topp: 0.5 } as GenerateOptions, 'OPTION_UNKNOWN'],
    [{ template: 'x' } as GenerateOptions, 'OPTION_UNKNOWN'],
  ])('refuses %o', async (options, code) => {
    await expect(generate(languageModel(), options)).rejects.toMatchObject({ code })
  })

  it('an empty prompt starts a document', async () => {
    const [fromNothing] = await generate(languageModel(), { maxTokens: 1 }, '')
    const fromEnd = languageModel().generate([tokenizer.endOfText ?? -1], { maxTokens: 1 })
    expect((await fromEnd.next()).value).toMatchObject({ id: fromNothing.id, logprob: fromNothing.logprob })
  })
})

describe('what a token carries', () => {
  it('is the log-softmax of the model alone, whatever options choose it', async () => {
    const options = {
      maxTokens: 8,
      topLogprobs: 5,
      temperature: 0.5,
      topK: 3,
      repetitionPenalty: 1.5,
      logitBias: { 65: 2 },
    }
    const ids = [...tokenizer.encode('Once')]
    for (const { id, logprob, topLogprobs } of await generate(languageModel(), options)) {
      const { logits } = naiveForward(config, tensors, ids, { activation: parseActivation('relu') })
      const last = logits[logits.length - 1]
      const largest = Math.max(...last)
      const logSum = largest + Math.log(last.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
      expect(logprob).toBeCloseTo(last[id] - logSum, 3)
      const order = [...last.keys()].sort((a, b) => last[b] - last[a]).slice(0, 5)
      expect(topLogprobs?.map(top => top.id)).toEqual(order)
      for (const top of topLogprobs ?? []) expect(top.logprob).toBeCloseTo(last[top.id] - logSum, 3)
      expect(topLogprobs?.[0].text).toBe(new TextDecoder().decode(tokenizer.tokenBytes(order[0])))
      ids.push(id)
    }
  })

  it('has all of the vocabulary when asked, adding up to 1', async () => {
    const [{ topLogprobs = [] }] = await generate(languageModel(), { maxTokens: 1, topLogprobs: 257 })
    expect(topLogprobs.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 5)
  })
})

describe('penalties and bias', () => {
  it('change the choice at temperature 0 as their formulas say, step by step', async () => {
    const options = {
      maxTokens: 16,
      repetitionPenalty: 1.3,
      presencePenalty: 0.4,
      frequencyPenalty: 0.7,
      logitBias: { e: 1.5 },
    }
    const prompt = [...tokenizer.encode('Once')]
    const generated: number[] = []
    for (const { id } of await generate(languageModel(), options)) {
      const ids = [...prompt, ...generated]
      const { logits } = naiveForward(config, tensors, ids, { activation: parseActivation('relu') })
      const seen = logits[logits.length - 1].map((logit, token) => {
        const biased = token === 101 ? logit + 1.5 : logit
        const repeated = !ids.includes(token) ? biased : biased < 0 ? biased * 1.3 : biased / 1.3
        const count = generated.filter(other => other === token).length
        return repeated - count * 0.7 - (count > 0 ? 0.4 : 0)
      })
      expect(id).toBe(seen.indexOf(Math.max(...seen)))
      generated.push(id)
    }
    expect(generated).not.toEqual((await generate(languageModel(), { maxTokens: 16 })).map(({ id }) => id))
  })

  it('of −Infinity forbid a token', async () => {
    const [first] = await generate(languageModel(), { maxTokens: 1 })
    const logitBias = { [first.id]: Number.NEGATIVE_INFINITY }
    const without = await generate(languageModel(), { logitBias, temperature: 2, maxTokens: 40 })
    expect(without.map(({ id }) => id)).not.toContain(first.id)
  })
})

describe('stop strings', () => {
  it('end the text before them, across tokens, and no part of them is returned', async () => {
    const whole = await text(languageModel())
    // Three characters of the text, which are as many tokens of this vocabulary.
    const stop = [...whole].slice(5, 8).join('')
    const model = languageModel()
    const tokens = await generate(model, { stop: ['never there', stop] })
    expect(tokens.map(token => token.text).join('')).toBe(whole.slice(0, whole.indexOf(stop)))
    expect(tokens.map(token => token.finishReason)).toEqual([...Array(tokens.length - 1).fill(null), 'stop'])
    const completed = await model.complete('Once', { stop, maxTokens: 24, ignoreEos: true })
    expect(completed).toMatchObject({
      text: whole.slice(0, whole.indexOf(stop)),
      stopString: stop,
      finishReason: 'stop',
      usage: { promptTokens: 4, completionTokens: tokens.length },
    })
  })

  it('that only begin at the end of the text hold nothing back from it', async () => {
    const whole = await text(languageModel())
    const last = [...whole].at(-1) ?? ''
    expect(await text(languageModel(), { stop: `${last}#never` })).toBe(whole)
  })
})

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

describe('several models', () => {
  it('generate at once, each its own text', async () => {
    const others = { ...config, intermediateSize: 33 }
    const first = languageModel()
    const second = new LanguageModel(new EngineModel(others, tensorOf(randomTensors(others, 2))), tokenizer)
    const [a, b] = [await text(first), await text(second)]
    expect(a).not.toBe(b)
    // Two of the first at the same time too: they share its buffers, not their state.
    expect(await Promise.all([text(first), text(second), text(first)])).toEqual([a, b, a])
  })

  it('can be disposed of one by one; generation under way then ends with a clear error', async () => {
    const [kept, gone] = [languageModel(), languageModel()]
    const under = gone.generate('Once', { ignoreEos: true })
    expect((await under.next()).done).toBe(false)
    gone.dispose()
    gone.dispose()
    for (const asked of [() => under.next(), () => text(gone), () => gone.complete('x')]) {
      await expect(asked()).rejects.toMatchObject({ code: 'MODEL_DISPOSED' })
    }
    expect(() => gone.logits([1])).toThrow(expect.objectContaining({ code: 'MODEL_DISPOSED' }))
    expect(await text(kept)).toHaveLength((await text(languageModel())).length)
  })
})

describe('prompts', () => {
  it('longer than one block are the same as token by token', async () => {
    const longConfig = { ...config, maxPositionEmbeddings: 1500 }
    const model = new LanguageModel(new EngineModel(longConfig, tensorOf(tensors)), tokenizer)
    const ids = Array.from({ length: 1200 }, (_, i) => (i * 31) % 256)
    const session = model.engine.session()
    for (const id of ids) session.step(id)
    const expected = session.logits.indexOf(Math.max(...session.logits))
    const [{ id, activeNeurons }] = await generate(model, { maxTokens: 1 }, ids)
    expect(id).toBe(expected)
    expect(activeNeurons).toEqual(session.activeNeurons)
  })

  it('begin with the start-of-text token, unless they do already or are tokens', async () => {
    const starting = Object.assign(bytesTokenizer(), { startOfText: 7 })
    const model = new LanguageModel(new EngineModel(config, tensorOf(tensors)), starting)
    const prompted = async (prompt: string | number[]) =>
      (await model.complete(prompt, { maxTokens: 1 })).usage.promptTokens
    expect(await prompted('ab')).toBe(3)
    expect(await prompted('\x07ab')).toBe(3)
    expect(await prompted([97, 98])).toBe(2)
    expect(await prompted('')).toBe(1)
  })

  it('that end at any of several tokens do', async () => {
    const [first] = await generate(languageModel(), { maxTokens: 1 })
    const engine = new EngineModel(config, tensorOf(tensors))
    const model = new LanguageModel(engine, tokenizer, { endOfText: [250, first.id] })
    expect(await model.complete('Once')).toMatchObject({ text: '', finishReason: 'stop', stopString: null })
  })
})

describe('a tokenizer and a model', () => {
  const engine = (vocabSize: number) => {
    const sized = { ...config, vocabSize }
    return new EngineModel(sized, tensorOf(randomTensors(sized, 3)))
  }

  it('fit when the model has at least its ids; else the error says both sizes', () => {
    const size = tokenizer.vocabSize
    expect(() => new LanguageModel(engine(size - 1), tokenizer)).toThrow(
      expect.objectContaining({
        code: 'VOCABULARY_MISMATCH',
        message: expect.stringMatching(new RegExp(`${size}.*${size - 1}`)),
      }),
    )
  })

  it('padding rows are never chosen', async () => {
    const padded = new LanguageModel(engine(tokenizer.vocabSize + 500), tokenizer)
    for (const { id } of await generate(padded, { temperature: 100 })) {
      expect(id).toBeLessThan(tokenizer.vocabSize)
    }
  })
})

describe('the first token of a text', () => {
  it('begins it only after an empty prompt: after any other prompt it continues one', async () => {
    const begins: boolean[] = []
    const recording: Tokenizer = {
      ...{
        name: 'recording',
        vocabSize: tokenizer.vocabSize,
        endOfText: tokenizer.endOfText,
        startOfText: 7,
      },
      encode: given => tokenizer.encode(given),
      decode: ids => tokenizer.decode(ids),
      tokenBytes: id => tokenizer.tokenBytes(id),
      toJSON: () => tokenizer.toJSON(),
      speller: isWhole => {
        begins.push(isWhole)
        return id => tokenizer.tokenBytes(id)
      },
    }
    const model = new LanguageModel(new EngineModel(config, tensorOf(tensors)), recording)
    for (const prompt of ['', [7], [tokenizer.endOfText ?? -1], 'a', [7, 97], [97]]) {
      await model.complete(prompt, { maxTokens: 1 })
    }
    expect(begins).toEqual([true, true, true, false, false, false])
  })
})

describe('streamed text', () => {
  const all = 'é 漢字 🙂\uFEFFz'

  it('is complete after every token, and together the whole text', () => {
    const stream = new TextStream(tokenizer)
    const pieces = [...tokenizer.encode(all)].map(id => stream.push(id))
    expect(pieces.join('')).toBe(all)
    expect(stream.end()).toBe('')
    for (const piece of pieces) expect(piece).not.toContain('\uFFFD')
    // é is two bytes: nothing after the first, é after the second.
    expect(pieces.slice(0, 3)).toEqual(['', 'é', ' '])
  })

  it('shows what stays incomplete as U+FFFD at the end', () => {
    const stream = new TextStream(tokenizer)
    expect([...tokenizer.encode('🙂')].slice(0, 3).map(id => stream.push(id))).toEqual(['', '', ''])
    expect(stream.end()).toBe('\uFFFD')
  })

  it('shows bytes that are never UTF-8 as U+FFFD at once', () => {
    const stream = new TextStream({ tokenBytes: byte => Uint8Array.of(byte) })
    expect(stream.push(0xff)).toBe('\uFFFD')
    expect(stream.push(0x41)).toBe('A')
  })
})

describeWith('checkpoints/stories260K.bin', 'a text that begins with nothing before it', () => {
  it('has no space at its start, one that goes on has', async () => {
    const tokenizer = sharedData('tokenizers/llama2c_tok512.bin')
    const model = await load(sharedData('checkpoints/stories260K.bin'), { tokenizer })
    const story = await model.complete('', { maxTokens: 32, stop: '.' })
    expect(story.text).toBe('Once upon a time, there was a little girl named Lily')
    expect((await model.complete('Once upon', { maxTokens: 8, stop: ',' })).text).toBe(' a time')
  })
})

describe('a checkpoint on disk', () => {
  let directory = ''
  const dtypes = ['f32', 'bf16'] as const

  beforeAll(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-engine-'))
    const named = parameterShapes(config).map(({ name, shape }) => ({
      name,
      shape,
      data: tensorOf(tensors)(name),
    }))
    writeCheckpoint(path.join(directory, 'model'), { config, tensors: named, tokenizer: tokenizer.toJSON() })
  })
  afterAll(() => fs.rmSync(directory, { recursive: true }))

  it.each(dtypes)('loads in %s and generates as the model in memory does', async dtype => {
    const loaded = await load(path.join(directory, 'model'), { dtype })
    expect(loaded.config).toEqual(config)
    expect(await text(loaded)).toBe(await text(languageModel({ dtype })))
    loaded.dispose()
    await expect(text(loaded)).rejects.toMatchObject({ code: 'MODEL_DISPOSED' })
  })

  it('gives the logits of the training graph to 1e-4', async () => {
    const loaded = await load(path.join(directory, 'model'))
    const ids = tokenizer.encode('The logits of one and the other, on one text.')
    const tape = new Tape(kernels(), { dtype: 'f32' })
    const options = {
      activation: parseActivation(config.activation),
      draw: { seedLow: 0, seedHigh: 0, purpose: 0, step: 0, firstRow: 0 },
    }
    const model = Llama.from(config, tensorOf(tensors))
    const expected = Float32Array.from(model.logits(tape, ids, ids.length, options).data)
    const actual = loaded.logits(ids)
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    expect(actual).toHaveLength(expected.length)
    const worst = actual.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0)
    expect(worst).toBeLessThan(1e-4 * largest)
  })

  it('that is not there is one clear error', async () => {
    await expect(load(path.join(directory, 'nothing'))).rejects.toMatchObject({ code: 'CHECKPOINT_MISSING' })
  })
})

// Text out of a model: streamed, the same for the same seed, other for another, whatever the number of threads.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import { bytesTokenizer } from '../../src/data/bpe.js'
import { EngineModel, type GenerateOptions, LanguageModel, load } from '../../src/engine/index.js'
import { TextStream } from '../../src/engine/text-stream.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { defaultThreads, kernels, setThreads } from '../../src/kernels/index.js'
import { Llama } from '../../src/nn/llama.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { Tape } from '../../src/tensor/index.js'
import { naiveForward, randomTensors, smallConfig, tensorOf } from './naive-model.js'

const tokenizer = bytesTokenizer()
const config = { ...smallConfig, vocabSize: tokenizer.vocabSize, maxPositionEmbeddings: 64 }
const tensors = randomTensors(config, 9)

function languageModel(options = {}): LanguageModel {
  return new LanguageModel(new EngineModel(config, tensorOf(tensors), options), tokenizer)
}

async function generate(model: LanguageModel, options: GenerateOptions = {}, prompt = 'Once') {
  const tokens = []
  for await (const token of model.generate(prompt, { maxTokens: 24, ignoreEndOfText: true, ...options })) {
    tokens.push(token)
  }
  return tokens
}

async function text(model: LanguageModel, options: GenerateOptions = {}): Promise<string> {
  return (await generate(model, options)).map(token => token.text).join('')
}

afterAll(() => setThreads(defaultThreads()))

describe('generating', () => {
  it('at temperature 0 takes the likeliest token of the definition, step by step, with its log-probability', async () => {
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
      for (const sparse of [true, false]) {
        for (const seed of [1, 2, 3]) {
          const seen = texts.get(seed) ?? new Set()
          texts.set(seed, seen.add(await text(languageModel({ sparse }), { ...drawn, seed })))
        }
      }
    }
    expect([...texts.values()].map(seen => seen.size)).toEqual([1, 1, 1])
    expect(new Set([...texts.values()].flatMap(seen => [...seen])).size).toBe(3)
  })

  it('with temperature gives one text per seed', async () => {
    const sampled = (seed: number) => text(languageModel(), { temperature: 1.5, seed })
    expect(await sampled(1)).toBe(await sampled(1))
    expect(await sampled(1)).not.toBe(await sampled(2))
  })

  it('stops after maxTokens, and when the context is full', async () => {
    expect(await generate(languageModel(), { maxTokens: 1 })).toHaveLength(1)
    expect(await generate(languageModel(), { maxTokens: 5 })).toHaveLength(5)
    // 4 of the prompt, then 60 that are read again, and the one that the last of them gives.
    expect(await generate(languageModel(), { maxTokens: 1000 })).toHaveLength(61)
  })

  it('stops after the token that ends a document, which has no text', async () => {
    const end = tokenizer.endOfText
    if (end === null) throw new Error('bytes have an end of text')
    // A head whose row for the end of text is ten times the likeliest token's.
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
    const ended = await generate(model, { ignoreEndOfText: false })
    expect(ended.map(({ id, text }) => [id, text])).toEqual([[end, '']])
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
      for await (const _ of model.generate('a', { signal: controller.signal, ignoreEndOfText: true })) count++
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

  it.each([
    [{ maxTokens: 0 }, 'MAX_TOKENS_RANGE'],
    [{ maxTokens: 2.5 }, 'MAX_TOKENS_RANGE'],
    [{ seed: -1 }, 'SEED_RANGE'],
    [{ seed: 0.5 }, 'SEED_RANGE'],
    [{ sequence: 2 ** 32 }, 'SEQUENCE_RANGE'],
    [{ temperature: -1 }, 'TEMPERATURE_RANGE'],
    [{ activation: 'stocha:p=2' }, 'ACTIVATION_PARAMETER_INVALID'],
  ])('refuses %o', async (options, code) => {
    await expect(generate(languageModel(), options)).rejects.toMatchObject({ code })
  })

  it('an empty prompt starts a document', async () => {
    const [fromNothing] = await generate(languageModel(), { maxTokens: 1 }, '')
    const fromEnd = languageModel().generate([tokenizer.endOfText ?? -1], { maxTokens: 1 })
    expect((await fromEnd.next()).value).toMatchObject({ id: fromNothing.id, logprob: fromNothing.logprob })
  })
})

describe('a tokenizer and a model', () => {
  const engine = (vocabSize: number) => {
    const sized = { ...config, vocabSize }
    return new EngineModel(sized, tensorOf(randomTensors(sized, 3)))
  }

  it('fit when the model has at least its ids; else the error says both numbers', () => {
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

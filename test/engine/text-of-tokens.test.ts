// From tokens to text: what a tokenizer must fit, how a text begins, what is shown while it is incomplete; a checkpoint on disk.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseActivation } from '../../src/activations/index.js'
import type { Tokenizer } from '../../src/data/tokenizers/tokenizer.js'
import { TextStream } from '../../src/engine/generation/text-stream.js'
import { EngineModel, LanguageModel, load } from '../../src/engine/index.js'
import { writeCheckpoint } from '../../src/formats/index.js'
import { kernels } from '../../src/kernels/index.js'
import { Llama } from '../../src/nn/llama.js'
import { parameterShapes } from '../../src/nn/parameters.js'
import { Tape } from '../../src/tensor/index.js'
import { describeWith, sharedData } from '../data/shared-data.js'
import { randomTensors, tensorOf } from './naive-model.js'
import { config, generate, languageModel, tensors, text, tokenizer } from './text-model.js'

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

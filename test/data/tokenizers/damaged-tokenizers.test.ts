// Damaged tokenizers of every kind, by the thousand: each either is one that encodes, or a TokenizerError. FLICKER_FULL=1:
// 10,000 of each kind.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesTokenizer } from '../../../src/data/tokenizers/byte-pair.js'
import { loadTokenizer } from '../../../src/data/tokenizers/load.js'
import { tokenizerFromJson } from '../../../src/data/tokenizers/tokenizer-json.js'
import { trainBpe } from '../../../src/data/tokenizers/train-byte-pair.js'
import { TokenizerError } from '../../../src/errors.js'
import { edits, jsonDamage, wireDamage } from '../../formats/damage.js'
import { FUZZ_TIMEOUT, mutants, withinLimits } from '../../formats/fuzz-runs.js'
import { temporaryDirectories } from '../temporary.js'
import { llama2cFile } from './llama2c-file.js'

const directory = temporaryDirectories()
const fixture = (name: string) =>
  JSON.parse(readFileSync(join(import.meta.dirname, '../../fixtures/tokenizers', name), 'utf8'))
const TEXT = 'The  cafe\u0301 of 2026 <s> \u65e5\u672c\ud83d\udc4d\u200d\r\n\t!'

function survives(open: () => ReturnType<typeof loadTokenizer>, size: number): void {
  withinLimits(() => {
    try {
      const tokenizer = open()
      const ids = tokenizer.encode(TEXT)
      if (!ids.every(id => id >= 0 && id < tokenizer.vocabSize))
        throw new Error('an id beyond the vocabulary')
      tokenizer.decode(ids)
    } catch (error) {
      if (!(error instanceof TokenizerError)) throw error
      if (error.message.length > 2000) throw new Error(`a message of ${error.message.length} characters`)
    }
  }, size)
}

describe('a tokenizer.json', () => {
  const written: object[] = [
    bytesTokenizer().toJSON(),
    trainBpe(['the cafe of the cat that sat there'], 290).toJSON(),
    ...fixture('components.json').pipelines.map(({ json }: { json: object }) => json),
  ]

  it(
    'of any kind survives any values of its fields',
    () => {
      expect(written.length).toBeGreaterThan(10)
      fc.assert(
        fc.property(fc.constantFrom(...written).chain(jsonDamage), content => {
          survives(() => tokenizerFromJson(content, 'damaged'), 10_000)
        }),
        mutants(300),
      )
    },
    FUZZ_TIMEOUT,
  )

  it('with a value of thousands of characters is refused in some hundred', () => {
    const json = structuredClone(bytesTokenizer().toJSON()) as { model: { vocab: Record<string, unknown> } }
    json.model.vocab['0'] = 'a'.repeat(5000)
    const refusal = expect.objectContaining({
      code: 'TOKENIZER_INVALID',
      message: expect.stringMatching(/^.{0,700}$/s),
    })
    expect(() => tokenizerFromJson(json, 'damaged')).toThrow(refusal)
  })

  it(
    'survives any component in the place of its own',
    () => {
      const { normalizers, preTokenizers, decoders } = fixture('components.json')
      expect(normalizers.length + preTokenizers.length + decoders.length).toBeGreaterThan(30)
      const parts = (list: { component: object }[]) =>
        fc.constantFrom(...list.map(({ component }) => component)).chain(jsonDamage)
      fc.assert(
        fc.property(
          fc.constantFrom(...written),
          fc.record(
            { normalizer: parts(normalizers), pre_tokenizer: parts(preTokenizers), decoder: parts(decoders) },
            { requiredKeys: [] },
          ),
          (json, changed) => survives(() => tokenizerFromJson({ ...json, ...changed }, 'damaged'), 10_000),
        ),
        mutants(300),
      )
    },
    FUZZ_TIMEOUT,
  )
})

describe('a file', () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const models: { name: string; model: string }[] = fixture('sentencepiece.json').models
  const bpe = trainBpe(['the cafe of the cat that sat there'], 290).toJSON() as {
    model: { vocab: Record<string, number>; merges: (string | [string, string])[] }
  }
  const vocabulary = Buffer.from(JSON.stringify(bpe.model.vocab))
  const merges = Buffer.from(
    `#version: 0.2\n${bpe.model.merges.map(pair => (Array.isArray(pair) ? pair.join(' ') : pair)).join('\n')}\n`,
  )
  const tiktoken = Buffer.from(
    [
      ...Array.from({ length: 256 }, (_, byte) => Buffer.of(byte).toString('base64')),
      base64('th'),
      base64('the'),
    ]
      .map((token, rank) => `${token} ${rank}`)
      .join('\n'),
  )
  const whole: [string, Buffer, Record<string, Buffer>][] = [
    ['tokenizer.json', Buffer.from(JSON.stringify(bytesTokenizer().toJSON())), {}],
    ['tokenizer.bin', llama2cFile(), {}],
    ['gpt2.tiktoken', tiktoken, {}],
    ['vocab.json', vocabulary, { 'merges.txt': merges }],
    ['merges.txt', merges, { 'vocab.json': vocabulary }],
    ...models.map(({ name, model }): [string, Buffer, Record<string, Buffer>] => [
      `${name.replaceAll(/\W+/g, '-')}.model`,
      Buffer.from(model, 'base64'),
      {},
    ]),
  ]

  it.each(whole)(
    '%s survives edits',
    (name, original, beside) => {
      const path = join(directory({ [name]: original, ...beside }), name)
      expect(loadTokenizer(path).vocabSize).toBeGreaterThan(5)
      fc.assert(
        fc.property(edits(Math.min(original.length, 3000)), edit => {
          writeFileSync(path, edit(original))
          survives(() => loadTokenizer(path), original.length)
        }),
        mutants(100),
      )
    },
    FUZZ_TIMEOUT,
  )

  it.each(models.map(({ name, model }) => [name, Buffer.from(model, 'base64')] as const))(
    'tokenizer.model (%s) survives values at their limits',
    (_, original) => {
      const path = join(directory({ 'tokenizer.model': original }), 'tokenizer.model')
      expect(loadTokenizer(path).vocabSize).toBeGreaterThan(5)
      fc.assert(
        fc.property(wireDamage(original), damaged => {
          writeFileSync(path, damaged)
          survives(() => loadTokenizer(path), original.length)
        }),
        mutants(100),
      )
    },
    FUZZ_TIMEOUT,
  )
})

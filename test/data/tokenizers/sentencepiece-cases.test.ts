// SentencePiece models against SentencePiece itself (fixtures/tokenizers/sentencepiece.json): user-defined symbols, unused
// pieces, spaces as suffixes, unknown characters; and the same vocabulary written as a tokenizer.json.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { tokenizerFromSentencePiece } from '../../../src/data/tokenizers/sentencepiece-file.js'
import { tokenizerFromJson } from '../../../src/data/tokenizers/tokenizer-json.js'
import { TextStream } from '../../../src/engine/generation/text-stream.js'

interface Fixture {
  readonly name: string
  /** The model file in base64. */
  readonly model: string
  readonly cases: readonly (readonly [text: string, ids: number[], decoded: string])[]
}
const { models }: { models: readonly Fixture[] } = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/tokenizers/sentencepiece.json'), 'utf8'),
)
const open = (fixture: Fixture) =>
  tokenizerFromSentencePiece(Buffer.from(fixture.model, 'base64'), fixture.name)
const titled = (list: readonly Fixture[]) => list.map(fixture => [fixture.name, fixture] as const)
const named = (name: string) => models.find(model => model.name === name)!

describe('a tokenizer.model gives what SentencePiece gives', () => {
  it.each(titled(models))('%s: ids', (_, fixture) => {
    const tokenizer = open(fixture)
    const got = fixture.cases.map(([text]) => [text, [...tokenizer.encode(text)]])
    expect(got).toEqual(fixture.cases.map(([text, ids]) => [text, ids]))
  })

  it.each(titled(models))('%s: text, at once and token by token', (_, fixture) => {
    const tokenizer = open(fixture)
    for (const [, ids, decoded] of fixture.cases) {
      expect(tokenizer.decode(ids)).toBe(decoded)
      const stream = new TextStream(tokenizer, true)
      expect(ids.map(id => stream.push(id)).join('') + stream.end()).toBe(decoded)
    }
  })
})

describe('written as a tokenizer.json', () => {
  const written = models.filter(({ name }) => name !== 'unused pieces')
  it.each(titled(written))('%s: the same ids and text', (_, fixture) => {
    const json = tokenizerFromJson(open(fixture).toJSON(), 'tokenizer.json')
    const got = fixture.cases.map(([text, ids]) => [text, [...json.encode(text)], json.decode(ids)])
    expect(got).toEqual(fixture.cases)
  })

  it('unused pieces that take part in joining are refused: merges cannot say that', () => {
    expect(() => open(named('unused pieces')).toJSON()).toThrow(
      expect.objectContaining({
        code: 'TOKENIZER_UNSUPPORTED',
        message: expect.stringMatching(/its unused piece "at" takes part in joining/),
      }),
    )
  })
})

describe('special tokens in the text', () => {
  it('the unknown token and control tokens are found, as in Hugging Face’s tokenizers', () => {
    const tokenizer = open(named('plain'))
    const name = (id: number) => tokenizer.vocabulary.pieces[id].text
    expect([...tokenizer.encode('cat<unk>cat</s>')].map(name)).toEqual(['▁cat', '<unk>', '▁cat', '</s>'])
  })
})

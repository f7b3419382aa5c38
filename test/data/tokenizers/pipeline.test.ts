// Every component of a tokenizer.json against Hugging Face's tokenizers, the Rust program (fixtures/tokenizers), and the
// components and options that are refused because ignoring them would give other ids.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeDecoder } from '../../../src/data/tokenizers/pipeline/decoders.js'
import { makeNormalizer } from '../../../src/data/tokenizers/pipeline/normalizers.js'
import { makePreTokenizer } from '../../../src/data/tokenizers/pipeline/pre-tokenizers.js'
import { tokenizerFromJson } from '../../../src/data/tokenizers/tokenizer-json.js'

interface Fixture<Input, Output> {
  readonly component: object
  readonly cases: readonly (readonly [Input, Output])[]
}
interface Fixtures {
  readonly normalizers: readonly Fixture<string, string>[]
  readonly preTokenizers: readonly Fixture<string, string[]>[]
  readonly decoders: readonly Fixture<string[], string>[]
  readonly pipelines: readonly { name: string; json: object; cases: [string, number[]][] }[]
}
const fixtures: Fixtures = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/tokenizers/components.json'), 'utf8'),
)
const titled = <F extends { component: object }>(list: readonly F[]) =>
  list.map(fixture => [JSON.stringify(fixture.component), fixture] as const)

describe('a normalizer gives the text that Hugging Face’s tokenizers gives', () => {
  it.each(titled(fixtures.normalizers))('%s', (_, { component, cases }) => {
    const normalize = makeNormalizer(component, 'test')
    expect(cases.map(([text]) => [text, normalize(text)])).toEqual(cases)
  })
})

describe('a pre-tokenizer cuts the words that Hugging Face’s tokenizers cuts', () => {
  it.each(titled(fixtures.preTokenizers))('%s', (_, { component, cases }) => {
    const preTokenize = makePreTokenizer(component, 'test')
    const words = (text: string) => preTokenize([{ text, isFirst: true }]).map(word => word.text)
    expect(cases.map(([text]) => [text, words(text)])).toEqual(cases)
  })
})

describe('a decoder gives the text that Hugging Face’s tokenizers gives', () => {
  it.each(titled(fixtures.decoders))('%s', (_, { component, cases }) => {
    const decode = makeDecoder(component, 'test')
    expect(cases.map(([tokens]) => [tokens, decode(tokens).join('')])).toEqual(cases)
  })
})

describe('a tokenizer.json gives the ids that Hugging Face’s tokenizers gives', () => {
  it.each(fixtures.pipelines.map(pipeline => [pipeline.name, pipeline] as const))(
    '%s',
    (_, { json, cases }) => {
      const tokenizer = tokenizerFromJson(json, 'test')
      expect(cases.map(([text]) => [text, [...tokenizer.encode(text)]])).toEqual(cases)
      // The exported file is the one that was read, flags of added tokens included.
      expect(tokenizer.toJSON()).toMatchObject(json)
    },
  )
})

describe('what would give other ids is refused by name', () => {
  const wordLevel = { type: 'WordLevel', unk_token: 'a', vocab: { a: 0 } }
  const sequenceOf = (step: object, levels: number): object =>
    levels === 0 ? step : { type: 'Sequence', normalizers: [sequenceOf(step, levels - 1)] }
  it.each<[string, object, RegExp]>([
    [
      'a normalizer',
      { normalizer: { type: 'Capitalize' } },
      /normalizer: the type "Capitalize" is not supported/,
    ],
    [
      'a pre-tokenizer',
      { pre_tokenizer: { type: 'UnicodeScripts' } },
      /pre_tokenizer: the type "UnicodeScripts" is not supported/,
    ],
    ['a decoder', { decoder: { type: 'CTC' } }, /decoder: the type "CTC" is not supported/],
    ['a model', { model: { type: 'Markov', vocab: { a: 0 } } }, /model: the type "Markov" is not supported/],
    [
      'an unknown option',
      { normalizer: { type: 'NFC', strength: 2 } },
      /normalizer: NFC: option strength: unknown key/,
    ],
    [
      'an unknown option of a plain byte-level BPE',
      { model: { type: 'BPE', vocab: { a: 0 }, merges: [], mood: 1 } },
      /model: BPE: option mood: unknown key/,
    ],
    [
      'an unknown behavior',
      { pre_tokenizer: { type: 'Split', pattern: { String: 'a' }, behavior: 'Doubled', invert: false } },
      /Split: option behavior/,
    ],
    [
      'a regular expression that cannot be read',
      { normalizer: { type: 'Replace', pattern: { Regex: '(?<a' }, content: '' } },
      /the regular expression "\(\?<a" is not supported/,
    ],
    ['dropout', { model: { type: 'BPE', vocab: { a: 0 }, merges: [], dropout: 0.1 } }, /BPE with dropout/],
    [
      'a prefix for the first word behind another step',
      {
        pre_tokenizer: {
          type: 'Sequence',
          pretokenizers: [
            { type: 'WhitespaceSplit' },
            { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first' },
          ],
        },
      },
      /prepend_scheme first behind another step/,
    ],
    [
      'two added tokens that are one when normalized',
      {
        normalizer: { type: 'Lowercase' },
        added_tokens: [
          { id: 1, content: '<A>', normalized: true },
          { id: 2, content: '<a>', normalized: true },
        ],
      },
      /added token "<a>" is the same as another when normalized/,
    ],
    ['nesting without end', { normalizer: sequenceOf({ type: 'NFC' }, 100) }, /nesting of more than 16/],
  ])('%s', (_, parts, message) => {
    expect(() => tokenizerFromJson({ model: wordLevel, ...parts }, 'test')).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_UNSUPPORTED', message: expect.stringMatching(message) }),
    )
  })

  it.each<[string, object, RegExp]>([
    [
      'a Unigram whose unknown piece is outside',
      { model: { type: 'Unigram', unk_id: 1, vocab: [['a', -1]] } },
      /unk_id is 1, outside the vocabulary of 1/,
    ],
    ['one below 0', { model: { type: 'Unigram', unk_id: -1, vocab: [['a', -1]] } }, /unk_id is -1, outside/],
    [
      'an added token with another id than the vocabulary gives it',
      { added_tokens: [{ id: 5, content: 'a' }] },
      /added token "a" has id 5, but model\.vocab gives it the id 0/,
    ],
  ])('as invalid: %s', (_, parts, message) => {
    expect(() => tokenizerFromJson({ model: wordLevel, ...parts }, 'test')).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_INVALID', message: expect.stringMatching(message) }),
    )
  })
})

describe('a Unigram', () => {
  it('takes the piece that begins earlier of two ways with equal scores, as the Rust program', () => {
    const vocab = [
      ['a', -1],
      ['b', -1],
      ['ab', -2],
    ]
    const tokenizer = tokenizerFromJson({ model: { type: 'Unigram', unk_id: 0, vocab } }, 'test')
    expect([...tokenizer.encode('ab')]).toEqual([2])
  })
})

describe('a byte-level BPE', () => {
  it('may name as added a token that its merges make', () => {
    // From huggingface/tokenizers 0.23.2: "sand and" is s, and, space, and.
    const bytes = Object.fromEntries([...'abcdns '].map((letter, id) => [letter === ' ' ? 'Ġ' : letter, id]))
    const json = {
      added_tokens: [{ id: 8, content: 'and', normalized: true, special: false }],
      model: { type: 'BPE', unk_token: null, vocab: { ...bytes, nd: 7, and: 8 }, merges: ['n d', 'a nd'] },
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      decoder: { type: 'ByteLevel' },
    }
    expect([...tokenizerFromJson(json, 'test').encode('sand and')]).toEqual([5, 8, 6, 8])
  })
})

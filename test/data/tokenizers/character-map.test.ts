// Tables of replaced characters, compiled by SentencePiece: as a component of tokenizer.json against Hugging Face's tokenizers, and
// in a GGUF file against SentencePiece itself (fixtures/tokenizers/character-map.json); and damaged ones.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CharacterMap, replaceLongest } from '../../../src/data/tokenizers/pipeline/character-map.js'
import { makeNormalizer } from '../../../src/data/tokenizers/pipeline/normalizers.js'
import type { PieceType } from '../../../src/data/tokenizers/sentencepiece.js'
import { tokenizerFromJson } from '../../../src/data/tokenizers/tokenizer-json.js'
import { TokenizerError } from '../../../src/errors.js'
import { readGgufTokenizer } from '../../../src/formats/gguf/read-tokenizer.js'
import type { Metadata } from '../../../src/formats/gguf/types.js'
import { edits } from '../../formats/damage.js'
import { FUZZ_TIMEOUT, mutants, withinLimits } from '../../formats/fuzz-runs.js'

interface Fixture {
  readonly charsmap: string
  readonly precompiled: [text: string, normalized: string][]
  readonly pieces: [text: string, score: number, type: PieceType][]
  readonly removesExtraSpaces: [text: string, ids: number[]][]
  readonly keepsSpaces: [text: string, ids: number[]][]
}
const fixture: Fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/tokenizers/character-map.json'), 'utf8'),
)
const blob = Buffer.from(fixture.charsmap, 'base64')

it('a normalizer of a tokenizer.json gives the text that Hugging Face’s tokenizers gives', () => {
  const normalize = makeNormalizer({ type: 'Precompiled', precompiled_charsmap: fixture.charsmap }, 'test')
  const got = fixture.precompiled.map(([text]) => [text, normalize(text)])
  expect(got).toEqual(fixture.precompiled)
})

describe('a Unigram in GGUF gives the ids that SentencePiece gives', () => {
  const read = (remove_extra_whitespaces: boolean, signed = false) => {
    const metadata = new Map<string, unknown>([
      ['tokenizer.ggml.model', 't5'],
      ['tokenizer.ggml.tokens', fixture.pieces.map(([text]) => text)],
      ['tokenizer.ggml.scores', Float64Array.from(fixture.pieces, ([, score]) => score)],
      ['tokenizer.ggml.token_type', Float64Array.from(fixture.pieces, ([, , type]) => type)],
      ['tokenizer.ggml.unknown_token_id', 0],
      ['tokenizer.ggml.eos_token_id', 2],
      ['tokenizer.ggml.add_space_prefix', true],
      ['tokenizer.ggml.remove_extra_whitespaces', remove_extra_whitespaces],
      ['tokenizer.ggml.precompiled_charsmap', Float64Array.from(signed ? new Int8Array(blob) : blob)],
    ])
    return readGgufTokenizer(metadata as Metadata, 'x.gguf')
  }

  it.each([
    ['and leaves out spaces', true, fixture.removesExtraSpaces],
    ['and keeps spaces', false, fixture.keepsSpaces],
  ] as const)('%s', (_, removes, cases) => {
    const tokenizer = read(removes)
    expect(cases.map(([text]) => [text, [...tokenizer.encode(text)]])).toEqual(cases)
  })

  it('as a tokenizer.json too, and from signed bytes', () => {
    const again = tokenizerFromJson(read(true, true).toJSON(), 'written')
    const cases = fixture.removesExtraSpaces
    expect(cases.map(([text]) => [text, [...again.encode(text)]])).toEqual(cases)
  })
})

describe('a damaged table', () => {
  it.each<[string, string, RegExp]>([
    ['that is empty', '', /its sizes do not fit/],
    ['that is no base64', 'AAA', /precompiled_charsmap is not base64/],
    ['that is shorter than it says', blob.subarray(0, 40).toString('base64'), /its sizes do not fit/],
  ])('%s is refused', (_, precompiled_charsmap, message) => {
    const component = { type: 'Precompiled', precompiled_charsmap }
    expect(() => makeNormalizer(component, 'test')).toThrow(TokenizerError)
    expect(() => makeNormalizer(component, 'test')).toThrow(message)
  })

  it(
    'is refused, or another one',
    () => {
      const text = fixture.precompiled.map(([text]) => text).join('')
      expect(replaceLongest(new CharacterMap(blob, 'whole'))(text)).not.toBe(text)
      fc.assert(
        fc.property(edits(blob.length), edit => {
          withinLimits(() => {
            try {
              replaceLongest(new CharacterMap(edit(blob), 'damaged'))(text)
            } catch (error) {
              if (!(error instanceof TokenizerError)) throw error
            }
          })
        }),
        mutants(300),
      )
    },
    FUZZ_TIMEOUT,
  )
})

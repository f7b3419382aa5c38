// Unigram and WordPiece vocabularies in GGUF, against ids found by hand.

import { describe, expect, it } from 'vitest'
import { PieceType } from '../../../src/data/tokenizers/sentencepiece.js'
import { readGgufTokenizer } from '../../../src/formats/gguf/read-tokenizer.js'
import type { Metadata } from '../../../src/formats/gguf/types.js'

type Token = readonly [text: string, score: number, type?: PieceType]

function tokenizer(model: string, tokens: readonly Token[], more: Record<string, unknown> = {}) {
  const metadata = new Map<string, unknown>([
    ['tokenizer.ggml.model', model],
    ['tokenizer.ggml.tokens', tokens.map(([text]) => text)],
    ['tokenizer.ggml.scores', Float64Array.from(tokens, ([, score]) => score)],
    ['tokenizer.ggml.token_type', Float64Array.from(tokens, ([, , type]) => type ?? PieceType.normal)],
    ...Object.entries(more).map(([key, value]) => [`tokenizer.ggml.${key}`, value] as const),
  ])
  return readGgufTokenizer(metadata as Metadata, 'x.gguf')
}

describe('a Unigram', () => {
  const tokens: Token[] = [
    ['<pad>', 0, PieceType.control],
    ['</s>', 0, PieceType.control],
    ['<unk>', 0, PieceType.unknown],
    ['▁', -3],
    ['▁a', -2],
    ['a', -4],
    ['b', -4],
    ['ab', -3],
    ['▁ab', -9],
    ['▁a▁b', -1, PieceType.unused],
  ]
  const keys = { eos_token_id: 1, add_space_prefix: true, remove_extra_whitespaces: true }

  it('takes the pieces with the highest sum, a space before the text, and one for several', () => {
    const read = tokenizer('t5', tokens, keys)
    // ▁a (−2) + b (−4) against ▁ (−3) + ab (−3): equal; ▁ab alone is −9.
    expect([[4, 6].join(), [3, 7].join()]).toContain([...read.encode('ab')].join())
    // ▁a is −2, ▁ + a is −7; the unused piece is not there.
    expect([...read.encode('  a   b ')]).toEqual([4, 3, 6])
    expect([...read.encode('ac')]).toEqual([4, 2])
    expect([...read.encode('a</s>')]).toEqual([4, 1])
    expect(read.endOfText).toBe(1)
    expect(read.decode([4, 3, 6])).toBe('a b')
  })

  it('without these keys leaves spaces as they are', () => {
    const read = tokenizer('t5', tokens, { eos_token_id: 1 })
    expect([...read.encode('a  a')]).toEqual([5, 3, 4])
  })

  it('with a table that is no list of bytes is refused', () => {
    const more = { ...keys, precompiled_charsmap: Float64Array.of(1, 256) }
    expect(() => tokenizer('t5', tokens, more)).toThrow(/precompiled_charsmap is not a list of bytes/)
  })
})

describe('a WordPiece', () => {
  const tokens: Token[] = [
    ['[PAD]', 0, PieceType.control],
    ['[UNK]', 0, PieceType.control],
    ['[CLS]', 0, PieceType.control],
    ['▁play', 0],
    ['ing', 0],
    ['▁ing', 0],
    ['▁!', 0],
    ['▁una', 0],
  ]
  const keys = { unknown_token_id: 1, bos_token_id: 2 }

  it('takes the longest piece from the left, without case and accents, and knows how a word goes on', () => {
    const read = tokenizer('bert', tokens, keys)
    expect([...read.encode('Playing ING!')]).toEqual([3, 4, 5, 6])
    expect([...read.encode('Uña xyz')]).toEqual([7, 1])
    expect(read.startOfText).toBe(2)
    expect(read.decode([3, 4, 6])).toBe('playing!')
  })

  it('without an unknown token is refused', () => {
    expect(() => tokenizer('bert', tokens, { bos_token_id: 2 })).toThrow(/unknown_token_id is missing/)
  })
})

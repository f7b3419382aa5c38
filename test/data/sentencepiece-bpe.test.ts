// SentencePiece's BPE: joins by score, falls back to bytes, and gives the ids that the same vocabulary gives as a
// tokenizer.json in @huggingface/tokenizers. llama2.c's tokenizer.bin, whole and damaged.

import { readFileSync } from 'node:fs'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { tokenizerFromLlama2c } from '../../src/data/llama2c-tokenizer.js'
import { loadTokenizer } from '../../src/data/load-tokenizer.js'
import { type Piece, PieceType, SentencePieceBpe } from '../../src/data/sentencepiece-bpe.js'
import { TokenizerError } from '../../src/errors.js'
import { describeWith, sharedData } from './shared-data.js'
import { temporaryDirectories } from './temporary.js'

const directory = temporaryDirectories()

function vocabulary(
  words: Record<string, number>,
  more: Partial<{ spacePrefix: boolean; bytes: boolean }> = {},
) {
  const pieces: Piece[] = [
    { text: '<unk>', score: 0, type: PieceType.unknown },
    { text: '<s>', score: 0, type: PieceType.control },
  ]
  if (more.bytes === true) {
    for (let byte = 0; byte < 256; byte++) {
      const hex = byte.toString(16).toUpperCase().padStart(2, '0')
      pieces.push({ text: `<0x${hex}>`, score: 0, type: PieceType.byte })
    }
  }
  for (const [text, score] of Object.entries(words)) pieces.push({ text, score, type: PieceType.normal })
  return new SentencePieceBpe({
    source: 'test',
    pieces,
    spacePrefix: more.spacePrefix ?? false,
    startOfText: 1,
    endOfText: 1,
  })
}
const spelled = (tokenizer: SentencePieceBpe, text: string) =>
  [...tokenizer.encode(text)].map(id => tokenizer.vocabulary.pieces[id].text)

describe('joining', () => {
  it('takes the highest score first, wherever it stands', () => {
    const tokenizer = vocabulary({ a: -9, b: -9, c: -9, ab: -2, bc: -1 })
    expect(spelled(tokenizer, 'abc')).toEqual(['a', 'bc'])
  })

  it('takes the leftmost of equals', () => {
    const tokenizer = vocabulary({ a: -9, aa: -1 })
    expect(spelled(tokenizer, 'aaa')).toEqual(['aa', 'a'])
  })

  it('does not join what another union has taken', () => {
    const tokenizer = vocabulary({ a: -9, b: -9, ab: -1, ba: -2, aba: -5 })
    expect(spelled(tokenizer, 'abab')).toEqual(['ab', 'ab'])
    expect(spelled(tokenizer, 'aba')).toEqual(['aba'])
  })

  it('writes a space as ▁ and puts one before the text where the vocabulary wants it', () => {
    const words = { a: -9, '▁': -9, '▁a': -1 }
    expect(spelled(vocabulary(words), 'a a')).toEqual(['a', '▁a'])
    expect(spelled(vocabulary(words, { spacePrefix: true }), 'a a')).toEqual(['▁a', '▁a'])
  })

  it('finds special tokens in the text', () => {
    const tokenizer = vocabulary({ a: -9, '<': -9, s: -9, '>': -9 })
    expect(spelled(tokenizer, 'a<s>a')).toEqual(['a', '<s>', 'a'])
  })
})

describe('what the vocabulary lacks', () => {
  it('is written in bytes, and comes back', () => {
    const tokenizer = vocabulary({ a: -9 }, { bytes: true })
    expect(spelled(tokenizer, 'aé')).toEqual(['a', '<0xC3>', '<0xA9>'])
    expect(tokenizer.decode(tokenizer.encode('aé日'))).toBe('aé日')
  })

  it('is the unknown token without bytes', () => {
    expect(spelled(vocabulary({ a: -9 }), 'ab')).toEqual(['a', '<unk>'])
  })

  it('is an error without either', () => {
    const pieces = [{ text: 'a', score: 0, type: PieceType.normal }]
    const tokenizer = new SentencePieceBpe({
      source: 'test',
      pieces,
      spacePrefix: false,
      startOfText: null,
      endOfText: null,
    })
    expect(() => tokenizer.encode('b')).toThrow(expect.objectContaining({ code: 'CHARACTER_UNKNOWN' }))
  })
})

describe('a vocabulary that is not one is refused', () => {
  const make = (piece: Piece, endOfText: number | null = null) =>
    new SentencePieceBpe({ source: 'x', pieces: [piece], spacePrefix: true, startOfText: null, endOfText })
  it.each<[string, () => unknown]>([
    ['a score that is no number', () => make({ text: 'a', score: Number.NaN, type: PieceType.normal })],
    ['a byte of another name', () => make({ text: '<0xZZ>', score: 0, type: PieceType.byte })],
    ['an end of text outside', () => make({ text: 'a', score: 0, type: PieceType.normal }, 1)],
  ])('%s', (_, action) => {
    expect(action).toThrow(expect.objectContaining({ code: 'TOKENIZER_INVALID' }))
  })
})

describeWith('tokenizers/llama2c_tok512.bin', "llama2.c's tokenizer of 512", () => {
  const file = sharedData('tokenizers/llama2c_tok512.bin')
  const tokenizer = loadTokenizer(file) as SentencePieceBpe
  const anyText = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.string({
      unit: fc.constantFrom(...' \nabcdehilnorstuyALO.,"é日', ' the', 'Once', 'ing', '  '),
      maxLength: 60,
    }),
  )

  it('knows its special tokens and spells words as llama2.c does', () => {
    expect(tokenizer.vocabulary.pieces.slice(0, 4).map(({ text }) => text)).toEqual([
      '<unk>',
      '<s>',
      '</s>',
      '<0x00>',
    ])
    // The first tokens of the story that the model tells, as llama2.c gives them.
    expect(spelled(tokenizer, 'Once upon a time')).toEqual(['▁Once', '▁upon', '▁a', '▁time'])
  })

  it('gives the ids of @huggingface/tokenizers with its tokenizer.json, and the text back', () => {
    const theirs = new HuggingFaceTokenizer(tokenizer.toJSON(), {})
    fc.assert(
      fc.property(anyText, text => {
        const ids = tokenizer.encode(text)
        expect([...ids]).toEqual(theirs.encode(text, { add_special_tokens: false }).ids)
        if (!text.includes('\u2581')) expect(tokenizer.decode(ids)).toBe(text)
      }),
      { numRuns: 300 },
    )
  })

  it('saved as tokenizer.json begins and ends texts with the same tokens', () => {
    const saved = directory({
      'tokenizer.json': JSON.stringify(tokenizer.toJSON()),
      'tokenizer_config.json': JSON.stringify({ eos_token: '<s>' }),
    })
    expect(loadTokenizer(saved)).toMatchObject({ vocabSize: 512, startOfText: 1, endOfText: 1 })
  })

  it('encodes a long text without growing slow: 200,000 characters, every join remembered', () => {
    const text = 'She loved to play outside in the park. '.repeat(5000)
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
  })

  describe('damaged', () => {
    const original = readFileSync(file)
    const survives = (bytes: Uint8Array) => {
      try {
        const damaged = tokenizerFromLlama2c(bytes, 'damaged.bin')
        expect(damaged.vocabSize).toBeLessThan(bytes.length)
        damaged.decode(damaged.encode('Once upon a time'))
      } catch (error) {
        if (!(error instanceof TokenizerError)) throw error
        expect(error.message.length).toBeLessThan(500)
      }
    }

    it('by truncation it is refused, or has fewer pieces', () => {
      for (let length = 0; length < original.length; length += 13) survives(original.subarray(0, length))
    })

    it('by flipped bits it is refused or another vocabulary', () => {
      fc.assert(
        fc.property(fc.array(fc.nat(8 * original.length - 1), { minLength: 1, maxLength: 4 }), bits => {
          const bytes = Uint8Array.from(original)
          for (const bit of bits) bytes[bit >> 3] ^= 1 << (bit & 7)
          survives(bytes)
        }),
        { numRuns: 200 },
      )
    })

    it('by absurd lengths it is refused', () => {
      for (const length of [-1, 2 ** 31 - 1, 65_537]) {
        const bytes = Buffer.from(original)
        bytes.writeInt32LE(length, 8)
        expect(() => tokenizerFromLlama2c(bytes, 'x')).toThrow(TokenizerError)
        bytes.writeInt32LE(length, 0)
        expect(() => tokenizerFromLlama2c(bytes, 'x')).toThrow(TokenizerError)
      }
    })
  })
})

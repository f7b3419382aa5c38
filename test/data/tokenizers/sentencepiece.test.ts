// SentencePiece's BPE: joins by score, falls back to bytes, and gives the ids that the same vocabulary gives as a
// tokenizer.json in @huggingface/tokenizers. llama2.c's tokenizer.bin, whole and damaged.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { tokenizerFromLlama2c } from '../../../src/data/tokenizers/llama2c-file.js'
import { loadTokenizer } from '../../../src/data/tokenizers/load.js'
import { type Piece, PieceType, SentencePieceBpe } from '../../../src/data/tokenizers/sentencepiece.js'
import { tokenizerFromSentencePiece } from '../../../src/data/tokenizers/sentencepiece-file.js'
import { TokenizerError } from '../../../src/errors.js'
import { describeWith, sharedData } from '../shared-data.js'
import { temporaryDirectories } from '../temporary.js'
import { llama2cFile } from './llama2c-file.js'

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

describe("SentencePiece's own file", () => {
  const varint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) | 128, ...varint(Math.floor(n / 128))])
  const number = (field: number, n: number) => Buffer.from([...varint(8 * field), ...varint(n)])
  const bytes = (field: number, value: Uint8Array | string) =>
    Buffer.concat([
      Buffer.from([...varint(8 * field + 2), ...varint(Buffer.byteLength(value))]),
      Buffer.from(value),
    ])
  const float = (field: number, x: number) =>
    Buffer.concat([Buffer.from(varint(8 * field + 5)), Buffer.from(Float32Array.of(x).buffer)])
  const piece = (text: string, score: number, type?: number) =>
    bytes(
      1,
      Buffer.concat([bytes(1, text), float(2, score), ...(type === undefined ? [] : [number(3, type)])]),
    )
  const pieces = [
    piece('<unk>', 0, 2),
    piece('<s>', 0, 3),
    piece('</s>', 0, 3),
    piece('<0x0A>', 0, 6),
    piece('▁', -3),
    piece('a', -4),
    piece('▁a', -1),
  ]
  /** As Llama's: BPE, no spaces removed; a field that is not read stands between. */
  const trainer = bytes(2, Buffer.concat([bytes(1, 'corpus.txt'), number(3, 2)]))
  const normalizer = bytes(3, Buffer.concat([bytes(1, 'identity'), number(3, 1), number(4, 0)]))
  const whole = Buffer.concat([...pieces, trainer, normalizer])

  it('gives pieces, scores and special tokens', () => {
    const tokenizer = tokenizerFromSentencePiece(whole, 'tokenizer.model')
    expect(tokenizer).toMatchObject({ vocabSize: 7, startOfText: 1, endOfText: 2 })
    expect(tokenizer.vocabulary).toMatchObject({ spacePrefix: true })
    expect([...tokenizer.encode('a a\n')]).toEqual([6, 6, 3])
    expect(tokenizer.vocabulary.pieces[6]).toEqual({ text: '▁a', score: -1, type: PieceType.normal })
  })

  it('is found in a directory, whose tokenizer_config.json may say that texts begin without <s>', () => {
    const files = { 'tokenizer.model': whole }
    expect(loadTokenizer(directory(files)).startOfText).toBe(1)
    const config = JSON.stringify({ add_bos_token: false })
    expect(loadTokenizer(directory({ ...files, 'tokenizer_config.json': config })).startOfText).toBeNull()
  })

  it('has the tokens of the added_tokens.json beside it, as those that are found in a text', () => {
    const added = (tokens: object) =>
      directory({ 'tokenizer.model': whole, 'added_tokens.json': JSON.stringify(tokens) })
    const tokenizer = loadTokenizer(added({ '<|im_start|>': 8, '<s>': 1 }))
    expect(tokenizer.vocabSize).toBe(9)
    expect([...tokenizer.encode('a<|im_start|>a')]).toEqual([6, 8, 6])
    expect(() => loadTokenizer(added({ '<x>': 1 }))).toThrow(/"<x>" has the id 1, which another piece has/)
    expect(() => loadTokenizer(added({ '<x>': 1e12 }))).toThrow(/"<x>" has no id from 0 to/)
  })

  it('has the tokens that only the tokenizer_config.json beside it names, with their flags', () => {
    const flags = { single_word: false, lstrip: false, rstrip: true, normalized: false, special: true }
    const config = {
      added_tokens_decoder: { 2: { ...flags, content: '</s>' }, 8: { ...flags, content: '<|end|>' } },
    }
    const tokenizer = loadTokenizer(
      directory({ 'tokenizer.model': whole, 'tokenizer_config.json': JSON.stringify(config) }),
    )
    expect(tokenizer.vocabSize).toBe(9)
    // Both take the spaces behind them; <s>, which the file does not mention, does not.
    expect([...tokenizer.encode('a<|end|>  a</s> a<s> a')]).toEqual([6, 8, 6, 2, 6, 1, 4, 6])
    const { added_tokens } = tokenizer.toJSON() as { added_tokens: object[] }
    expect(added_tokens).toContainEqual({ id: 8, ...flags, content: '<|end|>' })
  })

  it('without a space before the text, or without an end of text, says so', () => {
    const plain = bytes(3, Buffer.concat([number(3, 0), number(4, 0)]))
    expect(tokenizerFromSentencePiece(Buffer.concat([whole, plain]), 'x').vocabulary.spacePrefix).toBe(false)
    const minusOne = Buffer.from([...varint(8 * 42), ...Array(9).fill(0xff), 1])
    const none = Buffer.concat([whole, bytes(2, Buffer.concat([number(3, 2), minusOne]))])
    expect(tokenizerFromSentencePiece(none, 'x').endOfText).toBeNull()
  })

  it.each<[string, Uint8Array, string]>([
    [
      'a unigram model',
      Buffer.concat([...pieces, bytes(2, number(3, 1)), normalizer]),
      'TOKENIZER_UNSUPPORTED',
    ],
    ['one that removes spaces', Buffer.concat([...pieces, trainer]), 'TOKENIZER_UNSUPPORTED'],
    [
      'one that maps characters',
      Buffer.concat([whole, bytes(3, Buffer.concat([bytes(2, 'x'), number(4, 0)]))]),
      'TOKENIZER_UNSUPPORTED',
    ],
    ['no pieces', Buffer.concat([trainer, normalizer]), 'TOKENIZER_INVALID'],
    ['a piece of an unknown type', Buffer.concat([piece('a', 0, 9), whole]), 'TOKENIZER_INVALID'],
    ['a text', Buffer.from('{"model": {}}'), 'TOKENIZER_INVALID'],
    ['nothing', Buffer.alloc(0), 'TOKENIZER_INVALID'],
  ])('%s is refused', (_, content, code) => {
    expect(() => tokenizerFromSentencePiece(content, 'x')).toThrow(expect.objectContaining({ code }))
  })

  it('damaged is refused or another vocabulary', () => {
    let [read, refused] = [0, 0]
    const survives = (content: Uint8Array) => {
      try {
        const tokenizer = tokenizerFromSentencePiece(content, 'damaged')
        tokenizer.decode(tokenizer.encode('a a\n'))
        read++
      } catch (error) {
        if (!(error instanceof TokenizerError)) throw error
        refused++
      }
    }
    for (let length = 0; length < whole.length; length++) survives(whole.subarray(0, length))
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const content = Uint8Array.from(whole)
      content[bit >> 3] ^= 1 << (bit & 7)
      survives(content)
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), survives))
    expect(Math.min(read, refused)).toBeGreaterThan(20)
  })
})

/** What must hold for every tokenizer.bin; `file` is asked for its path when the tests run. */
function testsOfLlama2cFile(file: () => string): void {
  let original: Buffer
  let tokenizer: SentencePieceBpe
  beforeAll(() => {
    original = readFileSync(file())
    tokenizer = loadTokenizer(file()) as SentencePieceBpe
  })
  const anyText = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.string({
      unit: fc.constantFrom(...' \nabcdehilnorstuyALO.,"é日', ' the', 'Once', 'ing', '  '),
      maxLength: 60,
    }),
  )

  it('has the special tokens and spells words as llama2.c does', () => {
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
    const { vocabSize } = tokenizer
    expect(loadTokenizer(saved)).toMatchObject({ vocabSize, startOfText: 1, endOfText: 1 })
  })

  it('encodes a long text without growing slow: 200,000 characters, every join remembered', () => {
    const text = 'She loved to play outside in the park. '.repeat(5000)
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
  })

  describe('damaged', () => {
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
}

describe("a tokenizer.bin of llama2.c's, made here", () => {
  let path: string
  beforeAll(() => {
    path = join(directory({ 'tokenizer.bin': llama2cFile() }), 'tokenizer.bin')
  })
  testsOfLlama2cFile(() => path)
})

describeWith('tokenizers/llama2c_tok512.bin', "llama2.c's tokenizer of 512", () => {
  testsOfLlama2cFile(() => sharedData('tokenizers/llama2c_tok512.bin'))
})

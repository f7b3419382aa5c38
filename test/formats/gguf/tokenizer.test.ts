// Tokenizers inside GGUF files: the same ids come back, whether llama.cpp knows the kind or not.

import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  BYTE_CHARACTERS,
  CL100K_PATTERN,
  QWEN2_JSON_PATTERN,
} from '../../../src/data/tokenizers/byte-level.js'
import { charTokenizer } from '../../../src/data/tokenizers/characters.js'
import { tokenizerFromLlama2c } from '../../../src/data/tokenizers/llama2c-file.js'
import { loadTokenizer } from '../../../src/data/tokenizers/load.js'
import { type Piece, PieceType, SentencePieceBpe } from '../../../src/data/tokenizers/sentencepiece.js'
import type { Tokenizer } from '../../../src/data/tokenizers/tokenizer.js'
import { tokenizerFromJson } from '../../../src/data/tokenizers/tokenizer-json.js'
import { trainBpe } from '../../../src/data/tokenizers/train-byte-pair.js'
import { openFileBytes } from '../../../src/formats/file-bytes.js'
import { openGguf, writeGguf } from '../../../src/formats/gguf/index.js'
import { parseGguf } from '../../../src/formats/gguf/parse.js'
import { parameterShapes } from '../../../src/nn/parameters.js'
import { describeWith, sharedData } from '../../data/shared-data.js'
import { llama2cFile } from '../../data/tokenizers/llama2c-file.js'
import { product, temporaryDirectory, tinyConfig } from '../tiny-model.js'
import { type RawValue, rawGguf, texts, tinyLlama } from './raw-gguf.js'

const directory = temporaryDirectory()
afterAll(() => fs.rmSync(directory, { recursive: true }))
let made = 0
const newFile = () => path.join(directory, `model-${made++}.gguf`)

/** The tokenizer that comes back from a file, and what the file says of it. */
function throughFile(tokenizer: Tokenizer, more = 0) {
  const config = { ...tinyConfig, vocabSize: tokenizer.vocabSize + more, hiddenSize: 4, numAttentionHeads: 1 }
  const sizes = new Map(parameterShapes(config).map(({ name, shape }) => [name, product(shape)]))
  const file = newFile()
  const tensor = (name: string) => new Float32Array(sizes.get(name)!)
  const written = writeGguf(file, {
    config,
    tokenizer,
    dtype: 'f32',
    tensor,
    chatTemplates: new Map([['default', '{{ messages }}']]),
  })
  const bytes = openFileBytes(file, 'X')
  const { metadata } = parseGguf(bytes)
  bytes.close()
  const source = openGguf(file)
  expect(source.chatTemplates).toEqual(new Map([['default', '{{ messages }}']]))
  const back = source.tokenizer()
  source.close()
  const { tokenizerKnown: known, tokenizerNotes: notes } = written
  return { back, metadata: Object.fromEntries(metadata), known, notes }
}

const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({
    unit: fc.constantFrom(
      ...' \nabcdehilnorstuyALO.,"é日0129\'',
      ' the',
      'Once',
      "'s",
      '<|endoftext|>',
      '<s>',
    ),
    maxLength: 50,
  }),
)

function expectSameIds(a: Tokenizer, b: Tokenizer, of: fc.Arbitrary<string> = text) {
  expect([b.vocabSize, b.startOfText ?? null, b.endOfText]).toEqual([
    a.vocabSize,
    a.startOfText ?? null,
    a.endOfText,
  ])
  fc.assert(
    fc.property(of, sample => {
      const ids = a.encode(sample)
      expect([...b.encode(sample)]).toEqual([...ids])
      expect(b.decode(ids)).toBe(a.decode(ids))
    }),
    { numRuns: 100 },
  )
}

const corpus = ["Once upon a time there was the cat's house. It's 2024, the cat's 19 years are 3000 days."]
const bpe = trainBpe(corpus, 300)

describe('a byte-level BPE', () => {
  it("trained here is llama.cpp's `gpt2` with the words of GPT-2", () => {
    const { back, metadata, known } = throughFile(bpe)
    expect(known).toBe(true)
    expect(metadata).toMatchObject({
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': 'gpt-2',
      'tokenizer.ggml.eos_token_id': bpe.endOfText,
      'tokenizer.ggml.add_bos_token': false,
    })
    expect(metadata['tokenizer.huggingface.json']).toBeUndefined()
    expectSameIds(bpe, back)
  })

  const withWords = (pattern: string, change: object = {}, model: object = {}) => {
    const json = bpe.toJSON() as { model: object }
    return tokenizerFromJson(
      {
        ...json,
        pre_tokenizer: {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
            { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
          ],
        },
        ...change,
        model: { ...json.model, ...model },
      },
      'test',
    )
  }

  it('with the words of Llama 3 and whole words first is `llama-bpe`', () => {
    const tokenizer = withWords(CL100K_PATTERN, {}, { ignore_merges: true })
    const { back, metadata } = throughFile(tokenizer)
    expect(metadata['tokenizer.ggml.pre']).toBe('llama-bpe')
    expectSameIds(tokenizer, back)
  })

  it('with the words of Llama 3 by its merges alone is `dbrx`', () => {
    expect(throughFile(withWords(CL100K_PATTERN)).metadata['tokenizer.ggml.pre']).toBe('dbrx')
  })

  it('of Qwen2 is `qwen2`, with its tokenizer.json beside, since llama.cpp does not normalize', () => {
    const tokenizer = withWords(QWEN2_JSON_PATTERN, { normalizer: { type: 'NFC' } })
    const { back, metadata, known, notes } = throughFile(tokenizer)
    expect(notes).toEqual([expect.stringContaining('not in the form NFC')])
    expect([known, metadata['tokenizer.ggml.pre']]).toEqual([true, 'qwen2'])
    expect([...back.encode('e\u0301')]).toEqual([...tokenizer.encode('é')])
  })

  it('with words that llama.cpp does not know is for us alone', () => {
    const tokenizer = withWords('\\p{L}+|\\P{L}+')
    const { back, metadata, known } = throughFile(tokenizer)
    expect([known, metadata['tokenizer.ggml.model']]).toEqual([false, 'none'])
    expectSameIds(tokenizer, back)
  })
})

describe('flags of added tokens', () => {
  const withFlags = (json: object, flags: object) => {
    const { added_tokens } = json as { added_tokens: { content: string }[] }
    const token = { special: true, normalized: false, single_word: false, lstrip: false, rstrip: false }
    return { ...json, added_tokens: [...added_tokens, { ...token, ...flags }] }
  }
  const flags: [string, object, string][] = [
    ['rstrip', { rstrip: true }, '"rstrip" and gives other ids for "<|end|>" before white space'],
    ['lstrip', { lstrip: true }, '"lstrip" and gives other ids for "<|end|>" behind white space'],
    ['single_word', { single_word: true }, '"single_word" and gives other ids for "<|end|>" as a part'],
  ]
  const samples = fc.array(fc.constantFrom('a', ' ', '<|end|>', 'b c', '\n')).map(parts => parts.join(''))

  it.each(flags)('of a byte-level BPE survive: %s', (_, flag, note) => {
    const json = withFlags(bpe.toJSON(), { id: bpe.vocabSize, content: '<|end|>', ...flag })
    const tokenizer = tokenizerFromJson(json, 'test')
    const { back, known, notes } = throughFile(tokenizer)
    expect([known, notes]).toEqual([true, [expect.stringContaining(note)]])
    expectSameIds(tokenizer, back, samples)
  })

  it.each(flags)('of a SentencePiece vocabulary survive: %s', (_, flag, note) => {
    const pieces = tokenizerFromLlama2c(llama2cFile(), 'tokenizer.bin')
    const json = withFlags(pieces.toJSON(), { id: pieces.vocabSize, content: '<|end|>', ...flag })
    const tokenizer = tokenizerFromJson(json, 'test', { endOfText: '<s>' })
    const { back, known, notes } = throughFile(tokenizer)
    expect([known, notes]).toEqual([true, [expect.stringContaining(note)]])
    expectSameIds(tokenizer, back, samples)
  })

  it('user-defined symbols and spaces as suffixes are for us alone: llama.cpp knows neither', () => {
    const piece = (text: string, type: PieceType = PieceType.normal) => ({ text, score: 0, type })
    const special = [piece('<unk>', PieceType.unknown), piece('</s>', PieceType.control)]
    const pieces = [...special, piece('<sep>', PieceType.userDefined), piece('▁'), piece('a')]
    const common = { source: 'x', pieces, spacePrefix: true, startOfText: null, endOfText: 1 }
    for (const more of [{ userDefinedSymbols: true }, { spaceSuffix: true }]) {
      const tokenizer = new SentencePieceBpe({ ...common, ...more })
      const { back, known } = throughFile(tokenizer)
      expect(known).toBe(false)
      expect([...back.encode('a<sep>a')]).toEqual([...tokenizer.encode('a<sep>a')])
    }
  })
})

describe('others', () => {
  it('a vocabulary of characters is for us alone', () => {
    const tokenizer = charTokenizer(['abc def', 'xyz'])
    const { back, known } = throughFile(tokenizer)
    expect(known).toBe(false)
    expectSameIds(tokenizer, back, fc.string({ unit: fc.constantFrom(...'abc defxyz'), maxLength: 20 }))
  })

  it('a piece that stands twice is for us alone: llama.cpp would not load it', () => {
    const pieces: Piece[] = ['<unk>', 'a', 'a'].map((piece, i) => ({
      text: piece,
      score: -i,
      type: i === 0 ? PieceType.unknown : PieceType.normal,
    }))
    const tokenizer = new SentencePieceBpe({
      source: 'x',
      pieces,
      spacePrefix: false,
      startOfText: null,
      endOfText: 0,
    })
    expect(throughFile(tokenizer).known).toBe(false)
  })
})

function testsOfSentencePiece(load: () => Tokenizer): void {
  let tokenizer: Tokenizer
  beforeAll(() => {
    tokenizer = load()
  })

  it("is llama.cpp's `llama`, scores and bytes and all", () => {
    const { back, metadata, known } = throughFile(tokenizer)
    expect(known).toBe(true)
    expect(metadata).toMatchObject({
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.bos_token_id': 1,
      'tokenizer.ggml.add_bos_token': true,
      'tokenizer.ggml.add_space_prefix': true,
      'tokenizer.ggml.unknown_token_id': 0,
    })
    expect([...(metadata['tokenizer.ggml.token_type'] as Float64Array).slice(0, 4)]).toEqual([2, 3, 3, 6])
    expectSameIds(tokenizer, back)
  })

  it('fills a larger vocabulary of the model with unused tokens, which do not come back', () => {
    const { back, metadata } = throughFile(tokenizer, 8)
    const tokens = metadata['tokenizer.ggml.tokens'] as readonly string[]
    const size = tokenizer.vocabSize
    expect([tokens.length, tokens.at(-1)]).toEqual([size + 8, `[PAD${size + 7}]`])
    expect(back.vocabSize).toBe(size)
  })

  const json = () => tokenizer.toJSON() as { model: { merges: string[] } }

  it('from a tokenizer.json is the same: its merges say what its scores were', () => {
    const library = tokenizerFromJson(json(), 'tokenizer.json', { endOfText: '<s>' })
    const { back, metadata, known } = throughFile(library)
    expect([known, metadata['tokenizer.ggml.model']]).toEqual([true, 'llama'])
    expectSameIds(tokenizer, back)
  })

  it('from a tokenizer.json that lacks a merge is for us alone: scores cannot say that', () => {
    const lacking = json()
    lacking.model.merges.splice(40, 1)
    const library = tokenizerFromJson(lacking, 'tokenizer.json', { endOfText: '<s>' })
    expect(throughFile(library).known).toBe(false)
  })
}

describe('a SentencePiece vocabulary', () => {
  testsOfSentencePiece(() => tokenizerFromLlama2c(llama2cFile(), 'tokenizer.bin'))
})

describeWith('tokenizers/llama2c_tok512.bin', "llama2.c's vocabulary of 512", () => {
  testsOfSentencePiece(() => loadTokenizer(sharedData('tokenizers/llama2c_tok512.bin')))
})

describe('a tokenizer of another program', () => {
  const readWithNotes = (change: Record<string, RawValue | undefined>, rows = 2) => {
    const raw = tinyLlama(rows)
    const values = new Map(raw.values)
    for (const [key, value] of Object.entries(change)) {
      if (value === undefined) values.delete(`tokenizer.ggml.${key}`)
      else values.set(`tokenizer.ggml.${key}`, value)
    }
    const file = newFile()
    fs.writeFileSync(file, rawGguf({ ...raw, values: [...values] }))
    const source = openGguf(file)
    try {
      return { tokenizer: source.tokenizer(), notes: source.notes }
    } finally {
      source.close()
    }
  }
  const read = (change: Record<string, RawValue | undefined>) => readWithNotes(change).tokenizer
  const string = (value: string): RawValue => ({ type: 'string', value })
  const number = (value: number): RawValue => ({ type: 'u32', value })
  const floats = (...values: number[]): RawValue => ({
    type: 'array',
    element: 6,
    count: values.length,
    bytes: Buffer.from(Float32Array.from(values).buffer),
  })

  it('with an id that says that there is no such token has none', () => {
    for (const eos_token_id of [number(2 ** 32 - 1), { type: 'i32', value: -1 } as const]) {
      expect(read({ eos_token_id }).endOfText).toBeNull()
    }
  })

  it('finds the unknown token of a byte-level BPE in the text, as llama.cpp does', () => {
    const gpt2 = {
      model: string('gpt2'),
      pre: string('gpt-2'),
      tokens: texts([...BYTE_CHARACTERS, '<unk>']),
      token_type: floats(...Array.from({ length: 256 }, () => 1), 2),
      merges: texts([]),
      bos_token_id: undefined,
      eos_token_id: undefined,
    }
    expect([...readWithNotes(gpt2, 257).tokenizer.encode('a<unk>')]).toEqual([97, 256])
  })

  it('that does not say how words are cut uses the default of llama.cpp, and a note says so', () => {
    const letters = BYTE_CHARACTERS.filter(character => character !== 'a')
    const tokens = texts(['a', ...letters, 'ab', 'Ġa', '123', '12', '.a'])
    const types = floats(...Array.from({ length: 261 }, () => 1))
    const gpt2 = {
      model: string('gpt2'),
      tokens,
      token_type: types,
      merges: texts(['a b', 'Ġ a', '1 2', '12 3', '. a']),
    }
    const { tokenizer, notes } = readWithNotes(gpt2, 261)
    expect(notes).toEqual([expect.stringMatching(/does not say how its tokenizer cuts text into words/)])
    const words = [...tokenizer.encode('ab .a1234')].map(id =>
      new TextDecoder().decode(tokenizer.tokenBytes(id)),
    )
    // Punctuation by itself, digits in threes: no merge goes across.
    expect(words).toEqual(['ab', ' ', '.', 'a', '123', '4'])
    expect(readWithNotes({ ...gpt2, pre: string('gpt-2') }, 261).notes).toEqual([])
  })

  it('with the least that can be said is read', () => {
    expect(read({})).toMatchObject({ vocabSize: 2, startOfText: 0, endOfText: 0 })
    expect(read({ add_bos_token: { type: 'bool', value: false } }).startOfText).toBeNull()
  })

  it.each<[string, Record<string, RawValue | undefined>, string, RegExp]>([
    ['none', { model: string('none') }, 'TOKENIZER_NOT_FOUND', /has none in it; give one with --tokenizer/],
    ['no model', { model: undefined }, 'TOKENIZER_NOT_FOUND', /has none in it/],
    [
      'rwkv',
      { model: string('rwkv') },
      'TOKENIZER_UNSUPPORTED',
      /"rwkv" is not supported; supported: llama, gpt2/,
    ],
    ['no tokens', { tokens: undefined }, 'TOKENIZER_INVALID', /tokens is missing or empty/],
    [
      'tokens of another type',
      { tokens: floats(1, 2) },
      'TOKENIZER_INVALID',
      /tokens is not a list of texts/,
    ],
    ['too few scores', { scores: floats(1) }, 'TOKENIZER_INVALID', /scores has 1 values for 2 tokens/],
    [
      'a score that is no number',
      { scores: floats(1, Number.NaN) },
      'TOKENIZER_INVALID',
      /piece 1 is not a number/,
    ],
    [
      'an unknown type of token',
      { token_type: floats(1, 9) },
      'TOKENIZER_INVALID',
      /token 1 has the unknown type 9/,
    ],
    ['an id outside', { eos_token_id: number(2) }, 'TOKENIZER_INVALID', /eos_token_id is 2, outside/],
    [
      'an id that is a text',
      { eos_token_id: string('2') },
      'TOKENIZER_INVALID',
      /eos_token_id is not a number/,
    ],
    ['no merges', { model: string('gpt2') }, 'TOKENIZER_INVALID', /merges is missing/],
    [
      'unknown words',
      { model: string('gpt2'), merges: texts([]), pre: string('runes') },
      'TOKENIZER_UNSUPPORTED',
      /pre "runes" is not supported; supported: gpt-2, .*llama-bpe/,
    ],
    [
      'more tokens than the model has rows',
      { tokens: texts(['<unk>', 'a', 'b']) },
      'VOCABULARY_MISMATCH',
      /has 3 tokens, but the model's vocab_size is 2/,
    ],
  ])('with %s is refused', (_, change, code, message) => {
    expect(() => read(change)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    )
  })
})

// Tokenizers from files of others: known ids for known strings, equality with other programs, and files that are
// broken in every way we could think of.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { Tiktoken } from 'js-tiktoken/lite'
import cl100k from 'js-tiktoken/ranks/cl100k_base'
import o200k from 'js-tiktoken/ranks/o200k_base'
import { beforeAll, describe, expect, it } from 'vitest'
import { charTokenizer } from '../../../src/data/tokenizers/characters.js'
import { loadTokenizer } from '../../../src/data/tokenizers/load.js'
import type { Tokenizer } from '../../../src/data/tokenizers/tokenizer.js'
import { trainBpe } from '../../../src/data/tokenizers/train-byte-pair.js'
import { TokenizerError } from '../../../src/errors.js'
import { describeWith, sharedData } from '../shared-data.js'
import { temporaryDirectories } from '../temporary.js'

const directory = temporaryDirectories()
const shared = (name: string) => sharedData(`tokenizers/${name}`)
/** Without U+0085 and U+FEFF, where JavaScript's \s (which the other programs use here) is not Unicode's. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }).map(t => t.replace(/[\u0085\ufeff]/g, '')),
  fc.string({
    unit: fc.constantFrom(...' \n\raAzZ’é9.,<|>', "'s", "'LL", ' the', '日本', '\t'),
    maxLength: 40,
  }),
)

/** Every token's bytes, one after another, are the text's. */
function spellsOut(tokenizer: Tokenizer, text: string): void {
  const bytes = [...tokenizer.encode(text)].flatMap(id => [...tokenizer.tokenBytes(id)])
  expect(bytes).toEqual([...new TextEncoder().encode(text)])
}

describeWith('tokenizers/gpt2_encoder.json.gz', 'GPT-2’s files', () => {
  let tokenizer: Tokenizer
  beforeAll(() => {
    tokenizer = loadTokenizer(shared('gpt2_encoder.json.gz'))
  })

  it('give the published ids', () => {
    expect(tokenizer).toMatchObject({ vocabSize: 50257, endOfText: 50256 })
    expect([...tokenizer.encode('Hello world')]).toEqual([15496, 995])
    expect([...tokenizer.encode('Hello, my dog is cute')]).toEqual([15496, 11, 616, 3290, 318, 13779])
    expect([...tokenizer.encode('<|endoftext|>')]).toEqual([50256])
    expect(tokenizer.decode([15496, 995])).toBe('Hello world')
  })

  it('become a tokenizer.json with which @huggingface/tokenizers gives the same ids', () => {
    const theirs = new HuggingFaceTokenizer(tokenizer.toJSON(), {})
    fc.assert(
      fc.property(anyText, text => {
        expect([...tokenizer.encode(text)]).toEqual(theirs.encode(text, { add_special_tokens: false }).ids)
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
        spellsOut(tokenizer, text)
      }),
    )
  })
})

describe('files in GPT-2’s form', () => {
  it('are found by either name, plain or packed, and in their directory', () => {
    const trained = trainBpe(['the cat the cat the cat'], 262)
    const { vocab, merges } = (trained.toJSON() as { model: { vocab: object; merges: string[] } }).model
    const encoder = JSON.stringify(vocab)
    const lines = `#version: 0.2\n${merges.join('\n')}\n`
    const root = directory({ 'my_encoder.json': encoder, 'my_vocab.bpe.gz': gzipSync(lines) })
    const older = directory({ 'vocab.json': encoder, 'merges.txt': lines })
    const paths = [
      root,
      join(root, 'my_encoder.json'),
      join(root, 'my_vocab.bpe.gz'),
      older,
      join(older, 'merges.txt'),
    ]
    for (const path of paths) {
      const tokenizer = loadTokenizer(path)
      expect(tokenizer).toMatchObject({ vocabSize: 262, endOfText: 261 })
      expect(tokenizer.encode('the cat<|endoftext|>')).toEqual(trained.encode('the cat<|endoftext|>'))
    }
  })
})

describeWith('corpus/tinyshakespeare.txt.gz', 'tinyshakespeare in GPT-2’s tokens', () => {
  it('has the 338,025 that nanoGPT counts (301,966 and 36,059)', () => {
    const text = gunzipSync(readFileSync(sharedData('corpus/tinyshakespeare.txt.gz'))).toString()
    const tokenizer = loadTokenizer(shared('gpt2_vocab.bpe.gz'))
    expect(tokenizer.encode(text.slice(0, 1_003_854))).toHaveLength(301_966)
    expect(tokenizer.encode(text.slice(1_003_854))).toHaveLength(36_059)
  })
})

for (const [name, published, vocabSize, hello] of [
  ['cl100k_base', cl100k, 100277, [15339, 1917]],
  ['o200k_base', o200k, 200019, [24912, 2375]],
] as const) {
  describeWith(`tokenizers/${name}.tiktoken.gz`, `${name}.tiktoken`, () => {
    let tokenizer: Tokenizer
    beforeAll(() => {
      tokenizer = loadTokenizer(shared(`${name}.tiktoken.gz`))
    })

    it('gives the published ids', () => {
      expect([...tokenizer.encode('hello world')]).toEqual(hello)
      expect(tokenizer.vocabSize).toBe(vocabSize)
      expect(tokenizer.endOfText).toBe(published.special_tokens['<|endoftext|>'])
    })

    it('gives the ids that js-tiktoken gives', () => {
      const theirs = new Tiktoken(published)
      const withSpecial = fc.oneof(anyText, fc.constantFrom('a<|endoftext|>b', '<|endofprompt|>', '<|endof'))
      fc.assert(
        fc.property(withSpecial, text => {
          expect([...tokenizer.encode(text)]).toEqual(theirs.encode(text, 'all'))
          expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
          spellsOut(tokenizer, text)
        }),
      )
    })

    // Once is enough: the two differ in nothing but the pattern and the size.
    if (name !== 'cl100k_base') return
    it('becomes a tokenizer.json with which @huggingface/tokenizers gives the same ids', () => {
      const library = new HuggingFaceTokenizer(tokenizer.toJSON(), {})
      fc.assert(
        fc.property(anyText, text => {
          expect([...tokenizer.encode(text)]).toEqual(library.encode(text, { add_special_tokens: false }).ids)
        }),
      )
    })
  })
}

describeWith('tokenizers/gpt-neox-olmo.tokenizer.json.gz', 'the GPT-NeoX tokenizer.json (with NFC)', () => {
  let tokenizer: Tokenizer
  beforeAll(() => {
    tokenizer = loadTokenizer(shared('gpt-neox-olmo.tokenizer.json.gz'))
  })

  it('gives the library’s ids and gives normalized text back', () => {
    expect(tokenizer).toMatchObject({ vocabSize: 50280, endOfText: 50279 })
    expect([...tokenizer.encode('Hello world')]).toEqual([12092, 1533])
    fc.assert(
      fc.property(anyText, text => {
        const normal = text.normalize('NFC')
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(normal)
        spellsOut(tokenizer, normal)
      }),
      { numRuns: 40 },
    )
  })
})

describe('a tokenizer.json of another kind', () => {
  const common = {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
  }

  it('in the way of SentencePiece is encoded, decoded and written back', () => {
    const bytes = Array.from(
      { length: 256 },
      (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`,
    )
    const tokens = ['<unk>', '<s>', '</s>', ...bytes, '▁', 'a', 'b', 'ab', '▁ab']
    const json = {
      ...common,
      added_tokens: [0, 1, 2].map(id => ({ id, content: tokens[id], special: true, normalized: false })),
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'Prepend', prepend: '▁' },
          { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
        ],
      },
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
      model: {
        type: 'BPE',
        unk_token: '<unk>',
        byte_fallback: true,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: ['a b', '▁ ab'],
      },
    }
    const tokenizer = loadTokenizer(directory({ 'tokenizer.json': JSON.stringify(json) }))
    const id = (token: string) => tokens.indexOf(token)
    expect([...tokenizer.encode('ab é')]).toEqual([id('▁ab'), id('▁'), id('<0xC3>'), id('<0xA9>')])
    expect(tokenizer.decode(tokenizer.encode('ab é'))).toBe('ab é')
    expect(tokenizer.decode([])).toBe('')
    expect(tokenizer.endOfText).toBe(2)
    expect([...tokenizer.tokenBytes(id('▁ab'))]).toEqual([32, 97, 98])
    expect([...tokenizer.tokenBytes(id('<0xC3>'))]).toEqual([0xc3])
    expect(tokenizer.toJSON()).toMatchObject(json)
  })

  it('that cannot write a text says so', () => {
    const model = {
      type: 'WordPiece',
      unk_token: 'none',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: { a: 0, b: 1 },
    }
    const tokenizer = loadTokenizer(
      directory({
        'tokenizer.json': JSON.stringify({ ...common, pre_tokenizer: { type: 'Whitespace' }, model }),
      }),
    )
    expect([...tokenizer.encode('a b')]).toEqual([0, 1])
    expect(() => tokenizer.encode('a c')).toThrow(expect.objectContaining({ code: 'CHARACTER_UNKNOWN' }))
    expect(() => tokenizer.decode([2])).toThrow(expect.objectContaining({ code: 'TOKEN_OUT_OF_VOCABULARY' }))
  })

  it('takes its end of text from the tokenizer_config.json beside it', () => {
    const json = charTokenizer(['abc']).toJSON()
    for (const eos of ['b', { content: 'b' }]) {
      const files = {
        'tokenizer.json': JSON.stringify({ ...json, decoder: null }),
        'tokenizer_config.json': JSON.stringify({ eos_token: eos }),
      }
      expect(loadTokenizer(directory(files)).endOfText).toBe(1)
    }
  })
})

describe('added tokens that only tokenizer_config.json names', () => {
  it('are found in the text, with their flags', () => {
    const trained = trainBpe(['the cat the cat the cat'], 262)
    const flags = { single_word: true, lstrip: true, rstrip: false, normalized: false, special: false }
    const config = { added_tokens_decoder: { 262: { ...flags, content: 'cat' } } }
    const tokenizer = loadTokenizer(
      directory({
        'tokenizer.json': JSON.stringify(trained.toJSON()),
        'tokenizer_config.json': JSON.stringify(config),
      }),
    )
    expect(tokenizer.vocabSize).toBe(263)
    expect([...tokenizer.encode('the  cat cats')]).toEqual([
      ...trained.encode('the'),
      262,
      ...trained.encode(' cats'),
    ])
  })
})

describe('a file that is not what it should be', () => {
  type Editable = {
    model: { vocab: Record<string, unknown>; merges: unknown[] }
    added_tokens: Record<string, unknown>[]
  } & Record<string, unknown>
  const good = trainBpe(['the cat the cat the cat'], 262).toJSON()

  function edited(edit: (json: Editable) => void): string {
    const json = structuredClone(good) as Editable
    edit(json)
    return JSON.stringify(json)
  }

  function failure(name: string, content: string | Uint8Array): TokenizerError {
    const path = join(directory({ [name]: content }), name)
    try {
      loadTokenizer(path)
    } catch (error) {
      if (error instanceof TokenizerError) return error
      throw error
    }
    throw new Error(`${name} loaded`)
  }

  const brokenJson: [what: string, content: string, message: RegExp][] = [
    ['cut off', JSON.stringify(good).slice(0, 500), /is not JSON/],
    ['a list', '[]', /is it a tokenizer\.json/],
    ['null', 'null', /is it a tokenizer\.json/],
    ['without a model', '{"version": "1.0"}', /model/],
    ['without a vocabulary', edited(json => Reflect.deleteProperty(json.model, 'vocab')), /model\.vocab/],
    ['an empty vocabulary', '{"model": {"type": "BPE", "vocab": {}, "merges": []}}', /model\.vocab is empty/],
    [
      'an id that is text',
      edited(json => Object.assign(json.model.vocab, { x: '5' })),
      /model\.vocab\["x"\]/,
    ],
    ['an id below 0', edited(json => Object.assign(json.model.vocab, { x: -1 })), /-1, not an id/],
    ['an id beyond memory', edited(json => Object.assign(json.model.vocab, { x: 1e15 })), /not an id/],
    ['two tokens of one id', edited(json => Object.assign(json.model.vocab, { x: 65 })), /share the id 65/],
    ['a merge of one token', edited(json => json.model.merges.push('a')), /merge 5, "a", is not a pair/],
    ['a merge that is a number', edited(json => json.model.merges.push(7)), /merge 5, 7, is not a pair/],
    ['a merge of strangers', edited(json => json.model.merges.push('z z')), /needs "zz"/],
    [
      'an added token without text',
      edited(json => json.added_tokens.push({ id: 3 })),
      /added_tokens\[1\]\.content: is missing/,
    ],
    ['an added token in the way', edited(json => json.added_tokens.push({ id: 65, content: 'x' })), /id 65/],
    [
      'an unknown component',
      edited(json => Object.assign(json, { normalizer: { type: 'None' } })),
      /normalizer: the type "None" is not supported/,
    ],
    ['a component that is text', edited(json => Object.assign(json, { decoder: 'ByteLevel' })), /decoder/],
    ['a Unigram of one column', '{"model": {"type": "Unigram", "vocab": [["a"]]}}', /model\.vocab\[0\]/],
    ['an encoder.json that is a number', '7', /is it a tokenizer\.json/],
  ]
  for (const [what, content, message] of brokenJson) {
    it(`is refused: ${what}`, () => {
      expect(failure('tokenizer.json', content).message).toMatch(message)
    })
  }

  it('is refused when components are nested without end', () => {
    const open = '{"type":"Sequence","normalizers":['.repeat(5000)
    const content = edited(json => Object.assign(json, { normalizer: 'HERE' })).replace(
      '"HERE"',
      `${open}{"type":"NFC"}${']}'.repeat(5000)}`,
    )
    expect(failure('tokenizer.json', content)).toBeInstanceOf(TokenizerError)
  })

  it('is refused: a half of GPT-2’s two files, or halves that do not fit', () => {
    expect(failure('encoder.json', '{"a": 0}').message).toContain('vocab.bpe (or .gz) beside it')
    expect(failure('vocab.bpe', '#version: 0.2\na b\n').code).toBe('TOKENIZER_NOT_FOUND')
    const halves = directory({ 'encoder.json': '{"a": 0, "b": "x"}', 'vocab.bpe': '#version: 0.2\na b\n' })
    expect(() => loadTokenizer(halves)).toThrow(expect.objectContaining({ code: 'TOKENIZER_INVALID' }))
  })

  it('is refused: .tiktoken files with other lines, without all bytes, or of an unknown encoding', () => {
    expect(failure('cl100k_base.tiktoken', 'IQ== 0\nnot a line\n').message).toContain('line 2')
    expect(failure('cl100k_base.tiktoken', 'IQ== 0\nIQ== 1\n').message).toContain('line 2 repeats a token')
    expect(failure('cl100k_base.tiktoken', 'IQ== 0\n').message).toContain('the byte 0 has no rank')
    expect(failure('mine.tiktoken', 'IQ== 0\n').message).toContain('cl100k_base')
    const twice = Array.from({ length: 256 }, (_, b) => `${Buffer.of(b).toString('base64')} ${b >> 1}`).join(
      '\n',
    )
    expect(failure('cl100k_base.tiktoken', twice).message).toContain('share the id')
  })

  it('is refused: missing, binary, badly packed, or a directory without a tokenizer', () => {
    expect(() => loadTokenizer('/no/such/tokenizer.json')).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_NOT_FOUND' }),
    )
    expect(() => loadTokenizer(directory({}))).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_NOT_FOUND' }),
    )
    expect(failure('tokenizer.json', Uint8Array.of(0, 1, 2)).code).toBe('TOKENIZER_INVALID')
    expect(failure('tokenizer.json.gz', gzipSync('{}').subarray(0, 12)).code).toBe('TOKENIZER_GZIP')
  })

  it('never crashes, whatever bytes of a good file are changed', () => {
    const bytes = new TextEncoder().encode(JSON.stringify(good))
    const change = fc.tuple(fc.nat(bytes.length - 1), fc.constantFrom(...'0"[]{},:x-'))
    const root = directory({})
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), changes => {
        const damaged = Uint8Array.from(bytes)
        for (const [at, byte] of changes) damaged[at] = byte.charCodeAt(0)
        const path = join(root, 'tokenizer.json')
        writeFileSync(path, damaged)
        try {
          loadTokenizer(path).encode('the cat')
        } catch (error) {
          expect(error).toBeInstanceOf(TokenizerError)
        }
      }),
    )
  })
})

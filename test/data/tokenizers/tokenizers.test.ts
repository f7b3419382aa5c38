// The tokenizers that need no file, what users write to get one, and the way of each through a tokenizer.json.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Document, loadCorpus } from '../../../src/data/corpus.js'
import { splitCorpus } from '../../../src/data/split.js'
import { bytesTokenizer } from '../../../src/data/tokenizers/byte-pair.js'
import { charTokenizer } from '../../../src/data/tokenizers/characters.js'
import { loadTokenizer, makeTokenizer, parseTokenizerSpec } from '../../../src/data/tokenizers/load.js'
import { requireVocabularyFits } from '../../../src/data/tokenizers/tokenizer.js'
import { describeWith, sharedData } from '../shared-data.js'
import { temporaryDirectories } from '../temporary.js'

const directory = temporaryDirectories()
const utf8 = (text: string) => [...new TextEncoder().encode(text)]
const documents: Document[] = [
  { name: 'a', text: 'the cat sat on the mat, the cat!\n' },
  { name: 'b', text: 'a zebra – é 😀\n' },
]

describe('the bytes tokenizer', () => {
  const tokenizer = bytesTokenizer()

  it('has 256 bytes and <|endoftext|>', () => {
    expect(tokenizer).toMatchObject({ name: 'bytes', vocabSize: 257, endOfText: 256 })
  })

  it('gives the UTF-8 bytes of any text, and the text back', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        const ids = tokenizer.encode(text)
        expect([...ids]).toEqual(utf8(text))
        expect(tokenizer.decode(ids)).toBe(text)
      }),
    )
  })

  it('knows the separator', () => {
    expect([...tokenizer.encode('a<|endoftext|><|endoftext|>')]).toEqual([97, 256, 256])
  })
})

describe('the character tokenizer', () => {
  it('numbers the characters of a text by code point', () => {
    const tokenizer = charTokenizer(['b😀a\uffffb'])
    expect([...tokenizer.encode('ab\uffff😀')]).toEqual([0, 1, 2, 3])
    expect(tokenizer.decode([3, 0])).toBe('😀a')
    expect([...tokenizer.tokenBytes(3)]).toEqual(utf8('😀'))
    expect(tokenizer).toMatchObject({ vocabSize: 4, endOfText: null })
  })

  it('has a separator for several documents only', () => {
    const tokenizer = charTokenizer(['ab', 'bc'])
    expect(tokenizer).toMatchObject({ vocabSize: 4, endOfText: 3 })
    expect([...tokenizer.encode('a<|endoftext|>c')]).toEqual([0, 3, 2])
  })

  it('shows an unknown character and where it stands', () => {
    expect(() => charTokenizer(['abc']).encode('ab😀é')).toThrow(/"😀" \(U\+1F600\) at offset 2/)
    expect(() => charTokenizer(['ab', 'c']).encode('a<|endoftext|>bé')).toThrow(
      /"é" \(U\+00E9\) at offset 15/,
    )
  })
})

describe('a tokenizer saved as tokenizer.json', () => {
  const training = documents.map(({ text }) => text).join('')
  const text = fc.string({ unit: fc.constantFrom(...new Set(training), '<|endoftext|>'), maxLength: 60 })

  for (const spec of ['bytes', 'chars', 'bpe:300']) {
    const tokenizer = makeTokenizer(spec, documents)
    const root = directory({})
    writeFileSync(join(root, 'tokenizer.json'), JSON.stringify(tokenizer.toJSON()))
    const loaded = loadTokenizer(root)

    it(`${spec}: loads to the same ids, the same text and the same bytes`, () => {
      expect(loaded).toMatchObject({ vocabSize: tokenizer.vocabSize, endOfText: tokenizer.endOfText })
      expect(loaded.toJSON()).toEqual(tokenizer.toJSON())
      fc.assert(
        fc.property(text, t => {
          const ids = tokenizer.encode(t)
          expect(loaded.encode(t)).toEqual(ids)
          expect(loaded.decode(ids)).toBe(t)
        }),
      )
      for (let id = 0; id < tokenizer.vocabSize; id++) {
        expect(loaded.tokenBytes(id)).toEqual(tokenizer.tokenBytes(id))
      }
    })

    it(`${spec}: gives the same ids and text in @huggingface/tokenizers`, () => {
      const theirs = new HuggingFaceTokenizer(tokenizer.toJSON(), {})
      fc.assert(
        fc.property(text, t => {
          const ids = [...tokenizer.encode(t)]
          expect(theirs.encode(t, { add_special_tokens: false }).ids).toEqual(ids)
          if (t !== '') expect(theirs.decode(ids, { clean_up_tokenization_spaces: false })).toBe(t)
        }),
      )
    })
  }
})

describe('what a user writes for a tokenizer', () => {
  it('is bytes, chars, bpe with a size, or a path', () => {
    const root = directory({ 'tokenizer.json': '{}' })
    expect(parseTokenizerSpec('bytes')).toEqual({ kind: 'bytes' })
    expect(parseTokenizerSpec('chars')).toEqual({ kind: 'chars' })
    expect(parseTokenizerSpec('bpe:4096')).toEqual({ kind: 'bpe', vocabSize: 4096 })
    expect(parseTokenizerSpec(root)).toEqual({ kind: 'file', path: root })
  })

  it('gets the tokenizer that it names', () => {
    expect(makeTokenizer('bytes', []).vocabSize).toBe(257)
    expect(makeTokenizer('chars', documents).vocabSize).toBe(
      new Set(documents.map(d => d.text).join('')).size + 1,
    )
    expect(makeTokenizer('bpe:260', documents).name).toBe('bpe 260')
  })

  it('is refused with a hint when it is none of these', () => {
    expect(() => parseTokenizerSpec('byte')).toThrow(/Did you mean "bytes"\?/)
    expect(() => parseTokenizerSpec('no/such.json')).toThrow(
      expect.objectContaining({ code: 'TOKENIZER_NOT_FOUND' }),
    )
    for (const spec of ['bpe:', 'bpe:100', 'bpe:many', 'bpe:-1', 'bpe:1e3']) {
      expect(() => parseTokenizerSpec(spec)).toThrow(
        expect.objectContaining({ code: 'BPE_VOCABULARY_RANGE' }),
      )
    }
  })

  it('must fit the model', () => {
    expect(() => requireVocabularyFits(bytesTokenizer(), 257)).not.toThrow()
    expect(() => requireVocabularyFits(bytesTokenizer(), 256)).toThrow(
      /bytes has 257 tokens.*vocab_size is 256/,
    )
  })
})

describeWith('corpus/tinyshakespeare.txt.gz', 'the characters of tinyshakespeare', () => {
  it('are the well-known 65, all of them in the training text', () => {
    const { train } = splitCorpus(loadCorpus(sharedData('corpus/tinyshakespeare.txt.gz')))
    const tokenizer = makeTokenizer('chars', train)
    expect(tokenizer).toMatchObject({ vocabSize: 65, endOfText: null })
    const inOrder = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    expect(tokenizer.decode(Array.from({ length: 65 }, (_, id) => id))).toBe(inOrder)
  })
})

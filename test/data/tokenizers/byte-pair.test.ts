import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromByteLevel, toByteLevel } from '../../../src/data/tokenizers/byte-level.js'
import { Heap, PairTable } from '../../../src/data/tokenizers/pair-table.js'
import type { Tokenizer } from '../../../src/data/tokenizers/tokenizer.js'
import { trainBpe } from '../../../src/data/tokenizers/train-byte-pair.js'

interface BpeJson {
  pre_tokenizer: unknown
  model: { vocab: Record<string, number>; merges: string[] }
}

const anyText = fc.string({ unit: 'binary', maxLength: 60 })
/** Words from few letters, so that merges are found, with the odd symbol, blank and digit. */
const repetitive = fc.string({ unit: fc.constantFrom(...'aaabbc  1\n.é'), maxLength: 80 })
const sample =
  'The cat sat on the mat. The cats sat on the mats, and that was that.\n\n  It’s 1234 o’clock: she said “hello”!\n'

function library(tokenizer: Tokenizer): (text: string) => number[] {
  const theirs = new HuggingFaceTokenizer(structuredClone(tokenizer.toJSON()), {})
  return text => theirs.encode(text, { add_special_tokens: false }).ids
}

/**
 * BPE as Sennrich et al. 2016 write it down: count all pairs again before every merge. Ties and second spellings as
 * trainBpe's documentation says.
 */
function naiveMerges(text: string, limit: number): string[] {
  const pattern = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu
  let words = (text.match(pattern) ?? []).map(word => [...new TextEncoder().encode(word)])
  const spelled = Array.from({ length: 256 }, (_, byte) => toByteLevel(Uint8Array.of(byte)))
  const merges: string[] = []
  const passedOver = new Set<string>()
  while (merges.length < limit) {
    const counts = new Map<string, { pair: [number, number]; count: number }>()
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++) {
        const key = `${word[i]},${word[i + 1]}`
        const entry = counts.get(key) ?? { pair: [word[i], word[i + 1]], count: 0 }
        entry.count++
        counts.set(key, entry)
      }
    }
    const [best] = [...counts]
      .filter(([key, { count }]) => count >= 2 && !passedOver.has(key))
      .map(([key, entry]) => ({ key, ...entry }))
      .sort((a, b) => b.count - a.count || a.pair[0] - b.pair[0] || a.pair[1] - b.pair[1])
    if (best === undefined) break
    const [left, right] = best.pair
    if (spelled.includes(spelled[left] + spelled[right])) {
      passedOver.add(best.key)
      continue
    }
    merges.push(`${spelled[left]} ${spelled[right]}`)
    const id = spelled.push(spelled[left] + spelled[right]) - 1
    words = words.map(word => {
      const out: number[] = []
      for (let i = 0; i < word.length; i++) {
        if (word[i] === left && word[i + 1] === right) {
          out.push(id)
          i++
        } else out.push(word[i])
      }
      return out
    })
  }
  return merges
}

describe('learning a BPE', () => {
  it('finds the same merges as counting all pairs again before every merge', () => {
    fc.assert(
      fc.property(repetitive, fc.integer({ min: 0, max: 40 }), (text, limit) => {
        const json = trainBpe([text], 257 + limit).toJSON() as BpeJson
        expect(json.model.merges).toEqual(naiveMerges(text, limit))
      }),
    )
  })

  it('counts over all texts, in whatever pieces they come', () => {
    const one = trainBpe([`${sample}\n${sample}`], 300).toJSON()
    expect(trainBpe([sample, '\n', sample], 300).toJSON()).toEqual(one)
  })

  it('gives the vocabulary asked for, or fewer tokens when no pair is left that occurs twice', () => {
    expect(trainBpe([sample.repeat(3)], 280)).toMatchObject({
      vocabSize: 280,
      endOfText: 279,
      name: 'bpe 280',
    })
    expect(trainBpe(['abab'], 4096)).toMatchObject({ vocabSize: 258, endOfText: 257 })
    expect(trainBpe([], 4096).vocabSize).toBe(257)
  })

  it('never joins across the separator of documents', () => {
    const json = trainBpe(['x<|endoftext|>x<|endoftext|>x<|endoftext|>'], 300).toJSON() as BpeJson
    expect(json.model.merges).toEqual([])
  })

  it('spells runs of one character in one way only', () => {
    const runs = Array.from({ length: 40 }, (_, i) => 'a'.repeat(i)).join(' ')
    const { vocab } = (trainBpe([runs], 300).toJSON() as BpeJson).model
    expect(new Set(Object.values(vocab)).size).toBe(Object.keys(vocab).length)
  })

  it('reports progress up to the end', () => {
    const seen: [number, number][] = []
    trainBpe([sample.repeat(3)], 290, { onProgress: (done, total) => seen.push([done, total]) })
    expect(seen.at(-1)).toEqual([33, 33])
  })

  it('refuses a vocabulary without room for the bytes, or of no whole size', () => {
    for (const size of [256, 0, 300.5, Number.NaN, 2e6]) {
      expect(() => trainBpe([sample], size)).toThrow(
        expect.objectContaining({ code: 'BPE_VOCABULARY_RANGE' }),
      )
    }
  })
})

describe('encoding with a BPE', () => {
  const tokenizer = trainBpe([sample.repeat(4), 'aaaa bbbb abab '.repeat(9)], 400)

  it('gives any text back', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, repetitive), text => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
      }),
    )
  })

  it('keeps byte order marks and turns halves of surrogate pairs into U+FFFD', () => {
    expect(tokenizer.decode(tokenizer.encode('\ufeffa\ufeff'))).toBe('\ufeffa\ufeff')
    expect(tokenizer.decode(tokenizer.encode('a\ud800b'))).toBe('a\ufffdb')
  })

  it('gives the ids that @huggingface/tokenizers gives with our tokenizer.json', () => {
    const theirs = library(tokenizer)
    // U+0085 and U+FEFF: the library's ByteLevel takes JavaScript's \s for them; see the next test.
    const text = fc.oneof(anyText, repetitive).map(t => t.replace(/[\u0085\ufeff]/g, ''))
    fc.assert(
      fc.property(text, t => {
        expect([...tokenizer.encode(t)]).toEqual(theirs(t))
      }),
    )
    expect([...tokenizer.encode(sample)]).toEqual(theirs(sample))
  })

  it('takes as white space what Unicode does, like the original of the pattern', () => {
    // The library translates \s of a Split into White_Space, as Hugging Face's Rust tokenizers read it.
    const json = structuredClone(tokenizer.toJSON()) as BpeJson
    const pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
    json.pre_tokenizer = {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    }
    const theirs = new HuggingFaceTokenizer(json, {})
    const blanks = fc.string({ unit: fc.constantFrom(...'ab1.\u0085\ufeff\u00a0 \n\u2028'), maxLength: 20 })
    fc.assert(
      fc.property(blanks, t => {
        expect([...tokenizer.encode(t)]).toEqual(theirs.encode(t, { add_special_tokens: false }).ids)
      }),
    )
  })

  it('merges a long word as it merges a short one', () => {
    const theirs = library(tokenizer)
    const long = fc.string({ unit: fc.constantFrom('a', 'b', 'th', 'at'), minLength: 100, maxLength: 400 })
    fc.assert(
      fc.property(long, t => {
        expect([...tokenizer.encode(t)]).toEqual(theirs(t))
      }),
      { numRuns: 50 },
    )
  })

  it('takes the text of the special token for the token', () => {
    const ids = tokenizer.encode('a<|endoftext|>b')
    expect([...ids]).toEqual([97, tokenizer.endOfText, 98])
    expect([...ids]).toEqual(library(tokenizer)('a<|endoftext|>b'))
    expect(tokenizer.decode(ids)).toBe('a<|endoftext|>b')
  })

  it('says which bytes each token stands for', () => {
    const text = 'The cat’s 1234 😀'
    const ids = tokenizer.encode(text)
    const bytes = [...ids].flatMap(id => [...tokenizer.tokenBytes(id)])
    expect(bytes).toEqual([...new TextEncoder().encode(text)])
    for (let byte = 0; byte < 256; byte++) expect([...tokenizer.tokenBytes(byte)]).toEqual([byte])
  })

  it('refuses an id outside the vocabulary', () => {
    for (const id of [-1, 400, 1.5, Number.NaN]) {
      expect(() => tokenizer.decode([id])).toThrow(
        expect.objectContaining({ code: 'TOKEN_OUT_OF_VOCABULARY' }),
      )
    }
  })
})

describe('the byte-level alphabet', () => {
  it('is GPT-2’s: printable characters stand for themselves, a space is Ġ, a newline Ċ', () => {
    const characters = toByteLevel(Uint8Array.from({ length: 256 }, (_, byte) => byte))
    expect(new Set(characters).size).toBe(256)
    expect(toByteLevel(new TextEncoder().encode('Az~ \n\u00a0é'))).toBe('Az~ĠĊÂłÃ©'.replace(' ', ''))
    expect(fromByteLevel(characters)).toEqual(Uint8Array.from({ length: 256 }, (_, byte) => byte))
    expect(fromByteLevel('a b')).toBeNull()
  })
})

describe('the structures of BPE', () => {
  it('a pair table holds what a map of strings holds', () => {
    const entry = fc.tuple(fc.nat(60), fc.nat(60), fc.nat())
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 300 }), entries => {
        const table = new PairTable(1)
        const map = new Map<string, number>()
        for (const [left, right, value] of entries) {
          table.set(left, right, value)
          map.set(`${left},${right}`, value)
        }
        for (let left = 0; left <= 61; left++) {
          for (let right = 0; right <= 61; right++) {
            expect(table.get(left, right)).toBe(map.get(`${left},${right}`) ?? -1)
          }
        }
      }),
      { numRuns: 10 },
    )
  })

  it('a heap sorts', () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), numbers => {
        const heap = new Heap((a, b) => a < b)
        for (const number of numbers) heap.push(number)
        const out: number[] = []
        for (let top = heap.pop(); top !== undefined; top = heap.pop()) out.push(top)
        expect(out).toEqual(numbers.toSorted((a, b) => a - b))
      }),
    )
  })
})

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Corpus, loadCorpus, makeCorpus } from '../../src/data/corpus.js'
import { splitCorpus } from '../../src/data/split.js'
import { describeWith, sharedData } from './shared-data.js'

function corpusOf(texts: readonly string[]): Corpus {
  return makeCorpus(
    'test',
    1,
    texts.map((text, i) => ({ name: String(i), text })),
  )
}

const numbered = (n: number) => Array.from({ length: n }, (_, i) => `document ${i}`)

/** The first 32 bits of a text's SHA-256, over 2³². */
const fraction = (text: string) =>
  Number.parseInt(createHash('sha256').update(text).digest('hex').slice(0, 8), 16) / 2 ** 32

/** A text of so many bytes that falls to validation (a tenth of all texts do) or to training. */
function textOf(validates: boolean, bytes: number): string {
  for (let n = 0; n < 10_000; n++) {
    const text = String(n).padStart(bytes, '0')
    if (fraction(text) < 0.1 === validates) return text
  }
  throw new Error('no such text')
}

describe('the split into training and validation', () => {
  it('loses and repeats no character, and leaves neither side empty', () => {
    const some = fc.uniqueArray(fc.string({ minLength: 4 }), { minLength: 2, maxLength: 20 })
    const share = fc.double({ min: 0.25, max: 0.75, noNaN: true })
    fc.assert(
      fc.property(some, share, (texts, validationShare) => {
        const { train, validation } = splitCorpus(corpusOf(texts), { validationShare })
        expect(train.length).toBeGreaterThan(0)
        expect(validation.length).toBeGreaterThan(0)
        const units = (parts: readonly string[]) => parts.join('').split('').sort()
        expect(units([...train, ...validation].map(({ text }) => text))).toEqual(units(texts))
      }),
    )
  })

  it('puts the documents of a group on one side', () => {
    const documents = numbered(1000).map((text, i) => ({ name: text, text, group: `group ${i % 200}` }))
    const { train, validation } = splitCorpus(makeCorpus('test', 1, documents))
    const groups = (side: readonly { group?: string }[]) => new Set(side.map(({ group }) => group))
    expect(train.length + validation.length).toBe(1000)
    // 200 groups: 20 of them, with a deviation of 4.2.
    expect(Math.abs(groups(validation).size - 20)).toBeLessThan(5 * 4.2)
    for (const group of groups(validation)) expect(groups(train).has(group)).toBe(false)
  })

  it('cuts the largest document when a side would be far too small, and says what is where', () => {
    const longs = Array.from({ length: 100 }, (_, n) =>
      Array.from({ length: 2000 }, (_, i) => `word${n + i} `).join(''),
    )
    // Of each length one whose text falls to validation and one whose text falls to training.
    const oneOfEach = (texts: readonly string[]) =>
      [true, false].map(validates => {
        const found = texts.find(text => fraction(text) < 0.1 === validates)
        if (found === undefined) throw new Error('no such text')
        return found
      })
    for (const long of oneOfEach(longs)) {
      for (const short of oneOfEach(numbered(100))) {
        const { train, validation, description } = splitCorpus(corpusOf([long, short]))
        const bytes = (side: readonly { text: string }[]) =>
          side.reduce((sum, { text }) => sum + text.length, 0)
        expect(train[1].text).toBe(long.slice(0, Math.floor(0.9 * long.length)))
        expect(bytes(train) + bytes(validation)).toBe(long.length + short.length)
        expect(description).toMatch(
          /^training on .*1 and 0\[0:\d+\] \([\d,]+ bytes\), validation on 0\[\d+:\] \([\d,]+ bytes\)$/,
        )
      }
    }
  })

  it('keeps documents whole from a tenth of its share of validation on, and up to half of its share of training', () => {
    // One small text that validates, and one that trains, of so many bytes that validation is `part` of all.
    const at = (part: number) => {
      const few = textOf(true, Math.round(1000 * part))
      return splitCorpus(corpusOf([few, textOf(false, 1000 - Math.round(1000 * part))])).validation
    }
    const names = (validation: readonly { name: string }[]) => validation.map(({ name }) => name)
    expect(names(at(0.01))).toEqual(['0'])
    expect(names(at(0.009))).toEqual([expect.stringMatching(/^1\[\d+:\]$/)])
    expect(names(at(0.54))).toEqual(['0'])
    expect(names(at(0.56))).toEqual([expect.stringMatching(/^0\[\d+:\]$/)])
  })

  it('goes by the first 32 bits of the SHA-256 of the text', () => {
    const { validation } = splitCorpus(corpusOf(numbered(500)), { validationShare: 0.2 })
    const expected = numbered(500).filter(text => fraction(text) < 0.2)
    expect(validation.map(({ text }) => text)).toEqual(expected)
  })

  it('moves no document when others come or go', () => {
    const few = new Set(splitCorpus(corpusOf(numbered(300))).validation.map(({ text }) => text))
    const many = new Set(splitCorpus(corpusOf(numbered(900))).validation.map(({ text }) => text))
    for (const text of numbered(300)) expect(many.has(text)).toBe(few.has(text))
  })

  it('gives validation about its share', () => {
    const { validation } = splitCorpus(corpusOf(numbered(5000)), { validationShare: 0.1 })
    // Five standard deviations of a binomial count around 500.
    expect(Math.abs(validation.length - 500)).toBeLessThan(5 * Math.sqrt(5000 * 0.1 * 0.9))
  })

  it('cuts a single document inside, never through a character', () => {
    const { train, validation } = splitCorpus(corpusOf(['😀'.repeat(11)]), { validationShare: 0.5 })
    expect(train[0].text).toBe('😀'.repeat(5))
    expect(validation[0].text).toBe('😀'.repeat(6))
  })

  it('refuses a fraction that is none and a text of one character', () => {
    for (const validationShare of [0, 1, -0.5, Number.NaN]) {
      expect(() => splitCorpus(corpusOf(['a', 'b']), { validationShare })).toThrow(/between 0 and 1/)
    }
    expect(() => splitCorpus(corpusOf(['a']))).toThrow(/too few/)
  })
})

describeWith('corpus/tinyshakespeare.txt.gz', 'tinyshakespeare', () => {
  it('is cut at 90 % of its 1,115,394 characters, as nanoGPT does', () => {
    const corpus = loadCorpus(sharedData('corpus/tinyshakespeare.txt.gz'))
    const { train, validation } = splitCorpus(corpus)
    expect(train[0].text).toHaveLength(1_003_854)
    expect(validation[0].text).toHaveLength(111_540)
    expect(train[0].text + validation[0].text).toBe(corpus.documents[0].text)
  })
})

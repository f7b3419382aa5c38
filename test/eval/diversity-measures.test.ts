// Measures of diversity and of repeated answers against values computed by hand.

import { describe, expect, it } from 'vitest'
import {
  distinct,
  entropyOf,
  expectationAdjustedDistinct,
  typeTokenRatio,
  wordsOf,
} from '../../src/eval/lexical-diversity.js'
import {
  answerF1,
  confidenceQuality,
  differentAnswers,
  isRight,
  majorityAnswer,
  passAtK,
  squadNormalized,
} from '../../src/eval/repeated-answers.js'
import { selfBleu } from '../../src/eval/self-bleu.js'
import { symmetricEigenvalues, vendiScore } from '../../src/eval/vendi.js'

const split = (text: string) => text.split(' ').filter(word => word !== '')

it('words: letters, digits and inner apostrophes; other visible characters alone; case is folded', () => {
  expect(wordsOf("Don't stop, DON'T!  Zoë 3.5")).toEqual([
    "don't",
    'stop',
    ',',
    "don't",
    '!',
    'zoë',
    '3',
    '.',
    '5',
  ])
  expect(wordsOf(' \n')).toEqual([])
})

it('distinct-n counts over all texts together', () => {
  const texts = [split('a b a'), split('a b')]
  expect(distinct(texts, 1)).toBeCloseTo(2 / 5, 12)
  // ab, ba and ab.
  expect(distinct(texts, 2)).toBeCloseTo(2 / 3, 12)
  expect(distinct(texts, 3)).toBe(1)
  expect(distinct(texts, 4)).toBe(0)
})

it('EAD divides by the tokens expected of random draws', () => {
  // 10 · (1 − 0.9⁴) = 3.439.
  expect(expectationAdjustedDistinct([[1, 2, 1], [2]], 10)).toBeCloseTo(2 / 3.439, 12)
  // One token is one expected, whatever the vocabulary.
  expect(expectationAdjustedDistinct([[7]], 1_000_000)).toBeCloseTo(1, 9)
  expect(expectationAdjustedDistinct([[]], 10)).toBe(0)
})

it('type-token ratio is the mean of the texts that have words', () => {
  expect(typeTokenRatio([split('a b a'), split('c'), []])).toBeCloseTo((2 / 3 + 1) / 2, 12)
  expect(typeTokenRatio([[]])).toBe(0)
})

it('entropy of values', () => {
  // ½ ln 2 + 2 · ¼ ln 4.
  expect(entropyOf([1, 1, 2, 3])).toBeCloseTo(1.5 * Math.LN2, 12)
  expect(entropyOf([5, 5])).toBe(0)
  expect(entropyOf(['a', 'b', 'c'])).toBeCloseTo(Math.log(3), 12)
})

describe('self-BLEU-4', () => {
  it('is 1 for equal texts and 0 for texts without a common word', () => {
    expect(selfBleu([split('a b c d e'), split('a b c d e')])).toBeCloseTo(1, 12)
    expect(selfBleu([split('a b c d'), split('w x y z')])).toBe(0)
    expect(selfBleu([split('a b')])).toBe(0)
  })

  it('adds one to matches and n-grams from bigrams on', () => {
    // 2/4 · (1+1)/(3+1) · (0+1)/(2+1) · (0+1)/(1+1), for both texts.
    expect(selfBleu([split('a b c d'), split('a b x y')])).toBeCloseTo((1 / 24) ** 0.25, 12)
  })

  it('punishes a text that is shorter than the others', () => {
    const short = Math.exp(1 - 4 / 3)
    // 3/4 · 3/4 · 2/3 · 1/2 for the longer one.
    const long = 0.1875 ** 0.25
    expect(selfBleu([split('a b c'), split('a b c d')])).toBeCloseTo((short + long) / 2, 12)
  })

  it('counts a word as often as the other text that has it most', () => {
    // Of a a b b, the others have a once and b twice: 3/4 · (2+1)/(3+1) · (0+1)/(2+1) · (0+1)/(1+1); bigrams ab and bb.
    const texts = [split('a a b b'), split('a b c d'), split('b b c d')]
    const first = ((((3 / 4) * 3) / 4) * (1 / 3) * (1 / 2)) ** 0.25
    // a b c d: all four words; bc from none, cd from the third, ab from the first; trigrams bcd: third has bbc, bcd.
    const second = (1 * ((3 + 1) / 4) * ((1 + 1) / 3) * (1 / 2)) ** 0.25
    // b b c d: all four words; bb, bc, cd; trigram bcd.
    const third = (1 * ((3 + 1) / 4) * ((1 + 1) / 3) * (1 / 2)) ** 0.25
    expect(selfBleu(texts)).toBeCloseTo((first + second + third) / 3, 12)
  })
})

describe('Vendi score', () => {
  it('is the number of texts where they have nothing in common, and 1 where they are the same', () => {
    expect(vendiScore(['a b', 'c d', 'e f'].map(split))).toBeCloseTo(3, 10)
    expect(vendiScore(['a b', 'a b', 'a b'].map(split))).toBeCloseTo(1, 10)
    expect(vendiScore([[], []])).toBeCloseTo(1, 10)
    expect(vendiScore([])).toBe(0)
  })

  it('of two texts follows from their similarity s: eigenvalues (1 ± s)/2', () => {
    // a b and a c: cosine ½ of words, 0 of pairs; s = ¼.
    const entropy = -(0.625 * Math.log(0.625) + 0.375 * Math.log(0.375))
    expect(vendiScore(['a b', 'a c'].map(split))).toBeCloseTo(Math.exp(entropy), 10)
  })

  it.each([
    [
      [
        [2, 1],
        [1, 2],
      ],
      [1, 3],
    ],
    [
      [
        [2, -1, 0],
        [-1, 2, -1],
        [0, -1, 2],
      ],
      [2 - Math.SQRT2, 2, 2 + Math.SQRT2],
    ],
    [
      [
        [5, 0],
        [0, -1],
      ],
      [-1, 5],
    ],
  ])('eigenvalues of %j', (matrix, expected) => {
    const values = symmetricEigenvalues(matrix).sort((a, b) => a - b)
    expect(values).toHaveLength(expected.length)
    for (const [i, value] of values.entries()) expect(value).toBeCloseTo(expected[i], 10)
  })
})

describe('answers', () => {
  it('are compared without case, punctuation and articles', () => {
    expect(squadNormalized(' The Eiffel  Tower! ')).toBe('eiffel tower')
    expect(squadNormalized('An anthem, a theory')).toBe('anthem theory')
    expect([isRight('the tower', ['x', 'Tower.']), isRight('towers', ['tower'])]).toEqual([true, false])
  })

  it('F1 counts shared words, each as often as both have it; the best gold counts', () => {
    // big red dog, red dog runs: 2 · 2 / (3 + 3).
    expect(answerF1('the big red dog', ['red dog runs', 'cat'])).toBeCloseTo(4 / 6, 12)
    expect(answerF1('dog dog', ['dog'])).toBeCloseTo(2 / 3, 12)
    expect([answerF1('', ['dog']), answerF1('the', ['a'])]).toEqual([0, 1])
  })

  it('the majority is the most frequent after normalization, the first of equals', () => {
    expect(majorityAnswer(['x', 'Y', 'y ', 'z'])).toEqual({ index: 1, agreement: 0.5 })
    expect(majorityAnswer(['p', 'q'])).toEqual({ index: 0, agreement: 0.5 })
    expect(differentAnswers(['x', 'Y', 'y ', 'z'])).toBe(3)
  })

  it('pass@k: 1 − C(n − c, k) / C(n, k)', () => {
    expect(passAtK(5, 2, 3)).toBeCloseTo(0.9, 12)
    expect(passAtK(5, 2, 1)).toBeCloseTo(0.4, 12)
    expect([passAtK(5, 0, 3), passAtK(5, 3, 3), passAtK(3, 3, 1)]).toEqual([0, 1, 1])
  })
})

describe('confidence', () => {
  it('AUROC over pairs, calibration error over ten bins', () => {
    const { auroc, calibrationError } = confidenceQuality([0.9, 0.8, 0.3, 0.35], [true, false, false, true])
    // Of the four pairs 0.9 > 0.8, 0.9 > 0.3, 0.35 > 0.3.
    expect(auroc).toBe(0.75)
    // |1 − 0.9| + |0 − 0.8| + |1 − 0.65|, over four.
    expect(calibrationError).toBeCloseTo(1.25 / 4, 12)
  })

  it('has an interval for AUROC, about that of its standard error', () => {
    // 300 questions, confidences i / 300, the upper half right with probability 3/4, the lower with 1/4: AUROC 3/4.
    const confidences = Array.from({ length: 300 }, (_, i) => i / 300)
    const right = confidences.map((value, i) => (i % 4 === 0 ? value < 0.5 : value >= 0.5))
    const { auroc, aurocInterval } = confidenceQuality(confidences, right)
    // Hanley and McNeil 1982: about 0.029 for an area of 0.75, 150 right and 150 wrong.
    expect(auroc).toBeCloseTo(0.75, 1)
    expect((aurocInterval?.high ?? 0) - (aurocInterval?.low ?? 0)).toBeGreaterThan(2 * 1.96 * 0.029 * 0.7)
    expect((aurocInterval?.high ?? 1) - (aurocInterval?.low ?? 0)).toBeLessThan(2 * 1.96 * 0.029 * 1.3)
    expect(aurocInterval?.low).toBeLessThan(auroc ?? 0)
    // One wrong answer of four: a third of the resamplings have none.
    expect(confidenceQuality([0.1, 0.2, 0.3, 0.4], [false, true, true, true]).aurocInterval).toBeNull()
  })

  it('says nothing where all are right, or where confidences are no probabilities', () => {
    expect(confidenceQuality([0.5, 1], [true, true]).auroc).toBeNull()
    expect(confidenceQuality([-2, -1], [false, true])).toMatchObject({ auroc: 1, calibrationError: null })
  })
})

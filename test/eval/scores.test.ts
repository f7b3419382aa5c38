// Scores of tasks against values computed by hand.

import { describe, expect, it } from 'vitest'
import { SampleValues, type ScoredSamples } from '../../src/eval/sample.js'
import { differences, groupScores, scoresOf } from '../../src/eval/scores.js'
import { hellaswag } from '../../src/eval/tasks/hellaswag.js'
import { lambadaOpenai } from '../../src/eval/tasks/lambada.js'
import { piqa } from '../../src/eval/tasks/piqa.js'
import { wikitext } from '../../src/eval/tasks/wikitext.js'

function samples(values: readonly Record<string, number>[]): ScoredSamples {
  const all = new SampleValues()
  for (const value of values) all.push({ values: value })
  return all.first(values.length)
}
const accs = (acc: readonly number[]) =>
  samples(acc.map(value => ({ acc: value, acc_norm: value, acc_bytes: 0 })))

describe('a mean', () => {
  it('has the standard deviation of the sample over √n as its error', () => {
    const [acc, , bytes] = scoresOf(hellaswag, accs([1, 0, 0, 1, 1]), 0)
    expect(acc.value).toBeCloseTo(0.6, 12)
    // Σ(x − 0.6)² = 3 · 0.16 + 2 · 0.36 = 1.2; √(1.2/4/5).
    expect(acc.standardError).toBeCloseTo(Math.sqrt(0.06), 12)
    expect(acc.interval).toBeNull()
    expect([bytes.value, bytes.standardError]).toEqual([0, 0])
    expect(scoresOf(hellaswag, accs([1]), 0)[0].standardError).toBeNull()
  })

  it('has an interval from resampled questions, about that of the binomial distribution', () => {
    const [acc] = scoresOf(
      hellaswag,
      accs(Array.from({ length: 400 }, (_, i) => (i % 4 === 0 ? 1 : 0))),
      2000,
    )
    // 0.25 ± 1.96 · √(0.25 · 0.75 / 400) = 0.25 ± 0.0424.
    expect(acc.interval?.low).toBeCloseTo(0.2076, 2)
    expect(acc.interval?.high).toBeCloseTo(0.2924, 2)
    expect(scoresOf(hellaswag, accs([1, 1, 1]), 50)[0].interval).toEqual({ low: 1, high: 1 })
  })
})

it('perplexity is exp of minus the mean of the documents', () => {
  const values = [-1, -2, -6].map(loglikelihood => ({ loglikelihood, acc: loglikelihood === -1 ? 1 : 0 }))
  const [perplexity, acc] = scoresOf(lambadaOpenai, samples(values), 0)
  expect(perplexity.value).toBeCloseTo(Math.exp(3), 10)
  expect(acc.value).toBeCloseTo(1 / 3, 12)
})

it('word and byte perplexity weigh documents by their length', () => {
  const values = [
    { loglikelihood: -10, words: 4, bytes: 20 },
    { loglikelihood: -20, words: 1, bytes: 5 },
  ]
  const [word, byte, bits] = scoresOf(wikitext, samples(values), 0)
  expect(word.value).toBeCloseTo(Math.exp(30 / 5), 8)
  expect(byte.value).toBeCloseTo(Math.exp(30 / 25), 12)
  expect(bits.value).toBeCloseTo(30 / 25 / Math.LN2, 12)
})

it('a group of equal tasks has the interval that its standard error says: tasks are resampled on their own', () => {
  const tasks = Array.from({ length: 50 }, (_, i) => ({ ...piqa, name: `part_${i}` }))
  const parts = tasks.map(task => ({
    questions: 8,
    scores: scoresOf(task, accs([1, 0, 0, 1, 1, 0, 1, 0]), 1000),
  }))
  const [{ value, interval, resampled }] = groupScores(parts, false)
  expect(value).toBeCloseTo(0.5, 12)
  // Of 400 draws with a variance of 1/4: √(0.25/400) = 0.025.
  const half = ((interval?.high ?? 0) - (interval?.low ?? 0)) / 2
  expect(Math.abs(half - 1.96 * 0.025)).toBeLessThan(0.006)
  expect(resampled).toHaveLength(1000)
})

describe('a group', () => {
  const parts = [
    { questions: 4, scores: scoresOf(piqa, accs([1, 1, 1, 0]), 20) },
    { questions: 2, scores: scoresOf(piqa, accs([0, 0]), 20) },
  ]

  it('is the mean of its tasks, or of their questions', () => {
    expect(groupScores(parts, false)[0].value).toBeCloseTo((0.75 + 0) / 2, 12)
    expect(groupScores(parts, true)[0].value).toBeCloseTo(3 / 6, 12)
  })

  it('has an error from the variances within its tasks', () => {
    // Within: Σ(x − x̄)² = 0.75 and 0; 0.75 / (6 − 2) / 6.
    expect(groupScores(parts, true)[0].standardError).toBeCloseTo(Math.sqrt(0.75 / 4 / 6), 12)
  })
})

it('a difference is paired: questions that both answer alike say nothing', () => {
  // Both are right in half of the questions, by chance; the second in one more.
  const first = Array.from({ length: 100 }, (_, i) => i % 2)
  const second = first.map((value, i) => (i === 0 ? 1 : value))
  const [acc] = differences(scoresOf(piqa, accs(first), 2000), scoresOf(piqa, accs(second), 2000))
  expect(acc.value).toBeCloseTo(0.01, 12)
  // The standard deviation of one in a hundred over √100; unpaired it would be 0.07.
  expect(acc.standardError).toBeCloseTo(0.01, 2)
  expect(acc.interval?.low).toBe(0)
})

// Several answers to one question, against its right ones: exact match, F1, the best, the majority, pass@k, and whether
// agreement tells right from wrong.

import { areaUnderRoc, quantilesOfSorted } from '../statistics.js'
import { PythonRandom } from './python-random.js'

/** SQuAD's normalization (Rajpurkar et al. 2016): lower case, no ASCII punctuation, no articles, single spaces. */
export function squadNormalized(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[!-/:-@[-`{-~]/g, '')
    .replaceAll(/\b(?:a|an|the)\b/g, ' ')
    .trim()
    .replaceAll(/\s+/g, ' ')
}

/** Whether an answer is one of `golds` after SQuAD's normalization. */
export function isRight(answer: string, golds: readonly string[]): boolean {
  const normalized = squadNormalized(answer)
  return golds.some(gold => squadNormalized(gold) === normalized)
}

/** F1 of the words that answer and gold share, the best of `golds`, in [0, 1]. */
export function answerF1(answer: string, golds: readonly string[]): number {
  return Math.max(0, ...golds.map(gold => f1(squadNormalized(answer), squadNormalized(gold))))
}

function f1(answer: string, gold: string): number {
  const words = (text: string) => (text === '' ? [] : text.split(' '))
  const [a, b] = [words(answer), words(gold)]
  if (a.length === 0 || b.length === 0) return a.length === b.length ? 1 : 0
  const left = new Map<string, number>()
  for (const word of b) left.set(word, (left.get(word) ?? 0) + 1)
  let shared = 0
  for (const word of a) {
    const count = left.get(word) ?? 0
    if (count === 0) continue
    left.set(word, count - 1)
    shared++
  }
  return (2 * shared) / (a.length + b.length)
}

/** The most frequent answer after normalization: the first text that gives it, and its fraction of all. The first of equals. */
export function majorityAnswer(answers: readonly string[]): {
  readonly index: number
  readonly agreement: number
} {
  const normalized = answers.map(squadNormalized)
  const counts = new Map<string, number>()
  for (const answer of normalized) counts.set(answer, (counts.get(answer) ?? 0) + 1)
  const most = Math.max(...counts.values())
  const index = normalized.findIndex(answer => counts.get(answer) === most)
  return { index, agreement: most / answers.length }
}

/** Different answers after normalization. */
export function differentAnswers(answers: readonly string[]): number {
  return new Set(answers.map(squadNormalized)).size
}

/** Chance that one of k answers is right, estimated without bias from c right of n (Chen et al. 2021): 1 − C(n−c, k)/C(n, k). */
export function passAtK(n: number, c: number, k: number): number {
  if (n - c < k) return 1
  let allWrong = 1
  for (let i = n - c + 1; i <= n; i++) allWrong *= 1 - k / i
  return 1 - allWrong
}

/** How far a confidence can be trusted. */
export interface ConfidenceQuality {
  /** Probability that a right answer has more of it than a wrong one; null where all are right or all are wrong. */
  readonly auroc: number | null
  /** 95 %, from resampled questions; null with it, or where most resamplings are all right or all wrong. */
  readonly aurocInterval: { readonly low: number; readonly high: number } | null
  /** Expected calibration error over ten bins (Guo et al. 2017); null for confidences that are no probabilities. */
  readonly calibrationError: number | null
}

const BINS = 10

/** confidences: one for each question, higher is surer; right: whether its answer is. */
export function confidenceQuality(
  confidences: readonly number[],
  right: readonly boolean[],
): ConfidenceQuality {
  const all = confidences.map((_, i) => i)
  const auroc = aurocOf(confidences, right, all)
  const aurocInterval = auroc === null ? null : resampledInterval(confidences, right)
  if (confidences.some(value => value < 0 || value > 1))
    return { auroc, aurocInterval, calibrationError: null }
  const bins = Array.from({ length: BINS }, () => ({ count: 0, confidence: 0, right: 0 }))
  for (const [i, confidence] of confidences.entries()) {
    const bin = bins[Math.min(BINS - 1, Math.floor(confidence * BINS))]
    bin.count++
    bin.confidence += confidence
    bin.right += right[i] ? 1 : 0
  }
  // |right/n − confidence/n| · n/N of each bin.
  const calibrationError =
    bins.reduce((sum, bin) => sum + Math.abs(bin.right - bin.confidence), 0) / confidences.length
  return { auroc, aurocInterval, calibrationError }
}

/** Of the questions with these indices; null where all are right or all are wrong. */
function aurocOf(
  confidences: readonly number[],
  right: readonly boolean[],
  questions: readonly number[],
): number | null {
  const of = (wanted: boolean) => questions.filter(i => right[i] === wanted).map(i => confidences[i])
  const [yes, no] = [of(true), of(false)]
  return yes.length === 0 || no.length === 0 ? null : areaUnderRoc(yes, no)
}

const RESAMPLINGS = 1000
const RESAMPLING_SEED = 1234
/** Resamplings that must have a value for an interval. */
const LEAST_VALID = 0.9

function resampledInterval(
  confidences: readonly number[],
  right: readonly boolean[],
): { low: number; high: number } | null {
  const random = new PythonRandom(RESAMPLING_SEED)
  const values = Array.from({ length: RESAMPLINGS }, () =>
    aurocOf(
      confidences,
      right,
      confidences.map(() => random.below(confidences.length)),
    ),
  )
  const valid = values.filter(value => value !== null).sort((a, b) => a - b)
  if (valid.length < LEAST_VALID * RESAMPLINGS) return null
  const [low, high] = quantilesOfSorted(valid, [0.025, 0.975])
  return { low, high }
}

// What is measured of the samples of one prompt: quality, diversity, and what the way of drawing costs.

import type { Completion } from '../engine/index.js'
import {
  distinct,
  entropyOf,
  expectationAdjustedDistinct,
  typeTokenRatio,
  wordsOf,
} from '../eval/lexical-diversity.js'
import { answerF1, differentAnswers, isRight, majorityAnswer, passAtK } from '../eval/repeated-answers.js'
import { selfBleu } from '../eval/self-bleu.js'
import { vendiScore } from '../eval/vendi.js'
import { mean } from '../statistics.js'

interface MeasureInfo {
  /** Title of a column. */
  readonly title: string
  readonly kind: 'quality' | 'diversity' | 'cost'
  readonly higherIsBetter: boolean
  readonly decimals: number
  readonly about: string
}

/** All measures, in the order of tables. Those of answers are there where prompts have answers. */
export const MEASURES = {
  likelihood: info('log-likelihood', 'quality', true, 'mean per token under the deterministic model, nats'),
  exact: info('exact match', 'quality', true, 'fraction of samples that are a right answer'),
  f1: info('F1', 'quality', true, 'words shared with the right answer, mean of samples'),
  majority: info('majority', 'quality', true, 'whether the most frequent answer is right'),
  coverage: info('coverage', 'quality', true, 'whether any sample is right'),
  bestF1: info('best F1', 'quality', true, 'the highest F1 of the samples'),
  passAt5: info('pass@5', 'quality', true, 'chance that one of five samples is right'),
  vendi: info('Vendi', 'diversity', true, 'effective number of different texts', 2),
  distinct1: info('distinct-1', 'diversity', true, 'different words over words'),
  distinct2: info('distinct-2', 'diversity', true, 'different word pairs over word pairs'),
  distinct3: info('distinct-3', 'diversity', true, 'different triples of words over triples'),
  ead: info('EAD', 'diversity', true, 'different tokens over those expected at random'),
  selfBleu: info('self-BLEU', 'diversity', false, 'BLEU-4 of each sample against the others'),
  different: info('different', 'diversity', true, 'different samples after normalization', 1),
  typeToken: info('type-token', 'diversity', true, 'different words over words within a sample'),
  firstEntropy: info('first token', 'diversity', true, 'entropy of the first token over samples, nats'),
  tokens: info('tokens', 'cost', true, 'tokens of a sample', 1),
  zeros: info('zeros', 'cost', true, 'fraction of neurons that are exactly 0 while decoding'),
} as const satisfies Record<string, MeasureInfo>
export type Measure = keyof typeof MEASURES

function info(
  title: string,
  kind: MeasureInfo['kind'],
  higherIsBetter: boolean,
  about: string,
  decimals = 3,
): MeasureInfo {
  return { title, kind, higherIsBetter, about, decimals }
}

export const MEASURE_NAMES = Object.keys(MEASURES) as Measure[]

export interface PromptSamples {
  readonly completions: readonly Completion[]
  /** Mean log-likelihood per token of each under the deterministic model. */
  readonly likelihoods: readonly number[]
  readonly answers?: readonly string[]
  /** Of the tokenizer. */
  readonly vocabularySize: number
}

/** Every measure of one prompt's samples. */
export function measurePrompt(samples: PromptSamples): Partial<Record<Measure, number>> {
  const { completions, likelihoods, answers, vocabularySize } = samples
  const texts = completions.map(({ text }) => text)
  const words = texts.map(wordsOf)
  const ids = completions.map(({ tokens }) => tokens.map(({ id }) => id))
  return {
    likelihood: mean(likelihoods),
    ...(answers !== undefined && answerMeasures(texts, answers)),
    vendi: vendiScore(words),
    distinct1: distinct(words, 1),
    distinct2: distinct(words, 2),
    distinct3: distinct(words, 3),
    ead: expectationAdjustedDistinct(ids, vocabularySize),
    selfBleu: selfBleu(words),
    different: differentAnswers(texts),
    typeToken: typeTokenRatio(words),
    firstEntropy: entropyOf(ids.map(([first]) => first)),
    tokens: mean(ids.map(({ length }) => length)),
    zeros: 1 - mean(completions.map(({ stats }) => mean(stats.activeFraction))),
  }
}

function answerMeasures(
  texts: readonly string[],
  answers: readonly string[],
): Partial<Record<Measure, number>> {
  const right = texts.map(text => isRight(text, answers))
  const count = right.filter(Boolean).length
  const f1 = texts.map(text => answerF1(text, answers))
  return {
    exact: count / texts.length,
    f1: mean(f1),
    majority: right[majorityAnswer(texts).index] ? 1 : 0,
    coverage: count > 0 ? 1 : 0,
    bestF1: Math.max(...f1),
    ...(texts.length >= 5 && { passAt5: passAtK(texts.length, count, 5) }),
  }
}

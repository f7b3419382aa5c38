// Draws the samples of every prompt in every way, and measures them.

import type { Activation } from '../activations/index.js'
import type { Completion, LanguageModel } from '../engine/index.js'
import { FlickerError, OptionError } from '../errors.js'
import { deterministicActivation, meanLogLikelihoods } from '../eval/best-of.js'
import {
  type ConfidenceQuality,
  confidenceQuality,
  isRight,
  majorityAnswer,
} from '../eval/repeated-answers.js'
import { encodePrompt, prefixToken } from '../eval/requests.js'
import { mean, meanInterval, median } from '../statistics.js'
import { compareAtSameQuality, type SameQuality } from './compare.js'
import { type DrawingPlace, type DrawnPrompt, drawingLog } from './log.js'
import { MEASURE_NAMES, type Measure, measurePrompt } from './measures.js'
import type { DiversityPrompt } from './prompts.js'
import { activationOf, type DiversitySettings, type Way } from './settings.js'

export interface MeasuredValue {
  readonly mean: number
  /** 95 % (Student's t over prompts); null with a single prompt. */
  readonly interval: { readonly low: number; readonly high: number } | null
}

export interface WayResult {
  readonly way: Way
  /** What its samples were drawn with. */
  readonly activation: string
  readonly measures: Partial<Record<Measure, MeasuredValue>>
  /** One value for each prompt. */
  readonly perPrompt: Partial<Record<Measure, number[]>>
  /** Of all samples of a prompt together, median of prompts; null for samples of one token. */
  readonly tokensPerSecond: number | null
  /** Agreement of the samples with the majority, against whether it is right; null where prompts have no answers. */
  readonly confidence: ConfidenceQuality | null
  /** Some texts of the first prompts. */
  readonly samples: readonly { readonly prompt: string; readonly texts: readonly string[] }[]
}

export interface DiversityResults {
  readonly title: string
  readonly question?: string
  readonly model: string
  /** The activation of likelihoods. */
  readonly deterministic: string
  readonly n: number
  readonly maxTokens: number
  readonly seed: number
  readonly prompts: number
  readonly hasAnswers: boolean
  readonly ways: readonly WayResult[]
  /** Where prompts have answers: minus the entropy of the first token in one deterministic pass, against its greedy answer. */
  readonly deterministicConfidence: (ConfidenceQuality & { readonly exact: number }) | null
  readonly sameQuality: readonly SameQuality[]
}

export interface DiversityRun {
  /** For the record. */
  readonly name: string
  readonly settings: DiversitySettings
  readonly ways: readonly Way[]
  readonly prompts: readonly DiversityPrompt[]
  /** Where what is finished is kept, so that an interrupted run continues. */
  readonly log?: DrawingPlace
  readonly signal?: AbortSignal
  /** After every prompt of every way. */
  readonly onProgress?: (progress: {
    readonly way: string
    readonly done: number
    readonly total: number
    /** Of `done`, those of earlier sessions. */
    readonly found: number
  }) => void
}

/** Prompts and texts that are kept to be shown. */
const SHOWN_PROMPTS = 3
const SHOWN_TEXTS = 4
/** Diversity that is compared at the same quality. */
const COMPARED: readonly Measure[] = ['vendi', 'distinct2', 'ead', 'selfBleu']

/**
 * Throws OptionError PROMPT_TOO_LONG before anything is drawn, ACTIVATION_DRAWS, what the engine throws; FlickerError
 * INTERRUPTED.
 */
export async function runDiversity(model: LanguageModel, run: DiversityRun): Promise<DiversityResults> {
  const { settings, ways, prompts } = run
  const deterministic = deterministicActivation(model, settings.deterministic)
  const tokens = prompts.map(({ prompt }, i) => promptTokens(model, prompt, i, settings.maxTokens))
  const total = ways.length * prompts.length
  const log = drawingLog({ settings, ways, prompts, deterministic: deterministic.spec }, run.log)
  const found = Math.min(total, log.entries.length)
  try {
    while (log.entries.length < total) {
      const done = log.entries.length
      const way = ways[Math.floor(done / prompts.length)]
      const index = done % prompts.length
      run.onProgress?.({ way: way.label, done, total, found })
      log.append([await drawPrompt(model, run, way, index, tokens[index], deterministic)])
    }
  } finally {
    log.close()
  }
  run.onProgress?.({ way: '', done: total, total, found })
  const results = ways.map((way, w) => {
    const drawn = log.entries.slice(w * prompts.length, (w + 1) * prompts.length)
    return wayResult(way, activationOf(way, deterministic.spec), prompts, drawn)
  })
  const hasAnswers = prompts[0].answers !== undefined
  return {
    title: settings.title,
    question: settings.question,
    model: run.name,
    deterministic: deterministic.spec,
    ...{ n: settings.n, maxTokens: settings.maxTokens, seed: settings.seed },
    ...{ prompts: prompts.length, hasAnswers, ways: results },
    deterministicConfidence: hasAnswers ? await greedyConfidence(model, tokens, run, deterministic) : null,
    sameQuality: compareAtSameQuality(
      results.map(({ way: { label, family }, perPrompt }) => ({ label, family, perPrompt })),
      COMPARED,
    ),
  }
}

/** Draws and measures the samples of one prompt. */
async function drawPrompt(
  model: LanguageModel,
  { settings, prompts, signal }: DiversityRun,
  way: Way,
  index: number,
  tokens: readonly number[],
  deterministic: Activation,
): Promise<DrawnPrompt> {
  const { answers } = prompts[index]
  const completions = await draw(model, tokens, way, settings, deterministic, signal)
  const likelihoods = meanLogLikelihoods(
    model,
    completions.map(completion => ({ prompt: tokens, tokens: completion.tokens.map(({ id }) => id) })),
    deterministic,
  )
  const texts = completions.map(({ text }) => text)
  const majority = majorityAnswer(texts)
  return {
    ...{ way: way.label, prompt: index, texts },
    measures: measurePrompt({
      ...{ completions, likelihoods, answers, vocabularySize: model.tokenizer.vocabSize },
    }),
    tokensPerSecond: completions[0].stats.tokensPerSecond,
    ...(answers !== undefined && {
      majority: { agreement: majority.agreement, right: isRight(texts[majority.index], answers) },
    }),
  }
}

/** `drawn`: of every prompt, in order. */
function wayResult(
  way: Way,
  activation: string,
  prompts: readonly DiversityPrompt[],
  drawn: readonly DrawnPrompt[],
): WayResult {
  const perPrompt = byMeasure(drawn.map(({ measures }) => measures))
  const rates = drawn.flatMap(({ tokensPerSecond }) => tokensPerSecond ?? [])
  const voted = drawn.flatMap(({ majority }) => majority ?? [])
  return {
    ...{ way, activation, measures: summarized(perPrompt), perPrompt },
    tokensPerSecond: rates.length === 0 ? null : median(rates),
    confidence:
      voted.length === 0
        ? null
        : confidenceQuality(
            voted.map(({ agreement }) => agreement),
            voted.map(({ right }) => right),
          ),
    samples: drawn
      .slice(0, SHOWN_PROMPTS)
      .map(({ texts }, i) => ({ prompt: prompts[i].prompt, texts: texts.slice(0, SHOWN_TEXTS) })),
  }
}

function promptTokens(model: LanguageModel, prompt: string, index: number, maxTokens: number): number[] {
  const ids = encodePrompt(model.tokenizer, prompt)
  const tokens = ids.length === 0 ? [prefixToken(model.tokenizer)] : ids
  const { maxPositionEmbeddings } = model.config
  if (tokens.length + maxTokens <= maxPositionEmbeddings) return tokens
  throw new OptionError(
    'PROMPT_TOO_LONG',
    `prompt ${index + 1} has ${tokens.length} tokens, and with ${maxTokens} more it is longer than the model's context ` +
      `of ${maxPositionEmbeddings}; shorten it, or set a smaller maxTokens`,
  )
}

async function draw(
  model: LanguageModel,
  prompt: readonly number[],
  way: Way,
  settings: DiversitySettings,
  deterministic: Activation,
  signal: AbortSignal | undefined,
): Promise<Completion[]> {
  const { temperature, topP, topK, minP } = way
  const activation = activationOf(way, deterministic.spec)
  const { n, maxTokens, seed, ignoreEos, stop } = settings
  const sampling = { temperature, topP, topK, minP, activation, maxTokens, seed, ignoreEos, stop, n }
  const completions = await model.completeMany(prompt, { ...sampling, signal })
  if (!signal?.aborted) return completions
  const { reason } = signal
  throw reason instanceof FlickerError
    ? reason
    : new FlickerError('INTERRUPTED', 'interrupted', { exitCode: 130 })
}

function byMeasure(
  measured: readonly Partial<Record<Measure, number>>[],
): Partial<Record<Measure, number[]>> {
  const values: Partial<Record<Measure, number[]>> = {}
  for (const name of MEASURE_NAMES) {
    const column = measured.flatMap(one => one[name] ?? [])
    if (column.length > 0) values[name] = column
  }
  return values
}

function summarized(perPrompt: Partial<Record<Measure, number[]>>): Partial<Record<Measure, MeasuredValue>> {
  const summary: Partial<Record<Measure, MeasuredValue>> = {}
  for (const name of MEASURE_NAMES) {
    const values = perPrompt[name]
    if (values !== undefined) summary[name] = { mean: mean(values), interval: meanInterval(values) }
  }
  return summary
}

/** One deterministic pass as a measure of uncertainty: the entropy of its first token. */
async function greedyConfidence(
  model: LanguageModel,
  tokens: readonly number[][],
  { prompts, settings }: DiversityRun,
  activation: Activation,
): Promise<ConfidenceQuality & { readonly exact: number }> {
  const certainty: number[] = []
  const right: boolean[] = []
  for (const [i, { answers = [] }] of prompts.entries()) {
    const logits = model.engine.session({ activation }).prefill(tokens[i])
    certainty.push(-softmaxEntropy(logits))
    const { maxTokens, ignoreEos, stop } = settings
    const { text } = await model.complete(tokens[i], {
      activation: activation.spec,
      maxTokens,
      ignoreEos,
      stop,
    })
    right.push(isRight(text, answers))
  }
  return { ...confidenceQuality(certainty, right), exact: mean(right.map(Number)) }
}

/** Entropy of softmax(logits), nats. */
function softmaxEntropy(logits: Float32Array): number {
  const most = logits.reduce((a, b) => Math.max(a, b))
  let [sum, weighted] = [0, 0]
  for (const logit of logits) {
    const weight = Math.exp(logit - most)
    sum += weight
    weighted += weight * (logit - most)
  }
  return Math.log(sum) - weighted / sum
}

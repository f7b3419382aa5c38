// Asks questions of one task in batches: their requests through the engine, what it says as samples. It knows what kinds of
// output there are, and no task.

import type { LanguageModel } from '../engine/index.js'
import { cacheBytesPerPosition } from '../engine/model/memory.js'
import { FlickerError, TokenizerError } from '../errors.js'
import { PASSED, type ProgramRunner } from './code/run-program.js'
import { generateGreedy } from './generate-batch.js'
import { type Questions, type Request, requestsOf, unconditionalRequestsOf } from './questions.js'
import { passAtK } from './repeated-answers.js'
import { encodePrompt, prefixToken, rollingWindows, type ScoredTokens, scoredTokens } from './requests.js'
import { invalidRow } from './rows.js'
import type { Sample } from './sample.js'
import { type ChoiceScore, QuestionScorer } from './score-questions.js'
import { type ChoiceTask, columnOf, metricsOf } from './task.js'

/** Positions whose keys and values are kept at a time, at most; and the memory for them. */
const BATCH_TOKENS = 4096
const BATCH_BYTES = 2 ** 28
/** Prompts that are continued together. */
const BATCH_PROMPTS = 16

export interface AskerOptions {
  /** Tokens that the model reads at most. */
  readonly context: number
  /** Of an activation that draws, and of programs that are drawn. */
  readonly seed: number
  /** Runs what the model writes, for tasks whose output is code. */
  readonly code?: ProgramRunner
  readonly signal?: AbortSignal
}

export class Asker {
  readonly #model: LanguageModel
  readonly #questions: Questions
  readonly #options: AskerOptions
  readonly #scorer: QuestionScorer
  readonly #batchTokens: number

  constructor(model: LanguageModel, questions: Questions, options: AskerOptions) {
    this.#model = model
    this.#questions = questions
    this.#options = options
    this.#scorer = new QuestionScorer(model.engine, { seed: options.seed })
    const { config, kv } = model.engine
    const fitting = Math.floor(BATCH_BYTES / cacheBytesPerPosition({ config, type: kv }))
    this.#batchTokens = Math.max(1, Math.min(BATCH_TOKENS, fitting))
  }

  /** The samples of the questions from `first` on, as many as make a batch. */
  async ask(first: number): Promise<Sample[]> {
    const { output } = this.#questions.task
    if (output === 'generate_until') return this.#generate(first)
    return output === 'generate_code' ? await this.#program(first) : this.#score(first)
  }

  #score(first: number): Sample[] {
    const { rows } = this.#questions
    const batch: { index: number; requests: ScoredTokens[]; unconditional: ScoredTokens[] }[] = []
    let tokens = 0
    for (
      let index = first;
      index < rows.length && (batch.length === 0 || tokens < this.#batchTokens);
      index++
    ) {
      const requests = this.#tokensOf(index)
      const unconditional = this.#encoded(index, unconditionalRequestsOf(this.#questions, index))
      tokens += sum([...requests, ...unconditional].map(({ tokens }) => tokens.length))
      batch.push({ index, requests, unconditional })
    }
    const scores = this.#scorer.score([
      ...batch.map(({ requests }) => requests),
      ...batch.map(({ unconditional }) => unconditional),
    ])
    return batch.map(({ index, requests }, i) => {
      const sample = this.#sample(index, scores[i], scores[batch.length + i])
      for (const value of Object.values(sample.values)) requireNumber(value)
      return { ...sample, ...droppedOf(sum(requests.map(({ dropped }) => dropped))) }
    })
  }

  #tokensOf(index: number): ScoredTokens[] {
    const { task, rows } = this.#questions
    const { tokenizer } = this.#model
    if (task.output === 'loglikelihood_rolling') {
      return rollingWindows(tokenizer, task.prompt(rows.at(index).row), this.#options.context)
    }
    return this.#encoded(index, requestsOf(this.#questions, index))
  }

  #encoded(index: number, requests: readonly Request[]): ScoredTokens[] {
    return requests.map(({ prompt, continuation }) => {
      const tokens = this.#located(index, () =>
        scoredTokens(this.#model.tokenizer, prompt, continuation, this.#options.context),
      )
      if (tokens !== null) return tokens
      throw invalidRow(
        this.#questions.rows.at(index),
        `the continuation ${JSON.stringify(continuation)} has no token to score`,
      )
    })
  }

  /** What `encode` gives; an error of the tokenizer says in which row. */
  #located<T>(index: number, encode: () => T): T {
    try {
      return encode()
    } catch (error) {
      if (!(error instanceof TokenizerError) || error.code !== 'CHARACTER_UNKNOWN') throw error
      const { file, line } = this.#questions.rows.at(index)
      throw new TokenizerError(error.code, `${file}:${line}: ${error.message}`, { cause: error })
    }
  }

  #sample(index: number, scores: readonly ChoiceScore[], withoutPrompt: readonly ChoiceScore[]): Sample {
    const { task, rows } = this.#questions
    const { row, line } = rows.at(index)
    const loglikelihoods = scores.map(({ logLikelihood }) => logLikelihood)
    const unconditional = withoutPrompt.map(({ logLikelihood }) => logLikelihood)
    const base = { doc_id: index, line }
    switch (task.output) {
      case 'multiple_choice':
        return {
          ...base,
          target: task.gold(row),
          values: choiceValues(task, row, loglikelihoods, unconditional),
          loglikelihoods,
          ...(unconditional.length > 0 && { unconditional }),
        }
      case 'loglikelihood': {
        const [{ logLikelihood, greedy }] = scores
        return { ...base, values: { loglikelihood: logLikelihood, acc: greedy ? 1 : 0 } }
      }
      case 'loglikelihood_rolling': {
        const page = task.document(row)
        // As Python's re.split counts them: white space at an end makes an empty word there.
        const words = page.split(/\s+/).length
        return {
          ...base,
          values: { loglikelihood: sum(loglikelihoods), words, bytes: Buffer.byteLength(page) },
        }
      }
      default:
        throw new TypeError('a generated text is not scored by its likelihood')
    }
  }

  #generate(first: number): Sample[] {
    const { task, rows } = this.#questions
    if (task.output !== 'generate_until') return []
    const prompts = this.#prompts(first, task.maxTokens)
    const texts = this.#greedy(prompts, task.stops)
    return prompts.kept.map((_, i) => {
      const { row, line } = rows.at(first + i)
      const scores = task.score(texts[i], row)
      const values = Object.fromEntries(metricsOf(task).map((metric, m) => [columnOf(metric), scores[m]]))
      return { doc_id: first + i, line, values, text: texts[i], ...droppedOf(prompts.dropped[i]) }
    })
  }

  /** Programs are written in batches, and run when all of a batch are written. */
  async #program(first: number): Promise<Sample[]> {
    const { task, rows } = this.#questions
    const { code, signal } = this.#options
    if (task.output !== 'generate_code') return []
    if (code === undefined) throw new TypeError(`${task.name} needs something that runs its programs`)
    // Those that are drawn are many for each question already.
    const prompts = this.#prompts(first, task.maxTokens, task.draws === undefined ? BATCH_PROMPTS : 1)
    const texts =
      task.draws === undefined
        ? this.#greedy(prompts, task.stops).map(text => [text])
        : [await this.#drawn(prompts.kept[0], prompts.maxTokens, task.stops, task.draws)]
    const programs = texts.flatMap((drawn, i) =>
      drawn.map(text => task.program(text, rows.at(first + i).row)),
    )
    const outcomes = await code.runAll(task.language, programs, signal)
    const n = texts[0].length
    return texts.map((drawn, i) => {
      const own = outcomes.slice(i * n, (i + 1) * n)
      const passed = own.filter(outcome => outcome === PASSED).length
      const values = task.passes.map(({ k, metric }) => [columnOf(metric), passAtK(n, passed, k)])
      return {
        ...{ doc_id: first + i, line: rows.at(first + i).line, values: Object.fromEntries(values) },
        ...(n === 1 ? { text: drawn[0] } : { texts: drawn }),
        outcomes: own,
        ...droppedOf(prompts.dropped[i]),
      }
    })
  }

  async #drawn(
    prompt: readonly number[],
    maxTokens: number,
    stop: readonly string[],
    { count: n, temperature, topP }: { count: number; temperature: number; topP: number },
  ): Promise<string[]> {
    const { seed, signal } = this.#options
    const options = { n, temperature, topP, maxTokens, stop, seed, signal }
    const completions = await this.#model.completeMany(prompt, options)
    // What an interruption has cut short is not a sample.
    signal?.throwIfAborted()
    return completions.map(({ text }) => text)
  }

  #greedy({ kept, maxTokens }: Prompts, stops: readonly string[]): string[] {
    return generateGreedy(this.#model, kept, { stops, maxTokens, seed: this.#options.seed })
  }

  /** The prompts of the questions from `first` on as tokens, cut at their beginning where the answer needs the room. */
  #prompts(first: number, most: number, count = BATCH_PROMPTS): Prompts {
    const { task, rows, before } = this.#questions
    const { tokenizer, config } = this.#model
    const context = Math.min(this.#options.context, config.maxPositionEmbeddings)
    // The prompt gives way to the answer, but keeps half of a short context.
    const maxTokens = Math.min(most, Math.max(1, Math.floor(context / 2)))
    const all = Array.from({ length: Math.min(count, rows.length - first) }, (_, i) => {
      const text = before.at(first + i) + task.prompt(rows.at(first + i).row)
      const ids = this.#located(first + i, () => encodePrompt(tokenizer, text))
      return ids.length === 0 ? [prefixToken(tokenizer)] : ids
    })
    const kept = all.map(ids => ids.slice(-(context - maxTokens)))
    return { kept, dropped: all.map((ids, i) => ids.length - kept[i].length), maxTokens }
  }
}

interface Prompts {
  readonly kept: readonly (readonly number[])[]
  readonly dropped: readonly number[]
  /** That the answer may have. */
  readonly maxTokens: number
}

/** The metrics of one question: whether the choice of the highest (normalized) likelihood is right. */
function choiceValues(
  task: ChoiceTask<unknown>,
  row: unknown,
  loglikelihoods: readonly number[],
  unconditional: readonly number[],
): Record<string, number> {
  const choices = task.choices(row)
  const normalized = {
    acc: () => loglikelihoods,
    // Python's len counts code points.
    acc_norm: () => loglikelihoods.map((value, i) => value / [...choices[i]].length),
    acc_bytes: () => loglikelihoods.map((value, i) => value / Buffer.byteLength(choices[i])),
    acc_mutual_info: () => loglikelihoods.map((value, i) => value - unconditional[i]),
  }
  return Object.fromEntries(
    task.metrics.map(metric => {
      const values = normalized[metric]()
      // The first of equals.
      const best = values.indexOf(Math.max(...values))
      return [metric, best === task.gold(row) ? 1 : 0]
    }),
  )
}

function requireNumber(value: number): void {
  if (Number.isFinite(value)) return
  throw new FlickerError(
    'LOGITS_INVALID',
    `the model gives a log-likelihood of ${value}: its weights are broken (NaN), or too large`,
    { exitCode: 1 },
  )
}

function droppedOf(dropped: number): { dropped?: number } {
  return dropped > 0 ? { dropped } : {}
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

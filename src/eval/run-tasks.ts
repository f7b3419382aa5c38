// Asks a model the questions of tasks: batches of requests through the engine, a log that survives interruptions, scores at
// the end. It knows what kinds of output there are, and no task.

import type { LanguageModel } from '../engine/index.js'
import { cacheBytesPerPosition } from '../engine/model/memory.js'
import { FlickerError } from '../errors.js'
import { generateGreedy } from './generate-batch.js'
import { type Questions, questionsOf, requestsOf } from './questions.js'
import { encodePrompt, prefixToken, rollingWindows, type ScoredTokens, scoredTokens } from './requests.js'
import { invalidRow, type TaskData } from './rows.js'
import { type Sample, SampleLog } from './sample.js'
import { type ChoiceScore, QuestionScorer } from './score-questions.js'
import { type Score, scoresOf } from './scores.js'
import { type ChoiceTask, metricsOf, type Task } from './task.js'

export interface RunTasksOptions {
  readonly data: TaskData
  /** Few-shot examples instead of the task's own number. */
  readonly shots?: number
  /** Only the first questions of each task. */
  readonly limit?: number
  /** Tokens instead of the model's context, at most as many. */
  readonly context?: number
  /** Of an activation that draws. */
  readonly seed: number
  /** How often questions are resampled for intervals. */
  readonly bootstrap: number
  /** Where the logs of samples are. */
  readonly directory: string
  /** What else decides the samples: which model it is, and how it is run. */
  readonly settings: Readonly<Record<string, unknown>>
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: TaskProgress) => void
}

export interface TaskProgress {
  readonly task: string
  /** Questions answered, earlier sessions included, of all tasks. */
  readonly done: number
  readonly total: number
  /** Of `done`, those of earlier sessions. */
  readonly found: number
}

export interface TaskResult {
  readonly task: Task
  readonly file: string
  readonly shots: number
  readonly available: number
  readonly questions: number
  readonly scores: readonly Score[]
  /** Questions whose beginning did not fit into the context, and the tokens that were dropped. */
  readonly truncated: { readonly questions: number; readonly tokens: number }
  /** The log of samples. */
  readonly log: string
}

/** Positions whose keys and values are kept at a time, at most; and the memory for them. */
const BATCH_TOKENS = 4096
const BATCH_BYTES = 2 ** 28
/** Prompts that are continued together. */
const BATCH_PROMPTS = 16

/**
 * Asks all questions of all tasks, those that the logs have excepted. Questions and rows of every task are checked first.
 * Throws DatasetError; TokenizerError PREFIX_TOKEN_MISSING; StorageError; what the engine throws; FlickerError INTERRUPTED
 * once `signal` is aborted, and the next call continues.
 */
export async function runTasks(
  model: LanguageModel,
  tasks: readonly Task[],
  options: RunTasksOptions,
): Promise<TaskResult[]> {
  const all = tasks.map(task => questionsOf(task, options.data, options))
  const context = Math.min(options.context ?? Number.POSITIVE_INFINITY, model.config.maxPositionEmbeddings)
  const logs = all.map(({ task, file, shots }) => {
    const { name, version } = task
    return new SampleLog(options.directory, name, {
      ...options.settings,
      name,
      version,
      file,
      shots,
      context,
    })
  })
  const found = sum(all.map(({ rows }, i) => Math.min(rows.length, logs[i].samples.length)))
  const total = sum(all.map(({ rows }) => rows.length))
  let done = found
  const results: TaskResult[] = []
  for (const [i, questions] of all.entries()) {
    const log = logs[i]
    const { task, rows } = questions
    const asker = new Asker(model, questions, { context, seed: options.seed })
    try {
      while (log.samples.length < rows.length) {
        options.onProgress?.({ task: task.name, done, total, found })
        await yieldToTimers()
        if (options.signal?.aborted) throw interrupted(options.signal)
        const samples = asker.ask(log.samples.length)
        log.append(samples)
        done += samples.length
      }
    } finally {
      log.close()
    }
    // Through JSON, as those of earlier sessions came: the same numbers either way.
    const samples: Sample[] = JSON.parse(JSON.stringify(log.samples.slice(0, rows.length)))
    const dropped = samples.flatMap(({ dropped }) => dropped ?? [])
    results.push({
      ...{ task, file: questions.file, shots: questions.shots, available: questions.available },
      questions: rows.length,
      scores: scoresOf(task, samples, options.bootstrap),
      truncated: { questions: dropped.length, tokens: sum(dropped) },
      log: log.file,
    })
  }
  options.onProgress?.({ task: '', done, total, found })
  return results
}

function interrupted({ reason }: AbortSignal): unknown {
  return reason instanceof FlickerError
    ? reason
    : new FlickerError('INTERRUPTED', 'interrupted', { exitCode: 130 })
}

/** Asks questions of one task in batches. */
class Asker {
  readonly #model: LanguageModel
  readonly #questions: Questions
  readonly #context: number
  readonly #seed: number
  readonly #scorer: QuestionScorer
  readonly #batchTokens: number

  constructor(
    model: LanguageModel,
    questions: Questions,
    { context, seed }: { readonly context: number; readonly seed: number },
  ) {
    this.#model = model
    this.#questions = questions
    this.#context = context
    this.#seed = seed
    this.#scorer = new QuestionScorer(model.engine, { seed })
    const { config, kv } = model.engine
    const fitting = Math.floor(BATCH_BYTES / cacheBytesPerPosition({ config, type: kv }))
    this.#batchTokens = Math.max(1, Math.min(BATCH_TOKENS, fitting))
  }

  /** The samples of the questions from `first` on, as many as make a batch. */
  ask(first: number): Sample[] {
    const { output } = this.#questions.task
    return output === 'generate_until' ? this.#generate(first) : this.#score(first)
  }

  #score(first: number): Sample[] {
    const { rows } = this.#questions
    const batch: { index: number; requests: ScoredTokens[] }[] = []
    let tokens = 0
    for (
      let index = first;
      index < rows.length && (batch.length === 0 || tokens < this.#batchTokens);
      index++
    ) {
      const requests = this.#tokensOf(index)
      tokens += sum(requests.map(({ tokens }) => tokens.length))
      batch.push({ index, requests })
    }
    const scores = this.#scorer.score(batch.map(({ requests }) => requests))
    return batch.map(({ index, requests }, i) => {
      const sample = this.#sample(index, scores[i])
      for (const value of Object.values(sample.values)) requireNumber(value)
      return { ...sample, ...droppedOf(sum(requests.map(({ dropped }) => dropped))) }
    })
  }

  #tokensOf(index: number): ScoredTokens[] {
    const { task, rows } = this.#questions
    const { tokenizer } = this.#model
    if (task.output === 'loglikelihood_rolling') {
      return rollingWindows(tokenizer, task.prompt(rows[index].row), this.#context)
    }
    return requestsOf(this.#questions, index).map(({ prompt, continuation }) => {
      const tokens = scoredTokens(tokenizer, prompt, continuation, this.#context)
      if (tokens !== null) return tokens
      throw invalidRow(rows[index], `the continuation ${JSON.stringify(continuation)} has no token to score`)
    })
  }

  #sample(index: number, scores: readonly ChoiceScore[]): Sample {
    const { task, rows } = this.#questions
    const { row, line } = rows[index]
    const loglikelihoods = scores.map(({ logLikelihood }) => logLikelihood)
    const base = { doc_id: index, line }
    switch (task.output) {
      case 'multiple_choice':
        return {
          ...base,
          target: task.gold(row),
          values: choiceValues(task, row, loglikelihoods),
          loglikelihoods,
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
      case 'generate_until':
        throw new TypeError('a generated text is not scored by its likelihood')
    }
  }

  #generate(first: number): Sample[] {
    const { task, rows, before } = this.#questions
    if (task.output !== 'generate_until') return []
    const indices = rows.slice(first, first + BATCH_PROMPTS).map((_, i) => first + i)
    const { maxPositionEmbeddings } = this.#model.config
    const context = Math.min(this.#context, maxPositionEmbeddings)
    // The prompt gives way to the answer, but keeps half of a short context.
    const maxTokens = Math.min(task.maxTokens, Math.max(1, Math.floor(context / 2)))
    const prompts = indices.map(index => {
      const ids = encodePrompt(this.#model.tokenizer, before[index] + task.prompt(rows[index].row))
      return ids.length === 0 ? [prefixToken(this.#model.tokenizer)] : ids
    })
    const kept = prompts.map(ids => ids.slice(-(context - maxTokens)))
    const texts = generateGreedy(this.#model, kept, { stops: task.stops, maxTokens, seed: this.#seed })
    return indices.map((index, i) => {
      const { row, line } = rows[index]
      const scores = task.score(texts[i], row)
      const values = Object.fromEntries(metricsOf(task).map((metric, m) => [metric, scores[m]]))
      return { doc_id: index, line, values, text: texts[i], ...droppedOf(prompts[i].length - kept[i].length) }
    })
  }
}

/** acc, acc_norm and acc_bytes of one question: whether the choice of the highest (normalized) likelihood is right. */
function choiceValues(
  task: ChoiceTask<unknown>,
  row: unknown,
  loglikelihoods: readonly number[],
): Record<string, number> {
  const choices = task.choices(row)
  const lengths = {
    acc: () => 1,
    // Python's len counts code points.
    acc_norm: (choice: string) => [...choice].length,
    acc_bytes: (choice: string) => Buffer.byteLength(choice),
  }
  return Object.fromEntries(
    task.metrics.map(metric => {
      const normalized = loglikelihoods.map((value, i) => value / lengths[metric](choices[i]))
      // The first of equals.
      const best = normalized.indexOf(Math.max(...normalized))
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

function yieldToTimers(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

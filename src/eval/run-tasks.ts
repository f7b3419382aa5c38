// Asks a model the questions of tasks: all of them checked first, a log that survives interruptions, scores at the end.

import type { LanguageModel } from '../engine/index.js'
import { FlickerError, OptionError } from '../errors.js'
import { Asker } from './asker.js'
import type { ProgramRunner } from './code/run-program.js'
import { type Questions, questionsOf } from './questions.js'
import type { TaskRows } from './rows.js'
import { sampleLog } from './sample.js'
import { type Score, scoresOf } from './scores.js'
import { metricsOf, type Task } from './task.js'

export interface RunTasksOptions {
  readonly data: TaskRows
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
  /** Runs what the model writes; without it tasks whose output is code are refused. */
  readonly code?: ProgramRunner
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

/**
 * Asks all questions of all tasks, those that the logs have excepted. Questions and rows of every task are checked first.
 * Throws DatasetError; OptionError CODE_EXECUTION; TokenizerError PREFIX_TOKEN_MISSING; StorageError; what the engine throws; FlickerError INTERRUPTED
 * once `signal` is aborted, and the next call continues.
 */
export async function runTasks(
  model: LanguageModel,
  tasks: readonly Task[],
  options: RunTasksOptions,
): Promise<TaskResult[]> {
  requireCodeRunner(tasks, options.code)
  const all: Questions[] = []
  for (const task of tasks) all.push(await questionsOf(task, options.data, options))
  const context = Math.min(options.context ?? Number.POSITIVE_INFINITY, model.config.maxPositionEmbeddings)
  const logs = all.map(({ task, file, shots }) => {
    const { name, version } = task
    return sampleLog(options.directory, name, {
      ...options.settings,
      name,
      version,
      file,
      shots,
      context,
      // Without more metrics the log is that of the task as it is.
      ...(metricsOf(task).includes('acc_mutual_info,none') && { mutualInfo: true }),
      ...(task.output === 'generate_code' && { limits: options.code?.limits }),
    })
  })
  const found = sum(all.map(({ rows }, i) => Math.min(rows.length, logs[i].entries.length)))
  const total = sum(all.map(({ rows }) => rows.length))
  let done = found
  const results: TaskResult[] = []
  for (const [i, questions] of all.entries()) {
    const log = logs[i]
    const { task, rows } = questions
    const asker = new Asker(model, questions, {
      ...{ context, seed: options.seed, code: options.code, signal: options.signal },
    })
    try {
      while (log.entries.length < rows.length) {
        options.onProgress?.({ task: task.name, done, total, found })
        await yieldToTimers()
        if (options.signal?.aborted) throw interrupted(options.signal)
        const samples = await asker.ask(log.entries.length)
        log.append(samples)
        done += samples.length
      }
    } catch (error) {
      throw options.signal?.aborted ? interrupted(options.signal) : error
    } finally {
      log.close()
    }
    // Those of earlier sessions came through JSON, which keeps every bit of a finite number.
    const samples = log.entries.first(rows.length)
    const dropped = samples.dropped.filter(tokens => tokens > 0)
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

/** Throws OptionError CODE_EXECUTION. */
export function requireCodeRunner(tasks: readonly Task[], code: ProgramRunner | undefined): void {
  const task = tasks.find(({ output }) => output === 'generate_code')
  if (task === undefined || code !== undefined) return
  throw new OptionError(
    'CODE_EXECUTION',
    `${task.name} runs programs that the model writes; give --allow-code-execution to let it ` +
      '(docs/evaluation.md says how they are contained), or leave the task out',
  )
}

function interrupted({ reason }: AbortSignal): unknown {
  return reason instanceof FlickerError
    ? reason
    : new FlickerError('INTERRUPTED', 'interrupted', { exitCode: 130 })
}

function yieldToTimers(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

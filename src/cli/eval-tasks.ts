// `flicker eval --tasks`: benchmark tasks as lm-evaluation-harness defines them.

import path from 'node:path'
import { load, resolveModelDirectory } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { modelIdentity, modelKey } from '../eval/model-identity.js'
import { TaskData } from '../eval/rows.js'
import { runTasks, type TaskProgress, type TaskResult } from '../eval/run-tasks.js'
import type { Task, TaskGroup } from '../eval/task.js'
import { isTaskFile, readTaskFile } from '../eval/task-file.js'
import {
  differenceFields,
  differenceTable,
  harnessResults,
  type NamedScores,
  namedScores,
  scoreTable,
  tasksOf,
} from '../eval/task-results.js'
import { findTask } from '../eval/tasks/index.js'
import { writeFileAtomic } from '../formats/atomic.js'
import { splitList } from './options.js'
import { type Bar, duration, interruptible, log, print, printJson, progressBar } from './terminal.js'

export interface EvalTasksFlags {
  readonly model: readonly string[]
  readonly tasks: string
  readonly data?: string
  readonly shots?: number
  readonly limit?: number
  readonly out: string
  readonly bootstrap: number
  readonly tokenizer?: string
  readonly activation?: string
  readonly dtype: 'auto' | 'f32' | 'bf16' | 'f16' | 'q8_0' | 'q4_0'
  readonly context?: number
  readonly seed: number
  readonly json?: boolean
  readonly exact?: boolean
}

/** Flags that measure a loss and mean nothing to tasks. */
export const LOSS_ONLY = ['corpus', 'whole', 'maxTokens', 'sampleSeed', 'batchSize'] as const
/** Flags of tasks alone. */
export const TASKS_ONLY = ['data', 'shots', 'limit', 'out', 'bootstrap'] as const

interface Evaluated {
  readonly name: string
  readonly scores: readonly NamedScores[]
  readonly json: Record<string, unknown>
}

export async function evalTasks(flags: EvalTasksFlags): Promise<void> {
  const names = splitList(flags.tasks)
  if (names.length === 0) throw new OptionError('TASK_UNKNOWN', '--tasks names no task')
  const asked = names.map(name => (isTaskFile(name) ? readTaskFile(name) : findTask(name)))
  const data = new TaskData(flags.data ?? null)
  const signal = interruptible('stopping after this batch; the same command continues')
  const evaluated: Evaluated[] = []
  for (const model of flags.model) evaluated.push(await evalModel(model, asked, data, flags, signal))
  if (flags.json === true) {
    const [{ json }] = evaluated
    printJson(
      evaluated.length === 1
        ? json
        : {
            models: evaluated.map(({ name, json }) => ({ name, ...json })),
            differences: differenceFields(evaluated),
          },
    )
    return
  }
  for (const { name, scores } of evaluated) {
    if (evaluated.length > 1) print(`\n${name}`)
    print(scoreTable(scores))
  }
  if (evaluated.length > 1) print(`\n${differenceTable(evaluated)}`)
}

async function evalModel(
  model: string,
  asked: readonly (Task | TaskGroup)[],
  data: TaskData,
  flags: EvalTasksFlags,
  signal: AbortSignal,
): Promise<Evaluated> {
  const { dtype, activation, tokenizer, seed, shots, limit, bootstrap, exact = false } = flags
  // Questions are prompts: cuts that do not apply to these would not be measured.
  const loaded = await load(model, { dtype, activation, tokenizer, exact, sparsePrompt: 'all' })
  for (const note of loaded.notes) log(`flicker: ${note}`)
  try {
    const directory = path.join(flags.out, modelKey(model))
    const context = Math.min(flags.context ?? Number.POSITIVE_INFINITY, loaded.config.maxPositionEmbeddings)
    const identity = modelIdentity(resolveModelDirectory(model))
    const reporter = new ProgressReporter(path.basename(model))
    let results: TaskResult[]
    try {
      results = await runTasks(loaded, tasksOf(asked), {
        ...{ data, shots, limit, context, seed, bootstrap, directory, signal },
        settings: {
          model: identity,
          dtype,
          activation: loaded.engine.activation.spec,
          tokenizer: tokenizer === undefined ? null : modelIdentity(tokenizer),
          seed,
          ...(loaded.approximation !== null && { approximation: loaded.approximation }),
        },
        onProgress: progress => reporter.show(progress),
      })
    } finally {
      reporter.stop()
    }
    reportTruncation(results, context)
    const modelArgs = { dtype, activation: loaded.engine.activation.spec }
    const json = harnessResults(asked, results, {
      ...{ model, modelArgs, bootstrap, seed, context },
      limit: limit ?? null,
    })
    const file = path.join(directory, 'results.json')
    writeFileAtomic(file, `${JSON.stringify(json, null, 2)}\n`)
    log(`flicker: results and samples are in ${directory}`)
    return { name: model, scores: namedScores(asked, results), json }
  } finally {
    loaded.dispose()
  }
}

function reportTruncation(results: readonly TaskResult[], context: number): void {
  for (const { task, truncated, questions } of results) {
    if (truncated.questions === 0) continue
    log(
      `flicker: ${task.name}: ${truncated.questions} of ${questions} questions are longer than the context of ${context} ` +
        `tokens; ${truncated.tokens} tokens at their beginning were dropped`,
    )
  }
}

/** Questions done and the time left, by the rate of this session. */
class ProgressReporter {
  readonly #title: string
  #bar: Bar | null = null
  #started = performance.now()

  constructor(title: string) {
    this.#title = title
  }

  show({ task, done, total, found }: TaskProgress): void {
    if (this.#bar === null) {
      if (found > 0) log(`flicker: ${found} of ${total} questions were answered earlier`)
      this.#bar = progressBar(this.#title, total)
      this.#started = performance.now()
    }
    const answered = done - found
    const seconds = (performance.now() - this.#started) / 1000
    const left = answered === 0 ? '' : ` · ${duration((seconds / answered) * (total - done))} left`
    this.#bar.update(done, `${task}${left}`)
  }

  stop(): void {
    this.#bar?.stop()
  }
}

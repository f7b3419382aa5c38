// `flicker eval --tasks`: benchmark tasks as lm-evaluation-harness defines them.

import path from 'node:path'
import { load, resolveModelDirectory } from '../engine/index.js'
import { OptionError } from '../errors.js'
import type { CodeLanguage } from '../eval/code/limits.js'
import { CodeRunner } from '../eval/code/run-program.js'
import { HubData } from '../eval/hub-rows.js'
import { modelIdentity, modelKey } from '../eval/model-identity.js'
import { TaskData, type TaskRows } from '../eval/rows.js'
import { requireCodeRunner, runTasks, type TaskProgress, type TaskResult } from '../eval/run-tasks.js'
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
import { findTask, withMutualInfo } from '../eval/tasks/index.js'
import { writeFileAtomic } from '../formats/atomic.js'
import { hubSettings } from '../hub/index.js'
import { planText, progressOfDownload } from './hub-models.js'
import { splitList } from './options.js'
import { type Bar, duration, interruptible, log, print, printJson, progressBar } from './terminal.js'

export interface EvalTasksFlags {
  readonly model: readonly string[]
  readonly tasks: string
  readonly data?: string
  readonly shots?: number
  readonly limit?: number
  readonly mutualInfo?: boolean
  readonly allowCodeExecution?: boolean
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
export const TASKS_ONLY = [
  ...(['data', 'shots', 'limit', 'mutualInfo', 'allowCodeExecution', 'out', 'bootstrap'] as const),
]

interface Evaluated {
  readonly name: string
  readonly scores: readonly NamedScores[]
  readonly json: Record<string, unknown>
}

export async function evalTasks(flags: EvalTasksFlags): Promise<void> {
  const names = splitList(flags.tasks)
  if (names.length === 0) throw new OptionError('TASK_UNKNOWN', '--tasks names no task')
  const found = names.map(name => (isTaskFile(name) ? readTaskFile(name) : findTask(name)))
  const asked = flags.mutualInfo === true ? found.map(task => withMutualInfo(task)) : found
  const code = codeRunner(tasksOf(asked), flags.allowCodeExecution === true)
  const signal = interruptible('stopping after this batch; the same command continues')
  const data = await dataOf(tasksOf(asked), flags, signal)
  const evaluated: Evaluated[] = []
  try {
    for (const model of flags.model)
      evaluated.push(await evalModel(model, asked, { data, code, signal }, flags))
  } finally {
    data.close()
  }
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

/** What runs the programs of these tasks; undefined where none writes any. Throws OptionError. */
function codeRunner(tasks: readonly Task[], allowed: boolean): CodeRunner | undefined {
  const languages = new Map<CodeLanguage, string>()
  for (const task of tasks) if (task.output === 'generate_code') languages.set(task.language, task.name)
  if (languages.size === 0) return undefined
  if (!allowed) requireCodeRunner(tasks, undefined)
  const runner = new CodeRunner(languages)
  const contained =
    runner.isolation === 'namespaces'
      ? 'without a network, other processes and files of yours'
      : 'within limits of time and memory, but without namespaces of its own, which this system does not allow'
  log(`flicker: what the model writes is run ${contained}; see docs/evaluation.md`)
  return runner
}

/** `--data`: a directory, or what is downloaded from the Hub. */
async function dataOf(
  tasks: readonly Task[],
  { data, shots }: EvalTasksFlags,
  signal: AbortSignal,
): Promise<TaskRows> {
  if (data !== 'hub') return new TaskData(data ?? null)
  const progress = progressOfDownload()
  try {
    return await HubData.load(tasks, hubSettings(), {
      ...{ shots, signal, onProgress: progress.show },
      onStart(plan) {
        log(`flicker: ${planText(plan)}`)
        progress.start(plan)
      },
    })
  } finally {
    progress.stop()
  }
}

async function evalModel(
  model: string,
  asked: readonly (Task | TaskGroup)[],
  { data, code, signal }: { data: TaskRows; code: CodeRunner | undefined; signal: AbortSignal },
  flags: EvalTasksFlags,
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
        ...{ data, shots, limit, context, seed, bootstrap, directory, code, signal },
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
    const left = answered === 0 ? '' : `${duration((seconds / answered) * (total - done))} left`
    this.#bar.update(done, [task, left].filter(part => part !== '').join(' · '))
  }

  stop(): void {
    this.#bar?.stop()
  }
}

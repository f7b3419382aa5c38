// Benchmark tasks in a study: named in the recipe, checked before anything is trained, asked of every trained model.

import { z } from 'zod'
import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import { load } from '../engine/index.js'
import { RecipeError } from '../errors.js'
import { HubData } from '../eval/hub-rows.js'
import { modelIdentity } from '../eval/model-identity.js'
import { questionsOf, requestsOf } from '../eval/questions.js'
import { prefixToken } from '../eval/requests.js'
import { TaskData, type TaskRows } from '../eval/rows.js'
import { runTasks, type TaskProgress } from '../eval/run-tasks.js'
import type { Task, TaskGroup } from '../eval/task.js'
import { isTaskFile, readTaskFile } from '../eval/task-file.js'
import { namedScores, tasksOf } from '../eval/task-results.js'
import { findTask } from '../eval/tasks/index.js'
import { hubSettings } from '../hub/index.js'
import { mean } from '../statistics.js'
import type { TaskScore } from './results.js'

export const studyTasksSchema = z.strictObject({
  /** Tasks, groups, tasks of groups, or files of your own (./mine.yaml). */
  names: z.array(z.string().min(1)).min(1),
  /** A directory with their rows, relative to the working directory; `hub` downloads them. */
  data: z.string().min(1).optional(),
  /** Few-shot examples instead of each task's own number. */
  shots: z.int().min(0).optional(),
  /** Only the first questions of each task. */
  limit: z.int().min(1).optional(),
  /** Resamplings of the questions for intervals. */
  bootstrap: z.int().min(2).default(1000),
})
export type StudyTasks = z.output<typeof studyTasksSchema>

export interface PreparedTasks {
  readonly asked: readonly (Task | TaskGroup)[]
  readonly data: TaskRows
}

/**
 * The tasks and their rows, all of them checked. Throws OptionError TASK_UNKNOWN; RecipeError TASK_RUNS_CODE; DatasetError;
 * TokenizerError PREFIX_TOKEN_MISSING, CHARACTER_UNKNOWN; what the Hub's download throws.
 */
export async function prepareTasks(tasks: StudyTasks, tokenizer: Tokenizer): Promise<PreparedTasks> {
  const asked = tasks.names.map(name => (isTaskFile(name) ? readTaskFile(name) : findTask(name)))
  const single = tasksOf(asked)
  const code = single.find(({ output }) => output === 'generate_code')
  if (code !== undefined) {
    throw new RecipeError(
      'TASK_RUNS_CODE',
      `tasks: ${code.name} runs programs that the model writes, which a study does not; use flicker eval --tasks ${code.name}`,
    )
  }
  const { data: place, shots } = tasks
  const data =
    place === 'hub' ? await HubData.load(single, hubSettings(), { shots }) : new TaskData(place ?? null)
  for (const task of single) {
    const questions = questionsOf(task, data, tasks)
    const { rows, before } = questions
    // Hours of training later, the same would be found out: a text that the tokenizer cannot write, no first token.
    for (const [i, { row }] of rows.entries()) {
      tokenizer.encode(before[i] + task.prompt(row))
      if (task.output !== 'multiple_choice' && task.output !== 'loglikelihood') continue
      for (const { continuation } of requestsOf(questions, i)) tokenizer.encode(continuation)
    }
    if (before[0] + task.prompt(rows[0].row) === '' || task.output === 'loglikelihood_rolling')
      prefixToken(tokenizer)
  }
  return { asked, data }
}

export interface AskOptions extends Pick<StudyTasks, 'shots' | 'limit' | 'bootstrap'> {
  /** For the logs of samples. */
  readonly directory: string
  readonly seed: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: TaskProgress) => void
}

/** The scores of a checkpoint in f32. Throws as runTasks does. */
export async function askTasks(
  checkpoint: string,
  { asked, data }: PreparedTasks,
  options: AskOptions,
): Promise<TaskScore[]> {
  const model = await load(checkpoint, { dtype: 'f32' })
  try {
    const settings = { model: modelIdentity(checkpoint), seed: options.seed }
    const results = await runTasks(model, tasksOf(asked), { ...options, data, settings })
    return namedScores(asked, results).flatMap(({ scores, ...named }) =>
      scores.map(({ metric, value, standardError, interval }) => ({
        ...{ task: named.name, version: named.version, shots: named.shots, questions: named.questions },
        ...{ inGroup: named.inGroup, metric, value, standardError, interval },
      })),
    )
  } finally {
    model.dispose()
  }
}

/**
 * Scores of one run over several seeds: means. An interval reaches from the lowest to the highest end of the seeds'
 * intervals, as each seed is a model of its own.
 */
export function meanTaskScores(seeds: readonly (readonly TaskScore[])[]): TaskScore[] {
  const [first, ...others] = seeds
  return first.map((score, i) => {
    const all = [score, ...others.map(scores => scores[i])]
    const intervals = all.flatMap(({ interval }) => interval ?? [])
    return {
      ...score,
      value: mean(all.map(({ value }) => value)),
      standardError: others.length === 0 ? score.standardError : null,
      interval:
        intervals.length === 0
          ? null
          : {
              low: Math.min(...intervals.map(({ low }) => low)),
              high: Math.max(...intervals.map(({ high }) => high)),
            },
    }
  })
}

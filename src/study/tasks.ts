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
import { difference } from '../eval/scores.js'
import type { Task, TaskGroup } from '../eval/task.js'
import { isTaskFile, readTaskFile } from '../eval/task-file.js'
import { namedScores, tasksOf } from '../eval/task-results.js'
import { findTask } from '../eval/tasks/index.js'
import { hubSettings } from '../hub/index.js'
import { mean } from '../statistics.js'
import { baselineOf, type RunResult, type TaskScore } from './results.js'

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
  try {
    for (const task of single) {
      const questions = await questionsOf(task, data, tasks)
      const { rows, before } = questions
      // Hours of training later, the same would be found out: a text that the tokenizer cannot write, no first token.
      for (let i = 0; i < rows.length; i++) {
        const prompt = before.at(i) + task.prompt(rows.at(i).row)
        tokenizer.encode(prompt)
        if (i === 0 && (prompt === '' || task.output === 'loglikelihood_rolling')) prefixToken(tokenizer)
        if (task.output !== 'multiple_choice' && task.output !== 'loglikelihood') continue
        for (const { continuation } of requestsOf(questions, i)) tokenizer.encode(continuation)
      }
    }
  } catch (error) {
    data.close()
    throw error
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
      scores.map(({ metric, value, standardError, interval, resampled }) => ({
        ...{ task: named.name, version: named.version, shots: named.shots, questions: named.questions },
        ...{ inGroup: named.inGroup, metric, value, standardError, interval },
        // Sixty-seven tasks of a group would be as many times as large; the report has the group alone.
        ...(!named.inGroup && { resampled: Array.from(resampled) }),
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
  return first.map(({ resampled: _, ...score }, i) => {
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

/**
 * `merged`, one result for each run, with the differences of their scores to the baseline's. `seeds`: of each run the
 * results of its seeds, paired with those of the baseline; over several seeds the difference is a mean, and its interval
 * reaches from the lowest to the highest end of theirs. Without what a run of an earlier version has not stored, none.
 */
export function withTaskDifferences(
  merged: readonly RunResult[],
  seeds: readonly (readonly RunResult[])[],
): RunResult[] {
  const baseline = baselineOf(merged)
  return merged.map((run, r) => {
    if (run.tasks === undefined) return run
    const tasks = run.tasks.map(({ resampled: _, ...score }, i) => {
      if (r === baseline) return score
      const each = seeds[r].flatMap(
        (seed, s) => pairedDifference(seeds[baseline][s]?.tasks?.[i], seed.tasks?.[i]) ?? [],
      )
      if (each.length !== seeds[r].length) return score
      const intervals = each.flatMap(({ interval }) => interval ?? [])
      return {
        ...score,
        difference: {
          value: mean(each.map(({ value }) => value)),
          standardError: each.length === 1 ? each[0].standardError : null,
          interval:
            intervals.length === 0
              ? null
              : {
                  low: Math.min(...intervals.map(({ low }) => low)),
                  high: Math.max(...intervals.map(({ high }) => high)),
                },
        },
      }
    })
    return { ...run, tasks }
  })
}

/** Null where one of the two is missing, or its resamplings are. */
function pairedDifference(first: TaskScore | undefined, second: TaskScore | undefined) {
  if (first?.resampled === undefined || second?.resampled === undefined) return null
  return difference(
    { value: first.value, resampled: Float64Array.from(first.resampled) },
    { value: second.value, resampled: Float64Array.from(second.resampled) },
  )
}

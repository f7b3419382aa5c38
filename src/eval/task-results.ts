// Results of tasks in the layout of lm-evaluation-harness's results.json, as a table, and compared between models.

import path from 'node:path'
import { version } from '../version.js'
import { SHOT_SEED } from './few-shot.js'
import type { TaskResult } from './run-tasks.js'
import { differences, groupScores, higherIsBetter, metricName, type Score } from './scores.js'
import type { Task, TaskGroup } from './task.js'
import { isGroup } from './tasks/index.js'

/** A task or a group with its scores. */
export interface NamedScores {
  readonly name: string
  readonly version: number
  /** Null for a group whose tasks differ in it. */
  readonly shots: number | null
  readonly questions: number
  /** Whether it is one of the tasks of a group that is listed too. */
  readonly inGroup: boolean
  readonly scores: readonly Score[]
}

/** Groups with their tasks after them, in the order asked for. `results`: of all tasks, in that order. */
export function namedScores(
  asked: readonly (Task | TaskGroup)[],
  results: readonly TaskResult[],
): NamedScores[] {
  const resultOf = new Map(results.map(result => [result.task, result]))
  const single = (task: Task, inGroup: boolean): NamedScores[] => {
    const result = resultOf.get(task)
    if (result === undefined) return []
    const { questions, shots, scores } = result
    return [{ name: task.name, version: task.version, shots, questions, inGroup, scores }]
  }
  return asked.flatMap(entry => {
    if (!isGroup(entry)) return single(entry, false)
    const parts = entry.tasks.flatMap(task => single(task, true))
    const shots = new Set(parts.map(part => part.shots))
    const group = {
      name: entry.name,
      version: entry.version,
      shots: shots.size === 1 ? parts[0].shots : null,
      questions: parts.reduce((sum, { questions }) => sum + questions, 0),
      inGroup: false,
      scores: groupScores(parts, entry.weightBySize),
    }
    return [group, ...parts]
  })
}

/** The tasks to run: those of groups in place of them, each once. */
export function tasksOf(asked: readonly (Task | TaskGroup)[]): Task[] {
  return [...new Set(asked.flatMap(entry => (isGroup(entry) ? entry.tasks : [entry])))]
}

export interface ResultsConfig {
  readonly model: string
  readonly modelArgs: Readonly<Record<string, unknown>>
  readonly limit: number | null
  readonly bootstrap: number
  readonly seed: number
  /** Tokens that the model reads at most. */
  readonly context: number
}

/** The harness's results.json; intervals and truncation are additions. Holds no times: the same run gives the same bytes. */
export function harnessResults(
  asked: readonly (Task | TaskGroup)[],
  results: readonly TaskResult[],
  config: ResultsConfig,
): Record<string, unknown> {
  const named = namedScores(asked, results)
  const groups = asked.filter(isGroup)
  const isGroupName = (name: string) => groups.some(group => group.name === name)
  const byName = <T>(entries: readonly NamedScores[], of: (entry: NamedScores) => T) =>
    Object.fromEntries(entries.map(entry => [entry.name, of(entry)]))
  const byTask = <T>(of: (result: TaskResult) => T) =>
    Object.fromEntries(results.map(result => [result.task.name, of(result)]))
  return {
    results: byName(named, scoreFields),
    groups: byName(
      named.filter(({ name }) => isGroupName(name)),
      scoreFields,
    ),
    group_subtasks: Object.fromEntries(groups.map(({ name, tasks }) => [name, tasks.map(task => task.name)])),
    configs: byTask(configFields),
    versions: byName(named, entry => entry.version),
    'n-shot': byName(named, entry => entry.shots),
    higher_is_better: byName(named, ({ scores }) =>
      Object.fromEntries(scores.map(({ metric }) => [metricName(metric), higherIsBetter(metric)])),
    ),
    'n-samples': byTask(({ available, questions }) => ({ original: available, effective: questions })),
    truncated: byTask(({ truncated }) => truncated),
    config: {
      model: 'flicker',
      model_args: Object.entries({ pretrained: config.model, ...config.modelArgs })
        .map(([key, value]) => `${key}=${value}`)
        .join(','),
      limit: config.limit,
      bootstrap_iters: config.bootstrap,
      random_seed: config.seed,
      fewshot_seed: SHOT_SEED,
    },
    max_length: config.context,
    flicker_version: version,
  }
}

function scoreFields({ name, inGroup, scores }: NamedScores): Record<string, unknown> {
  const fields: Record<string, unknown> = { alias: inGroup ? ` - ${name}` : name }
  for (const { metric, value, standardError, interval } of scores) {
    const [metricOnly, filter] = metric.split(',')
    fields[metric] = value
    fields[`${metricOnly}_stderr,${filter}`] = standardError ?? 'N/A'
    if (interval !== null) fields[`${metricOnly}_ci95,${filter}`] = [interval.low, interval.high]
  }
  return fields
}

function configFields({ task, file, shots, log }: TaskResult): Record<string, unknown> {
  const { name, output, description = '', targetDelimiter = ' ', shotDelimiter = '\n\n' } = task
  return {
    task: name,
    output_type: output === 'generate_code' ? 'generate_until' : output,
    // Of the Hub the name is not a path.
    dataset_file: file.includes('@') && !path.isAbsolute(file) ? file : path.basename(file),
    samples: path.basename(log),
    num_fewshot: shots,
    fewshot_rule: task.shots.rule,
    description,
    target_delimiter: targetDelimiter,
    fewshot_delimiter: shotDelimiter,
    ...(task.output === 'generate_until' && {
      generation_kwargs: { until: task.stops, max_gen_toks: task.maxTokens, do_sample: false },
    }),
    ...(task.output === 'generate_code' && {
      generation_kwargs: {
        ...{ until: task.stops, max_gen_toks: task.maxTokens, do_sample: task.draws !== undefined },
        ...(task.draws && { temperature: task.draws.temperature, top_p: task.draws.topP }),
      },
      repeats: task.draws?.count ?? 1,
      unsafe_code: true,
    }),
    metadata: { version: task.version },
  }
}

/** One line for each task and metric, columns aligned. */
export function scoreTable(entries: readonly NamedScores[]): string {
  const rows = entries.flatMap(({ name, version, shots, questions, inGroup, scores }) =>
    scores.map(({ metric, value, standardError, interval }, i) => [
      i === 0 ? `${inGroup ? ' - ' : ''}${name}` : '',
      i === 0 ? String(version) : '',
      i === 0 ? String(shots ?? '') : '',
      i === 0 ? questions.toLocaleString('en-US') : '',
      metricLabel(metric),
      score(value),
      standardError === null ? '' : `± ${score(standardError)}`,
      interval === null ? '' : `${score(interval.low)} to ${score(interval.high)}`,
    ]),
  )
  return aligned(
    ['task', 'version', 'shots', 'questions', 'metric', 'value', 'std. error', '95 % interval'],
    rows,
    5,
  )
}

/** What each further model scores more (or less) than the first, on the same questions. */
export function differenceTable(models: readonly { name: string; scores: readonly NamedScores[] }[]): string {
  const [first, ...others] = models
  const rows = others.flatMap(other =>
    other.scores.flatMap(({ name, scores }, t) =>
      differences(first.scores[t].scores, scores).map(({ metric, value, standardError, interval }, i) => [
        i === 0 ? other.name : '',
        i === 0 ? name : '',
        metricLabel(metric),
        signedScore(value),
        standardError === null ? '' : `± ${score(standardError)}`,
        interval === null ? '' : `${signedScore(interval.low)} to ${signedScore(interval.high)}`,
        interval === null || (interval.low <= 0 && interval.high >= 0) ? '' : betterWorse(metric, value),
      ]),
    ),
  )
  return aligned(
    [`against ${first.name}`, 'task', 'metric', 'difference', 'std. error', '95 % interval', ''],
    rows,
    3,
  )
}

/** The differences as JSON: by model, task and metric. */
export function differenceFields(
  models: readonly { name: string; scores: readonly NamedScores[] }[],
): Record<string, unknown> {
  const [first, ...others] = models
  return {
    baseline: first.name,
    models: Object.fromEntries(
      others.map(other => [
        other.name,
        Object.fromEntries(
          other.scores.map(({ name, scores }, t) => [
            name,
            Object.fromEntries(
              differences(first.scores[t].scores, scores).map(({ metric, ...rest }) => [metric, rest]),
            ),
          ]),
        ),
      ]),
    ),
  }
}

function betterWorse(metric: string, difference: number): string {
  return difference > 0 === higherIsBetter(metric) ? 'better' : 'worse'
}

function metricLabel(metric: string): string {
  return metric.endsWith(',none') ? metricName(metric) : metric.replace(',', ' (').concat(')')
}

function score(value: number): string {
  return value >= 1000 ? value.toPrecision(5) : value.toFixed(4)
}

function signedScore(value: number): string {
  return `${value > 0 ? '+' : ''}${score(value)}`
}

/** Columns up to `left` are aligned at their left, the others at their right. */
function aligned(head: readonly string[], rows: readonly (readonly string[])[], left: number): string {
  const widths = head.map((title, c) => Math.max(title.length, ...rows.map(row => row[c].length)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, c) => (c < left ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)].join('\n')
}

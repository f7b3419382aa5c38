// From the values of single questions to the score of a task: value, standard error, bootstrap interval; means over groups;
// differences between models, question by question.

import { createHash } from 'node:crypto'
import { quantilesOfSorted, standardDeviation } from '../statistics.js'
import { PythonRandom } from './python-random.js'
import type { ScoredSamples } from './sample.js'
import { columnOf, metricsOf, type Task } from './task.js'

/**
 * Seed of the resampling: the same questions are drawn for every model, so that differences are paired, and other ones for
 * every task, so that the tasks of a group do not move together.
 */
function bootstrapSeed({ name }: Task): number {
  return createHash('sha256').update(`1234 ${name}`).digest().readUInt32LE(0)
}

export interface Interval {
  readonly low: number
  readonly high: number
}

export interface Score {
  /** `acc,none`: metric and filter, as the harness names them. */
  readonly metric: string
  readonly value: number
  /** Null for a single question. */
  readonly standardError: number | null
  /** Holds the value with a probability of 95 % (percentiles of the resampled values); null without resampling. */
  readonly interval: Interval | null
  /** The value for each resampling of the questions. */
  readonly resampled: Float64Array
}

/** How a metric follows from sums over questions. */
interface MetricRule {
  readonly column: string
  /** What the sum is divided by: the number of questions, or the sum of another column. */
  readonly over: 'questions' | 'words' | 'bytes'
  readonly of: (quotient: number) => number
}

const RULES: Readonly<Record<string, MetricRule>> = {
  perplexity: { column: 'loglikelihood', over: 'questions', of: mean => Math.exp(-mean) },
  word_perplexity: { column: 'loglikelihood', over: 'words', of: mean => Math.exp(-mean) },
  byte_perplexity: { column: 'loglikelihood', over: 'bytes', of: mean => Math.exp(-mean) },
  bits_per_byte: { column: 'loglikelihood', over: 'bytes', of: mean => -mean / Math.LN2 },
}

/** The name of a metric without its filter. */
export function metricName(metric: string): string {
  return metric.split(',')[0]
}

/** Whether a higher value is better. */
export function higherIsBetter(metric: string): boolean {
  return !(metricName(metric) in RULES)
}

function ruleOf(metric: string): MetricRule {
  const name = metricName(metric)
  // A plain mean of a value that the sample has under the metric's own name.
  return RULES[name] ?? { column: columnOf(metric), over: 'questions', of: x => x }
}

/** All metrics of a task; `bootstrap`: how often the questions are resampled. */
export function scoresOf(task: Task, samples: ScoredSamples, bootstrap: number): Score[] {
  const n = samples.length
  const rules = metricsOf(task).map(metric => ({ metric, ...ruleOf(metric) }))
  const names = [
    ...new Set(rules.flatMap(({ column, over }) => (over === 'questions' ? [column] : [column, over]))),
  ]
  const columns = new Map(names.map(name => [name, samples.column(name)]))
  const column = (name: string) => columns.get(name) ?? new Float64Array(n)
  const sums = resampledSums(names.map(column), n, bootstrap, bootstrapSeed(task))
  return rules.map(({ metric, column: name, over, of }) => {
    const at = names.indexOf(name)
    const value = of(sum(column(name)) / (over === 'questions' ? n : sum(column(over))))
    const resampled = sums[at].map((total, i) =>
      of(total / (over === 'questions' ? n : sums[names.indexOf(over)][i])),
    )
    const plain = RULES[metricName(metric)] === undefined
    const standardError =
      n < 2
        ? null
        : plain
          ? standardDeviation(column(name)) / Math.sqrt(n)
          : bootstrap < 2
            ? null
            : standardDeviation(resampled)
    return { metric, value, standardError, interval: interval95(resampled), resampled }
  })
}

/** For each column its sums over resampled questions, the same questions in all columns. */
function resampledSums(
  columns: readonly Float64Array[],
  n: number,
  times: number,
  seed: number,
): Float64Array[] {
  const random = new PythonRandom(seed)
  const sums = columns.map(() => new Float64Array(times))
  const drawn = new Int32Array(n)
  for (let time = 0; time < times; time++) {
    for (let i = 0; i < n; i++) drawn[i] = random.below(n)
    for (const [c, column] of columns.entries()) {
      let total = 0
      for (let i = 0; i < n; i++) total += column[drawn[i]]
      sums[c][time] = total
    }
  }
  return sums
}

/** The mean of the tasks of a group, by metric; tasks and their scores in the same order. */
export function groupScores(
  tasks: readonly { readonly questions: number; readonly scores: readonly Score[] }[],
  weightBySize: boolean,
): Score[] {
  const total = sum(tasks.map(({ questions }) => questions))
  const weights = tasks.map(({ questions }) => (weightBySize ? questions / total : 1 / tasks.length))
  return tasks[0].scores.map(({ metric, resampled }, m) => {
    const parts = tasks.map(({ scores }) => scores[m])
    const mixed = resampled.map((_, i) => sum(parts.map((part, t) => weights[t] * part.resampled[i])))
    return {
      metric,
      value: sum(parts.map((part, t) => weights[t] * part.value)),
      standardError: pooledError(
        parts.map(({ standardError }) => standardError),
        tasks.map(({ questions }) => questions),
      ),
      interval: interval95(mixed),
      resampled: mixed,
    }
  })
}

/** The harness's standard error of a group: that of the mean over all questions, from the variances within the tasks. */
function pooledError(errors: readonly (number | null)[], sizes: readonly number[]): number | null {
  const total = sum(sizes)
  let squares = 0
  for (const [t, error] of errors.entries()) {
    if (error === null) return null
    squares += (sizes[t] - 1) * error ** 2 * sizes[t]
  }
  return Math.sqrt(squares / (total - sizes.length) / total)
}

export interface Difference {
  readonly metric: string
  /** Second model minus first. */
  readonly value: number
  readonly standardError: number | null
  readonly interval: Interval | null
}

/** How the second model's scores differ from the first's on the same questions. */
export function differences(first: readonly Score[], second: readonly Score[]): Difference[] {
  return first.map((score, i) => {
    const other = second[i]
    return { metric: score.metric, ...difference(score, other) }
  })
}

/** Of one metric, from the values for the same resamplings of the questions. */
export function difference(
  first: Pick<Score, 'value' | 'resampled'>,
  second: Pick<Score, 'value' | 'resampled'>,
): Omit<Difference, 'metric'> {
  const resampled = first.resampled.map((value, k) => second.resampled[k] - value)
  return {
    value: second.value - first.value,
    standardError: resampled.length < 2 ? null : standardDeviation(resampled),
    interval: interval95(resampled),
  }
}

/** The 2.5 % and 97.5 % quantiles. */
function interval95(resampled: Float64Array): Interval | null {
  if (resampled.length === 0) return null
  const [low, high] = quantilesOfSorted(resampled.slice().sort(), [0.025, 0.975])
  return { low, high }
}

function sum(values: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < values.length; i++) total += values[i]
  return total
}

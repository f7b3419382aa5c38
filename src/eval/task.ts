// What a task is: where its rows come from, what the model reads, what is scored and how. The definitions are those of
// lm-evaluation-harness; docs/evaluation.md says which parts are the same. The runner knows this file and no task.

import type { z } from 'zod'
import type { CodeLanguage } from './code/limits.js'

/** A row of a data file, and where it stands, for messages. */
export interface TaskRow<Row> {
  readonly row: Row
  readonly file: string
  /** From 1. */
  readonly line: number
}

/** How rows become few-shot examples. */
export interface ShotRule<Row> {
  /** Examples when --shots is not given. */
  readonly count: number
  /** `random`: drawn for every question with Python's Random(1234), as the harness does; `first`: the first rows. */
  readonly rule: 'random' | 'first'
  /** Files of the examples, the first that exists; the evaluated file by default. */
  readonly files?: readonly string[]
  /** The split of the examples on the Hub; the evaluated split by default. */
  readonly split?: string
  /** The rows of the examples' file that may be examples; those of the task by default. */
  readonly only?: (row: Row) => boolean
  /**
   * The harness draws one row more than it uses where the examples come from the split that it scores, or where its file
   * names neither: the draws that follow depend on it.
   */
  readonly drawsOneMore?: boolean
  /** The text of an example instead of prompt, delimiter and answer. */
  readonly text?: (row: Row) => string
}

/**
 * Where the Hugging Face Hub has a task's rows: `dataset_path`, `dataset_name` and the split of the harness's file of the task
 * (lm_eval/tasks/…/*.yaml of EleutherAI/lm-evaluation-harness). Where an older file names a data set without its owner (gsm8k,
 * hellaswag, nq_open, openbookqa, super_glue, trivia_qa, winogrande) the owner is the one that the Hub is
 * believed to redirect to (it was not asked).
 */
export interface HubRows {
  /** `owner/name`. */
  readonly repo: string
  /** The configuration, `default` where it has one only. */
  readonly config: string
  /** The split that the harness scores. */
  readonly split: string
  /** Columns that are read; all by default. */
  readonly columns?: readonly string[]
}

interface TaskCommon<Row> {
  readonly name: string
  /** Of the harness's task: scores of different versions must not be compared. */
  readonly version: number
  /** What the task asks, in one line. */
  readonly about: string
  /** Names of the data file without its ending, the first that exists; the first is the split that the harness scores. */
  readonly files: readonly string[]
  /** Absent for a task that is not on the Hub as tables. */
  readonly hub?: HubRows
  readonly row: z.ZodType<Row>
  /** The rows of the file that belong to the task; all by default. */
  readonly only?: (row: Row) => boolean
  /** The same for the tasks of a group, which share `of`: the part of the file whose rows have this value. */
  readonly part?: { readonly of: (row: Row) => string; readonly is: string }
  readonly shots: ShotRule<Row>
  /** Stands before the examples. */
  readonly description?: string
  /** Between prompt and answer. Default one space. */
  readonly targetDelimiter?: string
  /** After every example. Default two line ends. */
  readonly shotDelimiter?: string
  /** The question as the model reads it. */
  readonly prompt: (row: Row) => string
  /** The answer as an example shows it. */
  readonly answer: (row: Row) => string
}

/** `acc_mutual_info`: the likelihood of the choice after an empty prompt is taken off. */
export type ChoiceMetric = 'acc' | 'acc_norm' | 'acc_bytes' | 'acc_mutual_info'

/** One of several continuations is right: that of the highest log-likelihood is the model's answer. */
export interface ChoiceTask<Row> extends TaskCommon<Row> {
  readonly output: 'multiple_choice'
  readonly metrics: readonly ChoiceMetric[]
  readonly choices: (row: Row) => readonly string[]
  /** Index of the right choice. */
  readonly gold: (row: Row) => number
  /** Where each choice has a prompt of its own and the same continuation follows all (partial scoring). */
  readonly partial?: (row: Row) => { readonly prompts: readonly string[]; readonly continuation: string }
}

/** The continuation is known: its log-likelihood, and whether greedy decoding gives it. */
export interface ContinuationTask<Row> extends TaskCommon<Row> {
  readonly output: 'loglikelihood'
}

/** The likelihood of a whole document. */
export interface RollingTask<Row> extends TaskCommon<Row> {
  readonly output: 'loglikelihood_rolling'
  /** The document as it was before `prompt` changed it: its words and bytes are counted. */
  readonly document: (row: Row) => string
}

/** The model writes, and what it wrote is compared. */
export interface GenerationTask<Row> extends TaskCommon<Row> {
  readonly output: 'generate_until'
  readonly stops: readonly string[]
  readonly maxTokens: number
  /** Names of the scores, as `exact_match,strict-match`. */
  readonly metrics: readonly string[]
  /** The scores of a text, one per metric. */
  readonly score: (text: string, row: Row) => readonly number[]
}

/** The model writes programs, and they are run. */
export interface CodeTask<Row> extends TaskCommon<Row> {
  readonly output: 'generate_code'
  readonly language: CodeLanguage
  readonly stops: readonly string[]
  readonly maxTokens: number
  /** Programs that are drawn for each question, and how; absent: the greedy one. */
  readonly draws?: { readonly count: number; readonly temperature: number; readonly topP: number }
  /** A score for each k: the chance that one of k programs is right. `pass@1,create_test`. */
  readonly passes: readonly { readonly k: number; readonly metric: string }[]
  /** What is run: it must end without an error. */
  readonly program: (text: string, row: Row) => string
}

export type TaskOf<Row> =
  | ChoiceTask<Row>
  | ContinuationTask<Row>
  | RollingTask<Row>
  | GenerationTask<Row>
  | CodeTask<Row>

/** A task whose rows only it understands: they are checked by its schema before its functions see them. */
// biome-ignore lint/suspicious/noExplicitAny: the row type is known inside the task's file alone.
export type Task = TaskOf<any>

/** Several tasks and their mean. */
export interface TaskGroup {
  readonly name: string
  readonly version: number
  readonly about: string
  readonly tasks: readonly Task[]
  /** Whether the mean weights tasks by their questions; else every task counts the same. */
  readonly weightBySize: boolean
}

/** Infers the row type from the schema. */
export function defineTask<Row>(task: TaskOf<Row>): Task {
  return task
}

/** Names of the metrics of a task, as the results name them: `acc,none`. */
export function metricsOf(task: Task): readonly string[] {
  switch (task.output) {
    case 'multiple_choice':
      return task.metrics.map(metric => `${metric},none`)
    case 'loglikelihood':
      return ['perplexity,none', 'acc,none']
    case 'loglikelihood_rolling':
      return ['word_perplexity,none', 'byte_perplexity,none', 'bits_per_byte,none']
    case 'generate_until':
      return task.metrics
    case 'generate_code':
      return task.passes.map(({ metric }) => metric)
  }
}

/** The name under which samples have the value of a metric that is a mean: without the filter `none`. */
export function columnOf(metric: string): string {
  return metric.endsWith(',none') ? metric.slice(0, -',none'.length) : metric
}

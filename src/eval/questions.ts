// The questions of a task as the runner scores them: rows, the text before each, and what is checked before anything is
// computed.

import { DatasetError } from '../errors.js'
import { shotTexts, type Texts } from './few-shot.js'
import { firstRows, invalidRow, type Rows, type TaskRows } from './rows.js'
import type { Task, TaskRow } from './task.js'

/** One continuation of one prompt. */
export interface Request {
  readonly prompt: string
  readonly continuation: string
}

export interface Questions {
  readonly task: Task
  /** The data file. */
  readonly file: string
  readonly shots: number
  /** Questions in the file, and those that are asked. */
  readonly available: number
  readonly rows: Rows
  /** What stands before each question. */
  readonly before: Texts
}

/** Throws DatasetError: what TaskData and shotTexts throw, and TASK_ROW_INVALID for a gold that is no choice. */
export async function questionsOf(
  task: Task,
  data: TaskRows,
  options: { readonly shots?: number; readonly limit?: number },
): Promise<Questions> {
  const { file, rows: all } = await data.rows(task)
  const { shots = task.shots.count, limit = all.length } = options
  const rows = firstRows(all, limit)
  for (const row of rows) checkRow(task, row)
  const pool = shots === 0 ? null : await data.shotRows(task)
  const before = shotTexts(task, rows, { shots, pool, count: rows.length })
  return { task, file, shots, available: all.length, rows, before }
}

function checkRow(task: Task, where: TaskRow<unknown>): void {
  if (task.output !== 'multiple_choice') return
  const choices = task.choices(where.row)
  const gold = task.gold(where.row)
  if (choices.length === 0) throw invalidRow(where, 'there is no choice')
  const empty = choices.indexOf('')
  if (empty !== -1) throw invalidRow(where, `choice ${empty} is empty`)
  if (Number.isInteger(gold) && gold >= 0 && gold < choices.length) return
  throw invalidRow(
    where,
    `the right choice must be one of the ${choices.length} given, and the row says ${Number.isNaN(gold) ? 'none' : gold} (from 0; −1: its letter is none of theirs)`,
  )
}

/** The requests of one question of a task with known continuations. */
export function requestsOf({ task, rows, before }: Questions, index: number): Request[] {
  const { targetDelimiter = ' ' } = task
  const { row } = rows.at(index)
  const start = before.at(index)
  if (task.output === 'multiple_choice') {
    const partial = task.partial?.(row)
    if (partial !== undefined) {
      const continuation = targetDelimiter + partial.continuation
      return partial.prompts.map(prompt => ({ prompt: start + prompt, continuation }))
    }
    const prompt = start + task.prompt(row)
    return task.choices(row).map(choice => ({ prompt, continuation: targetDelimiter + choice }))
  }
  if (task.output === 'loglikelihood') {
    return [{ prompt: start + task.prompt(row), continuation: targetDelimiter + task.answer(row) }]
  }
  throw new DatasetError('TASK_OUTPUT', `${task.name} has no continuations to score`)
}

/** The choices after an empty prompt, for acc_mutual_info; none for tasks without it. */
export function unconditionalRequestsOf({ task, rows }: Questions, index: number): Request[] {
  if (task.output !== 'multiple_choice' || !task.metrics.includes('acc_mutual_info')) return []
  const { targetDelimiter = ' ' } = task
  return task
    .choices(rows.at(index).row)
    .map(choice => ({ prompt: '', continuation: targetDelimiter + choice }))
}

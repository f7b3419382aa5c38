// Rows of a task: JSON lines, plain or gzipped, checked one by one. A wrong row is named by file and line.

import path from 'node:path'
import { parseJson } from '../data/json-text.js'
import { decodeText, FileProblem, kindOf, readBytes } from '../data/text-file.js'
import { DatasetError } from '../errors.js'
import { describeFirstIssue } from '../schema-issues.js'
import type { Task, TaskRow } from './task.js'

const ENDINGS = ['.jsonl', '.jsonl.gz', '.json', '.json.gz']

/** Where the rows of tasks are. */
export interface TaskRows {
  /** The rows of a task, and what they are from. Throws DatasetError. */
  rows(task: Task): { readonly file: string; readonly rows: readonly TaskRow<unknown>[] }
  /** The rows that few-shot examples are drawn from. Throws DatasetError. */
  shotRows(task: Task): readonly TaskRow<unknown>[]
}

type Rows = readonly TaskRow<unknown>[]

/** Rows by their part, for each table and rule. */
const parts = new WeakMap<Rows, Map<(row: unknown) => string, Map<string, TaskRow<unknown>[]>>>()

/** The rows of a table that belong to `task`. */
export function ownRowsOf(task: Task, rows: Rows): Rows {
  const { only } = task
  const own = task.part === undefined ? rows : partOf(rows, task.part)
  return only === undefined ? own : own.filter(({ row }) => only(row))
}

/** The rows of a table that may be examples of `task`. */
export function shotRowsOf(task: Task, rows: Rows): Rows {
  const { only } = task.shots
  return only === undefined ? ownRowsOf(task, rows) : rows.filter(({ row }) => only(row))
}

/** Sixty-seven tasks of one file go through it once. */
function partOf(rows: Rows, { of, is }: NonNullable<Task['part']>): Rows {
  const byRule = parts.get(rows) ?? new Map<(row: unknown) => string, Map<string, TaskRow<unknown>[]>>()
  parts.set(rows, byRule)
  let byPart = byRule.get(of)
  if (byPart === undefined) {
    byPart = new Map()
    for (const row of rows) {
      const part = of(row.row)
      const same = byPart.get(part)
      if (same === undefined) byPart.set(part, [row])
      else same.push(row)
    }
    byRule.set(of, byPart)
  }
  return byPart.get(is) ?? []
}

/** The data files of one directory; each is read and checked once. */
export class TaskData implements TaskRows {
  readonly #directory: string | null
  // A file of a group is read by many tasks of one schema.
  readonly #read = new Map<string, Map<Task['row'], TaskRow<unknown>[]>>()

  /** Null: tasks that name their own files only. */
  constructor(directory: string | null) {
    this.#directory = directory
  }

  /**
   * The rows of a task and the file they are from. Throws DatasetError TASK_DATA_MISSING, TASK_DATA_UNREADABLE,
   * TASK_ROW_INVALID, TASK_ROWS_MISSING.
   */
  rows(task: Task): { readonly file: string; readonly rows: readonly TaskRow<unknown>[] } {
    const file = this.#find(task, task.files)
    const rows = ownRowsOf(task, this.#rowsOf(file, task.row))
    if (rows.length > 0) return { file, rows }
    throw new DatasetError('TASK_ROWS_MISSING', `${file} has no rows of the task ${task.name}`)
  }

  /** The rows that few-shot examples are drawn from. Throws as `rows` does. */
  shotRows(task: Task): readonly TaskRow<unknown>[] {
    const { files = task.files } = task.shots
    return shotRowsOf(task, this.#rowsOf(this.#find(task, files, 'for its few-shot examples '), task.row))
  }

  #find(task: Task, names: readonly string[], use = ''): string {
    const candidates = names.flatMap(name => {
      // Tasks from a user's file name their data by path.
      if (path.isAbsolute(name)) return [name]
      const directory = this.#directory
      if (directory === null) {
        throw new DatasetError(
          'TASK_DATA_MISSING',
          `${task.name} needs ${use === '' ? 'its rows' : `${use}rows`}: give --data DIR, a directory with ${names[0]}.jsonl or ${names[0]}.jsonl.gz` +
            `${task.hub === undefined ? '' : ', or --data hub to download them'}`,
        )
      }
      return ENDINGS.map(ending => path.join(directory, name + ending))
    })
    const found = candidates.find(file => kindOf(file) === 'file')
    if (found !== undefined) return found
    if (names.every(name => path.isAbsolute(name))) {
      throw new DatasetError('TASK_DATA_MISSING', `${task.name}: there is no file ${names.join(', nor ')}`)
    }
    throw new DatasetError(
      'TASK_DATA_MISSING',
      `${task.name} needs ${use}${names.map(name => (path.isAbsolute(name) ? name : `${name}.jsonl`)).join(' or ')}` +
        `${this.#directory === null ? '' : `, plain or as .gz, in ${this.#directory}`}; see docs/evaluation.md for its fields`,
    )
  }

  #rowsOf(file: string, schema: Task['row']): readonly TaskRow<unknown>[] {
    const bySchema = this.#read.get(file) ?? new Map<Task['row'], TaskRow<unknown>[]>()
    this.#read.set(file, bySchema)
    const known = bySchema.get(schema)
    if (known !== undefined) return known
    const rows = readRows(file, schema)
    bySchema.set(schema, rows)
    return rows
  }
}

function readRows(file: string, schema: Task['row']): TaskRow<unknown>[] {
  let text: string
  try {
    text = decodeText(readBytes(file), file)
  } catch (cause) {
    if (!(cause instanceof FileProblem)) throw cause
    throw new DatasetError('TASK_DATA_UNREADABLE', cause.message, { cause })
  }
  const rows: TaskRow<unknown>[] = []
  for (const [i, json] of text.split('\n').entries()) {
    if (json.trim() === '') continue
    const line = i + 1
    let row: unknown
    try {
      row = parseJson(json)
    } catch (cause) {
      throw invalidRow({ file, line }, `is not JSON: ${(cause as Error).message}`, cause)
    }
    rows.push(checkedRow(row, schema, { file, line }))
  }
  return rows
}

/** Throws DatasetError TASK_ROW_INVALID. */
export function checkedRow(
  row: unknown,
  schema: Task['row'],
  { file, line }: { readonly file: string; readonly line: number },
): TaskRow<unknown> {
  const result = schema.safeParse(row)
  if (result.success) return { row: result.data, file, line }
  const issue = describeFirstIssue(result.error, schema, row, 'the row')
  throw invalidRow({ file, line }, issue, result.error)
}

/** A row that cannot be used, named by file and line. */
export function invalidRow(
  { file, line }: { readonly file: string; readonly line: number },
  problem: string,
  cause?: unknown,
): DatasetError {
  return new DatasetError('TASK_ROW_INVALID', `${file}:${line}: ${problem}`, { cause })
}

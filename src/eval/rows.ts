// Rows of a task: JSON lines, plain or gzipped, all checked at first and read again when they are needed, so that memory does
// not grow with their number. A wrong row is named by file and line.

import path from 'node:path'
import { parseJson } from '../data/json-text.js'
import { FileProblem, kindOf } from '../data/text-file.js'
import { DatasetError } from '../errors.js'
import { describeFirstIssue } from '../schema-issues.js'
import { LineFile } from './line-file.js'
import { Recent } from './recent.js'
import type { Task, TaskRow } from './task.js'

const ENDINGS = ['.jsonl', '.jsonl.gz', '.json', '.json.gz']

/** Rows that have been used last and are kept, of each table. */
const KEPT_ROWS = 256

/** Rows in order, which are read when they are asked for. */
export interface Rows extends Iterable<TaskRow<unknown>> {
  readonly length: number
  /** `index` is less than `length`. */
  at(index: number): TaskRow<unknown>
}

/** Where the rows of tasks are. */
export interface TaskRows {
  /** The rows of a task, and what they are from; all of them checked. Throws DatasetError. */
  rows(task: Task): Promise<{ readonly file: string; readonly rows: Rows }>
  /** The rows that few-shot examples are drawn from. Throws DatasetError. */
  shotRows(task: Task): Promise<Rows>
  /** Closes the files. */
  close(): void
}

/** All rows of one file as one schema has them. */
export class RowTable implements Rows {
  readonly #lines: LineFile
  readonly #file: string
  readonly #schema: Task['row']
  readonly #kept = new Recent<number, TaskRow<unknown>>(KEPT_ROWS)
  /** Indices by part, for each rule of a group. */
  readonly #parts = new Map<(row: unknown) => string, Map<string, number[]>>()

  /** Checks every row. `file`: its name in messages. Throws DatasetError TASK_ROW_INVALID. */
  constructor(lines: LineFile, schema: Task['row'], file: string) {
    this.#lines = lines
    this.#file = file
    this.#schema = schema
    for (const _ of this);
  }

  get length(): number {
    return this.#lines.length
  }

  at(index: number): TaskRow<unknown> {
    return this.#kept.get(index, () => this.#read(index))
  }

  *[Symbol.iterator](): Generator<TaskRow<unknown>> {
    for (let index = 0; index < this.length; index++) yield this.#read(index)
  }

  /** The rows that belong to `task`. */
  ownOf(task: Task): Rows {
    const { only } = task
    const own = task.part === undefined ? this : this.#partOf(task.part)
    return only === undefined ? own : chosen(own, row => only(row))
  }

  /** The rows that may be examples of `task`. */
  shotsOf(task: Task): Rows {
    const { only } = task.shots
    return only === undefined ? this.ownOf(task) : chosen(this, row => only(row))
  }

  /** Sixty-seven tasks of one file go through it once. */
  #partOf({ of, is }: NonNullable<Task['part']>): Rows {
    const byPart = this.#parts.get(of) ?? new Map<string, number[]>()
    if (!this.#parts.has(of)) {
      this.#parts.set(of, byPart)
      let index = 0
      for (const { row } of this) {
        const part = of(row)
        const same = byPart.get(part)
        if (same === undefined) byPart.set(part, [index])
        else same.push(index)
        index++
      }
    }
    return new SelectedRows(this, byPart.get(is) ?? [])
  }

  #read(index: number): TaskRow<unknown> {
    const { text, number: line } = this.#lines.at(index)
    const where = { file: this.#file, line }
    let row: unknown
    try {
      row = parseJson(text)
    } catch (cause) {
      throw invalidRow(where, `is not JSON: ${(cause as Error).message}`, cause)
    }
    return checkedRow(row, this.#schema, where)
  }
}

/** Some rows of others. */
class SelectedRows implements Rows {
  readonly #all: Rows
  readonly #indices: readonly number[]

  constructor(all: Rows, indices: readonly number[]) {
    this.#all = all
    this.#indices = indices
  }

  get length(): number {
    return this.#indices.length
  }

  at(index: number): TaskRow<unknown> {
    return this.#all.at(this.#indices[index])
  }

  *[Symbol.iterator](): Generator<TaskRow<unknown>> {
    for (const index of this.#indices) yield this.#all.at(index)
  }
}

function chosen(all: Rows, belongs: (row: unknown) => boolean): Rows {
  const indices: number[] = []
  let index = 0
  for (const { row } of all) {
    if (belongs(row)) indices.push(index)
    index++
  }
  return new SelectedRows(all, indices)
}

/** The first of `rows`, at most `count`. */
export function firstRows(rows: Rows, count: number): Rows {
  if (rows.length <= count) return rows
  return {
    length: count,
    at: index => rows.at(index),
    *[Symbol.iterator]() {
      for (let index = 0; index < count; index++) yield rows.at(index)
    },
  }
}

/** The data files of one directory; each is checked once. */
export class TaskData implements TaskRows {
  readonly #directory: string | null
  // A file of a group is read by many tasks of one schema.
  readonly #files = new Map<string, Promise<LineFile>>()
  readonly #tables = new Map<string, Map<Task['row'], RowTable>>()

  /** Null: tasks that name their own files only. */
  constructor(directory: string | null) {
    this.#directory = directory
  }

  /**
   * The rows of a task and the file they are from. Throws DatasetError TASK_DATA_MISSING, TASK_DATA_UNREADABLE,
   * TASK_ROW_INVALID, TASK_ROWS_MISSING; StorageError where a gzipped file cannot be unpacked.
   */
  async rows(task: Task): Promise<{ readonly file: string; readonly rows: Rows }> {
    const file = this.#find(task, task.files)
    const rows = (await this.#table(file, task.row)).ownOf(task)
    if (rows.length > 0) return { file, rows }
    throw new DatasetError('TASK_ROWS_MISSING', `${file} has no rows of the task ${task.name}`)
  }

  /** The rows that few-shot examples are drawn from. Throws as `rows` does. */
  async shotRows(task: Task): Promise<Rows> {
    const { files = task.files } = task.shots
    const file = this.#find(task, files, 'for its few-shot examples ')
    return (await this.#table(file, task.row)).shotsOf(task)
  }

  close(): void {
    for (const file of this.#files.values()) {
      file.then(
        lines => lines.close(),
        () => {},
      )
    }
    this.#files.clear()
    this.#tables.clear()
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

  async #table(file: string, schema: Task['row']): Promise<RowTable> {
    const bySchema = this.#tables.get(file) ?? new Map<Task['row'], RowTable>()
    this.#tables.set(file, bySchema)
    const known = bySchema.get(schema)
    if (known !== undefined) return known
    const opened = this.#files.get(file) ?? openLines(file)
    this.#files.set(file, opened)
    const table = new RowTable(await opened, schema, file)
    bySchema.set(schema, table)
    return table
  }
}

async function openLines(file: string): Promise<LineFile> {
  try {
    return await LineFile.open(file)
  } catch (cause) {
    if (!(cause instanceof FileProblem)) throw cause
    throw new DatasetError('TASK_DATA_UNREADABLE', cause.message, { cause })
  }
}

/** Throws DatasetError TASK_ROW_INVALID. */
function checkedRow(
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

// Rows of tasks from the Hugging Face Hub: Parquet files, downloaded into its cache, and checked as those of files are.

import { DatasetError } from '../errors.js'
import { type DatasetSplit, type DownloadOptions, downloadDataset, type HubSettings } from '../hub/index.js'
import { checkedRow, ownRowsOf, shotRowsOf, TaskData, type TaskRows } from './rows.js'
import type { HubRows, Task, TaskRow } from './task.js'

export class HubData implements TaskRows {
  /** Rows as they come, by repository, configuration and split. */
  readonly #tables: ReadonlyMap<string, Table>
  readonly #checked = new Map<string, Map<Task['row'], readonly TaskRow<unknown>[]>>()
  /** For tasks that name their own files. */
  readonly #files = new TaskData(null)

  private constructor(tables: ReadonlyMap<string, Table>) {
    this.#tables = tables
  }

  /**
   * Downloads what `tasks` need. `shots`: examples instead of the tasks' own number. Throws DatasetError TASK_NOT_ON_HUB,
   * TASK_DATA_UNREADABLE, and what downloadDataset throws.
   */
  static async load(
    tasks: readonly Task[],
    settings: HubSettings,
    options: DownloadOptions & { readonly shots?: number } = {},
  ): Promise<HubData> {
    const { shots, ...download } = options
    const wanted = new Map<string, Map<string, Wanted>>()
    for (const task of tasks) {
      if (namesItsFiles(task)) continue
      const hub = hubOf(task)
      const splits = [hub.split, ...((shots ?? task.shots.count) > 0 ? [task.shots.split ?? hub.split] : [])]
      for (const split of splits) {
        const ofRepo = wanted.get(hub.repo) ?? new Map<string, Wanted>()
        wanted.set(hub.repo, ofRepo.set(keyOf({ ...hub, split }), { config: hub.config, split, hub }))
      }
    }
    const tables = new Map<string, Table>()
    for (const [repo, splits] of wanted) {
      const list = [...splits]
      const found = await downloadDataset(
        repo,
        list.map(([, split]) => split),
        settings,
        download,
      )
      for (const [i, [key, { config, split, hub }]] of list.entries()) {
        const name = `${repo}/${config}/${split}@${found.commit.slice(0, 12)}`
        tables.set(key, { name, rows: await readTables(found.splits[i], hub.columns) })
      }
    }
    return new HubData(tables)
  }

  rows(task: Task): { readonly file: string; readonly rows: readonly TaskRow<unknown>[] } {
    if (namesItsFiles(task)) return this.#files.rows(task)
    const hub = hubOf(task)
    const { name, rows } = this.#rowsOf(task, hub)
    const own = ownRowsOf(task, rows)
    if (own.length > 0) return { file: name, rows: own }
    throw new DatasetError('TASK_ROWS_MISSING', `${name} has no rows of the task ${task.name}`)
  }

  shotRows(task: Task): readonly TaskRow<unknown>[] {
    if (namesItsFiles(task)) return this.#files.shotRows(task)
    const hub = hubOf(task)
    return shotRowsOf(task, this.#rowsOf(task, { ...hub, split: task.shots.split ?? hub.split }).rows)
  }

  #rowsOf(task: Task, hub: HubRows): { name: string; rows: readonly TaskRow<unknown>[] } {
    const key = keyOf(hub)
    const table = this.#tables.get(key)
    if (table === undefined) throw new TypeError(`${key} was not loaded`)
    const { name, rows } = table
    // The tasks of a group may share a table and a schema.
    const bySchema = this.#checked.get(key) ?? new Map<Task['row'], readonly TaskRow<unknown>[]>()
    this.#checked.set(key, bySchema)
    const checked =
      bySchema.get(task.row) ?? rows.map((row, i) => checkedRow(row, task.row, { file: name, line: i + 1 }))
    bySchema.set(task.row, checked)
    return { name, rows: checked }
  }
}

interface Table {
  /** For messages and the record of results: repository, configuration, split and commit. */
  readonly name: string
  readonly rows: readonly Record<string, unknown>[]
}

interface Wanted extends DatasetSplit {
  readonly hub: HubRows
}

/** A task from a user's file names its data by path. */
function namesItsFiles(task: Task): boolean {
  return task.hub === undefined && task.files.every(file => file.startsWith('/') || /^[A-Za-z]:/.test(file))
}

function hubOf(task: Task): HubRows {
  if (task.hub !== undefined) return task.hub
  throw new DatasetError(
    'TASK_NOT_ON_HUB',
    `${task.name} is not on the Hub as a table; give --data DIR, a directory with ${task.files[0]}.jsonl`,
  )
}

function keyOf({ repo, config, split }: { repo: string; config: string; split: string }): string {
  return `${repo}/${config}/${split}`
}

async function readTables(
  files: readonly string[],
  columns: readonly string[] | undefined,
): Promise<Record<string, unknown>[]> {
  const { asyncBufferFromFile, parquetReadObjects } = await import('hyparquet')
  const { compressors } = await import('hyparquet-compressors')
  const rows: Record<string, unknown>[] = []
  for (const file of files) {
    try {
      const buffer = await asyncBufferFromFile(file)
      const read = await parquetReadObjects({
        file: buffer,
        compressors,
        ...(columns !== undefined && { columns: [...columns] }),
      })
      for (const row of read) rows.push(plain(row) as Record<string, unknown>)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new DatasetError(
        'TASK_DATA_UNREADABLE',
        `${file} cannot be read as Parquet (${reason}); delete it, and it is downloaded again`,
        { cause },
      )
    }
  }
  return rows
}

/** 64-bit integers as numbers, and typed arrays as arrays, as JSON lines have them. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plain)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}

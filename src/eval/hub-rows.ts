// Rows of tasks from the Hugging Face Hub: Parquet files, downloaded into its cache, become JSON lines, one group of rows at a
// time, and are read as those of files are.

import { DatasetError } from '../errors.js'
import { type DatasetSplit, type DownloadOptions, downloadDataset, type HubSettings } from '../hub/index.js'
import { LineFile } from './line-file.js'
import { type Rows, RowTable, TaskData, type TaskRows } from './rows.js'
import type { HubRows, Task } from './task.js'

export class HubData implements TaskRows {
  /** Rows as they come, by repository, configuration and split. */
  readonly #tables: ReadonlyMap<string, Table>
  readonly #checked = new Map<string, Map<Task['row'], RowTable>>()
  /** For tasks that name their own files. */
  readonly #files = new TaskData(null)

  private constructor(tables: ReadonlyMap<string, Table>) {
    this.#tables = tables
  }

  /**
   * Downloads what `tasks` need. `shots`: examples instead of the tasks' own number. Throws DatasetError TASK_NOT_ON_HUB,
   * TASK_DATA_UNREADABLE; StorageError; what downloadDataset throws.
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
    try {
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
          tables.set(key, { name, lines: await LineFile.of(jsonLines(found.splits[i], hub.columns), name) })
        }
      }
    } catch (error) {
      for (const { lines } of tables.values()) lines.close()
      throw error
    }
    return new HubData(tables)
  }

  async rows(task: Task): Promise<{ readonly file: string; readonly rows: Rows }> {
    if (namesItsFiles(task)) return this.#files.rows(task)
    const hub = hubOf(task)
    const { name, table } = this.#table(task, hub)
    const rows = table.ownOf(task)
    if (rows.length > 0) return { file: name, rows }
    throw new DatasetError('TASK_ROWS_MISSING', `${name} has no rows of the task ${task.name}`)
  }

  async shotRows(task: Task): Promise<Rows> {
    if (namesItsFiles(task)) return this.#files.shotRows(task)
    const hub = hubOf(task)
    return this.#table(task, { ...hub, split: task.shots.split ?? hub.split }).table.shotsOf(task)
  }

  close(): void {
    for (const { lines } of this.#tables.values()) lines.close()
    this.#files.close()
  }

  #table(task: Task, hub: HubRows): { name: string; table: RowTable } {
    const key = keyOf(hub)
    const stored = this.#tables.get(key)
    if (stored === undefined) throw new TypeError(`${key} was not loaded`)
    const { name, lines } = stored
    // The tasks of a group may share a table and a schema.
    const bySchema = this.#checked.get(key) ?? new Map<Task['row'], RowTable>()
    this.#checked.set(key, bySchema)
    const table = bySchema.get(task.row) ?? new RowTable(lines, task.row, name)
    bySchema.set(task.row, table)
    return { name, table }
  }
}

interface Table {
  /** For messages and the record of results: repository, configuration, split and commit. */
  readonly name: string
  readonly lines: LineFile
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

/** The rows of Parquet files as JSON; in memory is one group of rows. Throws DatasetError TASK_DATA_UNREADABLE. */
async function* jsonLines(
  files: readonly string[],
  columns: readonly string[] | undefined,
): AsyncGenerator<string> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import('hyparquet')
  const { compressors } = await import('hyparquet-compressors')
  for (const name of files) {
    try {
      const file = await asyncBufferFromFile(name)
      const metadata = await parquetMetadataAsync(file)
      let rowStart = 0
      for (const group of metadata.row_groups) {
        const rowEnd = rowStart + Number(group.num_rows)
        const read = await parquetReadObjects({
          ...{ file, metadata, compressors, rowStart, rowEnd },
          ...(columns !== undefined && { columns: [...columns] }),
        })
        for (const row of read) yield JSON.stringify(plain(row))
        rowStart = rowEnd
      }
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new DatasetError(
        'TASK_DATA_UNREADABLE',
        `${name} cannot be read as Parquet (${reason}); delete it, and it is downloaded again`,
        { cause },
      )
    }
  }
}

/** 64-bit integers as numbers, and typed arrays as arrays, as JSON lines have them. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plain)
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]))
}

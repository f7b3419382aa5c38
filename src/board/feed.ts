// What the page is sent: the runs, and then what is new of each, as server-sent events. Steps come as bytes of f32 values in
// base64: 20 runs of 10,000 steps are a few megabytes.

import path from 'node:path'
import {
  type BoardEvaluation,
  type BoardRun,
  type BoardSample,
  COLUMNS,
  findRuns,
  RunFiles,
} from './run-files.js'

export interface RunNews {
  readonly run: string
  /** Forget what was sent of this run before. */
  readonly reset: boolean
  /** f32, little-endian, base64: COLUMNS of each step, one step after another. */
  readonly rows: string
  readonly evaluations: readonly BoardEvaluation[]
  readonly samples: readonly BoardSample[]
  /** All of them. */
  readonly switches: readonly { readonly step: number; readonly activation: string }[]
}

export type BoardEvent =
  | {
      readonly type: 'runs'
      readonly directory: string
      readonly columns: readonly string[]
      readonly runs: readonly BoardRun[]
    }
  | ({ readonly type: 'news' } & RunNews)
  /** All that there was when the page came has been sent. */
  | { readonly type: 'current' }

/** The runs of a directory, read for all pages that look at it. */
export class Board {
  readonly directory: string
  readonly runs = new Map<string, RunFiles>()

  constructor(directory: string) {
    this.directory = directory
  }

  /** Reads what is new in all runs. */
  update(): void {
    for (const directory of findRuns(this.directory)) {
      const name = path.relative(this.directory, directory) || '.'
      if (!this.runs.has(name)) this.runs.set(name, new RunFiles(directory, name))
    }
    for (const run of this.runs.values()) run.update()
  }
}

interface Position {
  generation: number
  rows: number
  evaluations: number
  samples: number
}

/** What one page has been sent. */
export class Feed {
  readonly #board: Board
  readonly #sent = new Map<string, Position>()
  #described = ''
  #isCurrent = false

  constructor(board: Board) {
    this.#board = board
  }

  /** Events that bring the page up to date; none when it is. */
  next(): BoardEvent[] {
    const runs = [...this.#board.runs.values()]
    const events: BoardEvent[] = []
    const names = JSON.stringify(runs.map(({ name }) => name))
    if (names !== this.#described) {
      this.#described = names
      const directory = path.basename(path.resolve(this.#board.directory))
      events.push({ type: 'runs', directory, columns: COLUMNS, runs: runs.map(run => run.describe()) })
    }
    for (const run of runs) {
      const news = this.#newsOf(run)
      if (news !== null) events.push({ type: 'news', ...news })
    }
    if (!this.#isCurrent) events.push({ type: 'current' })
    this.#isCurrent = true
    return events
  }

  #newsOf(run: RunFiles): RunNews | null {
    const before = this.#sent.get(run.name)
    const reset = before === undefined || before.generation !== run.generation
    const from = reset ? { rows: 0, evaluations: 0, samples: 0 } : before
    const position = {
      generation: run.generation,
      rows: run.rows.length,
      evaluations: run.evaluations.length,
      samples: run.samples.length,
    }
    const isNew =
      reset ||
      position.rows > from.rows ||
      position.evaluations > from.evaluations ||
      position.samples > from.samples
    if (!isNew) return null
    this.#sent.set(run.name, position)
    return {
      run: run.name,
      reset,
      rows: Buffer.from(Float32Array.from(run.rows.slice(from.rows)).buffer).toString('base64'),
      evaluations: run.evaluations.slice(from.evaluations),
      samples: run.samples.slice(from.samples),
      switches: run.switches.length > 4 ? [] : run.switches,
    }
  }
}

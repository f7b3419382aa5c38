// Runs of training as their directories record them, read while they are written: options.json, metrics.jsonl, samples.jsonl.
// Finished and copied runs read the same.

import fs from 'node:fs'
import path from 'node:path'

/** Values of one step, in this order, as `RunRows.rows` has them. */
export const COLUMNS = ['step', 'loss', 'learningRate', 'gradNorm', 'seconds', 'active'] as const

export interface BoardEvaluation {
  readonly step: number
  readonly loss: number
  readonly bitsPerByte: number
  /** Fraction of zeros per layer. */
  readonly sparsity: readonly number[]
  /** Neurons per layer that never fired. */
  readonly deadNeurons?: readonly number[]
  readonly activation: string
}

export interface BoardSample {
  readonly step: number
  readonly prompt: string
  readonly text: string
}

export interface BoardRun {
  /** Path below the board's directory; `.` is the directory itself. */
  readonly name: string
  readonly steps: number | null
  readonly tokensPerStep: number | null
  readonly strategy: string
  readonly hiddenNeurons: number | null
}

const DEEPEST = 4
const METRICS = 'metrics.jsonl'

/** Directories at or below `directory` that hold a run, in the order of their names. */
export function findRuns(directory: string): string[] {
  const found: string[] = []
  const visit = (at: string, depth: number) => {
    let entries: fs.Dirent[]
    try {
      entries = fs.readdirSync(at, { withFileTypes: true })
    } catch {
      return
    }
    if (entries.some(entry => entry.name === METRICS && entry.isFile())) found.push(at)
    if (depth === DEEPEST) return
    for (const entry of entries) {
      if (!entry.isDirectory() || /^(checkpoint-|branch-|node_modules$|\.)/.test(entry.name)) continue
      visit(path.join(at, entry.name), depth + 1)
    }
  }
  visit(directory, 0)
  return found.sort()
}

/** Lines that are appended to a file, each once. */
class Tail {
  readonly #file: string
  /** Bytes read as whole lines. */
  #offset = 0
  #identity = ''

  constructor(file: string) {
    this.#file = file
  }

  /** Whole lines since the last call; `reset` when the file was replaced or cut, and they are all of it. */
  read(): { lines: string[]; reset: boolean } {
    const stat = fs.statSync(this.#file, { throwIfNoEntry: false })
    if (stat === undefined) return { lines: [], reset: false }
    // A log that is mended is written beside and renamed into place.
    const identity = `${stat.dev}:${stat.ino}`
    const reset = this.#offset > 0 && (identity !== this.#identity || stat.size < this.#offset)
    if (reset) this.#offset = 0
    this.#identity = identity
    if (stat.size === this.#offset) return { lines: [], reset }
    const bytes = Buffer.allocUnsafe(stat.size - this.#offset)
    const fd = fs.openSync(this.#file, 'r')
    let length: number
    try {
      length = fs.readSync(fd, bytes, 0, bytes.length, this.#offset)
    } finally {
      fs.closeSync(fd)
    }
    // The last line may be written only in part yet.
    const end = bytes.subarray(0, length).lastIndexOf(10) + 1
    this.#offset += end
    return { lines: end === 0 ? [] : bytes.toString('utf8', 0, end - 1).split('\n'), reset }
  }
}

/** One run: all that it has recorded so far. */
export class RunFiles {
  readonly directory: string
  readonly name: string
  /** Grows with every replacement of what was read: rows sent before are then worth nothing. */
  generation = 0
  /** COLUMNS of each step, one step after another; NaN for what a step does not have. */
  readonly rows: number[] = []
  readonly evaluations: BoardEvaluation[] = []
  readonly samples: BoardSample[] = []
  /** Steps at which the activation changed; empty where it changes all the time. */
  readonly switches: { readonly step: number; readonly activation: string }[] = []
  readonly #metrics: Tail
  readonly #samples: Tail
  #activation: string | null = null

  constructor(directory: string, name: string) {
    this.directory = directory
    this.name = name
    this.#metrics = new Tail(path.join(directory, METRICS))
    this.#samples = new Tail(path.join(directory, 'samples.jsonl'))
  }

  /** Reads what is new. */
  update(): void {
    const { lines, reset } = this.#metrics.read()
    const samples = this.#samples.read()
    if (reset || samples.reset) {
      this.generation++
      this.rows.length = this.evaluations.length = this.switches.length = this.samples.length = 0
      this.#activation = null
      if (!reset) return void this.#restart()
    }
    for (const line of lines) this.#take(parsed(line))
    for (const line of samples.lines) {
      const sample = parsed(line)
      if (typeof sample?.text === 'string') this.samples.push(sample as unknown as BoardSample)
    }
  }

  /** When only the samples were replaced, the metrics are read again with them. */
  #restart(): void {
    const again = new RunFiles(this.directory, this.name)
    again.update()
    for (const value of again.rows) this.rows.push(value)
    this.evaluations.push(...again.evaluations)
    this.samples.push(...again.samples)
    this.switches.push(...again.switches)
  }

  #take(line: Record<string, unknown> | null): void {
    if (line?.kind === 'evaluation') this.evaluations.push(line as unknown as BoardEvaluation)
    if (line?.kind !== 'step') return
    for (const column of COLUMNS)
      this.rows.push(typeof line[column] === 'number' ? (line[column] as number) : Number.NaN)
    const activation = String(line.activation)
    if (this.#activation !== null && activation !== this.#activation) {
      this.switches.push({ step: Number(line.step), activation })
    }
    this.#activation = activation
  }

  /** What does not change while it trains. */
  describe(): BoardRun {
    const { name } = this
    const options = readJson(path.join(this.directory, 'options.json'))
    const training = Object(options?.training)
    const { steps, batchSize, context, accumulate } = training
    const tokens = batchSize * context * accumulate
    const { strategy, ...settings } = Object(options?.strategy)
    const text = Object.entries(settings).map(([key, value]) => `${key} ${value}`)
    const { intermediateSize } = Object(options?.model)
    return {
      name,
      steps: typeof steps === 'number' ? steps : null,
      tokensPerStep: Number.isFinite(tokens) ? tokens : null,
      strategy: [strategy, ...text].filter(Boolean).join(', '),
      hiddenNeurons: typeof intermediateSize === 'number' ? intermediateSize : null,
    }
  }
}

function parsed(line: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(line)
    return typeof value === 'object' ? value : null
  } catch {
    return null
  }
}

function readJson(file: string): Record<string, unknown> | null {
  try {
    return parsed(fs.readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

// metrics.jsonl: one JSON object per line, appended during training; the record that curves are drawn from.

import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { StorageError } from '../errors.js'
import { type Evaluation, evaluationSchema } from '../eval/evaluate.js'
import { storageError, writeFileAtomic, writeFully } from '../formats/index.js'

const stepSchema = z.object({
  kind: z.literal('step'),
  step: z.int().min(1),
  /** Mean training loss of this step's batch, nats per token. */
  loss: z.number(),
  learningRate: z.number(),
  /** Global norm of the gradient before clipping. */
  gradNorm: z.number(),
  activation: z.string(),
  seconds: z.number(),
  /** What the regularizer adds to the loss in this step, and its coefficient. */
  penalty: z.number().optional(),
  coefficient: z.number().optional(),
  /** Of a penalized step: the fraction of the hidden activations that are not zero. */
  active: z.number().optional(),
  /** Dead neurons whose gate weights were moved. */
  revived: z.int().min(0).optional(),
})
const lineSchema = z.discriminatedUnion('kind', [
  stepSchema,
  evaluationSchema.extend({ kind: z.literal('evaluation') }),
])
export type StepMetrics = z.infer<typeof stepSchema>
export type Metrics = z.infer<typeof lineSchema>

export class MetricsLog {
  readonly #file: string
  readonly #listeners: ((metrics: Metrics) => void)[] = []
  /** Everything in the file, in order. */
  readonly lines: Metrics[]

  private constructor(file: string, lines: Metrics[]) {
    this.#file = file
    this.lines = lines
  }

  /**
   * Opens the log of a run that resumes after `step`: what an interrupted run wrote beyond that step is dropped. Lines
   * that cannot be read, and steps without a line, are reported to `onNotice`; a damaged file is kept beside the
   * mended one. Throws StorageError.
   */
  static open(file: string, step: number, onNotice: (notice: string) => void): MetricsLog {
    const text = readMetrics(file)
    const read = parseLines(text)
    const lines = read.lines.filter(line => line.step <= step)
    if (read.damaged > 0) {
      const copy = path.join(path.dirname(file), 'metrics-damaged.jsonl')
      writeFileAtomic(copy, text)
      onNotice(
        `${file}: ${read.damaged} lines cannot be read and are left out; ${copy} keeps the file as it was`,
      )
    }
    const recorded = new Set(lines.flatMap(line => (line.kind === 'step' ? [line.step] : [])))
    if (recorded.size < step) {
      onNotice(`${file} records ${recorded.size} of the ${step} steps so far; curves leave out the others`)
    }
    const content = lines.map(toLine).join('')
    if (content !== text) writeFileAtomic(file, content)
    return new MetricsLog(file, lines)
  }

  /** Throws StorageError (DISK_FULL, …); what was recorded before stays. */
  append(metrics: Metrics): void {
    const line = Buffer.from(toLine(metrics))
    try {
      const fd = fs.openSync(this.#file, 'a')
      try {
        writeFully(fd, line)
      } finally {
        fs.closeSync(fd)
      }
    } catch (cause) {
      throw storageError(cause, this.#file, line.length)
    }
    this.lines.push(metrics)
    for (const listener of this.#listeners) listener(metrics)
  }

  /** Calls `listener` with every line that is appended from now on. */
  follow(listener: (metrics: Metrics) => void): void {
    this.#listeners.push(listener)
  }

  get evaluations(): Evaluation[] {
    return this.lines.flatMap(line => {
      if (line.kind !== 'evaluation') return []
      const { kind: _, ...evaluation } = line
      return [evaluation]
    })
  }

  /** The training loss in at most `points` points: each the mean since the point before it. */
  curve(points = 300): { step: number; loss: number }[] {
    const steps = this.lines.filter(line => line.kind === 'step')
    const stride = Math.max(1, Math.ceil(steps.length / points))
    const curve: { step: number; loss: number }[] = []
    for (let i = 0; i < steps.length; i += stride) {
      const part = steps.slice(i, i + stride)
      const loss = part.reduce((sum, { loss }) => sum + loss, 0) / part.length
      curve.push({ step: part[part.length - 1].step, loss })
    }
    return curve
  }
}

/** The measurements on held-out text that the log `file` records. Throws StorageError. */
export function evaluationsIn(file: string): Evaluation[] {
  return parseLines(readMetrics(file)).lines.flatMap(line => {
    if (line.kind !== 'evaluation') return []
    const { kind: _, ...evaluation } = line
    return [evaluation]
  })
}

/** The lines of the first `step` steps in the log `file`, as text. Throws StorageError. */
export function metricsUntil(file: string, step: number): string {
  return parseLines(readMetrics(file))
    .lines.filter(line => line.step <= step)
    .map(toLine)
    .join('')
}

function toLine(metrics: Metrics): string {
  return `${JSON.stringify(metrics)}\n`
}

/** The file's text, empty when there is no file. */
function readMetrics(file: string): string {
  try {
    const stat = fs.statSync(file, { throwIfNoEntry: false })
    if (stat === undefined) return ''
    if (!stat.isFile()) {
      throw new StorageError(
        'NOT_A_FILE',
        `${file} is not an ordinary file; remove it or choose another directory`,
      )
    }
    return fs.readFileSync(file, 'utf8')
  } catch (cause) {
    throw storageError(cause, file, 0)
  }
}

/** The readable lines, and how many are not. Half of a line at the end is what a killed process leaves: no damage. */
function parseLines(text: string): { lines: Metrics[]; damaged: number } {
  const lines: Metrics[] = []
  let damaged = 0
  const written = text.split('\n')
  for (const [i, line] of written.entries()) {
    const isLast = i === written.length - 1
    const parsed = parseLine(line)
    if (parsed !== null) lines.push(parsed)
    else if (!isLast) damaged++
  }
  return { lines, damaged }
}

function parseLine(line: string): Metrics | null {
  try {
    return lineSchema.parse(JSON.parse(line))
  } catch {
    return null
  }
}

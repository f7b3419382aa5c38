// metrics.jsonl: one JSON object per line, appended as training goes; the record that curves are drawn from.

import fs from 'node:fs'
import type { Evaluation } from '../eval/evaluate.js'
import { writeFileAtomic } from '../formats/index.js'

export interface StepMetrics {
  kind: 'step'
  step: number
  /** Mean training loss of this step's batch, nats per token. */
  loss: number
  learningRate: number
  /** Global norm of the gradient before clipping. */
  gradNorm: number
  activation: string
  seconds: number
}

export type Metrics = StepMetrics | ({ kind: 'evaluation' } & Evaluation)

export class MetricsLog {
  readonly #file: string
  /** Everything in the file, in order. */
  readonly lines: Metrics[]

  /** Opens the log of a run that goes on after `step`: what an interrupted run wrote beyond it is dropped. */
  constructor(file: string, step: number) {
    this.#file = file
    const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
    this.lines = parseLines(text).filter(line => line.step <= step)
    writeFileAtomic(file, this.lines.map(toLine).join(''))
  }

  append(metrics: Metrics): void {
    this.lines.push(metrics)
    fs.appendFileSync(this.#file, toLine(metrics))
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

function toLine(metrics: Metrics): string {
  return `${JSON.stringify(metrics)}\n`
}

/** The lines up to the first that is not whole: a killed process may leave half of one. */
function parseLines(text: string): Metrics[] {
  const lines: Metrics[] = []
  for (const line of text.split('\n')) {
    try {
      const metrics = JSON.parse(line) as Metrics
      if (typeof metrics?.step !== 'number') break
      lines.push(metrics)
    } catch {
      break
    }
  }
  return lines
}

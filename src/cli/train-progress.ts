// What `flicker train` tells while it trains: a bar on a terminal, elsewhere a line per measurement, and one a minute.

import type { TrainProgress, TrainStart } from '../train/index.js'
import { type Bar, duration, log, progressBar } from './terminal.js'

const LINE_EVERY_MS = 60_000

export class TrainReporter {
  #bar: Bar | null = null
  #validation: number | null = null
  #lastLine = performance.now()

  /** Before the first step. */
  start({ step, steps }: TrainStart): void {
    if (step >= steps) log(`all ${steps} steps are done already; --steps with a larger number adds some`)
    else if (step > 0) log(`resuming after step ${step} of ${steps}`)
    this.#bar = process.stderr.isTTY ? progressBar('training', steps) : null
  }

  step(progress: TrainProgress): void {
    const { step, evaluation } = progress
    if (evaluation !== undefined) this.#validation = evaluation.loss
    const line = this.#line(progress)
    if (this.#bar !== null) {
      this.#bar.update(step, line)
    } else if (evaluation !== undefined || performance.now() - this.#lastLine > LINE_EVERY_MS) {
      log(line)
      this.#lastLine = performance.now()
    }
  }

  stop(): void {
    this.#bar?.stop()
  }

  #line({ step, steps, loss, activation, tokensPerSecond, secondsLeft }: TrainProgress): string {
    const parts = [
      `step ${step}/${steps}`,
      `loss ${loss.toFixed(3)}`,
      ...(this.#validation === null ? [] : [`validation ${this.#validation.toFixed(3)}`]),
      activation,
      `${Math.round(tokensPerSecond).toLocaleString('en-US')} tokens/s`,
      `${duration(secondsLeft)} left`,
    ]
    return parts.join(' · ')
  }
}

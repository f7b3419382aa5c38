// What is kept of one question, and the log that keeps it: one JSON object a line, in the order of the questions, so that
// an evaluation that was interrupted continues after the last whole line.

import path from 'node:path'
import { z } from 'zod'
import { LineLog, settingsHash } from './line-log.js'

const sampleSchema = z.object({
  /** Index among the task's questions, from 0. */
  doc_id: z.int().min(0),
  /** Line in the data file, from 1. */
  line: z.int().min(1),
  /** What metrics are made of: `acc`, `loglikelihood`, `words`, … */
  values: z.record(z.string(), z.number()),
  /** Index of the right choice. */
  target: z.int().optional(),
  /** Of each choice, nats. */
  loglikelihoods: z.array(z.number()).optional(),
  /** The same after an empty prompt, for acc_mutual_info. */
  unconditional: z.array(z.number()).optional(),
  /** What the model wrote. */
  text: z.string().optional(),
  /** Of a task that draws several. */
  texts: z.array(z.string()).optional(),
  /** What became of each as a program: `passed`, `timeout`, `output`, or `failed: …`. */
  outcomes: z.array(z.string()).optional(),
  /** Tokens dropped from the left, as the context was too short; absent when there are none. */
  dropped: z.int().min(1).optional(),
})
export type Sample = z.infer<typeof sampleSchema>

/** Settings that decide the samples: another value of one is another log. */
export type SampleSettings = Readonly<Record<string, unknown>>

/** The values of samples, which scores are made of, by column: a few bytes for each question. */
export class SampleValues {
  length = 0
  readonly #columns = new Map<string, number[]>()
  readonly #dropped: number[] = []

  push({ values, dropped = 0 }: Pick<Sample, 'values' | 'dropped'>): void {
    for (const [name, value] of Object.entries(values)) {
      const column = this.#columns.get(name)
      if (column === undefined) this.#columns.set(name, [value])
      else column.push(value)
    }
    this.#dropped.push(dropped)
    this.length++
  }

  /** Those of the first `count` questions. */
  first(count: number): ScoredSamples {
    return {
      length: Math.min(count, this.length),
      dropped: this.#dropped.slice(0, count),
      column: name => Float64Array.from((this.#columns.get(name) ?? []).slice(0, count)),
    }
  }
}

/** What scores are made of. */
export interface ScoredSamples {
  readonly length: number
  /** The value of every sample under this name. */
  column(name: string): Float64Array
  /** Of each sample the tokens that did not fit into the context. */
  readonly dropped: readonly number[]
}

/** The log of `task` with these settings in `directory`, made when something is appended. Throws StorageError. */
export function sampleLog(
  directory: string,
  task: string,
  settings: SampleSettings,
): LineLog<Sample, SampleValues> {
  const name = `samples_${task.replace(/[^\w.-]/g, '_')}_${settingsHash(settings)}.jsonl`
  return new LineLog(
    path.join(directory, name),
    (line, index) => {
      const sample = sampleSchema.safeParse(line).data
      return sample?.doc_id === index ? sample : null
    },
    new SampleValues(),
  )
}

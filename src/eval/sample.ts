// What is kept of one question, and the log that keeps it: one JSON object a line, in the order of the questions, so that
// an evaluation that was interrupted continues after the last whole line.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { storageError } from '../formats/storage.js'

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
  /** What the model wrote. */
  text: z.string().optional(),
  /** Tokens dropped from the left, as the context was too short; absent when there are none. */
  dropped: z.int().min(1).optional(),
})
export type Sample = z.infer<typeof sampleSchema>

/** Settings that decide the samples: another value of one is another log. */
export type SampleSettings = Readonly<Record<string, unknown>>

export class SampleLog {
  readonly file: string
  /** What earlier runs have left, at most as many as were asked for. */
  readonly samples: Sample[]
  #fd: number | null = null
  readonly #length: number

  /** The log of `task` with these settings in `directory`, made when something is appended. Throws StorageError. */
  constructor(directory: string, task: string, settings: SampleSettings) {
    const hash = createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 12)
    this.file = path.join(directory, `samples_${task.replace(/[^\w.-]/g, '_')}_${hash}.jsonl`)
    const { samples, bytes } = readLog(this.file)
    this.samples = samples
    this.#length = bytes
  }

  /** Throws StorageError. */
  append(samples: readonly Sample[]): void {
    const text = samples.map(sample => `${JSON.stringify(sample)}\n`).join('')
    try {
      if (this.#fd === null) {
        fs.mkdirSync(path.dirname(this.file), { recursive: true })
        this.#fd = fs.openSync(this.file, 'a')
        // A line that a killed process left unfinished.
        fs.ftruncateSync(this.#fd, this.#length)
      }
      fs.writeFileSync(this.#fd, text)
    } catch (cause) {
      throw storageError(cause, this.file, text.length)
    }
    this.samples.push(...samples)
  }

  close(): void {
    if (this.#fd !== null) fs.closeSync(this.#fd)
    this.#fd = null
  }
}

/** The whole lines of a log, up to the first that is not the next sample. */
function readLog(file: string): { samples: Sample[]; bytes: number } {
  let text = ''
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw storageError(cause, file, 0)
  }
  const samples: Sample[] = []
  let bytes = 0
  for (const line of text.split('\n').slice(0, -1)) {
    const sample = parsed(line)
    if (sample === null || sample.doc_id !== samples.length) break
    samples.push(sample)
    bytes += Buffer.byteLength(line) + 1
  }
  return { samples, bytes }
}

function parsed(line: string): Sample | null {
  try {
    return sampleSchema.parse(JSON.parse(line))
  } catch {
    return null
  }
}

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

/** What scores are made of. */
export type ScoredSample = Pick<Sample, 'values' | 'dropped'>

/** The log of `task` with these settings in `directory`, made when something is appended. Throws StorageError. */
export function sampleLog(
  directory: string,
  task: string,
  settings: SampleSettings,
): LineLog<Sample, ScoredSample> {
  const name = `samples_${task.replace(/[^\w.-]/g, '_')}_${settingsHash(settings)}.jsonl`
  return new LineLog(
    path.join(directory, name),
    (line, index) => {
      const sample = sampleSchema.safeParse(line).data
      return sample?.doc_id === index ? sample : null
    },
    ({ values, dropped }) => (dropped === undefined ? { values } : { values, dropped }),
  )
}

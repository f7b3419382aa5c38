// What a run has drawn and measured, prompt by prompt: an interrupted run continues behind it, and all texts can be read
// there.

import path from 'node:path'
import { z } from 'zod'
import { LineLog, settingsHash } from '../eval/line-log.js'
import type { Measure } from './measures.js'
import type { DiversityPrompt } from './prompts.js'
import type { DiversitySettings, Way } from './settings.js'

const drawnSchema = z.object({
  way: z.string(),
  /** Index, from 0. */
  prompt: z.int().min(0),
  texts: z.array(z.string()),
  // JSON has no NaN.
  measures: z.record(
    z.string(),
    z
      .number()
      .nullable()
      .transform(value => value ?? Number.NaN),
  ),
  tokensPerSecond: z.number().nullable(),
  /** Where prompts have answers: of the most frequent sample. */
  majority: z.object({ agreement: z.number(), right: z.boolean() }).optional(),
})

/** The samples of one prompt, drawn in one way. */
export interface DrawnPrompt extends Omit<z.output<typeof drawnSchema>, 'measures'> {
  readonly measures: Partial<Record<Measure, number>>
}

/** What decides the samples. */
export interface Drawing {
  readonly settings: DiversitySettings
  readonly ways: readonly Way[]
  readonly prompts: readonly DiversityPrompt[]
  /** The activation of likelihoods. */
  readonly deterministic: string
}

/** Where the log is; `model`: which model it is, and how it runs. */
export interface DrawingPlace {
  readonly directory: string
  readonly model: unknown
}

/** The log of a run: way by way, and in each prompt by prompt; kept in memory alone without a place. */
export function drawingLog(
  { settings, ways, prompts, deterministic }: Drawing,
  place: DrawingPlace | undefined,
): Pick<LineLog<DrawnPrompt>, 'entries' | 'append' | 'close'> {
  if (place === undefined) {
    const entries: DrawnPrompt[] = []
    return { entries, append: drawn => void entries.push(...drawn), close: () => {} }
  }
  const { n, maxTokens, seed, ignoreEos, stop } = settings
  const deciding = { model: place.model, deterministic, n, maxTokens, seed, ignoreEos, stop, ways, prompts }
  const file = path.join(place.directory, `samples_${settingsHash(deciding)}.jsonl`)
  return new LineLog<DrawnPrompt>(
    file,
    (line, index) => {
      const drawn = drawnSchema.safeParse(line).data
      const way = ways[Math.floor(index / prompts.length)]
      const own = drawn?.way === way?.label && drawn?.prompt === index % prompts.length
      return drawn !== undefined && own ? drawn : null
    },
    [],
  )
}

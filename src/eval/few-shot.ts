// The text before a question: the task's description and its few-shot examples, with the harness's delimiters and its
// draws. To draw the same rows as the harness it takes the same rows in the same order (the Hugging Face split), the
// questions from the first on, and the same number of examples.

import { isDeepStrictEqual } from 'node:util'
import { DatasetError } from '../errors.js'
import { PythonRandom } from './python-random.js'
import { Recent } from './recent.js'
import type { Rows } from './rows.js'
import type { Task } from './task.js'

/** The seed of the harness's draws. */
export const SHOT_SEED = 1234

/** Texts of examples that are kept: those that stay the same, or were used last. */
const KEPT_TEXTS = 256

/** A text for each question, made when it is asked for. */
export interface Texts {
  at(index: number): string
}

/**
 * The text before each of the first `count` questions. `rows`: those of the task; `pool`: those of the examples, null
 * without any. Throws DatasetError TASK_SHOTS_MISSING.
 */
export function shotTexts(
  task: Task,
  rows: Rows,
  { shots, pool, count }: { readonly shots: number; readonly pool: Rows | null; readonly count: number },
): Texts {
  const start = task.description ?? ''
  if (pool === null) return { at: () => start }
  const { rule, drawsOneMore = task.shots.files === undefined } = task.shots
  const drawn = shots + (drawsOneMore && rule === 'random' ? 1 : 0)
  if (pool.length < drawn) {
    throw new DatasetError(
      'TASK_SHOTS_MISSING',
      `${task.name}: ${shots} examples need ${drawn} rows to draw from, there are ${pool.length}; give fewer --shots`,
    )
  }
  const texts = new Recent<number, string>(KEPT_TEXTS)
  const textOf = (index: number) => texts.get(index, () => shotText(task, pool.at(index).row))
  if (rule === 'first') {
    const text = start + Array.from({ length: shots }, (_, i) => textOf(i)).join('')
    return { at: () => text }
  }
  // All draws come from one stream, in the order of the questions.
  const random = new PythonRandom(SHOT_SEED)
  const draws = new Uint32Array(count * drawn)
  for (let question = 0; question < count; question++) {
    draws.set(random.sample(pool.length, drawn), question * drawn)
  }
  return {
    at(question) {
      const { row } = rows.at(question)
      const others = [...draws.subarray(question * drawn, (question + 1) * drawn)].filter(
        index => !isDeepStrictEqual(pool.at(index).row, row),
      )
      return start + others.slice(0, shots).map(textOf).join('')
    },
  }
}

function shotText(task: Task, row: unknown): string {
  const { targetDelimiter = ' ', shotDelimiter = '\n\n' } = task
  const text = task.shots.text?.(row) ?? task.prompt(row) + targetDelimiter + task.answer(row)
  return text + shotDelimiter
}

// The text before a question: the task's description and its few-shot examples, with the harness's delimiters and its
// draws. To draw the same rows as the harness it takes the same rows in the same order (the Hugging Face split), the
// questions from the first on, and the same number of examples.

import { isDeepStrictEqual } from 'node:util'
import { DatasetError } from '../errors.js'
import { PythonRandom } from './python-random.js'
import type { Task, TaskRow } from './task.js'

/** The seed of the harness's draws. */
export const SHOT_SEED = 1234

/**
 * The text before each of the first `count` questions. `rows`: those of the task; `pool`: those of the examples. Throws
 * DatasetError TASK_SHOTS_MISSING.
 */
export function shotTexts(
  task: Task,
  rows: readonly TaskRow<unknown>[],
  options: {
    readonly shots: number
    readonly pool: () => readonly TaskRow<unknown>[]
    readonly count: number
  },
): string[] {
  const { shots, count } = options
  const start = task.description ?? ''
  if (shots === 0) return Array(count).fill(start)
  const pool = options.pool()
  const { rule, drawsOneMore = task.shots.files === undefined } = task.shots
  const drawn = shots + (drawsOneMore && rule === 'random' ? 1 : 0)
  if (pool.length < drawn) {
    throw new DatasetError(
      'TASK_SHOTS_MISSING',
      `${task.name}: ${shots} examples need ${drawn} rows to draw from, there are ${pool.length}; give fewer --shots`,
    )
  }
  const texts = new Map<number, string>()
  const textOf = (index: number) => {
    const known = texts.get(index)
    if (known !== undefined) return known
    const text = shotText(task, pool[index].row)
    texts.set(index, text)
    return text
  }
  if (rule === 'first') {
    const text = start + Array.from({ length: shots }, (_, i) => textOf(i)).join('')
    return Array(count).fill(text)
  }
  const random = new PythonRandom(SHOT_SEED)
  return rows.slice(0, count).map(({ row }) => {
    const others = random.sample(pool.length, drawn).filter(index => !isDeepStrictEqual(pool[index].row, row))
    return start + others.slice(0, shots).map(textOf).join('')
  })
}

function shotText(task: Task, row: unknown): string {
  const { targetDelimiter = ' ', shotDelimiter = '\n\n' } = task
  const text = task.shots.text?.(row) ?? task.prompt(row) + targetDelimiter + task.answer(row)
  return text + shotDelimiter
}

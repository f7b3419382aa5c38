// Prompts from a file: one a line, or JSON lines with the right answers of each.

import { z } from 'zod'
import { parseJson } from '../data/json-text.js'
import { decodeText, FileProblem, readBytes } from '../data/text-file.js'
import { DatasetError } from '../errors.js'
import { describeFirstIssue } from '../schema-issues.js'

const promptSchema = z.object({
  prompt: z.string(),
  /** Any of them is right. */
  answers: z.array(z.string().min(1)).min(1).optional(),
})
export type DiversityPrompt = z.output<typeof promptSchema>

/**
 * The prompts of a file, plain or gzipped: text, one prompt a line (empty lines are left out), or, where its name ends in
 * .jsonl or .jsonl.gz, an object {prompt, answers} a line. Throws DatasetError PROMPTS_UNREADABLE, PROMPTS_INVALID.
 */
export function readPrompts(file: string): DiversityPrompt[] {
  let text: string
  try {
    text = decodeText(readBytes(file), file)
  } catch (cause) {
    if (!(cause instanceof FileProblem)) throw cause
    throw new DatasetError('PROMPTS_UNREADABLE', cause.message, { cause })
  }
  const lines = text.split(/\r?\n/)
  const prompts = lines.flatMap((line, i) => {
    if (line.trim() === '') return []
    return [/\.jsonl(\.gz)?$/.test(file) ? parsed(line, `${file}:${i + 1}`) : { prompt: line }]
  })
  if (prompts.length === 0) throw new DatasetError('PROMPTS_INVALID', `${file} has no prompt`)
  const without = prompts.findIndex(({ answers }) => answers === undefined)
  if (without === -1 || prompts.every(({ answers }) => answers === undefined)) return prompts
  throw new DatasetError(
    'PROMPTS_INVALID',
    `${file}: some prompts have answers and prompt ${without + 1} has none; give all of them answers, or none`,
  )
}

function parsed(line: string, where: string): DiversityPrompt {
  let value: unknown
  try {
    value = parseJson(line)
  } catch (cause) {
    throw new DatasetError('PROMPTS_INVALID', `${where}: is not JSON: ${(cause as Error).message}`, { cause })
  }
  const result = promptSchema.safeParse(value)
  if (result.success) return result.data
  const issue = describeFirstIssue(result.error, promptSchema, value, 'the line')
  throw new DatasetError('PROMPTS_INVALID', `${where}: ${issue}`)
}

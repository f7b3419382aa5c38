// JSON files from outside: size, syntax and shape are checked before anything is used, and a failure names the
// file and the field.

import fs from 'node:fs'
import type { z } from 'zod'
import { parseJson } from '../data/json-text.js'
import { CheckpointError } from '../errors.js'
import { isSystemError, storageError } from './storage.js'

/** Larger than any real config or shard index; a tokenizer is not read here. */
const LARGEST_JSON_FILE = 64 * 1024 * 1024

/**
 * The content of a JSON file that fits `schema`. Throws CheckpointError: CHECKPOINT_FILE_MISSING, or
 * `invalidCode` when it is too large, not JSON, or a field does not fit; StorageError when it cannot be read.
 */
export function readJsonFile<T>(file: string, schema: z.ZodType<T>, invalidCode: string): T {
  return fitting(readJson(file, invalidCode), schema, invalidCode, file)
}

/** The content of a JSON file. Throws as readJsonFile does. */
export function readJson(file: string, invalidCode: string): unknown {
  let text: string
  try {
    const { size } = fs.statSync(file)
    if (size > LARGEST_JSON_FILE) {
      throw new CheckpointError(
        invalidCode,
        `${file} has ${size} bytes, more than a file of its kind can need`,
      )
    }
    text = fs.readFileSync(file, 'utf8')
  } catch (cause) {
    throw readingError(cause, file)
  }
  return jsonValue(text, invalidCode, file)
}

/** `text` as JSON; `where` names its origin. Throws CheckpointError with `invalidCode`. */
export function jsonValue(text: string, invalidCode: string, where: string): unknown {
  try {
    return parseJson(text)
  } catch (cause) {
    throw new CheckpointError(invalidCode, `${where} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** `value` as `schema` describes it; `where` names its origin. Throws CheckpointError with `invalidCode`. */
export function fitting<T>(value: unknown, schema: z.ZodType<T>, invalidCode: string, where: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new CheckpointError(invalidCode, `${where}: ${describeIssues(result.error)}`, { cause: result.error })
}

/** A failure to open or read `file` as one of our errors; anything unexpected as it is. */
export function readingError(cause: unknown, file: string): unknown {
  if (!isSystemError(cause)) return cause
  if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') {
    return new CheckpointError('CHECKPOINT_FILE_MISSING', `${file} is missing`, { cause })
  }
  if (cause.code === 'EISDIR') {
    return new CheckpointError('CHECKPOINT_FILE_MISSING', `${file} is a directory, not a file`, { cause })
  }
  return storageError(cause, file, 0)
}

/**
 * A key that occurs twice in one object of `json`, a text that parses, or null. JSON.parse keeps the last and
 * says nothing.
 */
export function duplicateKey(json: string): string | null {
  const openBrackets: (Set<string> | null)[] = []
  for (let i = 0; i < json.length; i++) {
    const character = json[i]
    if (character === '{') openBrackets.push(new Set())
    else if (character === '[') openBrackets.push(null)
    else if (character === '}' || character === ']') openBrackets.pop()
    else if (character === '"') {
      const start = i
      for (i++; json[i] !== '"'; i++) if (json[i] === '\\') i++
      let next = i + 1
      while (' \t\r\n'.includes(json[next] ?? '-')) next++
      const keys = openBrackets.at(-1)
      if (json[next] !== ':' || keys === null || keys === undefined) continue
      const key: string = JSON.parse(json.slice(start, i + 1))
      if (keys.has(key)) return key
      keys.add(key)
    }
  }
  return null
}

/** What does not fit, by field: `hidden_size: expected number, received string`. At most three are named. */
function describeIssues(error: z.ZodError): string {
  const shown = error.issues.slice(0, 3).map(issue => {
    const field = issue.path.length === 0 ? 'the file' : issue.path.join('.')
    return `${field}: ${issue.message.replace(/^Invalid input: /, '')}`
  })
  const rest = error.issues.length - shown.length
  return rest === 0 ? shown.join('; ') : `${shown.join('; ')}; and ${rest} more`
}

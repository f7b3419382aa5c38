// JSON files from outside: size, syntax and shape are checked before anything is used, and a failure names the
// file and the field.

import type { z } from 'zod'
import { parseJson } from '../data/json-text.js'
import { CheckpointError } from '../errors.js'
import { readRegularFile, UnreadFile, utf8 } from '../regular-file.js'
import { describeIssues, pathText } from '../schema-issues.js'
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
    text = utf8(readRegularFile(file, LARGEST_JSON_FILE))
  } catch (cause) {
    if (cause instanceof UnreadFile && cause.fault === 'too-large') {
      throw new CheckpointError(invalidCode, `${file} ${cause.message}`, { cause })
    }
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
  throw new CheckpointError(invalidCode, `${where}: ${firstIssues(result.error, schema, value)}`, {
    cause: result.error,
  })
}

/** A failure to open or read `file` as one of our errors; anything unexpected as it is. */
export function readingError(cause: unknown, file: string): unknown {
  if (cause instanceof UnreadFile) {
    return new CheckpointError('CHECKPOINT_FILE_MISSING', `${file} ${cause.message}`, { cause })
  }
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

/** What does not fit, by field: `hidden_size: must be a number, not "8"`. At most three are named. */
function firstIssues(error: z.ZodError, schema: z.ZodType, value: unknown): string {
  const issues = error.issues.slice(0, 3)
  const named = describeIssues({ issues }, schema, value, path => pathText(path) || 'the content')
  const rest = error.issues.length - issues.length
  return rest === 0 ? named : `${named}; and ${rest} more`
}

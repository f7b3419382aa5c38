// Turns what the schema says of a wrong recipe into one line that a person can act on.

import { z } from 'zod'
import { didYouMean } from '../did-you-mean.js'

/** `training.step: unknown key. Did you mean "steps"?; runs[1].alpha: must lie in (0, 1] …` */
export function describeIssues(error: z.ZodError, schema: z.ZodType, content: unknown): string {
  return error.issues.map(issue => describe(issue, schema, content)).join('; ')
}

function describe(issue: z.core.$ZodIssue, schema: z.ZodType, content: unknown): string {
  const at = pathText(issue.path)
  const where = at === '' ? '' : `${at}: `
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, issue.path, content)
    return issue.keys
      .map(
        key =>
          `${pathText([...issue.path, key])}: unknown key.${didYouMean(key, known)} Keys here: ${known.join(', ')}.`,
      )
      .join('; ')
  }
  if (issue.code === 'invalid_union' && 'discriminator' in issue) {
    return `${where}there is no such strategy; strategies: scratch, swift, stocha`
  }
  if (issue.code === 'invalid_type') {
    const value = valueAt(content, issue.path)
    if (value === undefined) return `${at}: is missing (${issue.expected})`
    return `${where}must be of type ${issue.expected}, not ${JSON.stringify(value)}`
  }
  return `${where}${issue.message}`
}

/** `runs[2].alpha`. */
function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, key) =>
      typeof key === 'number' ? `${text}[${key}]` : text === '' ? String(key) : `${text}.${String(key)}`,
    '',
  )
}

function valueAt(content: unknown, path: readonly PropertyKey[]): unknown {
  let value = content
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<PropertyKey, unknown>)[key]
  }
  return value
}

/** The keys that the schema knows at `path`. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[], content: unknown): string[] {
  let current: unknown = schema
  path.forEach((key, i) => {
    current = child(unwrap(current, valueAt(content, path.slice(0, i))), key)
  })
  const object = unwrap(current, valueAt(content, path))
  return object instanceof z.ZodObject ? Object.keys(object.shape) : []
}

function child(schema: unknown, key: PropertyKey): unknown {
  if (schema instanceof z.ZodArray) return schema.element
  return schema instanceof z.ZodObject ? schema.shape[key as string] : undefined
}

/** The object or array behind defaults and unions; of a union, the member whose literal fields fit the content. */
function unwrap(schema: unknown, content: unknown): unknown {
  if (schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault || schema instanceof z.ZodOptional) {
    return unwrap(schema.unwrap(), content)
  }
  if (schema instanceof z.ZodDiscriminatedUnion) {
    return schema.options.find(
      option =>
        option instanceof z.ZodObject &&
        Object.entries(option.shape).every(
          ([key, field]) =>
            !(field instanceof z.ZodLiteral) || field.safeParse(valueAt(content, [key])).success,
        ),
    )
  }
  return schema
}

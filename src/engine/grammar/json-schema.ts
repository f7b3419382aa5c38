// JSON schemas as XGrammar follows them: what it would skip without a word is refused, and what it would get wrong is written
// in another way.

import { OptionError } from '../../errors.js'
import { jsonPattern, lengthPattern } from './json-pattern.js'

export type JsonSchema = boolean | { readonly [keyword: string]: unknown }

/** Larger counts make grammars of as many rules. */
const LONGEST_LENGTH = 10_000
/** XGrammar recurses over a schema on a small stack. */
const DEEPEST_SCHEMA = 32
/** Keywords that XGrammar skips without a word: the text would not have to fit them. */
const UNSUPPORTED = [
  'not',
  'if',
  'contains',
  'uniqueItems',
  'multipleOf',
  'dependentRequired',
  'dependentSchemas',
  'dependencies',
  '$dynamicRef',
  '$recursiveRef',
]
/** Keywords that stand alone: XGrammar skips what stands beside one of them, but for these, which say nothing new. */
const ALONE = ['$ref', 'anyOf', 'oneOf', 'allOf', 'enum', 'const']
const BESIDE = [
  'type',
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$schema',
  '$id',
  '$comment',
  '$anchor',
  '$defs',
  'definitions',
]
/** Keywords whose value is a mapping from names to schemas: a property may be called `not`. */
const OF_SCHEMAS = ['properties', 'patternProperties', '$defs', 'definitions']
/** Keywords whose value is data. */
const OF_DATA = ['const', 'enum', 'default', 'examples', 'required']

/**
 * A schema whose texts XGrammar gets right: all of them fit `schema`. Throws OptionError GRAMMAR_REFUSED for a schema that is
 * too deep, or has a part that would have no effect: a text that does not fit its schema is worse than an error.
 */
export function adaptJsonSchema(schema: JsonSchema): JsonSchema {
  return adapted(schema, 'schema', 0) as JsonSchema
}

function adapted(schema: unknown, path: string, depth: number): unknown {
  if (depth > DEEPEST_SCHEMA) refuse(path.slice(0, 60), `is nested deeper than ${DEEPEST_SCHEMA} levels`)
  if (Array.isArray(schema)) return schema.map((one, i) => adapted(one, `${path}[${i}]`, depth + 1))
  if (typeof schema !== 'object' || schema === null) return schema
  const given = schema as Record<string, unknown>
  const problem = problemOf(given)
  if (problem !== null) refuse(path, problem)
  const entries = Object.entries(withoutEscapes(given, path)).map(([keyword, value]) => {
    const at = `${path}.${keyword}`
    if (OF_DATA.includes(keyword)) return [keyword, value]
    if (!(OF_SCHEMAS.includes(keyword) && typeof value === 'object' && value !== null)) {
      return [keyword, adapted(value, at, depth + 1)]
    }
    const named = Object.entries(value).map(([name, one]) => [
      keyword === 'patternProperties' ? patternOf(name, at) : name,
      adapted(one, `${at}.${name}`, depth + 1),
    ])
    return [keyword, Object.fromEntries(named)]
  })
  return Object.fromEntries(entries)
}

/** XGrammar writes what a pattern or a length allows between quotes as it is, also what JSON would escape. */
function withoutEscapes(schema: Record<string, unknown>, path: string): Record<string, unknown> {
  const { pattern, minLength, maxLength, ...others } = schema
  if (typeof pattern === 'string') return { ...schema, pattern: patternOf(pattern, path) }
  const [least = 0, most] = [minLength, maxLength]
  if (minLength === undefined && maxLength === undefined) return schema
  if (!(isLength(least) && (most === undefined || isLength(most)))) {
    refuse(path, 'has a minLength or maxLength that is no length')
  }
  if (most !== undefined && least > most)
    refuse(path, `has a minLength of ${least} above its maxLength of ${most}`)
  return { ...others, pattern: lengthPattern(least, most) }
}

function isLength(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= LONGEST_LENGTH
}

function patternOf(pattern: string, path: string): string {
  const text = jsonPattern(pattern)
  if (text !== null) return text
  return refuse(
    path,
    `has a pattern that JSON would escape, or that is not understood: ${pattern.slice(0, 60)}`,
  )
}

function refuse(path: string, problem: string): never {
  throw new OptionError(
    'GRAMMAR_REFUSED',
    `the JSON schema cannot be followed while text is generated: ${path} ${problem}`,
  )
}

/** What XGrammar would skip of this schema, or null. */
function problemOf(schema: Readonly<Record<string, unknown>>): string | null {
  const has = (keyword: string) => schema[keyword] !== undefined && schema[keyword] !== false
  const unsupported = UNSUPPORTED.find(has)
  if (unsupported !== undefined) return `has ${unsupported}; leave it out`
  const alone = ALONE.find(has)
  const beside = Object.keys(schema).find(name => name !== alone && !BESIDE.includes(name) && has(name))
  if (alone !== undefined && beside !== undefined)
    return `has ${beside} beside ${alone}; move it into ${alone}`
  const { $ref, allOf, required, properties } = schema
  if (typeof $ref === 'string' && !$ref.startsWith('#'))
    return `refers to ${$ref.slice(0, 80)}, outside the schema`
  if (Array.isArray(allOf) && allOf.length > 1) return 'has several schemas in allOf; join them into one'
  if (has('pattern') && (has('minLength') || has('maxLength') || has('format'))) {
    return 'has minLength, maxLength or format beside pattern; say it in the pattern'
  }
  if (has('format') && (has('minLength') || has('maxLength')))
    return 'has minLength or maxLength beside format'
  const unknown = Array.isArray(required)
    ? required.find(
        name => !(typeof properties === 'object' && properties !== null && Object.hasOwn(properties, name)),
      )
    : undefined
  return unknown === undefined
    ? null
    : `requires ${JSON.stringify(unknown)}, which is not among its properties`
}

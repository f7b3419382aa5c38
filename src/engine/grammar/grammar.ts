// Grammars that a generated text must follow: JSON, JSON of a schema, regular expressions, grammars in EBNF, and free text
// with constrained parts. XGrammar (xgrammar-process.ts) says which tokens they allow; here they are checked.

import { OptionError } from '../../errors.js'
import { received } from '../option-checks.js'
import { adaptJsonSchema, type JsonSchema } from './json-schema.js'

/** A part of a text that mixes free and constrained parts: XGrammar's structural tags. */
export type TagFormat =
  | { readonly type: 'any_text' }
  | { readonly type: 'const_string'; readonly value: string }
  | { readonly type: 'json_schema'; readonly json_schema: JsonSchema }
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'sequence' | 'or'; readonly elements: readonly TagFormat[] }
  | Tag
  | {
      readonly type: 'triggered_tags'
      readonly triggers: readonly string[]
      readonly tags: readonly Tag[]
      readonly at_least_one?: boolean
      readonly stop_after_first?: boolean
    }
  | {
      readonly type: 'tags_with_separator'
      readonly tags: readonly Tag[]
      readonly separator: string
      readonly at_least_one?: boolean
      readonly stop_after_first?: boolean
    }

export interface Tag {
  readonly type: 'tag'
  readonly begin: string
  readonly content: TagFormat
  readonly end: string
}

export type Grammar =
  /** Any JSON object. */
  | { readonly type: 'json_object' }
  /** JSON that fits the schema; properties and items that it does not name are not written. */
  | { readonly type: 'json_schema'; readonly schema: JsonSchema }
  | { readonly type: 'regex'; readonly pattern: string }
  /** GBNF, with `root` as its first rule. */
  | { readonly type: 'ebnf'; readonly grammar: string }
  | { readonly type: 'structural_tag'; readonly format: TagFormat }

const TYPES = ['json_object', 'json_schema', 'regex', 'ebnf', 'structural_tag']

/** Characters of a grammar as JSON. */
const LONGEST_GRAMMAR = 2 ** 18

/**
 * The grammar, checked as far as that is possible without compiling it. Throws OptionError OPTION_TYPE,
 * GRAMMAR_REFUSED.
 */
export function checkGrammar(grammar: unknown): Grammar {
  const given = grammar as Grammar | null
  if (typeof given !== 'object' || given === null || !TYPES.includes(given.type)) {
    throw new OptionError(
      'OPTION_TYPE',
      `grammar must be an object whose type is one of ${TYPES.join(', ')}, not ${received(grammar)}`,
    )
  }
  const field = { json_object: null, json_schema: 'schema', regex: 'pattern', ebnf: 'grammar' } as const
  const name = given.type === 'structural_tag' ? 'format' : field[given.type]
  const value = name === null ? undefined : (given as unknown as Record<string, unknown>)[name]
  const wanted = given.type === 'regex' || given.type === 'ebnf' ? 'string' : 'object'
  if (name !== null && !(typeof value === wanted && value !== null)) {
    if (!(given.type === 'json_schema' && typeof value === 'boolean')) {
      throw new OptionError(
        'OPTION_TYPE',
        `grammar.${name} must be ${wanted === 'string' ? 'a text' : 'an object'}, not ${received(value)}`,
      )
    }
  }
  requireShort(given)
  return given.type === 'json_schema' ? { ...given, schema: adaptJsonSchema(given.schema) } : given
}

function requireShort(grammar: Grammar): void {
  let length: number
  try {
    length = JSON.stringify(grammar).length
  } catch (cause) {
    throw new OptionError('GRAMMAR_REFUSED', 'the grammar cannot be written as JSON', { cause })
  }
  if (length <= LONGEST_GRAMMAR) return
  throw new OptionError(
    'GRAMMAR_REFUSED',
    `the grammar has ${length} characters as JSON; at most ${LONGEST_GRAMMAR} are read`,
  )
}

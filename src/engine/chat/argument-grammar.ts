// The grammar of a call whose arguments are written one by one: those that are required, in the order of the schema, with values
// that fit.

import { OptionError } from '../../errors.js'
import type { Tag, TagFormat } from '../grammar/grammar.js'
import { adaptJsonSchema, type JsonSchema } from '../grammar/json-schema.js'
import { listedValues, type Parameter, parametersOf, typeOf } from './argument-types.js'
import { type ArgumentType, type PythonCalls, sharedStart, type TaggedCalls } from './tool-format.js'

type NamedCalls = TaggedCalls | PythonCalls
type Schema = Parameter['schemas'][number]

/** No text at all. */
const NOTHING: TagFormat = { type: 'regex', pattern: '()' }
/** A text of Python between single quotes. */
const SINGLE_QUOTED = `'([^'\\\\\\u0000-\\u001f]|\\\\['"\\\\nrt]|\\\\u[0-9a-fA-F]{4})*'`
const CONSTANTS = { true: 'True', false: 'False', null: 'None' } as const

/** Begins with all that stands between name and arguments in any call. Throws OptionError GRAMMAR_REFUSED. */
export function namedCallTag(format: NamedCalls, name: string, schema: JsonSchema | undefined): Tag {
  const parameters = parametersOf(schema)
  const { head, empty, between } = format
  // What ends a value is common to the text before the next argument and to the end of the call.
  const valueEnd = format.style === 'tagged' ? sharedStart(between, format.end) : ''
  const next = between.slice(valueEnd.length)
  const end = format.end.slice(valueEnd.length)
  const begin = sharedStart(head, empty)
  const mayBeEmpty = !parameters.some(({ required }) => required)
  const close = mayBeEmpty ? sharedEnd(end, empty.slice(begin.length)) : end
  const write = (parameter: Parameter, before: string) => argument(format, parameter, before, valueEnd)
  const choices: TagFormat[] = []
  for (const [first, parameter] of parameters.entries()) {
    const rest = parameters.slice(first + 1).map((later): TagFormat => {
      const written = write(later, next)
      return later.required ? written : { type: 'or', elements: [written, NOTHING] }
    })
    const last = constant(end.slice(0, end.length - close.length))
    choices.push(
      sequence([write(parameter, head.slice(begin.length)), ...rest, ...(last === null ? [] : [last])]),
    )
    if (parameter.required) break
  }
  if (mayBeEmpty) choices.push(constant(empty.slice(begin.length, empty.length - close.length)) ?? NOTHING)
  return { type: 'tag', begin: format.begin + name + begin, content: either(choices), end: close }
}

/** One argument; `before` stands between what precedes it and its key. */
function argument(format: NamedCalls, parameter: Parameter, before: string, valueEnd: string): TagFormat {
  const { key, schemas } = parameter
  if (format.style === 'python') {
    if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(key)) refuseKey(key)
    const values = either(schemas.flatMap(schema => pythonValues(schema, format)))
    return { type: 'tag', begin: before + key + format.assign, content: values, end: '' }
  }
  const { middles } = format
  const keyEnd = Object.values(middles).reduce(sharedStart)
  if (keyEnd === '' || key.includes(keyEnd) || /[\n<>]/.test(key)) refuseKey(key)
  const choices = schemas.flatMap(schema => taggedValues(schema, format))
  // Free text includes what else would stand behind the same mark.
  const free = new Set(choices.flatMap(({ type, content }) => (content === null ? [middles[type]] : [])))
  const elements = choices
    .filter(({ type, content }) => content === null || !free.has(middles[type]))
    .map(({ type, content }): TagFormat => {
      const begin = before + key + middles[type]
      if (typeof content === 'string') return { type: 'const_string', value: begin + content + valueEnd }
      return { type: 'tag', begin, content: content ?? { type: 'any_text' }, end: valueEnd }
    })
  return either(elements)
}

/** A value behind the mark of its type; null: any text, a string: this text. */
interface TaggedValue {
  readonly type: ArgumentType
  readonly content: TagFormat | string | null
}

function taggedValues(schema: Schema, { pythonNames }: TaggedCalls): TaggedValue[] {
  const listed = listedValues(schema)
  if (listed !== null) {
    return listed.flatMap(value =>
      spellings(value, pythonNames).map(text => ({
        type: typeOf(value),
        content: typeof value === 'string' ? value : text,
      })),
    )
  }
  const { type } = schema
  if (type === undefined) {
    return [
      { type: 'string', content: null },
      ...(['number', 'boolean', 'array', 'object', 'null'] as const).map(
        (one): TaggedValue => ({ type: one, content: { type: 'json_schema', json_schema: { type: one } } }),
      ),
    ]
  }
  if (type === 'string') {
    const { pattern } = adaptJsonSchema(schema) as Schema
    if (typeof pattern !== 'string') return [{ type, content: null }]
    return [{ type, content: { type: 'regex', pattern } }]
  }
  if (type === 'boolean' || type === 'null') {
    const values = type === 'null' ? [null] : [true, false]
    return values
      .flatMap(value => spellings(value, pythonNames))
      .map((content): TaggedValue => ({ type, content }))
  }
  const known = type === 'integer' ? 'number' : (type as ArgumentType)
  return [{ type: known, content: { type: 'json_schema', json_schema: adaptJsonSchema(schema) } }]
}

function pythonValues(schema: Schema, { quote }: PythonCalls): TagFormat[] {
  const single = quote === "'"
  const listed = listedValues(schema)
  if (listed !== null) {
    const texts = listed.flatMap(value => [
      ...spellings(value, true),
      ...(single && typeof value === 'string' ? [singleQuoted(value)] : []),
    ])
    return texts.map(value => ({ type: 'const_string', value }))
  }
  const { type, pattern, minLength, maxLength } = schema
  const json: TagFormat = { type: 'json_schema', json_schema: adaptJsonSchema(schema) }
  const constants = (values: readonly unknown[]) =>
    values
      .flatMap(value => spellings(value, true))
      .map((value): TagFormat => ({ type: 'const_string', value }))
  if (type === 'boolean') return constants([true, false])
  if (type === 'null') return constants([null])
  const text: TagFormat[] = single ? [{ type: 'regex', pattern: SINGLE_QUOTED }] : []
  if (type === undefined) {
    const types = ['string', 'number', 'array', 'object'] as const
    const all = types.map((one): TagFormat => ({ type: 'json_schema', json_schema: { type: one } }))
    return [...text, ...all, ...constants([true, false, null])]
  }
  const limited = pattern !== undefined || minLength !== undefined || maxLength !== undefined
  return type === 'string' && !limited ? [...text, json] : [json]
}

/** A value as JSON; constants also as Python writes them, where it may. */
function spellings(value: unknown, python: boolean): string[] {
  const json = JSON.stringify(value)
  return python && Object.hasOwn(CONSTANTS, json) ? [json, CONSTANTS[json as keyof typeof CONSTANTS]] : [json]
}

function singleQuoted(text: string): string {
  return `'${JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`
}

function either(elements: readonly TagFormat[]): TagFormat {
  return elements.length === 1 ? elements[0] : { type: 'or', elements }
}

function sequence(elements: readonly TagFormat[]): TagFormat {
  return elements.length === 1 ? elements[0] : { type: 'sequence', elements }
}

/** null where there is nothing to write: XGrammar takes no empty text. */
function constant(value: string): TagFormat | null {
  return value === '' ? null : { type: 'const_string', value }
}

function sharedEnd(a: string, b: string): string {
  let same = 0
  while (same < Math.min(a.length, b.length) && a.at(-1 - same) === b.at(-1 - same)) same++
  return a.slice(a.length - same)
}

function refuseKey(key: string): never {
  throw new OptionError(
    'GRAMMAR_REFUSED',
    `the parameter ${JSON.stringify(key.slice(0, 80))} of a tool cannot be written in the form of this model's calls; ` +
      'name it with letters, digits and _',
  )
}

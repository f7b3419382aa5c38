// What a schema says of wrong options, in words for the person who wrote them: which option, what it was given, what is
// allowed, and the nearest name that exists. Flags, recipes and library options all report through this.

import { z } from 'zod'
import { didYouMean } from './did-you-mean.js'
import { OptionError } from './errors.js'

/** How the writer of the options spells a path: `training.steps` in a recipe, `--steps` on the command line. */
export type OptionSpelling = (path: readonly PropertyKey[]) => string

/** `given` with every default filled in. Throws OptionError OPTION_INVALID; `where` says whose options they are. */
export function checkOptions<T extends z.ZodType>(schema: T, given: unknown, where?: string): z.output<T> {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const issues = describeIssues(result.error, schema, given)
  throw new OptionError('OPTION_INVALID', where === undefined ? issues : `${where}: ${issues}`)
}

/** `training.step: unknown key. Did you mean "steps"?; runs[1].alpha: must be at most 1, not 2`. */
export function describeIssues(
  error: Pick<z.ZodError, 'issues'>,
  schema: z.ZodType,
  content: unknown,
  spelling: OptionSpelling = pathText,
): string {
  const names = new OptionNames(schema, content, spelling)
  return error.issues.map(issue => names.describe(issue)).join('; ')
}

/** Only the first complaint, where the rest would follow from it; `whole` is what the content itself is called. */
export function describeFirstIssue(
  { issues: [first] }: Pick<z.ZodError, 'issues'>,
  schema: z.ZodType,
  content: unknown,
  whole: string,
): string {
  return describeIssues({ issues: [first] }, schema, content, path => pathText(path) || whole)
}

/** A value as a message shows it: whole when short, its beginning when long. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch {
    // Circular, or with a bigint inside.
  }
  text ??= typeof value === 'function' ? 'a function' : String(value)
  return text.length <= LONGEST_VALUE ? text : `${text.slice(0, LONGEST_VALUE)}…`
}

const LONGEST_VALUE = 80

/** One set of options: its schema, what was given, and how its writer spells paths. */
class OptionNames {
  readonly #schema: z.ZodType
  readonly #content: unknown
  readonly #spelling: OptionSpelling

  constructor(schema: z.ZodType, content: unknown, spelling: OptionSpelling) {
    this.#schema = schema
    this.#content = content
    this.#spelling = spelling
  }

  describe(issue: z.core.$ZodIssue, base: readonly PropertyKey[] = []): string {
    const path = [...base, ...issue.path]
    if (issue.code === 'unrecognized_keys') return this.#unknownKeys(issue.keys, path)
    const inner = issue.code === 'invalid_union' ? deepest(issue.errors) : undefined
    if (inner?.some(({ path }) => path.length > 0)) {
      return inner.map(one => this.describe(one, path)).join('; ')
    }
    const name = this.#spelling(path)
    const value = valueAt(this.#content, path)
    const complaint =
      value === undefined && (issue.code === 'invalid_type' || issue.code === 'invalid_union')
        ? `is missing (${allowed(issue)})`
        : complaintOf(issue, value)
    return name === '' ? `the options: ${complaint}` : `${name}: ${complaint}`
  }

  #unknownKeys(keys: readonly string[], path: readonly PropertyKey[]): string {
    const known = keysAt(this.#schema, path, this.#content)
    const spelled = (key: string) => this.#spelling([...path, key])
    return keys
      .map(
        key =>
          `${spelled(key)}: unknown key.${didYouMean(key, known)}${known.length === 0 ? '' : ` Keys here: ${known.join(', ')}.`}`,
      )
      .join('; ')
  }
}

/** Of a union, the complaints of the member that the value resembles most: those about its innermost parts. */
function deepest(errors: readonly (readonly z.core.$ZodIssue[])[]): readonly z.core.$ZodIssue[] | undefined {
  const depth = (issues: readonly z.core.$ZodIssue[]) => Math.max(0, ...issues.map(({ path }) => path.length))
  return errors.toSorted((a, b) => depth(b) - depth(a))[0]
}

function complaintOf(issue: z.core.$ZodIssue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
    case 'too_small':
    case 'too_big':
    case 'not_multiple_of':
      return `must be ${allowed(issue)}, not ${shown(value)}`
    case 'invalid_value':
    case 'invalid_union': {
      const near = typeof value === 'string' ? didYouMean(value, choicesOf(issue) ?? []) : ''
      return `must be ${allowed(issue)}, not ${shown(value)}${near === '' ? '' : `.${near}`}`
    }
    case 'invalid_format': {
      const own = issue.message.startsWith('Invalid ')
        ? `must match ${issue.pattern ?? issue.format}`
        : issue.message
      return `${own}, not ${shown(value)}`
    }
    case 'invalid_key':
    case 'invalid_element': {
      const [first] = issue.issues
      const part = issue.code === 'invalid_key' ? 'has a key that' : 'has an element that'
      const own = first?.code === 'invalid_format' && !first.message.startsWith('Invalid ')
      const complaint =
        first === undefined ? 'is not allowed' : own ? first.message : `must be ${allowed(first)}`
      return `${part} ${complaint}, in ${shown(value)}`
    }
    // Messages of our own schemas.
    case 'custom':
      return issue.message
    default:
      return unknownComplaint(issue, value)
  }
}

/** Of a kind that this version of the library of schemas does not have yet: its own words, and what was given. */
function unknownComplaint({ message }: { readonly message: string }, value: unknown): string {
  return `is not allowed (${message}): ${shown(value)}`
}

/** The few values that an option may have, or undefined. */
function choicesOf(issue: z.core.$ZodIssue): string[] | undefined {
  if (issue.code === 'invalid_value') return issue.values.map(String)
  const { options } = issue as { options?: readonly unknown[] }
  return options?.map(String)
}

/** What a value may be, as in `must be …`. */
function allowed(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return KINDS[issue.expected] ?? `of type ${issue.expected}`
    case 'too_small':
      return bound(issue.origin, issue.minimum, issue.inclusive === false ? 'above' : 'at least')
    case 'too_big':
      return bound(issue.origin, issue.maximum, issue.inclusive === false ? 'below' : 'at most')
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`
    case 'invalid_value':
    case 'invalid_union': {
      const choices = choicesOf(issue)
      if (choices !== undefined)
        return choices.length === 1 ? shown(choices[0]) : `one of ${choices.join(', ')}`
      if (!('errors' in issue)) return 'something else'
      return [...new Set(issue.errors.map(([first]) => allowed(first)))].join(' or ')
    }
    default:
      return 'something else'
  }
}

const KINDS: Readonly<Record<string, string>> = {
  int: 'an integer',
  number: 'a number',
  string: 'a text',
  boolean: 'true or false',
  null: 'null',
  array: 'a list',
  object: 'a mapping of keys to values',
  record: 'a mapping of keys to values',
}

function bound(origin: string, limit: number | bigint, which: string): string {
  if (origin === 'string') {
    return limit === 1 ? 'a text that is not empty' : `a text of ${which} ${limit} characters`
  }
  if (origin === 'array') return `a list of ${which} ${limit} ${limit === 1 ? 'value' : 'values'}`
  return `${which} ${limit}`
}

/** `runs[2].alpha`. */
export function pathText(path: readonly PropertyKey[]): string {
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

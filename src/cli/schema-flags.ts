// Flags made from the schemas: every key of a recipe is a flag of the same name in kebab-case.

import { type Command, Option } from 'commander'
import { z } from 'zod'
import { OptionError } from '../errors.js'
import { describeIssues } from '../schema-issues.js'
import { boolean, number } from './options.js'

/** `hiddenSize` → `hidden-size`. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

/** Two spellings of one key: nobody has to know which command calls it which. */
const OTHER_SPELLINGS: Readonly<Record<string, string>> = { learningRate: '--lr', lr: '--learning-rate' }

/** Adds one flag per key of `schema` to `command`, with its values and default in the help text. */
export function addSchemaFlags(command: Command, schema: z.ZodObject, about: Record<string, string>): void {
  for (const [key, field] of Object.entries(schema.shape)) {
    const { type, choices, initial } = kindOf(field)
    const text = `${about[key] ?? ''}${initial === undefined ? '' : ` (default: ${String(initial)})`}`.trim()
    const value = { number: '<n>', boolean: '<true|false>', string: '<value>' }[type]
    const other = OTHER_SPELLINGS[key]
    // Commander names the option after the last spelling.
    const option = new Option(`${other === undefined ? '' : `${other}, `}--${kebab(key)} ${value}`, text)
    if (choices !== undefined) option.choices(choices)
    else if (type === 'number') option.argParser(number)
    else if (type === 'boolean') option.argParser(boolean)
    command.addOption(option)
  }
}

/** The part of the parsed flags that `schema` knows, checked by it. Throws OptionError that names the flag. */
export function readSchemaFlags<T extends z.ZodObject>(
  schema: T,
  flags: Record<string, unknown>,
): z.output<T> {
  const given = Object.fromEntries(
    Object.keys(schema.shape).flatMap(key => (flags[key] === undefined ? [] : [[key, flags[key]]])),
  )
  return parseFlags(schema, given)
}

/** Checks options with a schema; a wrong one is named as the flag that set it. Throws OptionError OPTION_INVALID. */
export function parseFlags<T extends z.ZodType>(schema: T, given: unknown): z.output<T> {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  throw new OptionError('OPTION_INVALID', describeIssues(result.error, schema, given, flagOf))
}

/** `--hidden-size`; of a list, the flag that has it; what no flag sets stays a key of a recipe: `schedule.p`. */
function flagOf(path: readonly PropertyKey[]): string {
  const [name, ...rest] = path
  if (name === undefined) return ''
  const flag = `--${kebab(String(name))}`
  return rest.every(part => typeof part === 'number') ? flag : [flag, ...rest.map(String)].join('.')
}

function kindOf(field: unknown): {
  type: 'number' | 'boolean' | 'string'
  choices?: string[]
  initial?: unknown
} {
  if (field instanceof z.ZodDefault) return { ...kindOf(field.unwrap()), initial: field.def.defaultValue }
  if (field instanceof z.ZodOptional) return kindOf(field.unwrap())
  if (field instanceof z.ZodNumber) return { type: 'number' }
  if (field instanceof z.ZodBoolean) return { type: 'boolean' }
  if (field instanceof z.ZodEnum) return { type: 'string', choices: field.options.map(String) }
  return { type: 'string' }
}

// Flags made from the schemas: every key of a recipe is a flag of the same name in kebab-case.

import { type Command, InvalidArgumentError, Option } from 'commander'
import { z } from 'zod'
import { OptionError } from '../errors.js'

/** `hiddenSize` → `hidden-size`. */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

/** Adds one flag per key of `schema`, undocumented defaults shown, to `command`. */
export function addSchemaFlags(command: Command, schema: z.ZodObject, about: Record<string, string>): void {
  for (const [key, field] of Object.entries(schema.shape)) {
    const { type, choices, initial } = kindOf(field)
    const text = `${about[key] ?? ''}${initial === undefined ? '' : ` (default: ${String(initial)})`}`.trim()
    const flag =
      type === 'boolean'
        ? `--${kebab(key)} <true|false>`
        : `--${kebab(key)} <${type === 'number' ? 'n' : 'value'}>`
    const option = new Option(flag, text)
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
): z.infer<T> {
  const given = Object.fromEntries(
    Object.keys(schema.shape).flatMap(key => (flags[key] === undefined ? [] : [[key, flags[key]]])),
  )
  return parseFlags(schema, given)
}

/** Checks options with a schema; a wrong one is named as the flag that set it. */
export function parseFlags<T extends z.ZodType>(schema: T, given: unknown): z.infer<T> {
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const messages = result.error.issues.map(issue => `--${kebab(issue.path.join('.'))}: ${issue.message}`)
  throw new OptionError('OPTION_INVALID', messages.join('; '))
}

export function number(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isFinite(value))
    throw new InvalidArgumentError(`"${text}" is not a number.`)
  return value
}

export function integer(minimum: number): (text: string) => number {
  return text => {
    const value = number(text)
    if (!Number.isSafeInteger(value) || value < minimum) {
      throw new InvalidArgumentError(`"${text}" is not a whole number of at least ${minimum}.`)
    }
    return value
  }
}

function boolean(text: string): boolean {
  if (text !== 'true' && text !== 'false')
    throw new InvalidArgumentError(`"${text}" is neither true nor false.`)
  return text === 'true'
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

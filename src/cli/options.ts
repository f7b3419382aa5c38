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

/**
 * `--activations relu silu`, `--activations relu,silu` or `'relu; silu'`: a list of activations. Files of one's own
 * count as names.
 */
export function activationsOption(about: string): Option {
  return new Option('--activation, --activations <names...>', about).argParser(
    (text: string, before: string[] | undefined) => [...(before ?? []), ...splitSpecs(text)],
  )
}

/**
 * `silu,stocha:p=0.3,positive=silu` as two activations: what follows a comma belongs to the name before it when it is
 * one of its settings (`key=value`) or of its parts (`mix:relu@0.3,gelu@0.7`).
 */
export function splitSpecs(text: string): string[] {
  const specs: string[] = []
  for (const [, separator, part] of text.matchAll(/(^|[,;\s]+)([^,;\s]+)/g)) {
    const last = specs.at(-1)
    const setting = /^[a-z][a-z0-9_-]*=/i.test(part) || (part.includes('@') && !part.includes(':'))
    if (last?.includes(':') && setting && separator.trim() === ',')
      specs[specs.length - 1] = `${last},${part}`
    else specs.push(part)
  }
  return specs
}

/** Loading an activation from a file runs the code in it: only with this flag. */
export function allowCodeOption(): Option {
  return new Option('--allow-code', 'let activations be files of yours (./mine.mjs); the code in them runs')
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

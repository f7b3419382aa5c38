// What every public function of the engine checks before it uses an option: that its name exists and its value has the
// right type. Ranges are checked where the option is used. Messages name the option and the value received.

import { inspect } from 'node:util'
import { didYouMean } from '../did-you-mean.js'
import { OptionError } from '../errors.js'

/** A value for an error message: short, on one line. */
export function received(value: unknown): string {
  const text =
    typeof value === 'string'
      ? JSON.stringify(value)
      : inspect(value, {
          depth: 1,
          breakLength: Number.POSITIVE_INFINITY,
          maxArrayLength: 4,
          maxStringLength: 40,
        })
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}

/** Throws OptionError OPTION_TYPE: `name must be wanted, not value`. */
export function wrongType(name: string, wanted: string, value: unknown): never {
  throw new OptionError('OPTION_TYPE', `${name} must be ${wanted}, not ${received(value)}`)
}

/** Throws OptionError OPTION_TYPE unless `options` is an object with names. */
export function requireOptionsObject(options: unknown): asserts options is object {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    wrongType('options', 'an object', options)
  }
}

/** The names of a function's options; `hidden`: a former name, accepted but not listed. */
export type OptionNames<T> = Readonly<Record<keyof T & string, true | 'hidden'>>

/**
 * Throws OptionError OPTION_TYPE unless `options` is an object, OPTION_UNKNOWN where it has a name that `known` lacks: a
 * misspelled option would silently have no effect. `elsewhere`: names that belong to another function, and its name.
 */
export function requireKnownOptions(
  options: unknown,
  known: OptionNames<Record<string, unknown>>,
  elsewhere: { readonly names: OptionNames<Record<string, unknown>>; readonly of: string } | null = null,
): void {
  requireOptionsObject(options)
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue
    const names = Object.keys(known).filter(option => known[option] === true)
    const hint =
      elsewhere !== null && Object.hasOwn(elsewhere.names, name)
        ? ` It is an option of ${elsewhere.of}.`
        : didYouMean(name, names)
    throw new OptionError(
      'OPTION_UNKNOWN',
      `there is no option ${name}; there are ${names.join(', ')}.${hint}`,
    )
  }
}

/** Throws OptionError OPTION_TYPE unless `value` is undefined or of this type. */
export function requireOptionalType(
  name: string,
  type: 'string' | 'boolean' | 'function',
  value: unknown,
): void {
  if (value !== undefined && typeof value !== type) wrongType(name, `a ${type}`, value)
}

/** Whether this is an array or a typed array; ids are checked where they are read. */
export function isTokenList(tokens: unknown): tokens is ArrayLike<number> {
  return Array.isArray(tokens) || (ArrayBuffer.isView(tokens) && !(tokens instanceof DataView))
}

/** Throws OptionError OPTION_TYPE unless `isTokenList`. */
export function requireTokenList(name: string, tokens: unknown): asserts tokens is ArrayLike<number> {
  if (!isTokenList(tokens)) wrongType(name, 'an array of token ids', tokens)
}

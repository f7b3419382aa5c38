// The catalogue: every activation by the name that users type. `parseActivation('stocha:p=0.7')` gives a bound
// entry; `listActivations()` describes them all. Adding an activation is one family and one line here.

import { didYouMean } from '../did-you-mean.js'
import { ActivationError } from '../errors.js'
import type { Activation } from './activation.js'
import type { ActivationFamily, Parameter } from './family.js'
import { reluFamily } from './rectifiers.js'
import { siluFamily } from './smooth.js'
import { stochaFamily, stochFamily } from './stochastic.js'

const families: ReadonlyMap<string, ActivationFamily> = new Map(
  [reluFamily, siluFamily, stochaFamily, stochFamily].map(family => [family.name, family]),
)

/** What a help text says about one activation. */
export interface ActivationListing {
  readonly name: string
  /** With every parameter at its default, as it can be typed: `stocha:p=0.7,positive=identity`. */
  readonly spec: string
  readonly character: string
  readonly source: string
  readonly parameters: readonly { readonly name: string; readonly allowed: string; readonly about: string }[]
}

/** All activations, in the catalogue's order. */
export function listActivations(): ActivationListing[] {
  return [...families.values()].map(({ name, parameters, character, source }) => ({
    name,
    spec: parseActivation(name).spec,
    character,
    source,
    parameters: Object.entries(parameters).map(([parameterName, parameter]) => ({
      name: parameterName,
      allowed: allowedValues(parameter),
      about: parameter.about,
    })),
  }))
}

/**
 * The activation that `spec` names: `name` or `name:key=value,key=value`, parameters left out at their defaults.
 * Throws ActivationError: ACTIVATION_UNKNOWN, ACTIVATION_SYNTAX, ACTIVATION_PARAMETER_UNKNOWN (a key that the
 * activation does not have) or ACTIVATION_PARAMETER_INVALID (a value out of range or of the wrong type).
 */
export function parseActivation(spec: string): Activation {
  const [name, settings] = splitOnce(spec.trim(), ':')
  const family = families.get(name)
  if (family === undefined) {
    const names = [...families.keys()]
    throw new ActivationError(
      'ACTIVATION_UNKNOWN',
      `there is no activation "${name}".${didYouMean(name, names)} Activations: ${names.join(', ')}.`,
    )
  }

  const given = settings === undefined ? new Map<string, string>() : parseSettings(family, settings)
  const values: Record<string, string | number> = {}
  for (const [key, parameter] of Object.entries(family.parameters)) {
    const text = given.get(key)
    values[key] = text === undefined ? parameter.default : parseValue(`${name}: ${key}`, parameter, text)
  }

  const canonical = Object.entries(values).map(([key, value]) => `${key}=${value}`)
  return {
    ...family.bind(values),
    spec: canonical.length === 0 ? name : `${name}:${canonical.join(',')}`,
    name,
    source: family.source,
    character: family.character,
  }
}

function splitOnce(text: string, separator: string): [before: string, after: string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at).trim(), text.slice(at + 1).trim()]
}

/** `p=0.7,positive=silu` as a map; every key exists in the family and stands once. */
function parseSettings(family: ActivationFamily, settings: string): Map<string, string> {
  const known = Object.keys(family.parameters)
  const given = new Map<string, string>()
  for (const setting of settings.split(',')) {
    const [key, value] = splitOnce(setting.trim(), '=')
    if (key === '' || value === undefined || value === '') {
      throw new ActivationError(
        'ACTIVATION_SYNTAX',
        `${family.name}: "${setting.trim()}" is not key=value. Write name:key=value,key=value, for example stocha:p=0.7,positive=silu.`,
      )
    }
    if (!known.includes(key)) {
      throw new ActivationError(
        'ACTIVATION_PARAMETER_UNKNOWN',
        known.length === 0
          ? `${family.name} has no parameters, so "${key}" must go.`
          : `${family.name} has no parameter "${key}".${didYouMean(key, known)} Its parameters: ${known.join(', ')}.`,
      )
    }
    if (given.has(key)) {
      throw new ActivationError('ACTIVATION_SYNTAX', `${family.name}: ${key} is given twice; keep one.`)
    }
    given.set(key, value)
  }
  return given
}

/** Checks one value against its parameter; `where` names both for the message. */
function parseValue(where: string, parameter: Parameter, text: string): string | number {
  if (parameter.kind === 'choice') {
    if (parameter.choices.includes(text)) return text
    throw new ActivationError(
      'ACTIVATION_PARAMETER_INVALID',
      `${where} must be ${allowedValues(parameter)}, not "${text}".${didYouMean(text, parameter.choices)}`,
    )
  }
  const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN
  if (value >= parameter.min && value <= parameter.max) return value
  throw new ActivationError(
    'ACTIVATION_PARAMETER_INVALID',
    `${where} must be ${allowedValues(parameter)}, not "${text}".`,
  )
}

function allowedValues(parameter: Parameter): string {
  return parameter.kind === 'choice'
    ? `one of ${parameter.choices.join(', ')}`
    : `a number from ${parameter.min} to ${parameter.max}`
}

// The settings of an activation as a user types them: values with a range, or one of a few words.

import { didYouMean } from '../did-you-mean.js'
import { ActivationError } from '../errors.js'

/** A real number, with the closed range it must lie in. */
export interface NumberParameter {
  readonly kind: 'number'
  readonly default: number
  readonly min: number
  readonly max: number
  /** One line for help texts. */
  readonly about: string
}

/** One of a few words. */
export interface ChoiceParameter<Choice extends string = string> {
  readonly kind: 'choice'
  readonly default: Choice
  readonly choices: readonly Choice[]
  readonly about: string
}

export type Parameter = NumberParameter | ChoiceParameter
export type ParameterSet = Readonly<Record<string, Parameter>>

/** A number from min to max. */
export function number(defaultValue: number, min: number, max: number, about: string): NumberParameter {
  return { kind: 'number', default: defaultValue, min, max, about }
}

/** A probability, the commonest setting here. */
export function probability(defaultValue: number, about: string): NumberParameter {
  return number(defaultValue, 0, 1, about)
}

/** One of the given words, the first being the default. */
export function oneOf<const Choice extends string>(
  choices: readonly [Choice, ...Choice[]],
  about: string,
): ChoiceParameter<Choice> {
  return { kind: 'choice', default: choices[0], choices, about }
}

/** Checks one value against its parameter; `where` names both for the message. Throws ActivationError. */
export function parseValue(where: string, parameter: Parameter, text: string): string | number {
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

export function allowedValues(parameter: Parameter): string {
  return parameter.kind === 'choice'
    ? `one of ${parameter.choices.join(', ')}`
    : `a number from ${parameter.min} to ${parameter.max}`
}

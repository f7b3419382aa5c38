// How an activation is declared: a family has a name, parameters with defaults and ranges, and a function that
// binds values to formulas. The catalogue turns what a user types into a bound `Activation`.

import type { Activation } from './activation.js'

/** A real parameter, with the closed range it must lie in. */
export interface NumberParameter {
  readonly kind: 'number'
  readonly default: number
  readonly min: number
  readonly max: number
  /** One line for help texts. */
  readonly about: string
}

/** A parameter that is one of a few words. */
export interface ChoiceParameter<Choice extends string = string> {
  readonly kind: 'choice'
  readonly default: Choice
  readonly choices: readonly Choice[]
  readonly about: string
}

export type Parameter = NumberParameter | ChoiceParameter
export type ParameterSet = Readonly<Record<string, Parameter>>

/** The values that a declaration's `bind` receives: a number or one of the words, as declared. */
export type ValuesOf<P extends ParameterSet> = {
  readonly [Name in keyof P]: P[Name] extends ChoiceParameter<infer Choice> ? Choice : number
}

/** What the parameters decide; name, spelling and source come from the family. */
export type BoundActivation = Omit<Activation, 'spec' | 'name' | 'source' | 'character'>

/** All activations of one name, parameters still open. */
export interface FamilyDeclaration<P extends ParameterSet> {
  readonly name: string
  readonly parameters: P
  /** Authors, year, arXiv id. */
  readonly source: string
  /** One line on its character: "smooth, non-monotonic, bounded below". */
  readonly character: string
  bind(values: ValuesOf<P>): BoundActivation
}

/** A declaration as the catalogue holds it, whatever its parameters. */
export interface ActivationFamily extends Omit<FamilyDeclaration<ParameterSet>, 'bind'> {
  bind(values: Readonly<Record<string, number | string>>): BoundActivation
}

/** A probability, the commonest parameter here. */
export function probability(defaultValue: number, about: string): NumberParameter {
  return { kind: 'number', default: defaultValue, min: 0, max: 1, about }
}

/** One of the given words, the first being the default. */
export function oneOf<const Choice extends string>(
  choices: readonly [Choice, ...Choice[]],
  about: string,
): ChoiceParameter<Choice> {
  return { kind: 'choice', default: choices[0], choices, about }
}

/** Declares a family: its own `bind` is typed by its parameters, the catalogue sees the general type. */
export function family<P extends ParameterSet>(declaration: FamilyDeclaration<P>): ActivationFamily {
  return {
    ...declaration,
    // The catalogue has checked every value against `parameters`, which is what ValuesOf<P> says.
    bind: values => declaration.bind(values as ValuesOf<P>),
  }
}

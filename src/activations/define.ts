// An activation of one's own: written as an expression, or as plain functions of one number. It needs no entry in the
// catalog: `defineActivation({ name: 'half', value: mul(0.5, x) })` gives an Activation that everything here takes.

import { ActivationError } from '../errors.js'
import type { Activation, DrawPer, LearnedParameter } from './activation.js'
import type { Expression } from './expression.js'
import { bindActivation, compileDefinition } from './family.js'

interface Described {
  readonly name: string
  /** Whether some inputs give exactly 0, so that the engine may look for neurons to skip. Default false. */
  readonly exactZeros?: boolean
  /** Exactly 0 for every x below this. */
  readonly zeroBelow?: number
  readonly source?: string
  readonly character?: string
}

/** An activation as an expression: its derivatives follow, and it runs as fast as those of the catalog. */
export interface ExpressionActivation extends Described {
  readonly value: Expression
  /** Instead of the derivative of `value`; then `surrogate` must say why. */
  readonly slope?: Expression
  readonly surrogate?: string
  readonly learned?: readonly LearnedParameter[]
  /** The mean over draws, for an expression with draws. */
  readonly expectation?: Expression
  /** What shares one draw. Default: every element has its own. */
  readonly per?: DrawPer
}

/** An activation as functions of one number; runs element by element, slower, without draws or learned parameters. */
export interface PlainActivation extends Described {
  forward(x: number): number
  derivative(x: number): number
}

/** An Activation under the spelling `spec` (default: its name). Throws ActivationError ACTIVATION_DEFINITION. */
export function defineActivation(
  entry: ExpressionActivation | PlainActivation,
  spec: string = entry.name,
): Activation {
  const {
    name,
    exactZeros = false,
    zeroBelow,
    source = 'own',
    character = 'an activation of your own',
  } = entry
  const described = {
    name,
    spec,
    source,
    character,
    exactZeros,
    ...(zeroBelow !== undefined && { zeroBelow }),
  }
  const fixed = (): never => {
    throw new ActivationError(
      'ACTIVATION_PARAMETER_UNKNOWN',
      `${name} has no parameters that could be changed.`,
    )
  }
  if ('forward' in entry) {
    return {
      ...described,
      settings: {},
      with: changed => (Object.keys(changed).length === 0 ? defineActivation(entry, spec) : fixed()),
      forward: x => entry.forward(x),
      derivative: x => entry.derivative(x),
      parameterDerivatives: () => [],
      formula: 'forward(x)',
      derivativeFormula: 'derivative(x)',
      learned: [],
      draws: false,
      drawChannels: 0,
      drawPer: 'element',
      rowwise: false,
    }
  }
  const { value, slope, surrogate, learned, expectation, per = 'element' } = entry
  if (slope !== undefined && surrogate === undefined) {
    throw new ActivationError(
      'ACTIVATION_DEFINITION',
      `${spec} gives a slope of its own; say in "surrogate" why it is not the derivative of the value.`,
    )
  }
  const compiled = compileDefinition({
    value,
    ...(slope && { slope }),
    ...(surrogate !== undefined && { surrogate }),
    ...(learned && { learned }),
    ...(expectation && { expectation }),
  })
  const rebind = (changed: object): Activation =>
    Object.keys(changed).length === 0 ? defineActivation(entry, spec) : fixed()
  return bindActivation(compiled, { ...described, settings: per === 'element' ? {} : { per }, rebind })
}

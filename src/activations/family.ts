// How an activation is declared: a family has a name, settings with defaults and ranges, and a function that writes the
// expression. Here a declaration and a user's settings become a bound `Activation`.

import { ActivationError } from '../errors.js'
import {
  type Activation,
  type DrawPer,
  drawUnits,
  type LearnedParameter,
  parameterCount,
  type Settings,
  startParameters,
} from './activation.js'
import { differentiate } from './differentiate.js'
import { type Expression, setting, x } from './expression.js'
import { formula } from './formula.js'
import { type ActivationPrograms, compileActivation } from './programs.js'
import { RowRunner } from './row-runner.js'
import { allowedValues, type Parameter, type ParameterSet, parseValue } from './settings.js'

/** What a declaration's functions receive: a number or one of the words, as declared. */
export type ValuesOf<P extends ParameterSet> = {
  readonly [Name in keyof P]: P[Name] extends { kind: 'choice'; choices: readonly (infer Choice)[] }
    ? Choice
    : number
}

/** The same with numbers as expressions, so that one expression serves all of them. */
export type ExpressionsOf<P extends ParameterSet> = {
  readonly [Name in keyof P]: P[Name] extends { kind: 'choice'; choices: readonly (infer Choice)[] }
    ? Choice
    : Expression
}

/** An activation written down. */
export interface Definition {
  readonly value: Expression
  /** Instead of the derivative of `value` (where straightThrough does not say it), with the reason in `surrogate`. */
  readonly slope?: Expression
  /** Why the backward pass is deliberately not the derivative of the value. */
  readonly surrogate?: string
  readonly learned?: readonly LearnedParameter[]
  /** The mean over draws, for entries that draw. */
  readonly expectation?: Expression
  /** Weight or probability of the first of the two functions that the entry mixes. */
  readonly gate?: Expression
}

/** What follows from the numbers. */
export interface Traits extends Pick<Activation, 'exactZeros' | 'zeroBelow' | 'fused' | 'fusedRows'> {
  /** Default: whether the expression has draws. */
  readonly draws?: boolean
  /** Where settings say at what value a learned parameter starts. */
  readonly starts?: Readonly<Record<string, readonly number[]>>
}

/** All activations of one name, settings still open. */
export interface FamilyDeclaration<P extends ParameterSet> {
  readonly name: string
  readonly settings: P
  /** Authors, year, arXiv id. */
  readonly source: string
  /** One line on its character: "smooth, non-monotonic, bounded below". */
  readonly character: string
  /** Called once per combination of words; numbers arrive as expressions. */
  define(values: ExpressionsOf<P>): Definition
  traits(values: ValuesOf<P>): Traits
}

/** A declaration as the catalog holds it, whatever its settings. */
export interface ActivationFamily {
  readonly name: string
  readonly settings: ParameterSet
  readonly source: string
  readonly character: string
  /** The activation with these settings, all of them given and valid. */
  bind(values: Settings): Activation
}

/** Declares a family: its own functions are typed by its settings, the catalog sees the general type. */
export function family<P extends ParameterSet>(declaration: FamilyDeclaration<P>): ActivationFamily {
  const { name, settings, source, character } = declaration
  const compiledFor = new Map<string, Compiled>()

  const definitionFor = (values: Settings): Compiled => {
    const choices = Object.entries(settings).filter(([, { kind }]) => kind === 'choice')
    const key = choices.map(([each]) => values[each]).join()
    let compiled = compiledFor.get(key)
    if (compiled === undefined) {
      const operands = Object.entries(settings).map(([each, { kind }]) => [
        each,
        kind === 'choice' ? values[each] : setting(each),
      ])
      // Numbers became expressions and words stayed, which is what ExpressionsOf<P> says.
      compiled = compileDefinition(declaration.define(Object.fromEntries(operands) as ExpressionsOf<P>))
      compiledFor.set(key, compiled)
    }
    return compiled
  }

  const bind = (values: Settings): Activation => {
    // A draw per element is what goes without saying.
    const said = Object.entries(values).filter(
      ([key, value]) => key !== 'per' || value !== settings.per?.default,
    )
    const spelled = said.map(([key, value]) => `${key}=${value}`)
    return bindActivation(definitionFor(values), {
      name,
      spec: spelled.length === 0 ? name : `${name}:${spelled.join(',')}`,
      source,
      character,
      settings: values,
      // Every value has been checked against `settings`, which is what ValuesOf<P> says.
      ...declaration.traits(values as ValuesOf<P>),
      rebind: changed => bind(checkedSettings(name, settings, { ...values, ...changed })),
    })
  }
  return { name, settings, source, character, bind }
}

/** A definition with everything that is derived from it, lazily where it may not be needed. */
export interface Compiled {
  readonly definition: Definition
  readonly learned: readonly LearnedParameter[]
  readonly programs: ActivationPrograms
  readonly formula: string
  readonly derivativeFormula: string
  readonly runner: RowRunner
  readonly expectation: Compiled | undefined
  readonly gate: Compiled | undefined
}

export function compileDefinition(definition: Definition): Compiled {
  const { value } = definition
  // The layer's before the neurons', as the flat buffer has them.
  const learned = [...(definition.learned ?? [])].sort(
    (a, b) => Number(a.per === 'neuron') - Number(b.per === 'neuron'),
  )
  const slope = definition.slope ?? differentiate(value, x)
  const programs = compileActivation(value, learned, slope)
  const { expectation, gate } = definition
  const derived = new Map<Expression, Compiled>()
  const derive = (from: Expression | undefined): Compiled | undefined => {
    if (from !== undefined && !derived.has(from))
      derived.set(from, compileDefinition({ value: from, learned }))
    return from && derived.get(from)
  }
  let runner: RowRunner | undefined
  return {
    definition,
    learned,
    programs,
    get formula() {
      return formula(value)
    },
    get derivativeFormula() {
      return formula(slope)
    },
    get runner() {
      runner ??= new RowRunner(programs)
      return runner
    },
    get expectation() {
      return derive(expectation)
    },
    get gate() {
      return derive(gate)
    },
  }
}

/** Who an entry is, and how it comes by other settings. */
interface Identity extends Traits {
  readonly name: string
  readonly spec: string
  readonly source: string
  readonly character: string
  readonly settings: Settings
  rebind(changed: Settings): Activation
}

export function bindActivation(compiled: Compiled, identity: Identity): Activation {
  const { definition, programs } = compiled
  const { rebind, settings, starts, ...rest } = identity
  const learned = compiled.learned.map(parameter => ({
    ...parameter,
    start: starts?.[parameter.name] ?? parameter.start,
  }))
  const draws = programs.drawChannels > 0 && identity.draws !== false
  const neuron = { learned }
  const start = startParameters(neuron, 1)

  const [out, dOut, dX] = [new Float64Array(1), Float64Array.of(1), new Float64Array(1)]
  const run = (x: number, draw: number | ArrayLike<number>, parameters: ArrayLike<number>): Float64Array => {
    const gradients = new Float64Array(parameterCount(neuron, 1))
    compiled.runner.begin(settings, parameters, 1)
    compiled.runner.backward([x], 0, drawRows(draw, programs.drawChannels), dOut, out, dX, gradients)
    return gradients
  }

  const act: Activation = {
    ...rest,
    settings,
    with: rebind,
    forward: (x, draw, parameters = start) => {
      compiled.runner.begin(settings, parameters, 1)
      compiled.runner.forward([x], 0, drawRows(draw, programs.drawChannels), out)
      return out[0]
    },
    derivative: (x, draw, parameters = start) => {
      run(x, draw, parameters)
      return dX[0]
    },
    parameterDerivatives: (x, draw, parameters = start) => [...run(x, draw, parameters)],
    get formula() {
      return compiled.formula
    },
    get derivativeFormula() {
      return compiled.derivativeFormula
    },
    ...(definition.surrogate !== undefined && { surrogate: definition.surrogate }),
    learned,
    draws,
    drawChannels: draws ? programs.drawChannels : 0,
    drawPer: drawUnits.find(unit => unit === settings.per) ?? 'element',
    get expectation() {
      if (!draws || compiled.expectation === undefined) return undefined
      return derivedEntry('expected', compiled.expectation, identity)
    },
    get gate() {
      return compiled.gate && derivedEntry('gate', compiled.gate, identity)
    },
    rowwise: programs.neighbors || programs.statistics.length > 0,
    programs,
  }
  definitions.set(act, definition)
  return act
}

const definitions = new WeakMap<Activation, Definition>()

/** The expression that an entry was made from; undefined for a user's plain functions. */
export function definitionOf(act: Activation): Definition | undefined {
  return definitions.get(act)
}

/** The entries `expected:<spec>` (the mean over draws) and `gate:<spec>`: deterministic, of the same parameters. */
function derivedEntry(kind: 'expected' | 'gate', compiled: Compiled, identity: Identity): Activation {
  const { name, spec, source, settings, starts, rebind } = identity
  return bindActivation(compiled, {
    ...(starts && { starts }),
    name,
    spec: `${kind}:${spec}`,
    source,
    settings,
    exactZeros: false,
    character: kind === 'gate' ? `the gate of ${name}` : `the mean over draws of ${name}`,
    rebind: changed => {
      const other = rebind(changed)
      return (kind === 'gate' ? other.gate : other.expectation) ?? other
    },
  })
}

/** A row of one neuron per channel; one number serves all channels. */
function drawRows(draw: number | ArrayLike<number>, channels: number): ArrayLike<number>[] {
  return Array.from({ length: channels }, (_, channel) => [typeof draw === 'number' ? draw : draw[channel]])
}

/** Settings given as values rather than as text, checked. Throws ActivationError. */
function checkedSettings(name: string, declared: ParameterSet, values: Settings): Settings {
  const unknown = Object.keys(values).find(key => !Object.hasOwn(declared, key))
  if (unknown !== undefined) {
    throw new ActivationError(
      'ACTIVATION_PARAMETER_UNKNOWN',
      `${name} has no parameter "${unknown}". Its parameters: ${Object.keys(declared).join(', ') || 'none'}.`,
    )
  }
  const checked = Object.entries(declared).map(([key, parameter]: [string, Parameter]) => {
    const value = values[key]
    if (typeof value === 'number' && parameter.kind === 'number') {
      if (value >= parameter.min && value <= parameter.max) return [key, value]
      throw new ActivationError(
        'ACTIVATION_PARAMETER_INVALID',
        `${name}: ${key} must be ${allowedValues(parameter)}, not ${value}.`,
      )
    }
    return [key, parseValue(`${name}: ${key}`, parameter, String(value))]
  })
  return Object.fromEntries(checked)
}

/** Whose draw it is; every stochastic entry has this setting as `per`. */
export const per = {
  kind: 'choice',
  default: 'element' as DrawPer,
  choices: drawUnits,
  about: 'what shares one draw: each element, a neuron for the batch, a token, a sample, or the whole batch',
} as const

// The catalog: every activation by the name that users type. `parseActivation('stocha:p=0.7')` gives a bound
// entry; `listActivations()` describes them all. Adding an activation is one family and one line here.

import { didYouMean } from '../did-you-mean.js'
import { ActivationError } from '../errors.js'
import type { Activation } from './activation.js'
import { isActivationFile, loadedActivation } from './activation-file.js'
import * as expandedGates from './expanded-gates.js'
import type { ActivationFamily } from './family.js'
import * as gates from './gates.js'
import { mixListing, parseMix } from './mix.js'
import * as rectifiers from './rectifiers.js'
import * as rowwise from './rowwise.js'
import { allowedValues, type Parameter, parseValue } from './settings.js'
import { smartMixedFamily } from './smartmixed.js'
import * as smooth from './smooth.js'
import * as stochastic from './stochastic.js'
import * as surrogates from './surrogates.js'

/** In the order of help texts and docs. */
const families: ReadonlyMap<string, ActivationFamily> = new Map(
  [
    rectifiers.reluFamily,
    smooth.siluFamily,
    stochastic.stochaFamily,
    stochastic.stochFamily,
    gates.learnableStochFamily,
    gates.gumbelStochFamily,
    smartMixedFamily,
    stochastic.rreluFamily,
    stochastic.circaFamily,
    rectifiers.relu2Family,
    rectifiers.fatReluFamily,
    rectifiers.shiftedReluFamily,
    surrogates.jumpReluFamily,
    surrogates.heluFamily,
    surrogates.sugarFamily,
    rectifiers.leakyReluFamily,
    rectifiers.preluFamily,
    rectifiers.smeluFamily,
    rectifiers.crreluFamily,
    rectifiers.polyReluFamily,
    rectifiers.relu6Family,
    rectifiers.hardTanhFamily,
    rectifiers.hardSigmoidFamily,
    rectifiers.hardSwishFamily,
    smooth.swishFamily,
    smooth.geluFamily,
    smooth.mishFamily,
    smooth.aptxFamily,
    smooth.eluFamily,
    smooth.seluFamily,
    smooth.sigmoidFamily,
    smooth.tanhFamily,
    smooth.softplusFamily,
    smooth.snakeFamily,
    smooth.sauFamily,
    smooth.rbfFamily,
    expandedGates.atluFamily,
    expandedGates.xatluFamily,
    expandedGates.xgeluFamily,
    expandedGates.xsiluFamily,
    expandedGates.xieluFamily,
    rowwise.topkFamily,
    rowwise.statTopkFamily,
    rowwise.polyNormFamily,
    rowwise.tmafFamily,
  ].map(family => [family.name, family]),
)

/** What a help text says about one activation. */
export interface ActivationListing {
  readonly name: string
  /** With every parameter at its default, as it can be typed: `stocha:p=0.7,positive=identity`. */
  readonly spec: string
  readonly character: string
  readonly source: string
  readonly parameters: readonly (Parameter & { readonly name: string; readonly allowed: string })[]
}

/** All activations, in the catalog's order. */
export function listActivations(): ActivationListing[] {
  const listed = [...families.values()].map(({ name, settings, character, source }) => ({
    name,
    spec: parseActivation(name).spec,
    character,
    source,
    parameters: Object.entries(settings).map(([parameterName, parameter]) => ({
      ...parameter,
      name: parameterName,
      allowed: allowedValues(parameter),
    })),
  }))
  return [...listed, { ...mixListing, parameters: [] }]
}

const LONGEST_SPEC = 1000

/**
 * The activation that `spec` names: `name` or `name:key=value,key=value`, parameters left out at their defaults.
 * Throws ActivationError: ACTIVATION_UNKNOWN, ACTIVATION_SYNTAX, ACTIVATION_PARAMETER_UNKNOWN (a key that the
 * activation does not have), ACTIVATION_PARAMETER_INVALID (a value out of range or of the wrong type) or
 * ACTIVATION_FILE_NOT_LOADED.
 */
export function parseActivation(spec: string): Activation {
  const [name, settings] = splitOnce(spec.trim(), ':')
  if (isActivationFile(spec)) return loadedActivation(spec)
  // Names nest (`expected:expected:…`), and a file may hold anything.
  if (spec.length > LONGEST_SPEC) {
    throw new ActivationError(
      'ACTIVATION_SYNTAX',
      `an activation has at most ${LONGEST_SPEC} characters, and "${spec.slice(0, 60)}…" has ${spec.length}.`,
    )
  }
  if (name === 'expected' && settings !== undefined) return expectationOf(parseActivation(settings))
  if (name === 'gate' && settings !== undefined) return gateOf(parseActivation(settings))
  if (name === 'mix') return parseMix(settings ?? '', parseActivation)
  const family = families.get(name) ?? families.get(otherSpelling(name))
  if (family === undefined) {
    const names = [...families.keys(), 'mix']
    throw new ActivationError(
      'ACTIVATION_UNKNOWN',
      `there is no activation "${name}".${didYouMean(name, names)} Activations: ${names.join(', ')}.`,
    )
  }

  const given = settings === undefined ? new Map<string, string>() : parseSettings(family, settings)
  const values: Record<string, string | number> = {}
  for (const [key, parameter] of Object.entries(family.settings)) {
    const text = given.get(key)
    values[key] =
      text === undefined ? parameter.default : parseValue(`${family.name}: ${key}`, parameter, text)
  }

  return family.bind(values)
}

/** The mean over draws of an activation that draws; one that does not is its own mean. */
export function expectationOf(act: Activation): Activation {
  if (!act.draws) return act
  if (act.expectation !== undefined) return act.expectation
  throw new ActivationError('ACTIVATION_NO_EXPECTATION', `${act.name} has no mean in closed form.`)
}

function gateOf(act: Activation): Activation {
  if (act.gate !== undefined) return act.gate
  throw new ActivationError('ACTIVATION_NO_GATE', `${act.name} has no learned gate.`)
}

/** `shifted_relu` for `shifted-relu`, `learnable-stoch` for `learnable_stoch`: both are typed. */
function otherSpelling(name: string): string {
  return name.includes('_') ? name.replaceAll('_', '-') : name.replaceAll('-', '_')
}

function splitOnce(text: string, separator: string): [before: string, after: string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at).trim(), text.slice(at + 1).trim()]
}

/** `p=0.7,positive=silu` as a map; every key exists in the family and stands once. */
function parseSettings(family: ActivationFamily, settings: string): Map<string, string> {
  const known = Object.keys(family.settings)
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

// `mix:relu@0.3,gelu@0.7`: a draw chooses one of several entries, each with its weight; any entry may take part, drawn
// and learned ones included.

import { ActivationError } from '../errors.js'
import type { Activation, LearnedParameter, Settings } from './activation.js'
import { differentiate } from './differentiate.js'
import {
  add,
  constant,
  draw,
  type Expression,
  greater,
  learned,
  mul,
  select,
  substitution,
  x,
} from './expression.js'
import { bindActivation, compileDefinition, type Definition, definitionOf, per } from './family.js'
import { parseValue } from './settings.js'

/** One of the entries and how often it is chosen. */
interface Share {
  readonly act: Activation
  readonly weight: number
}

/** Weights may miss 1 by the rounding of a few decimals. */
const WEIGHT_TOLERANCE = 1e-6

/** What `flicker activations` says about mixtures. */
export const mixListing = {
  name: 'mix',
  spec: 'mix:relu@0.5,silu@0.5',
  character: 'one of several entries, drawn with the given weights',
  source: 'after Lomeli et al. 2025, arXiv 2509.22358',
} as const

/**
 * The mixture that stands after `mix:`: `entry@weight` separated by commas, an entry with settings of its own in
 * brackets, and `per=…`: `(leaky-relu:slope=0.1)@0.5,gelu@0.5,per=token`. `parse` makes an entry of its spelling.
 * Throws ActivationError ACTIVATION_SYNTAX, ACTIVATION_MIX_WEIGHTS and what `parse` throws.
 */
export function parseMix(text: string, parse: (spec: string) => Activation): Activation {
  const shares: Share[] = []
  let unit: string = per.default
  for (const part of splitOutsideBrackets(text)) {
    const perUnit = /^per\s*=(.*)$/.exec(part)
    if (perUnit !== null) {
      unit = String(parseValue('mix: per', per, perUnit[1].trim()))
      continue
    }
    const found = /^(.+)@([^@()]+)$/.exec(part)
    const weight = Number(found?.[2].trim() || Number.NaN)
    if (found === null || !(weight >= 0 && weight <= 1)) {
      throw new ActivationError(
        'ACTIVATION_SYNTAX',
        `mix: "${part}" is not entry@weight with a weight from 0 to 1. Write mix:relu@0.3,gelu@0.7, ` +
          'and brackets around an entry with settings: mix:(leaky-relu:slope=0.1)@0.5,gelu@0.5.',
      )
    }
    const spec = found[1].trim()
    shares.push({ act: parse(spec.startsWith('(') && spec.endsWith(')') ? spec.slice(1, -1) : spec), weight })
  }
  const total = shares.reduce((sum, { weight }) => sum + weight, 0)
  if (shares.length === 0 || Math.abs(total - 1) > WEIGHT_TOLERANCE) {
    throw new ActivationError(
      'ACTIVATION_MIX_WEIGHTS',
      `mix: the weights must add up to 1; ${shares.map(({ weight }) => weight).join(' + ') || 'there are none'}` +
        `${shares.length === 0 ? '' : ` = ${Number(total.toPrecision(6))}`}.`,
    )
  }
  return mixture(shares, unit, parse)
}

function splitOutsideBrackets(text: string): string[] {
  const parts: string[] = []
  let [depth, start] = [0, 0]
  for (let i = 0; i <= text.length; i++) {
    if (text[i] === '(') depth++
    if (text[i] === ')') depth--
    if (i < text.length && (text[i] !== ',' || depth > 0)) continue
    parts.push(text.slice(start, i).trim())
    start = i + 1
  }
  if (depth === 0) return parts
  throw new ActivationError('ACTIVATION_SYNTAX', `mix: a bracket is left open in "${text}".`)
}

function mixture(shares: readonly Share[], unit: string, parse: (spec: string) => Activation): Activation {
  // Channel 0 draws the entry; the entries' own draws come after it.
  let channels = 1
  const parts = shares.map(({ act, weight }, i) => {
    const inside = expressionsOf(act, i, channels)
    channels += act.programs?.drawChannels ?? 0
    return { ...inside, weight }
  })
  const choose = (pick: (part: (typeof parts)[number]) => Expression): Expression => {
    let [above, chosen] = [1, pick(parts[parts.length - 1])]
    for (const part of parts.slice(0, -1).reverse()) {
      above -= parts[parts.indexOf(part) + 1].weight
      chosen = select(greater(constant(above), draw()), pick(part), chosen)
    }
    return chosen
  }
  const exact = shares.filter(({ act }) => act.exactZeros)
  const bounds = exact.map(({ act }) => act.zeroBelow ?? Number.NEGATIVE_INFINITY)
  const zeroBelow = Math.min(...bounds)
  const surrogate = shares.flatMap(({ act }) =>
    act.surrogate === undefined ? [] : [`${act.name}: ${act.surrogate}`],
  )
  const compiled = compileDefinition({
    value: choose(part => part.value),
    slope: choose(part => part.slope),
    ...(surrogate.length > 0 && { surrogate: surrogate.join('; ') }),
    learned: parts.flatMap(part => part.learned),
    expectation: add(...parts.map(part => mul(part.weight, part.expectation))),
  })
  const spelled = shares.map(({ act, weight }) => {
    return `${act.spec.includes(':') ? `(${act.spec})` : act.spec}@${weight}`
  })
  if (unit !== per.default) spelled.push(`per=${unit}`)
  const settings: Settings = { per: unit }
  return bindActivation(compiled, {
    name: 'mix',
    spec: `mix:${spelled.join(',')}`,
    source: [...new Set(shares.map(({ act }) => act.source))].join('; '),
    character: mixListing.character,
    settings,
    exactZeros: exact.length > 0,
    ...(exact.length > 0 && zeroBelow > Number.NEGATIVE_INFINITY && { zeroBelow }),
    rebind: changed => {
      const entries = spelled.filter(each => !each.startsWith('per='))
      return parseMix(
        [...entries, ...Object.entries(changed).map(([key, value]) => `${key}=${value}`)].join(),
        parse,
      )
    },
  })
}

/** An entry's expressions as part `i` of a mixture: settings as numbers, draws and parameters out of each other's way. */
function expressionsOf(
  act: Activation,
  i: number,
  firstChannel: number,
): Required<Pick<Definition, 'value' | 'slope' | 'learned' | 'expectation'>> {
  const definition = definitionOf(act)
  if (definition === undefined) {
    throw new ActivationError(
      'ACTIVATION_NOT_AN_EXPRESSION',
      `mix: ${act.name} is made of plain functions; write it as an expression to mix it.`,
    )
  }
  const prefix = `mix${i + 1}_`
  const inside = substitution(leaf => {
    if (leaf.op === 'setting') return constant(Number(act.settings[leaf.name]))
    if (leaf.op === 'learned') return learned(prefix + leaf.name, leaf.index)
    if (leaf.op === 'draw') return act.draws ? draw(firstChannel + leaf.channel) : constant(0)
    return null
  })
  const { value, slope = differentiate(value, x), expectation = value } = definition
  return {
    value: inside(value),
    slope: inside(slope),
    expectation: inside(expectation),
    learned: act.learned.map(
      (parameter): LearnedParameter => ({
        ...parameter,
        name: prefix + parameter.name,
        about: `${act.name}: ${parameter.about}`,
      }),
    ),
  }
}

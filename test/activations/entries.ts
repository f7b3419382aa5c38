// Entries of the catalog with random settings, for properties that hold whatever a user types.

import fc from 'fast-check'
import {
  type Activation,
  type ActivationListing,
  listActivations,
  parseActivation,
  startParameters,
} from '../../src/activations/index.js'

/** Numbers are drawn from here, as far as a setting's range allows: where formulas show what they are. */
const TAME = { min: -2, max: 2 }

/** Every entry, and every word that its settings may be, numbers at their defaults. */
export function everyForm(): Activation[] {
  return listActivations().flatMap(({ name, parameters }) => {
    const words = parameters.flatMap(parameter => (parameter.kind === 'choice' ? [parameter] : []))
    const combinations = words.reduce<string[][]>(
      (before, { name: key, choices }) =>
        before.flatMap(one => choices.map(word => [...one, `${key}=${word}`])),
      [[]],
    )
    const specs =
      name === 'mix' ? mixtures : combinations.map(one => [name, one.join()].filter(Boolean).join(':'))
    return specs.map(parseActivation)
  })
}

const mixtures = [
  'mix:relu@0.3,gelu@0.7',
  'mix:(leaky-relu:slope=0.1)@0.25,(stoch:p=0.4)@0.5,xielu@0.25,per=token',
  'mix:polynorm@0.5,prelu@0.5,per=neuron',
]

/** The forms with a draw per element: what shares a draw does not change the functions of one number. */
export function formsOfOneElement(): Activation[] {
  return everyForm().filter(
    act => act.drawPer === 'element' || act.name === 'mix' || act.name === 'smartmixed',
  )
}

/** A number from a range, none likelier than another; floats would come mostly as 0 and 1e-300. */
function anyNumber(min: number, max: number): fc.Arbitrary<number> {
  return fc.noBias(fc.integer({ min: 0, max: 10_000 })).map(n => min + ((max - min) * n) / 10_000)
}

/** An entry's spelling with random settings. */
export function anySpec(listing: ActivationListing): fc.Arbitrary<string> {
  if (listing.name === 'mix') return fc.constantFrom(...mixtures)
  const settings = listing.parameters.map(parameter => {
    if (parameter.kind === 'choice') {
      return fc.constantFrom(...parameter.choices).map(word => `${parameter.name}=${word}`)
    }
    // Steepnesses and widths close to 0 make slopes that no finite difference resolves.
    const least = parameter.min > 0 ? Math.max(parameter.min, 0.05) : Math.max(parameter.min, TAME.min)
    const range = anyNumber(least, Math.min(parameter.max, Math.max(TAME.max, least)))
    return range.map(value => `${parameter.name}=${Number(value.toPrecision(4))}`)
  })
  return fc.tuple(...settings).map(each => [listing.name, each.join()].filter(Boolean).join(':'))
}

/** A pre-activation, draws for every channel and learned parameters of one neuron near where they start. */
export interface Point {
  readonly spec: string
  readonly x: number
  readonly draws: number[]
  readonly parameters: number[]
}

export function anyPoint(listing: ActivationListing): fc.Arbitrary<Point> {
  return anySpec(listing).chain(spec => {
    const act = parseActivation(spec)
    const start = startParameters(act, 1)
    const many = <T>(one: fc.Arbitrary<T>, n: number) => fc.array(one, { minLength: n, maxLength: n })
    const draw = fc.noBias(fc.integer({ min: 0, max: 2 ** 24 - 1 })).map(word => word * 2 ** -24)
    return fc.record({
      spec: fc.constant(spec),
      x: anyNumber(-6, 6),
      draws: many(draw, Math.max(1, act.drawChannels)),
      parameters: many(anyNumber(-0.3, 0.3), start.length).map(noise =>
        noise.map((each, i) => start[i] + each),
      ),
    })
  })
}

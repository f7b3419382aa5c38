// An activation as points to look at: f and what the backward pass uses for its slope, and where f is drawn, draws
// beside the mean.

import { type Activation, parseActivation, pictureParameters } from '../activations/index.js'
import { portableKernels } from '../kernels/index.js'
import { Purpose, seedWords } from '../kernels/philox.js'

export interface Curves {
  readonly x: Float64Array
  /** f(x); of an entry that draws, its mean over draws. */
  readonly value: Float64Array
  /** What the backward pass uses for df/dx; of an entry that draws, the slope of the mean. */
  readonly slope: Float64Array
  /** Several draws of f at the same places; empty without draws. */
  readonly drawn: readonly Float64Array[]
  /** Whether every value depends on all others: x is then one row of a layer. */
  readonly rowwise: boolean
}

const DRAWS = 3
/** Where no closed form of the mean is known it is that of so many draws. */
const DRAWS_OF_MEAN = 512

/** `points` values of `act` from −`reach` to `reach`, learned parameters as pictures show them (`pictureParameters`). */
export function curvesOf(act: Activation, points = 321, reach = 4): Curves {
  const x = Float64Array.from({ length: points }, (_, i) => (2 * reach * i) / (points - 1) - reach)
  const center = (points - 1) / 2
  // Exactly 0 in the middle: what a rectifier does there shall not hang on a rounding.
  if (Number.isInteger(center)) x[center] = 0
  if (!act.draws) return { x, ...one(act, x, 0), drawn: [], rowwise: act.rowwise }
  const drawn = Array.from({ length: DRAWS }, (_, step) => one(act, x, step).value)
  const mean = act.expectation === undefined ? meanOf(act, x) : one(act.expectation, x, 0)
  return { x, ...mean, drawn, rowwise: act.rowwise }
}

/** The curves of an activation by name. Throws ActivationError. */
export function curvesOfSpec(spec: string): Curves {
  return curvesOf(parseActivation(spec))
}

function one(act: Activation, x: Float64Array, step: number): Pick<Curves, 'value' | 'slope'> {
  const kernels = portableKernels()
  const [value, slope] = [new Float64Array(x.length), new Float64Array(x.length)]
  const [seedLow, seedHigh] = seedWords(0)
  const draw = { seedLow, seedHigh, purpose: Purpose.activation, step, layer: 0, firstRow: 0 }
  const parameters = pictureParameters(act, x.length)
  const ones = new Float64Array(x.length).fill(1)
  const unused = new Float64Array(parameters.length)
  kernels.activation(act, x, value, 1, x.length, draw, parameters)
  if (act.rowwise) {
    // The slope of one neuron with the others held still, not what a row of ones would send back through all of them.
    for (let i = 0; i < x.length; i++) {
      const only = new Float64Array(x.length)
      const back = new Float64Array(x.length)
      only[i] = 1
      kernels.activationBackward(act, only, x, back, 1, x.length, draw, parameters, unused)
      slope[i] = back[i]
    }
  } else {
    kernels.activationBackward(act, ones, x, slope, 1, x.length, draw, parameters, unused)
  }
  return { value, slope }
}

function meanOf(act: Activation, x: Float64Array): Pick<Curves, 'value' | 'slope'> {
  const mean = { value: new Float64Array(x.length), slope: new Float64Array(x.length) }
  for (let step = 0; step < DRAWS_OF_MEAN; step++) {
    const { value, slope } = one(act, x, step)
    for (let i = 0; i < x.length; i++) {
      mean.value[i] += value[i] / DRAWS_OF_MEAN
      mean.slope[i] += slope[i] / DRAWS_OF_MEAN
    }
  }
  return mean
}

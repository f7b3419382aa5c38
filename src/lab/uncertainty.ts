// Many draws at test time as a measure of uncertainty, as dropout is used for it (Gal & Ghahramani 2016): calibration of the
// mean prediction, and whether its entropy tells points far from the data.

import { fillNormal, Purpose } from '../kernels/philox.js'
import { areaUnderRoc, mean } from '../statistics.js'
import {
  accuracyOf,
  entropies,
  expectedCalibrationError,
  meanPrediction,
  negativeLogLikelihood,
  type Predictions,
  type ReliabilityBin,
  reliability,
  softmaxRows,
} from './calibration.js'
import type { LabSplit } from './data/index.js'
import type { Moment, Network } from './network.js'

/** What the mean over so many draws says. */
export interface UncertaintyAtDraws {
  readonly draws: number
  readonly accuracy: number
  /** Mean −log of the true class's probability, nats. */
  readonly negativeLogLikelihood: number
  readonly calibrationError: number
  /** Mean entropy of the prediction, nats: on validation samples, and on points far from the data. */
  readonly entropy: number
  readonly farEntropy: number
  /** Probability that a far point has a higher entropy than a validation sample. */
  readonly farAuroc: number
}

export interface Uncertainty {
  readonly atDraws: readonly UncertaintyAtDraws[]
  /** At the largest number of draws. */
  readonly reliability: readonly ReliabilityBin[]
}

export interface UncertaintyOptions {
  readonly draws: number
  readonly farScale: number
}

/** Numbers of draws that are reported: 1, 2, 5, 10, 20, 50, … up to `most`, and `most` itself. */
export function reportedDraws(most: number): number[] {
  const steps: number[] = []
  for (let decade = 1; decade <= most; decade *= 10) steps.push(decade, 2 * decade, 5 * decade)
  return [...new Set([...steps.filter(n => n < most), most])]
}

/** A network without draws and dropout gives the same every time, and is asked once. */
export function measureUncertainty(
  network: Network,
  data: LabSplit,
  moment: Moment,
  { draws, farScale }: UncertaintyOptions,
): Uncertainty {
  const classes = network.layout.widths[network.layout.widths.length - 1]
  const far = farPoints(data.samples, network.layout.widths[0], farScale, moment.seed)
  const most = moment.activation.draws || moment.dropout > 0 ? draws : 1
  const inside: Predictions[] = []
  const outside: Predictions[] = []
  for (let draw = 0; draw < most; draw++) {
    const at = { ...moment, step: draw }
    inside.push(softmaxRows(network.forward(data.x, data.samples, at).logits, data.samples, classes))
    // Rows are drawn by their number: another step keeps the far points' draws apart from the samples'.
    const there = { ...moment, step: draws + draw }
    outside.push(softmaxRows(network.forward(far, data.samples, there).logits, data.samples, classes))
  }
  const atDraws = reportedDraws(most).map(n => {
    const [near, away] = [meanPrediction(inside.slice(0, n)), meanPrediction(outside.slice(0, n))]
    const [nearEntropies, farEntropies] = [entropies(near), entropies(away)]
    return {
      draws: n,
      accuracy: accuracyOf(near, data.y),
      negativeLogLikelihood: negativeLogLikelihood(near, data.y),
      calibrationError: expectedCalibrationError(reliability(near, data.y)),
      entropy: mean(nearEntropies),
      farEntropy: mean(farEntropies),
      farAuroc: areaUnderRoc(farEntropies, nearEntropies),
    }
  })
  return { atDraws, reliability: reliability(meanPrediction(inside), data.y) }
}

/** (samples × features): normal numbers with standard deviation `scale`, where the data's is 1. */
function farPoints(samples: number, features: number, scale: number, seed: number): Float32Array {
  const x = new Float32Array(samples * features)
  fillNormal(x, { seed, purpose: Purpose.data, stream: 0xffff_ffff }, 0, scale)
  return x
}

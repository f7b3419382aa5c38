// `flicker bench train --zeros`: a training step whose FFNs have mostly exact zeros, with products that leave them out against the
// same step with dense ones, alternately.

import { kernels } from '../kernels/index.js'
import { type MachineInfo, machineInfo } from '../kernels/machine-info.js'
import { type MedianInterval, medianInterval, ratioInterval } from '../paired-measurement.js'
import { stepAlternately, type TrainShape, trainingStepFor } from './train.js'

export interface SparseTrainRow {
  /** Fraction of the hidden activations that is 0. */
  readonly zeros: number
  /** Milliseconds of one step. */
  readonly dense: MedianInterval
  readonly sparse: MedianInterval
  /** Dense over sparse, pair by pair. */
  readonly ratio: MedianInterval
  /** The two losses of one step, which differ by the order of sums. */
  readonly losses: readonly [dense: number, sparse: number]
}

const SHAPE: TrainShape = {
  hiddenSize: 256,
  numHiddenLayers: 6,
  numAttentionHeads: 8,
  intermediateSize: 1024,
  vocabSize: 512,
  batchSize: 8,
  context: 256,
}
/** Of pre-activations: normed inputs of mean square 1, 256 weights of standard deviation 0.02. */
const DEVIATION = 0.02 * Math.sqrt(SHAPE.hiddenSize)

export interface SparseTrainResult {
  readonly machine: MachineInfo
  readonly shape: TrainShape
  readonly rows: readonly SparseTrainRow[]
}

/** The learning rate is 0, so that the zeros stay. */
export function benchSparseTrain(fractions: readonly number[], steps: number): SparseTrainResult {
  const rows = fractions.map(zeros => {
    const activation = `fatrelu:t=${(DEVIATION * normalQuantile(zeros)).toFixed(6)}`
    const runs = [0, 1].map(sparseProductsBelow =>
      trainingStepFor(SHAPE, activation, kernels(), { sparseProductsBelow, lr: 0 }),
    )
    const [dense, sparse] = stepAlternately(runs, steps, 1)
    return {
      zeros,
      losses: [dense.loss, sparse.loss] as const,
      dense: medianInterval(dense.milliseconds),
      sparse: medianInterval(sparse.milliseconds),
      ratio: ratioInterval(dense.milliseconds, sparse.milliseconds),
    }
  })
  return { machine: machineInfo(), shape: SHAPE, rows }
}

/** x with P(X < x) = p for a standard normal X, by bisection of its distribution (Abramowitz & Stegun 7.1.26: within 2e-7). */
function normalQuantile(p: number): number {
  let [low, high] = [-8, 8]
  while (high - low > 1e-6) {
    const middle = (low + high) / 2
    if (distribution(middle) < p) low = middle
    else high = middle
  }
  return low
}

function distribution(x: number): number {
  const t = 1 / (1 + (0.3275911 * Math.abs(x)) / Math.SQRT2)
  const series =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
  const erf = 1 - series * Math.exp((-x * x) / 2)
  return 0.5 * (1 + Math.sign(x) * erf)
}

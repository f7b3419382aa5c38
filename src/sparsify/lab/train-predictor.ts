// A low-rank predictor of one layer's active neurons, trained on the inputs of its FFN: logistic regression for each neuron over
// `rank` shared features, by Adam. What it is worth is counted on rows that it was not trained on.

import type { Kernels } from '../../kernels/index.js'
import { fillNormal, Purpose, RandomStream } from '../../kernels/philox.js'
import type { LayerPredictor } from '../../nn/predictor.js'

/** Rows of a step, and steps. */
const BATCH = 256
const STEPS = 400
const LEARNING_RATE = 0.01
/** Of the rows, the fraction at the end that thresholds and measures are taken from. */
const HELD_OUT = 0.2
/** Bins of scores between −SCORE and SCORE. */
const BINS = 4096
const SCORE = 32

export interface PredictorQuality {
  /** Of the neurons taken for active, the fraction that is. */
  readonly precision: number
  /** Of the active neurons, the fraction that is taken for active. */
  readonly recall: number
  /** Neurons taken for active. */
  readonly chosen: number
  /** Active neurons. */
  readonly active: number
}

/** Inputs and activity of one layer, row by row. */
export class LayerRecord {
  readonly #inputs: Float32Array[] = []
  readonly #active: Uint8Array[] = []
  readonly #most: number

  /** Keeps the first `most` rows. */
  constructor(most: number) {
    this.#most = most
  }

  /** input: (rows, d). */
  addInput(values: Float32Array, rows: number, width: number): void {
    for (let row = 0; row < rows && this.#inputs.length < this.#most; row++) {
      this.#inputs.push(values.slice(row * width, (row + 1) * width))
    }
  }

  /** activated: (rows, h); a neuron is active where it is not 0. */
  addActivated(values: Float32Array, rows: number, width: number): void {
    for (let row = 0; row < rows && this.#active.length < this.#most; row++) {
      this.#active.push(
        Uint8Array.from(values.subarray(row * width, (row + 1) * width), value => (value === 0 ? 0 : 1)),
      )
    }
  }

  get rows(): readonly { readonly input: Float32Array; readonly active: Uint8Array }[] {
    return this.#inputs.map((input, i) => ({ input, active: this.#active[i] }))
  }
}

/**
 * A predictor whose scores are above 0 for a fraction `recall` of the active neurons of the last rows, and how it does there.
 * layer: for the random numbers.
 */
export function trainPredictor(
  record: LayerRecord,
  {
    rank,
    recall,
    layer,
    kernels,
  }: { readonly rank: number; readonly recall: number; readonly layer: number; readonly kernels: Kernels },
): { readonly predictor: LayerPredictor; readonly quality: PredictorQuality } {
  const { rows } = record
  const trained = Math.max(1, Math.floor(rows.length * (1 - HELD_OUT)))
  const [d, h] = [rows[0].input.length, rows[0].active.length]
  const into = new Float32Array(rank * d)
  fillNormal(into, { seed: 1, purpose: Purpose.init, stream: layer }, 0, 1 / Math.sqrt(d))
  const bias = new Float32Array(h)
  for (const { active } of rows.slice(0, trained)) for (let i = 0; i < h; i++) bias[i] += active[i] / trained
  for (let i = 0; i < h; i++) {
    const rate = Math.min(1 - 1e-3, Math.max(1e-3, bias[i]))
    bias[i] = Math.log(rate / (1 - rate))
  }
  const predictor = { into, out: new Float32Array(h * rank), bias }
  descend(predictor, rows.slice(0, trained), { rank, layer, kernels })
  const rest = trained < rows.length ? rows.slice(trained) : rows
  shiftToRecall(predictor, rest, { rank, recall, kernels })
  return { predictor, quality: qualityOf(predictor, rest, { rank, kernels }) }
}

type Rows = LayerRecord['rows']

function descend(
  { into, out, bias }: LayerPredictor,
  rows: Rows,
  { rank, layer, kernels }: { readonly rank: number; readonly layer: number; readonly kernels: Kernels },
): void {
  const [d, h] = [into.length / rank, bias.length]
  const batch = Math.min(BATCH, rows.length)
  const parameters = [into, out, bias].map(values => ({
    values,
    gradient: new Float32Array(values.length),
    m: new Float32Array(values.length),
    v: new Float32Array(values.length),
  }))
  const x = new Float32Array(batch * d)
  const [features, dFeatures] = [new Float32Array(batch * rank), new Float32Array(batch * rank)]
  const scores = new Float32Array(batch * h)
  const random = new RandomStream({ seed: 1, purpose: Purpose.data, stream: layer })
  for (let step = 1; step <= STEPS; step++) {
    const chosen = Array.from({ length: batch }, () => rows[random.below(rows.length)])
    for (const [i, { input }] of chosen.entries()) x.set(input, i * d)
    kernels.matmul(x, into, features, batch, rank, d, false, true, false)
    kernels.matmul(features, out, scores, batch, h, rank, false, true, false)
    kernels.addBias(scores, bias, batch, h)
    // Of the mean over rows of Σ over neurons of the cross-entropy: σ(score) − active.
    for (const [i, { active }] of chosen.entries()) {
      for (let j = 0, at = i * h; j < h; j++, at++)
        scores[at] = (1 / (1 + Math.exp(-scores[at])) - active[j]) / batch
    }
    const [dInto, dOut, dBias] = parameters.map(({ gradient }) => gradient)
    dBias.fill(0)
    kernels.columnSums(scores, dBias, batch, h)
    kernels.matmul(scores, features, dOut, h, rank, batch, true, false, false)
    kernels.matmul(scores, out, dFeatures, batch, rank, h, false, false, false)
    kernels.matmul(dFeatures, x, dInto, rank, d, batch, true, false, false)
    const lr = LEARNING_RATE * (1 - (step - 1) / STEPS)
    for (const { values, gradient, m, v } of parameters) {
      kernels.adamW(values, gradient, m, v, values.length, {
        ...{ lr, beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0, step, gradScale: 1 },
      })
    }
  }
}

/** Calls `each` with the scores (h) of every row. */
function scored(
  { into, out, bias }: LayerPredictor,
  rows: Rows,
  { rank, kernels }: { readonly rank: number; readonly kernels: Kernels },
  each: (scores: Float32Array, active: Uint8Array) => void,
): void {
  const [d, h] = [into.length / rank, bias.length]
  const [features, scores] = [new Float32Array(rank), new Float32Array(h)]
  for (const { input, active } of rows) {
    kernels.matmul(input, into, features, 1, rank, d, false, true, false)
    kernels.matmul(features, out, scores, 1, h, rank, false, true, false)
    kernels.addBias(scores, bias, 1, h)
    each(scores, active)
  }
}

/** Shifts the biases so that this fraction of the active neurons has a score above 0. */
function shiftToRecall(
  predictor: LayerPredictor,
  rows: Rows,
  { rank, recall, kernels }: { readonly rank: number; readonly recall: number; readonly kernels: Kernels },
): void {
  const counts = new Float64Array(BINS)
  let all = 0
  scored(predictor, rows, { rank, kernels }, (scores, active) => {
    for (let j = 0; j < scores.length; j++) {
      if (active[j] === 0) continue
      all++
      counts[Math.max(0, Math.min(BINS - 1, Math.floor((scores[j] / SCORE + 1) * (BINS / 2))))]++
    }
  })
  let bin = BINS
  for (let above = 0; bin > 0 && above < recall * all; ) above += counts[--bin]
  const threshold = (bin / (BINS / 2) - 1) * SCORE
  for (let j = 0; j < predictor.bias.length; j++) predictor.bias[j] -= threshold
}

function qualityOf(
  predictor: LayerPredictor,
  rows: Rows,
  using: { readonly rank: number; readonly kernels: Kernels },
): PredictorQuality {
  let [hits, chosen, active, all] = [0, 0, 0, 0]
  scored(predictor, rows, using, (scores, own) => {
    for (let j = 0; j < scores.length; j++) {
      const taken = scores[j] > 0
      if (taken) chosen++
      if (own[j] === 1) active++
      if (taken && own[j] === 1) hits++
    }
    all += scores.length
  })
  return {
    precision: hits / Math.max(1, chosen),
    recall: hits / Math.max(1, active),
    chosen: chosen / all,
    active: active / all,
  }
}

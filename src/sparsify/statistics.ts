// What a calibration text shows of a layer.

import type { VectorName } from '../engine/attention/attention.js'
import type { LowRank, MatrixName, RotatedInput } from '../nn/cuts.js'
import type { ErrorCurve } from './error-curve.js'
import type { GreedyStep } from './greedy.js'
import type { ChannelHistograms, MagnitudeHistogram } from './histograms.js'
import type { MethodName } from './methods.js'

/** The distribution of a vector's magnitudes, which was counted. */
export function countedMagnitudes(
  { magnitudes }: Pick<LayerStatistics, 'magnitudes'>,
  vector: VectorName,
): MagnitudeHistogram {
  const counted = magnitudes[vector]
  if (counted === undefined)
    throw new Error(`${vector} was not counted: no method that was calibrated scores it`)
  return counted
}

/** The vector that each matrix reads. */
export const INPUT_OF: Readonly<Record<MatrixName, VectorName>> = {
  q: 'attention',
  k: 'attention',
  v: 'attention',
  o: 'heads',
  gate: 'ffn',
  up: 'ffn',
  down: 'hidden',
}

/** What the text showed of one layer; parts that no method asked for are null. */
export interface LayerStatistics {
  /** Of |x| of each vector that a method scores. */
  readonly magnitudes: Readonly<Partial<Record<VectorName, MagnitudeHistogram>>>
  /** Of |activation(gate · x)| of each neuron, and the mean of |up · x| of each. */
  readonly neurons: { readonly gate: ChannelHistograms; readonly meanUp: Float32Array } | null
  readonly curve: ErrorCurve | null
  /** (h) ‖W_down[:, j]‖₂. */
  readonly downLengths: Float32Array
  /** ‖W[:, j]‖₂ of the matrices that a method scores by it. */
  readonly columnNorms: Readonly<Partial<Record<MatrixName, Float32Array>>>
  /** Of |x_j| of each channel of a vector. */
  readonly channels?: Readonly<Partial<Record<VectorName, ChannelHistograms>>>
  /** Low-rank terms of matrices, as many components as a level may need, and the share of the budget that channels get at it. */
  readonly lowRank?: Readonly<
    Partial<Record<MatrixName, { readonly term: LowRank; readonly shares: ReadonlyMap<number, number> }>>
  >
  readonly rotations?: Readonly<Record<RotatedInput, Float32Array>>
  readonly paths: Readonly<Partial<Record<MethodName, readonly GreedyStep[]>>>
}

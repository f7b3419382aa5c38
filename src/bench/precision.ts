// `flicker bench train --precision`: a training step whose linear layers multiply bf16 against the same step in f32, alternately.

import { kernels } from '../kernels/index.js'
import { type MachineInfo, machineInfo } from '../kernels/machine-info.js'
import { type MedianInterval, medianInterval, ratioInterval } from '../paired-measurement.js'
import { type Precision, withPrecision } from '../train/precision.js'
import { stepAlternately, TRAIN_SHAPES, type TrainShape, trainingStepFor } from './train.js'

export interface PrecisionRow {
  readonly shape: TrainShape
  /** Milliseconds of one step. */
  readonly f32: MedianInterval
  readonly other: MedianInterval
  /** f32 over the other, pair by pair. */
  readonly ratio: MedianInterval
  /** The two losses after the same steps. */
  readonly losses: readonly [f32: number, other: number]
}

/** Steps before those that count. */
const WARM_UP = 3

/** Throws what `withPrecision` throws. */
export function benchPrecision(
  precision: Precision,
  { steps = 30, activation = 'silu' }: { steps?: number; activation?: string },
): { machine: MachineInfo; rows: PrecisionRow[] } {
  const both = [kernels(), withPrecision(kernels(), precision)]
  const rows = TRAIN_SHAPES.map(shape => {
    const runs = both.map(using => trainingStepFor(shape, activation, using))
    const [f32, other] = stepAlternately(runs, steps, WARM_UP)
    return {
      shape,
      f32: medianInterval(f32.milliseconds),
      other: medianInterval(other.milliseconds),
      ratio: ratioInterval(f32.milliseconds, other.milliseconds),
      losses: [f32.loss, other.loss] as const,
    }
  })
  return { machine: machineInfo(), rows }
}

// `flicker bench train --precision`: a training step whose linear layers multiply bf16 against the same step in f32, alternately.

import { kernels } from '../kernels/index.js'
import { type MachineInfo, machineInfo } from '../kernels/machine-info.js'
import {
  alternatingOrder,
  type MedianInterval,
  medianInterval,
  ratioInterval,
} from '../paired-measurement.js'
import { type Precision, withPrecision } from '../train/precision.js'
import { TRAIN_SHAPES, type TrainShape, trainingStepFor } from './train.js'

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

/** Throws what `withPrecision` throws. */
export function benchPrecision(
  precision: Precision,
  { steps = 30, activation = 'silu' }: { steps?: number; activation?: string },
): { machine: MachineInfo; rows: PrecisionRow[] } {
  const both = [kernels(), withPrecision(kernels(), precision)]
  const rows = TRAIN_SHAPES.map(shape => {
    const runs = both.map(using => ({
      step: trainingStepFor(shape, activation, using),
      times: [] as number[],
      loss: Number.NaN,
    }))
    for (let i = 0; i < steps + 3; i++) {
      for (const which of alternatingOrder(runs.length, i)) {
        const started = performance.now()
        runs[which].loss = runs[which].step(1 + i)
        if (i >= 3) runs[which].times.push(performance.now() - started)
      }
    }
    const [f32, other] = runs
    return {
      shape,
      f32: medianInterval(f32.times),
      other: medianInterval(other.times),
      ratio: ratioInterval(f32.times, other.times),
      losses: [f32.loss, other.loss] as const,
    }
  })
  return { machine: machineInfo(), rows }
}

// What a worker thread of the lab does: one training after another, each on this thread alone.

import { loadActivationFile } from '../activations/index.js'
import { FlickerError } from '../errors.js'
import type { Variant } from './options.js'
import type { RunRecord } from './results.js'
import { type LabSplits, trainRun } from './train-run.js'
import type { UncertaintyOptions } from './uncertainty.js'

export interface LabTask {
  readonly variant: Variant
  readonly seed: number
  readonly data: LabSplits
  readonly uncertainty?: UncertaintyOptions
  /** Files of the user's own activations, which every thread must load. */
  readonly activationFiles: readonly string[]
  /** Shared: [0] is set when all are to stop, [1 + index] counts this run's finished epochs. */
  readonly progress: Int32Array
  readonly index: number
}

/** An error loses its class on its way between threads, so it travels as its parts. */
export type LabTaskResult =
  | { readonly kind: 'finished'; readonly record: RunRecord }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly exitCode: number }

export default function work(task: LabTask): LabTaskResult {
  const { variant, seed, data, uncertainty, progress, index } = task
  const goesOn = () => Atomics.load(progress, 0) === 0
  if (!goesOn()) return { kind: 'stopped' }
  try {
    task.activationFiles.forEach(loadActivationFile)
    const record = trainRun(variant, seed, data, {
      uncertainty,
      onEpoch: epoch => {
        Atomics.store(progress, 1 + index, epoch)
        return goesOn()
      },
    })
    return record === null ? { kind: 'stopped' } : { kind: 'finished', record }
  } catch (error) {
    if (!(error instanceof FlickerError)) throw error
    return { kind: 'failed', code: error.code, message: error.message, exitCode: error.exitCode }
  }
}

// Runs over worker threads. What a run finds does not depend on how many there are, or on who does it.

import { availableParallelism } from 'node:os'
import { Tinypool } from 'tinypool'
import { loadedActivationFiles } from '../activations/index.js'
import { TrainingError } from '../errors.js'
import { kernels } from '../kernels/index.js'
import type { LabSplit } from './data/index.js'
import type { Variant } from './options.js'
import type { RunRecord } from './results.js'
import type { LabSplits } from './train-run.js'
import type { UncertaintyOptions } from './uncertainty.js'
import type { LabTask, LabTaskResult } from './worker.js'

/** One training to do. */
export interface Job {
  readonly variant: Variant
  readonly seed: number
}

export interface PoolOptions {
  /** At most: never more than there are jobs or cores, which would only get in each other's way. Default: one per core. */
  readonly workers?: number
  readonly uncertainty?: UncertaintyOptions
  readonly signal?: AbortSignal
  /** Called for each job as it is done. */
  readonly onFinished: (job: Job, record: RunRecord) => void
  /** Called now and then with the epochs that are done in all jobs. */
  readonly onEpochs?: (epochs: number) => void
}

const POLL_MILLISECONDS = 100

/**
 * Does all jobs, in any order. Resolves to whether all are done: false when `signal` stopped them, each after its
 * epoch at work. Throws the first error of a job, once the others have stopped.
 */
export async function runJobs(jobs: readonly Job[], data: LabSplits, options: PoolOptions): Promise<boolean> {
  if (jobs.length === 0) return true
  const workers = Math.min(jobs.length, availableParallelism(), options.workers ?? Number.POSITIVE_INFINITY)
  const progress = new Int32Array(new SharedArrayBuffer(4 * (1 + jobs.length)))
  const shared = { ...data, train: inSharedMemory(data.train), validation: inSharedMemory(data.validation) }
  const activationFiles = loadedActivationFiles()
  const common = { data: shared, uncertainty: options.uncertainty, activationFiles, progress }
  const stop = () => Atomics.store(progress, 0, 1)
  const pool = new Tinypool({
    filename: new URL('./worker.js', import.meta.url).href,
    minThreads: workers,
    maxThreads: workers,
    // What the process was started with may not suit a file (`node --input-type=module -e …`).
    execArgv: [],
    // The pool of kernel threads belongs to the process: workers must not resize it.
    env: { ...processEnvironment(), FLICKER_THREADS: String(kernels().threads) },
  })
  const poll = setInterval(() => {
    options.onEpochs?.(progress.subarray(1).reduce((sum, epochs) => sum + epochs, 0))
  }, POLL_MILLISECONDS)
  if (options.signal?.aborted) stop()
  options.signal?.addEventListener('abort', stop)
  try {
    const outcomes = await Promise.allSettled(
      jobs.map(async (job, index) => {
        try {
          const task: LabTask = { ...job, ...common, index }
          const result = (await pool.run(task)) as LabTaskResult
          if (result.kind === 'failed') {
            throw new TrainingError(result.code, result.message, { exitCode: result.exitCode })
          }
          if (result.kind === 'stopped') return false
          options.onFinished(job, result.record)
          return true
        } catch (error) {
          stop()
          throw error
        }
      }),
    )
    const failure = outcomes.find(outcome => outcome.status === 'rejected')
    if (failure !== undefined) throw failure.reason
    return outcomes.every(outcome => outcome.status === 'fulfilled' && outcome.value)
  } finally {
    clearInterval(poll)
    options.signal?.removeEventListener('abort', stop)
    await pool.destroy()
  }
}

/** The same data, its features where every thread sees them without a copy. Classes are indices: kernels take no shared ones. */
function inSharedMemory({ x, y, samples }: LabSplit): LabSplit {
  const shared = { x: new Float32Array(new SharedArrayBuffer(x.byteLength)), y, samples }
  shared.x.set(x)
  return shared
}

function processEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  )
}

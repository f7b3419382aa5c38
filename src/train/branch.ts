// Runs that begin alike are trained once. Draws are a function of seed and step, and the learning rate knows nothing of
// the activation, so until the first step at which their activations differ two runs have the same bits: Swi+FT from
// SiLU is the SiLU run until the switch. The one run keeps its state after that step, the other begins there.

import path from 'node:path'
import { OptionError } from '../errors.js'
import { writeFileAtomic } from '../formats/index.js'
import type { ModelConfig } from '../nn/config.js'
import { parameterShapes } from '../nn/parameters.js'
import { branchDirectory, hasBranch } from './branch-directory.js'
import { firstDifference } from './first-difference.js'
import { metricsUntil } from './metrics.js'
import type { RegularizerOptions } from './regularizers.js'
import {
  bitOptions,
  type CheckedRun,
  METRICS_FILE,
  type RestoredRun,
  readRunOptions,
  restoreCheckpoint,
} from './run-directory.js'
import { makeStrategy, type StrategyOptions } from './strategies.js'

/** The state of another run after `step`, kept by its `keepAfter`. */
export interface BranchPoint {
  /** The other run's directory. */
  readonly directory: string
  readonly step: number
}

/** What decides a run's steps beside shape, data and budget. */
export interface Course {
  readonly strategy: StrategyOptions
  readonly regularizer?: RegularizerOptions
}

/**
 * How many of the first steps of two runs of `steps` steps, equal in everything else, are the same: their activations
 * are, and where their regularizers differ neither is penalized yet.
 */
export function sharedSteps(one: Course, other: Course, steps: number): number {
  const [a, b] = [makeStrategy(one.strategy, steps), makeStrategy(other.strategy, steps)]
  const alike = JSON.stringify(one.regularizer) === JSON.stringify(other.regularizer)
  const isShared = (step: number) => {
    const activation = a.activationAt(step)
    return activation.spec === b.activationAt(step).spec && (alike || !activation.exactZeros)
  }
  let step = 0
  while (step < steps && isShared(step + 1)) step++
  return step
}

/**
 * Begins `run`, which has no checkpoint yet, with the state of another run; its record of the steps until then is
 * copied. Throws OptionError BRANCH_DIFFERS when the steps until then are not the same, BRANCH_MISSING; and what
 * reading a checkpoint throws.
 */
export function beginFromBranch(run: CheckedRun, config: ModelConfig, branch: BranchPoint): RestoredRun {
  const { directory, step } = branch
  const other = readRunOptions(directory)
  if (other === null || !hasBranch(directory, step)) {
    throw new OptionError('BRANCH_MISSING', `${directory} has kept no state after step ${step}`)
  }
  const comparable = ({ model, training, data }: Pick<typeof other, 'model' | 'training' | 'data'>) => {
    const { activation: _, trainedActivations: __, ...shape } = model
    return { model: shape, training, data }
  }
  const difference = firstDifference(comparable(other), comparable(bitOptions(run, config)))
  const course = other as unknown as Course
  const { steps } = run.training
  if (difference !== null || other.extensions !== undefined || sharedSteps(course, run, steps) < step) {
    const why = difference ?? 'their activations, or the number of steps, were changed before'
    throw new OptionError(
      'BRANCH_DIFFERS',
      `the first ${step} steps of the run in ${directory} are not those of this run (${why}); train it from the start`,
    )
  }
  const otherConfig = { ...config, ...(other.model as Partial<ModelConfig>) }
  const shapes = JSON.stringify(parameterShapes(config))
  if (JSON.stringify(parameterShapes(otherConfig)) !== shapes) {
    throw new OptionError(
      'BRANCH_DIFFERS',
      `the run in ${directory} trains other parameters than this run; train it from the start`,
    )
  }
  const restored = restoreCheckpoint(
    { dir: branchDirectory(directory, step), step },
    config,
    run.training.trainable,
  )
  writeFileAtomic(
    path.join(run.directory, METRICS_FILE),
    metricsUntil(path.join(directory, METRICS_FILE), step),
  )
  return restored
}

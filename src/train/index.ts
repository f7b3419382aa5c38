// Training: one run, its options and its strategies.

export type { TrainingData } from '../data/prepare.js'
export { type BranchPoint, sharedSteps } from './branch.js'
export { hasBranch, removeBranches } from './branch-directory.js'
export { METRICS_EXPORTS, type MetricsExport } from './metrics-export.js'
export {
  ffnForm,
  type ModelInput,
  type ModelOptions,
  modelSchema,
  type RegularizerInput,
  regularizerSchema,
  type StrategyInput,
  strategySchema,
  strategySchemas,
  type TrainingInput,
  type TrainingOptions,
  trainingSchema,
} from './options.js'
export type { TrainedRun, TrainProgress, TrainRun, TrainStart } from './run.js'
export { type RunOptions, readEvaluations, readRunOptions } from './run-directory.js'
export { openStartingPoint, type StartingPoint, splitFrom, withOwnActivation } from './starting-point.js'
export { annealSchedules, makeStrategy, type Strategy, type StrategyOptions } from './strategies.js'
export { type InterruptReason, train } from './trainer.js'

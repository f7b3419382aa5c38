// Training: one run, its options and its strategies.

export {
  ffnForm,
  type ModelOptions,
  modelSchema,
  strategySchema,
  strategySchemas,
  type TrainingOptions,
  trainingSchema,
} from './options.js'
export { makeStrategy, type Strategy, type StrategyOptions } from './strategies.js'
export { type TrainedRun, type TrainingData, type TrainProgress, type TrainRun, train } from './trainer.js'

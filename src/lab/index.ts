// `import { runLab } from 'flicker-lm/lab'`: the experiments of `flicker mlp` from code.

export { mean, type Spread, spreadOf, spreadPerEpoch, standardDeviation } from '../statistics.js'
export {
  expectedCalibrationError,
  type Predictions,
  type ReliabilityBin,
  reliability,
  softmaxRows,
} from './calibration.js'
export {
  type LabData,
  type LabDataOptions,
  type LabSplit,
  loadLabData,
  makeClassification,
  RandomState,
  trainTestSplit,
} from './data/index.js'
export { BLOG_ACTIVATIONS, type LabConfig, type LabOptions, labSchema, type Variant } from './options.js'
export { readLabRecipe } from './recipe.js'
export {
  CURVES,
  type Curve,
  type FinalNumbers,
  finalNumbers,
  type LabResults,
  type RunRecord,
  resultsCsv,
  type VariantResult,
} from './results.js'
export { type LabProgress, type LabRunOptions, runLab } from './run-lab.js'
export { type Schedule, scheduleAt } from './schedule.js'
export { type TrainRunOptions, trainRun } from './train-run.js'

// Data for the lab: what other modules may use.

export { type LabData, type LabDataOptions, type LabSplit, labDataSchema, loadLabData } from './lab-data.js'
export {
  type Classification,
  type MakeClassificationOptions,
  makeClassification,
} from './make-classification.js'
export { type Block, RandomState } from './numpy-random.js'
export { type Split, type TrainTestSplitOptions, trainTestSplit } from './train-test-split.js'

// Activations: what one is, and all that there are by name.

export {
  type Activation,
  type DrawPer,
  type LearnedParameter,
  type ParameterPlace,
  parameterCount,
  parameterLayout,
  pictureParameters,
  type Settings,
  startParameters,
} from './activation.js'
export { loadActivationFile, loadActivationFiles, loadedActivationFiles } from './activation-file.js'
export {
  type ActivationListing,
  expectationOf,
  listActivations,
  parseActivation,
} from './catalog.js'
export { defineActivation, type ExpressionActivation, type PlainActivation } from './define.js'
export type { Expression } from './expression.js'
export * as expression from './expression.js'

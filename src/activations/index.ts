// Activations: what one is, and all that there are by name.

export {
  type Activation,
  type DrawPer,
  type LearnedParameter,
  type ParameterPlace,
  parameterCount,
  parameterLayout,
  type Settings,
  startParameters,
} from './activation.js'
export { type ActivationListing, expectationOf, listActivations, parseActivation } from './catalogue.js'

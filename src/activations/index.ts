// Activations: what one is, and all that there are by name.

export type { Activation } from './activation.js'
export { type ActivationListing, listActivations, parseActivation } from './catalogue.js'

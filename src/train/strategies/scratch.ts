// One activation from the first step to the last.

import { parseActivation, type Strategy } from './strategy.js'

export interface ScratchOptions {
  strategy: 'scratch'
  /** Any activation of the catalog, e.g. `silu`. */
  activation: string
}

export function scratch({ activation }: ScratchOptions): Strategy {
  const act = parseActivation(activation)
  return {
    description: `${act.spec} throughout`,
    activationAt: () => act,
    switchStep: null,
    activations: [act],
    inference: act,
  }
}

// Swi+FT, "activation finetuning": train with one activation, switch to another for the last share α of the steps.
// The learning-rate schedule and the optimizer's moments go on as if nothing had happened. Lomeli et al. 2025.

import { parseActivation, type Strategy, switchOnce } from './strategy.js'

export interface SwiftOptions {
  strategy: 'swift'
  /** Activation before the switch. */
  from: string
  /** Activation after it, and at inference. */
  to: string
  /** Share of the steps after the switch, in (0, 1]; the paper uses 0.05 … 0.2. */
  alpha: number
}

export function swift({ from, to, alpha }: SwiftOptions, steps: number): Strategy {
  return switchOnce(parseActivation(from), parseActivation(to), alpha, steps)
}

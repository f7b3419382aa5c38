// StochA: draw between SiLU and ReLU in pre-training, then finetune with ReLU for the last share α of the steps.
// Lomeli et al. 2025.

import { parseActivation, type Strategy, switchOnce } from './strategy.js'

export interface StochaOptions {
  strategy: 'stocha'
  /** Probability of SiLU where the draw decides, in [0, 1]. */
  p: number
  /** What the positive side does: `identity` (x itself), `silu`, or `drawn` too. */
  positive: 'identity' | 'silu' | 'drawn'
  /** Activation after the switch, and at inference. */
  to: string
  /** Share of the steps after the switch, in (0, 1]. */
  alpha: number
}

export function stocha({ p, positive, to, alpha }: StochaOptions, steps: number): Strategy {
  return switchOnce(parseActivation(`stocha:p=${p},positive=${positive}`), parseActivation(to), alpha, steps)
}

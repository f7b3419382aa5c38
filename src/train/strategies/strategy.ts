// How the activation changes over a training run. One file per strategy; this is what they have in common.

import { type Activation, parseActivation } from '../../activations/index.js'
import { OptionError } from '../../errors.js'

/** A strategy with its options bound. */
export interface Strategy {
  /** One line for people, with the numbers: `SiLU for 90 % of the steps, then ReLU`. */
  readonly description: string
  /** The activation of training step 1 … steps. */
  activationAt(step: number): Activation
  /** Last step of the first activation, or null when it never changes. */
  readonly switchStep: number | null
  /** Every activation of the run. */
  readonly activations: readonly Activation[]
  /** What the trained model is run with. */
  readonly inference: Activation
}

/** `pretraining` for the first steps, `finetuning` for the last share `alpha` of them, inside one run. */
export function switchOnce(
  pretraining: Activation,
  finetuning: Activation,
  alpha: number,
  steps: number,
): Strategy {
  if (!(alpha > 0 && alpha <= 1)) {
    throw new OptionError(
      'ALPHA_RANGE',
      `alpha is ${alpha}; it must lie in (0, 1]: the share of steps after the switch`,
    )
  }
  const switchStep = steps - Math.max(1, Math.round(alpha * steps))
  return {
    description: `${pretraining.spec} for ${switchStep} steps, then ${finetuning.spec} for ${steps - switchStep} (α = ${alpha})`,
    activationAt: step => (step <= switchStep ? pretraining : finetuning),
    switchStep,
    activations: [pretraining, finetuning],
    inference: finetuning,
  }
}

export { parseActivation }

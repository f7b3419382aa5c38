// How the activation changes over a training run: `scratch` keeps one; `swift` and `stocha` switch once and finetune
// for the last fraction α of the steps. The learning-rate schedule and the optimizer's moments continue across the
// switch. Lomeli et al. 2025.

import { type Activation, parseActivation } from '../activations/index.js'
import { OptionError } from '../errors.js'

/** One activation from the first step to the last. */
export interface ScratchOptions {
  strategy: 'scratch'
  /** Any activation of the catalog, e.g. `silu`. */
  activation: string
}

/** Swi+FT, "activation finetuning": train with one activation, then switch to another. */
export interface SwiftOptions {
  strategy: 'swift'
  /** Activation before the switch. */
  from: string
  /** Activation after the switch, and at inference. */
  to: string
  /** Fraction of the steps after the switch, in (0, 1]; the paper uses 0.05 … 0.2. */
  alpha: number
}

/** StochA: draw between SiLU and ReLU in pre-training, then finetune with ReLU. */
export interface StochaOptions {
  strategy: 'stocha'
  /** Probability of SiLU where the draw decides, in [0, 1]. */
  p: number
  /** What the positive side does: `identity` (x itself), `silu`, or `drawn` too. */
  positive: 'identity' | 'silu' | 'drawn'
  /** Activation after the switch, and at inference. */
  to: string
  /** Fraction of the steps after the switch, in (0, 1]. */
  alpha: number
}

export type StrategyOptions = ScratchOptions | SwiftOptions | StochaOptions

/** A strategy with its options bound. */
export interface Strategy {
  /** One line for people: `silu for 90 steps, then relu for 10 (α = 0.1)`. */
  readonly description: string
  /** The activation of training step 1 … steps. */
  activationAt(step: number): Activation
  /** Last step of the first activation, or null when it never changes. */
  readonly switchStep: number | null
  /** Every activation of the run. */
  readonly activations: readonly Activation[]
  /** The activation that the trained model is run with. */
  readonly inference: Activation
}

/**
 * Binds a strategy to a run of `steps` steps. `switched`: the step after which the run has already switched, where it
 * has. Throws ActivationError or OptionError for options that do not fit.
 */
export function makeStrategy(options: StrategyOptions, steps: number, switched?: number): Strategy {
  switch (options.strategy) {
    case 'scratch': {
      const activation = parseActivation(options.activation)
      return {
        description: `${activation.spec} throughout`,
        activationAt: () => activation,
        switchStep: null,
        activations: [activation],
        inference: activation,
      }
    }
    case 'swift':
      return switchOnce(options.from, options, steps, switched)
    case 'stocha':
      return switchOnce(`stocha:p=${options.p},positive=${options.positive}`, options, steps, switched)
  }
}

/** `before` for the first steps, `to` for the last fraction `alpha` of them: at least one step. */
function switchOnce(
  before: string,
  { to, alpha }: { to: string; alpha: number },
  steps: number,
  switched: number | undefined,
): Strategy {
  const pretraining = parseActivation(before)
  const finetuning = parseActivation(to)
  if (!(alpha > 0 && alpha <= 1)) {
    throw new OptionError(
      'ALPHA_RANGE',
      `alpha is ${alpha}; it must be in (0, 1]: the fraction of steps after the switch`,
    )
  }
  const switchStep = switched ?? steps - Math.max(1, Math.round(alpha * steps))
  return {
    description: `${pretraining.spec} for ${switchStep} steps, then ${finetuning.spec} for ${steps - switchStep} (α = ${alpha})`,
    activationAt: step => (step <= switchStep ? pretraining : finetuning),
    switchStep,
    activations: [pretraining, finetuning],
    inference: finetuning,
  }
}

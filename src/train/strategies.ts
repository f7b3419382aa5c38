// How the activation changes over a training run: `scratch` keeps one; `swift` and `stocha` switch once and finetune
// for the last fraction α of the steps; `anneal` draws between two while the probability of the first falls from 1 to 0;
// `relufy` continues a checkpoint with another activation. The learning-rate schedule and the optimizer's moments
// continue across the switch. Lomeli et al. 2025.

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

export const annealSchedules = ['linear', 'cosine', 'sine'] as const

/** Annealed StochA: every element draws between two activations, and the probability of the first falls from 1 to 0. */
export interface AnnealOptions {
  strategy: 'anneal'
  /** Activation at the start, p = 1. */
  before: string
  /** Activation at the end, p = 0, and at inference. */
  to: string
  /**
   * How p falls: `linear`; `cosine`, half a wave; `sine`, `sineStages` half waves one after another, each from one of the
   * equal levels to the next, as ProSparse raises its factor.
   */
  schedule: (typeof annealSchedules)[number]
  /** Of `sine`: how many. */
  sineStages: number
  /** Fraction of the steps at the end that are taken with `to` alone, in [0, 1). */
  alpha: number
}

/** Continues with another activation from the first step on: for checkpoints, as in ReLU Strikes Back (stage 1). */
export interface RelufyOptions {
  strategy: 'relufy'
  /** The activation to continue with, and at inference. */
  to: string
  /** `both`: a gated FFN becomes dReLU's, with the activation on gate and up. TurboSparse, arXiv 2406.05955. */
  sides: 'gate' | 'both'
  /** 2: ReLU after the norms before attention and FFN too, so that their inputs have zeros (stage 2). */
  stage: 1 | 2
  /**
   * Of shifted-relu: its shift is measured, so that this fraction of the checkpoint's pre-activations lies below it. In (0, 1).
   */
  shiftQuantile?: number
}

export type StrategyOptions = ScratchOptions | SwiftOptions | StochaOptions | AnnealOptions | RelufyOptions

/** A strategy with its options bound. */
export interface Strategy {
  /** One line for people: `silu for 90 steps, then relu for 10 (α = 0.1)`. */
  readonly description: string
  /** The activation of training step 1 … steps. */
  activationAt(step: number): Activation
  /** Last step of the first activation, or null when it never changes. */
  readonly switchStep: number | null
  /** Probability, in step `step`, that an element uses an activation without exact zeros where another has them. */
  withoutZeros(step: number): number
  /** Every activation of the run whose learned parameters the model holds. */
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
        withoutZeros: () => (activation.exactZeros ? 0 : 1),
        activations: [activation],
        inference: activation,
      }
    }
    case 'relufy': {
      const { description, ...rest } = makeStrategy({ strategy: 'scratch', activation: options.to }, steps)
      return { ...rest, description: `continued with ${rest.inference.spec}` }
    }
    case 'anneal':
      return anneal(options, steps, switched)
    case 'swift':
      return switchOnce(options.from, options, steps, switched)
    case 'stocha':
      return switchOnce(
        `stocha:p=${options.p},positive=${options.positive}`,
        options,
        steps,
        switched,
        options.p,
      )
  }
}

/** `before` for the first steps, `to` for the last fraction `alpha` of them: at least one step. */
function switchOnce(
  before: string,
  { to, alpha }: { to: string; alpha: number },
  steps: number,
  switched: number | undefined,
  drawn?: number,
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
    withoutZeros: step => {
      if (step > switchStep) return finetuning.exactZeros ? 0 : 1
      return drawn ?? (pretraining.exactZeros ? 0 : 1)
    },
    activations: [pretraining, finetuning],
    inference: finetuning,
  }
}

/** Levels of p that are told apart: each is an activation of its own, compiled once. */
const LEVELS = 64

/**
 * p at `progress`, the fraction in [0, 1] of the way from p = 1 to p = 0. Sine: in stage i of n from p_{i−1} = 1 − (i − 1)/n
 * to p_i = 1 − i/n as p_{i−1} + ½·(sin(−π/2 + π·τ) + 1)·(p_i − p_{i−1}), τ being the progress within the stage.
 */
export function annealedProbability(
  progress: number,
  { schedule, sineStages }: Pick<AnnealOptions, 'schedule' | 'sineStages'>,
): number {
  if (schedule === 'linear') return 1 - progress
  const count = schedule === 'cosine' ? 1 : sineStages
  const stage = Math.min(count - 1, Math.floor(progress * count))
  const within = progress * count - stage
  return 1 - (stage + 0.5 * (Math.sin(-Math.PI / 2 + Math.PI * within) + 1)) / count
}

function anneal(options: AnnealOptions, steps: number, switched: number | undefined): Strategy {
  const { schedule, sineStages, alpha } = options
  const [before, to] = [parseActivation(options.before), parseActivation(options.to)]
  const learned = [before, to].find(act => act.learned.length > 0)
  if (learned !== undefined) {
    throw new OptionError(
      'ANNEAL_LEARNED',
      `anneal draws between two activations; ${learned.spec} learns parameters, which a draw would train unevenly: ` +
        'choose one without',
    )
  }
  if (!(alpha >= 0 && alpha < 1)) {
    throw new OptionError(
      'ALPHA_RANGE',
      `alpha is ${alpha}; it must be in [0, 1): the fraction of steps with ${to.spec} alone`,
    )
  }
  // The draw between SiLU and ReLU has a kernel of its own.
  const isStocha = before.spec === 'silu' && to.spec === 'relu'
  const drawn = isStocha ? parseActivation('stocha:p=0.5,positive=drawn') : null
  const levels = new Map<number, Activation>()
  const between = (level: number): Activation => {
    const p = level / LEVELS
    return (
      drawn?.with({ ...drawn.settings, p }) ??
      parseActivation(`mix:(${before.spec})@${p},(${to.spec})@${1 - p}`)
    )
  }
  const last = switched ?? Math.min(steps - 1, steps - Math.round(alpha * steps))
  const levelAt = (step: number) =>
    step > last
      ? 0
      : Math.round(LEVELS * annealedProbability((step - 1) / Math.max(1, last), { schedule, sineStages }))
  return {
    description:
      `${before.spec} to ${to.spec}, drawn, the probability of ${before.spec} falling from 1 to 0 ` +
      `(${schedule}${schedule === 'sine' ? `, ${sineStages} stages` : ''}) over ${last} steps, then ${to.spec} for ${steps - last}`,
    activationAt: step => {
      const level = levelAt(step)
      if (level === LEVELS) return before
      if (level === 0) return to
      let activation = levels.get(level)
      if (activation === undefined) {
        activation = between(level)
        levels.set(level, activation)
      }
      return activation
    },
    switchStep: last,
    withoutZeros: step => {
      const p = levelAt(step) / LEVELS
      return (before.exactZeros ? 0 : p) + (to.exactZeros ? 0 : 1 - p)
    },
    activations: [before, to],
    inference: to,
  }
}

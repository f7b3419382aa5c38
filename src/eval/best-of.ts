// Choosing one of several completions: the most likely under the deterministic model, or the one that most agree on.

import { type Activation, parseActivation } from '../activations/index.js'
import type { Completion, LanguageModel } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { majorityAnswer } from './repeated-answers.js'
import { QuestionScorer } from './score-questions.js'

export type BestOf = 'likelihood' | 'vote'

/**
 * The activation that a model is measured with: `given`, or the model's own. Throws OptionError ACTIVATION_DRAWS for one that
 * draws, ActivationError.
 */
export function deterministicActivation(model: LanguageModel, given?: string): Activation {
  const activation = parseActivation(given ?? model.config.activation)
  if (!activation.draws) return activation
  throw new OptionError(
    'ACTIVATION_DRAWS',
    `likelihoods need an activation that draws nothing, and ${activation.spec} draws; name another, such as relu or silu`,
  )
}

/** Tokens of one continuation. */
export interface ContinuationTokens {
  readonly prompt: readonly number[]
  readonly tokens: readonly number[]
}

/** Mean log-likelihood per token, nats, of continuations with the model as it is; 0 for one without tokens. */
export function meanLogLikelihoods(
  model: LanguageModel,
  continuations: readonly ContinuationTokens[],
  activation: Activation,
): number[] {
  const scorer = new QuestionScorer(model.engine, { seed: 0, activation })
  const [scores] = scorer.score([
    continuations.map(({ prompt, tokens }) => ({
      tokens: [...prompt, ...tokens],
      scored: tokens.length,
      dropped: 0,
    })),
  ])
  return scores.map(({ logLikelihood }, i) => logLikelihood / Math.max(1, continuations[i].tokens.length))
}

/** Index of the best completion, the first of equals. `prompt`: the tokens before all of them. */
export function bestCompletion(
  model: LanguageModel,
  prompt: readonly number[],
  completions: readonly Completion[],
  by: BestOf,
): number {
  if (by === 'vote') return majorityAnswer(completions.map(({ text }) => text)).index
  const scores = meanLogLikelihoods(
    model,
    completions.map(({ tokens }) => ({ prompt, tokens: tokens.map(({ id }) => id) })),
    deterministicActivation(model),
  )
  return scores.indexOf(Math.max(...scores))
}

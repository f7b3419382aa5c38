// The options of generating text: checked, completed, and refused where they contradict each other.

import { type Activation, parseActivation } from '../../activations/index.js'
import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import { didYouMean } from '../../did-you-mean.js'
import { OptionError } from '../../errors.js'
import type { ChatOptions } from '../chat/chat.js'
import type { EngineModel } from '../engine-model.js'
import type { GenerationRules } from './continuation.js'
import { checkTopLogprobs } from './logprobs.js'
import { checkPenalties, type PenaltyOptions } from './penalties.js'
import { checkSampling, type SamplingOptions } from './samplers.js'
import { checkStops } from './stop-strings.js'

export interface GenerateOptions extends SamplingOptions, PenaltyOptions {
  /** Tokens to generate at most; the model's context may end the text sooner. Default 128. */
  readonly maxTokens?: number
  /** Texts that end the text; no part of the one found is given out. */
  readonly stop?: string | readonly string[]
  /** Of sampling and of drawn activations: a whole number ≥ 0. Default 0. */
  readonly seed?: number
  /** Which of several texts with this seed. Default 0. */
  readonly sequence?: number
  /** Instead of the model's, e.g. `stocha:p=0.3`: drawn while decoding, for diverse texts even at temperature 0. */
  readonly activation?: string
  /** Go on after a token that ends a text. Default false. */
  readonly ignoreEndOfText?: boolean
  /** Give each token the so many likeliest in its place with their log-probabilities. Default 0. */
  readonly topLogprobs?: number
  /** Once it is aborted, no further token comes. */
  readonly signal?: AbortSignal
}

export interface GenerateManyOptions extends GenerateOptions {
  /** Texts to generate; they are those of sequence, sequence + 1, … Default 1. */
  readonly n?: number
}

/** More would be a mistake: each text has a cache of its own. */
const MOST_TEXTS = 1024

const OPTION_NAMES: Record<keyof GenerateManyOptions, true> = {
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  presencePenalty: true,
  frequencyPenalty: true,
  logitBias: true,
  maxTokens: true,
  stop: true,
  seed: true,
  sequence: true,
  activation: true,
  ignoreEndOfText: true,
  topLogprobs: true,
  signal: true,
  n: true,
}
const CHAT_OPTION_NAMES: Record<keyof ChatOptions, true> = {
  template: true,
  addGenerationPrompt: true,
  tools: true,
  documents: true,
  variables: true,
}

export interface CheckedOptions extends Omit<GenerationRules, 'limit' | 'limitReason'> {
  readonly maxTokens: number
  /** Of each text. */
  readonly sequences: readonly number[]
  readonly activation: Activation
  readonly signal: AbortSignal | undefined
}

/** Parts the options of a chat into those of its template and those of generating. */
export function splitChatOptions(options: GenerateOptions & ChatOptions): {
  chat: ChatOptions
  generate: GenerateOptions
} {
  const { template, addGenerationPrompt, tools, documents, variables, ...generate } = options
  return { chat: { template, addGenerationPrompt, tools, documents, variables }, generate }
}

/**
 * The options with their defaults. endOfText: ids that end a text. Throws OptionError: OPTION_UNKNOWN, …_RANGE,
 * STOP_INVALID, SIGNAL_INVALID, LOGIT_BIAS_…, SAMPLING_CONTRADICTION; ActivationError.
 */
export function checkGenerateOptions(
  options: GenerateManyOptions,
  engine: EngineModel,
  tokenizer: Tokenizer,
  endOfText: readonly number[],
): CheckedOptions {
  refuseUnknown(options)
  const { maxTokens = 128, seed = 0, sequence = 0, n = 1, topLogprobs = 0, ignoreEndOfText = false } = options
  if (!(Number.isInteger(maxTokens) && maxTokens >= 1)) {
    throw new OptionError(
      'MAX_TOKENS_RANGE',
      `maxTokens must be a whole number of at least 1, not ${maxTokens}`,
    )
  }
  if (!(Number.isInteger(n) && n >= 1 && n <= MOST_TEXTS)) {
    throw new OptionError('N_RANGE', `n must be a whole number from 1 to ${MOST_TEXTS}, not ${n}`)
  }
  if (!(Number.isInteger(sequence) && sequence >= 0 && sequence + n <= 2 ** 32)) {
    throw new OptionError(
      'SEQUENCE_RANGE',
      `sequence must be a whole number below 2^32${n > 1 ? ` for all ${n} texts` : ''}, not ${sequence}`,
    )
  }
  const { signal } = options
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new OptionError('SIGNAL_INVALID', 'signal must be an AbortSignal, as controller.signal is')
  }
  const sampling = checkSampling(options)
  const activation =
    options.activation === undefined ? engine.activation : parseActivation(options.activation)
  if (n > 1 && (sampling.temperature === 0 || sampling.topK === 1) && !activation.draws) {
    throw new OptionError(
      'SAMPLING_CONTRADICTION',
      `n ${n}: all texts would be the same, since the likeliest token is always taken and ${activation.spec} draws ` +
        'nothing; set a temperature above 0, or an activation that draws such as stocha:p=0.3',
    )
  }
  return {
    tokenizer,
    kernels: engine.kernels,
    seed,
    sampling,
    penalties: checkPenalties(options, tokenizer),
    stops: checkStops(options.stop),
    endOfText: new Set(ignoreEndOfText ? [] : endOfText),
    topLogprobs: checkTopLogprobs(topLogprobs, tokenizer.vocabSize),
    maxTokens,
    sequences: Array.from({ length: n }, (_, i) => sequence + i),
    activation,
    signal,
  }
}

/** A misspelled option would silently do nothing. */
function refuseUnknown(options: object): void {
  const known = Object.keys(OPTION_NAMES)
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(OPTION_NAMES, name)) continue
    const hint = Object.hasOwn(CHAT_OPTION_NAMES, name) ? ' It is one of chat().' : didYouMean(name, known)
    throw new OptionError(
      'OPTION_UNKNOWN',
      `there is no option ${name}; there are ${known.join(', ')}.${hint}`,
    )
  }
}

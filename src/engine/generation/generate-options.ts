// The options of generating text: checked, completed with defaults, and refused where they contradict each other.

import { type Activation, parseActivation } from '../../activations/index.js'
import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import { OptionError } from '../../errors.js'
import type { ChatOptions } from '../chat/chat.js'
import { type FfnMode, requireFfnMode } from '../ffn/policy.js'
import { checkGrammar, type Grammar } from '../grammar/grammar.js'
import { type OptionNames, received, requireKnownOptions, requireOptionalType } from '../option-checks.js'
import type { GenerationRules } from './continuation.js'
import { checkTopLogprobs } from './logprobs.js'
import { checkPenalties, type PenaltyOptions } from './penalties.js'
import { checkSampling, type SamplingOptions } from './samplers.js'
import { checkStops } from './stop-strings.js'

export interface GenerateOptions extends SamplingOptions, PenaltyOptions {
  /** Tokens to generate at most; the model's context may end the text sooner. Default 128. */
  readonly maxTokens?: number
  /** Strings that end the text, which contains no part of the one found. */
  readonly stop?: string | readonly string[]
  /** Of sampling and of drawn activations: an integer ≥ 0. Default 0. */
  readonly seed?: number
  /** Distinguishes continuations of one seed, whose random numbers are independent. Default 0. */
  readonly sequence?: number
  /** Instead of the model's, e.g. `stocha:p=0.3`: drawn while decoding, for diverse texts even at temperature 0. */
  readonly activation?: string
  /** Whether neurons that are exactly 0 are skipped, instead of as the model does it: never the reason for another text. */
  readonly ffn?: FfnMode
  /** Continue after an end-of-text token. Default false. */
  readonly ignoreEos?: boolean
  /** @deprecated The former name of `ignoreEos`. */
  readonly ignoreEndOfText?: boolean
  /** Return with each token this many of the most likely tokens at its position and their log-probabilities. Default 0. */
  readonly topLogprobs?: number
  /** Tell with each token which neurons were active: layers × intermediateSize bytes a token. Default false. */
  readonly neurons?: boolean
  /** What the text must be: JSON, JSON of a schema, … Tokens that it does not allow are never chosen. */
  readonly grammar?: Grammar
  /** Once it is aborted, no further token is generated. */
  readonly signal?: AbortSignal
}

export interface GenerateManyOptions extends GenerateOptions {
  /** Number of continuations; they are those of sequence, sequence + 1, … Default 1. */
  readonly n?: number
}

/** More would be a mistake: each continuation has its own cache. */
const MOST_CONTINUATIONS = 1024

const OPTION_NAMES: OptionNames<GenerateManyOptions> = {
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
  ffn: true,
  ignoreEos: true,
  ignoreEndOfText: 'hidden',
  topLogprobs: true,
  neurons: true,
  grammar: true,
  signal: true,
  n: true,
}
export const CHAT_OPTION_NAMES: OptionNames<ChatOptions> = {
  template: true,
  addGenerationPrompt: true,
  tools: true,
  documents: true,
  variables: true,
}

export interface CheckedOptions extends Omit<GenerationRules, 'limit' | 'limitReason'> {
  readonly maxTokens: number
  /** Of each continuation. */
  readonly sequences: readonly number[]
  readonly activation: Activation
  readonly ffn: FfnMode | undefined
  readonly neurons: boolean
  readonly grammar: Grammar | null
  readonly signal: AbortSignal | undefined
}

/** Splits the options of a chat into those of its template and those of generating. */
export function splitChatOptions(options: GenerateOptions & ChatOptions): {
  chat: ChatOptions
  generate: GenerateOptions
} {
  const { template, addGenerationPrompt, tools, documents, variables, ...generate } = options
  return { chat: { template, addGenerationPrompt, tools, documents, variables }, generate }
}

/**
 * The options with their defaults. endOfText: ids that end a text. Throws OptionError: OPTION_UNKNOWN, OPTION_TYPE, …_RANGE,
 * FFN_UNKNOWN, STOP_INVALID, SIGNAL_INVALID, LOGIT_BIAS_…, SAMPLING_CONTRADICTION, GRAMMAR_…; ActivationError.
 */
export function checkGenerateOptions(
  options: GenerateManyOptions,
  modelActivation: Activation,
  tokenizer: Tokenizer,
  endOfText: readonly number[],
): CheckedOptions {
  requireKnownOptions(options, OPTION_NAMES, { names: CHAT_OPTION_NAMES, of: 'chat()' })
  const { maxTokens = 128, seed = 0, sequence = 0, n = 1, topLogprobs = 0 } = options
  const { ignoreEndOfText = false, ignoreEos = ignoreEndOfText } = options
  requireOptionalType('ignoreEos', 'boolean', ignoreEos)
  requireOptionalType('activation', 'string', options.activation)
  requireOptionalType('neurons', 'boolean', options.neurons)
  requireFfnMode(options.ffn)
  if (!(Number.isSafeInteger(seed) && seed >= 0)) {
    throw new OptionError('SEED_RANGE', `seed must be an integer of at least 0, not ${received(seed)}`)
  }
  if (!(Number.isInteger(maxTokens) && maxTokens >= 1)) {
    throw new OptionError(
      'MAX_TOKENS_RANGE',
      `maxTokens must be an integer of at least 1, not ${received(maxTokens)}`,
    )
  }
  if (!(Number.isInteger(n) && n >= 1 && n <= MOST_CONTINUATIONS)) {
    throw new OptionError(
      'N_RANGE',
      `n must be an integer from 1 to ${MOST_CONTINUATIONS}, not ${received(n)}`,
    )
  }
  if (!(Number.isInteger(sequence) && sequence >= 0 && sequence + n <= 2 ** 32)) {
    throw new OptionError(
      'SEQUENCE_RANGE',
      `sequence must be an integer from 0 to 2^32 − ${n}, not ${received(sequence)}`,
    )
  }
  const { signal } = options
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new OptionError(
      'SIGNAL_INVALID',
      `signal must be an AbortSignal, as controller.signal is, not ${received(signal)}`,
    )
  }
  const sampling = checkSampling(options)
  const activation = options.activation === undefined ? modelActivation : parseActivation(options.activation)
  if (n > 1 && (sampling.temperature === 0 || sampling.topK === 1) && !activation.draws) {
    throw new OptionError(
      'SAMPLING_CONTRADICTION',
      `n ${n}: all continuations would be the same, since the most likely token is always chosen and ` +
        `${activation.spec} draws nothing; ` +
        'set a temperature above 0, or an activation that draws such as stocha:p=0.3',
    )
  }
  const grammar = options.grammar === undefined ? null : checkGrammar(options.grammar)
  if (grammar !== null) requireEnd(ignoreEos, endOfText)
  return {
    tokenizer,
    seed,
    sampling,
    penalties: checkPenalties(options, tokenizer),
    stops: checkStops(options.stop),
    endOfText: new Set(ignoreEos ? [] : endOfText),
    topLogprobs: checkTopLogprobs(topLogprobs, tokenizer.vocabSize),
    maxTokens,
    sequences: Array.from({ length: n }, (_, i) => sequence + i),
    activation,
    ffn: options.ffn,
    neurons: options.neurons ?? false,
    grammar,
    signal,
  }
}

/** A text with a grammar ends with an end-of-text token. Throws OptionError GRAMMAR_END. */
function requireEnd(ignoreEos: boolean, endOfText: readonly number[]): void {
  const why = ignoreEos
    ? 'a text with a grammar ends where the grammar does; leave ignoreEos out'
    : endOfText.length === 0
      ? 'the vocabulary has no end-of-text token, so that a text could not end where its grammar does'
      : null
  if (why !== null) throw new OptionError('GRAMMAR_END', why)
}

// What changes the logits before a token is chosen: logit bias, then the repetition penalty, then the frequency and
// presence penalties, the order of llama.cpp, vLLM and Hugging Face's generate; last, tokens that a grammar does not allow
// are forbidden. The model's own logits are kept.

import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import { OptionError } from '../../errors.js'
import { received } from '../option-checks.js'

export interface PenaltyOptions {
  /**
   * Logits of tokens that occur in the prompt or the text so far are divided by it when positive, multiplied by it when
   * negative (Keskar et al. 2019, CTRL; the sign as in Hugging Face's generate). Default 1, which changes nothing.
   */
  readonly repetitionPenalty?: number
  /** Subtracted once from the logit of every token generated so far (OpenAI's definition). Default 0. */
  readonly presencePenalty?: number
  /** Subtracted from the logit of a token once for each time it was generated (OpenAI's definition). Default 0. */
  readonly frequencyPenalty?: number
  /**
   * Added to logits of tokens; −Infinity forbids one. Keys of an object that are integers are token ids, others the text
   * of one token; in a Map numbers are ids and strings are text.
   */
  readonly logitBias?: Readonly<Record<string, number>> | ReadonlyMap<number | string, number>
}

/** Penalties checked and the bias by token id. */
export interface CheckedPenalties {
  readonly repetition: number
  readonly presence: number
  readonly frequency: number
  readonly bias: ReadonlyMap<number, number>
}

/**
 * Throws OptionError: REPETITION_PENALTY_RANGE, PRESENCE_PENALTY_RANGE, FREQUENCY_PENALTY_RANGE, and for the bias
 * LOGIT_BIAS_TYPE, LOGIT_BIAS_RANGE, LOGIT_BIAS_TOKEN (no such token, or text that is several), LOGIT_BIAS_TWICE.
 */
export function checkPenalties(options: PenaltyOptions, tokenizer: Tokenizer): CheckedPenalties {
  const { repetitionPenalty = 1, presencePenalty = 0, frequencyPenalty = 0, logitBias } = options
  if (!(Number.isFinite(repetitionPenalty) && repetitionPenalty > 0)) {
    throw new OptionError(
      'REPETITION_PENALTY_RANGE',
      `repetitionPenalty must be above 0 (1 changes nothing), not ${received(repetitionPenalty)}`,
    )
  }
  for (const [name, code, value] of [
    ['presencePenalty', 'PRESENCE_PENALTY_RANGE', presencePenalty],
    ['frequencyPenalty', 'FREQUENCY_PENALTY_RANGE', frequencyPenalty],
  ] as const) {
    if (!Number.isFinite(value))
      throw new OptionError(code, `${name} must be a finite number, not ${received(value)}`)
  }
  return {
    repetition: repetitionPenalty,
    presence: presencePenalty,
    frequency: frequencyPenalty,
    bias: biasById(logitBias, tokenizer),
  }
}

function biasById(logitBias: PenaltyOptions['logitBias'], tokenizer: Tokenizer): Map<number, number> {
  const bias = new Map<number, number>()
  if (logitBias === undefined) return bias
  if (typeof logitBias !== 'object' || logitBias === null || Array.isArray(logitBias)) {
    throw new OptionError(
      'LOGIT_BIAS_TYPE',
      `logitBias must be an object or a Map from tokens to numbers, not ${received(logitBias)}`,
    )
  }
  const entries = logitBias instanceof Map ? logitBias.entries() : Object.entries(logitBias)
  for (const [key, value] of entries) {
    if (typeof value !== 'number' || Number.isNaN(value) || value === Number.POSITIVE_INFINITY) {
      throw new OptionError(
        'LOGIT_BIAS_RANGE',
        `logitBias of ${JSON.stringify(key)} must be a number, or -Infinity to forbid the token, not ${received(value)}`,
      )
    }
    const isId = typeof key === 'number' || (!(logitBias instanceof Map) && /^\d+$/.test(key))
    const id = isId ? requireKnown(Number(key), tokenizer) : singleToken(key, tokenizer)
    if (bias.has(id)) {
      throw new OptionError(
        'LOGIT_BIAS_TWICE',
        `logitBias names token ${id} twice, the second time as ${JSON.stringify(key)}; keep one of them`,
      )
    }
    bias.set(id, value)
  }
  return bias
}

function requireKnown(id: number, { vocabSize }: Tokenizer): number {
  if (Number.isInteger(id) && id >= 0 && id < vocabSize) return id
  throw new OptionError(
    'LOGIT_BIAS_TOKEN',
    `logitBias: there is no token ${id}; the vocabulary has ids 0 to ${vocabSize - 1}`,
  )
}

function singleToken(text: string, tokenizer: Tokenizer): number {
  const ids = tokenizer.encode(text)
  if (ids.length === 1) return ids[0]
  const found = ids.length === 0 ? 'no token' : `the ${ids.length} tokens ${ids.join(', ')}`
  throw new OptionError(
    'LOGIT_BIAS_TOKEN',
    `logitBias: ${JSON.stringify(text)} is ${found}, not one; give the text of a single token ` +
      '(a leading space counts) or token ids',
  )
}

/** The logits of one continuation as the sampler sees them; counts its tokens. */
export class LogitAdjustment {
  readonly #penalties: CheckedPenalties
  readonly #active: boolean
  /** How often each token was generated; with a repetition penalty, 0 for those that only the prompt has. */
  readonly #counts = new Map<number, number>()
  #adjusted = new Float32Array(0)

  constructor(penalties: CheckedPenalties, prompt: ArrayLike<number>) {
    const { repetition, presence, frequency, bias } = penalties
    this.#penalties = penalties
    this.#active = repetition !== 1 || presence !== 0 || frequency !== 0 || bias.size > 0
    if (repetition !== 1) for (let i = 0; i < prompt.length; i++) this.#counts.set(prompt[i], 0)
  }

  /** Counts a generated token. */
  count(id: number): void {
    if (this.#active) this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1)
  }

  /**
   * (vocab), valid until the next call; where nothing changes, `logits` themselves, which are never changed. allowed: bit
   * i of word w is set when token 32·w + i may be chosen; null: all.
   */
  apply(logits: Float32Array, allowed: Int32Array | null = null): Float32Array {
    if (!this.#active && allowed === null) return logits
    const { repetition, presence, frequency, bias } = this.#penalties
    if (this.#adjusted.length !== logits.length) this.#adjusted = new Float32Array(logits.length)
    const adjusted = this.#adjusted
    adjusted.set(logits)
    for (const [id, value] of bias) adjusted[id] += value
    for (const [id, count] of this.#counts) {
      const logit = adjusted[id]
      const repeated = logit < 0 ? logit * repetition : logit / repetition
      adjusted[id] = repeated - count * frequency - (count > 0 ? presence : 0)
    }
    if (allowed !== null) forbidOthers(adjusted, allowed)
    return adjusted
  }
}

function forbidOthers(logits: Float32Array, allowed: Int32Array): void {
  for (let word = 0; 32 * word < logits.length; word++) {
    const bits = allowed[word] ?? 0
    if (bits === -1) continue
    const end = Math.min(32, logits.length - 32 * word)
    for (let i = 0; i < end; i++) {
      if ((bits & (1 << i)) === 0) logits[32 * word + i] = Number.NEGATIVE_INFINITY
    }
  }
}

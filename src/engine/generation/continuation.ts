// One continuation of a prompt: from the logits of its session to the next token, its characters and its end.

import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import type { PassStats } from '../pass-stats.js'
import { type BestLogits, chooseAmong } from './best-logits.js'
import { type TokenLogprob, tokenLogprob, topLogprobs } from './logprobs.js'
import { type CheckedPenalties, LogitAdjustment } from './penalties.js'
import { chooseToken, type SamplingOptions } from './samplers.js'
import type { Session } from './session.js'
import { StopStrings } from './stop-strings.js'
import type { TextSession } from './text-engine.js'
import { TextStream } from './text-stream.js'

/**
 * Why a continuation ended: `stop`: a stop string, or an end-of-text token; `length`: maxTokens; `context`: the model's
 * context is full; `aborted`: the signal.
 */
export type FinishReason = 'stop' | 'length' | 'context' | 'aborted'

export interface GeneratedToken {
  /** The sequence it belongs to: GenerateOptions.sequence, or with `n` one of those that follow it. */
  readonly sequence: number
  readonly id: number
  /**
   * The characters that this token makes certain; may be empty, or hold some of earlier tokens. Together they are the
   * whole text: it contains no part of a stop string, nor an end-of-text token.
   */
  readonly text: string
  /** log of its probability under the model, nats: temperature 1, before bias, penalties and truncation. */
  readonly logprob: number
  /** With `topLogprobs`: the most likely tokens at its position; it need not be among them. */
  readonly topLogprobs?: readonly TokenLogprob[]
  /** Active neurons per layer in the step that gave this token. */
  readonly activeNeurons: Int32Array
  /**
   * With `neurons`: of every neuron in that step, layers × intermediateSize, whether its activation was exactly 0 (0), positive
   * (1) or negative (2); with StochA the negative ones are those that were drawn. Of a mixture of experts and on a GPU there are none.
   */
  readonly neurons?: Uint8Array
  /** What that step read and skipped, for all sequences that took part in it; for the first token, the prompt's step. */
  readonly pass: PassStats
  /** On the last token why the continuation ended, else null. */
  readonly finishReason: FinishReason | null
}

/** What restricts the tokens of one text. */
export interface TokenConstraint {
  /** Bit i of word w is set when token 32·w + i may follow; null while that is worked out. */
  readonly allowed: Int32Array | null
  /** Resolves once `allowed` is known. Throws what has gone wrong, as OptionError where the grammar is the cause. */
  ready(): Promise<void>
  /** The text goes on with `token`. */
  accept(token: number): void
  dispose(): void
}

/** What all continuations of one call have in common: options checked and completed. */
export interface GenerationRules {
  readonly tokenizer: Tokenizer
  readonly seed: number
  readonly sampling: Required<SamplingOptions>
  readonly penalties: CheckedPenalties
  readonly stops: readonly string[]
  /** Tokens that end the text. */
  readonly endOfText: ReadonlySet<number>
  readonly topLogprobs: number
  /** Tokens at most, and the reason of a continuation that ends there. */
  readonly limit: number
  readonly limitReason: FinishReason
}

/** A token, and what is told of its probability. */
type Chosen = Pick<GeneratedToken, 'id' | 'logprob' | 'topLogprobs'>

export class Continuation<Own extends TextSession = Session> {
  readonly session: Own
  /** The text so far. */
  text = ''
  finishReason: FinishReason | null = null
  #count = 0
  readonly #rules: GenerationRules
  readonly #stream: TextStream
  readonly #stops: StopStrings
  readonly #adjustment: LogitAdjustment
  readonly #constraint: TokenConstraint | null

  /** `session` has read `prompt`. */
  constructor(
    rules: GenerationRules,
    session: Own,
    prompt: ArrayLike<number>,
    constraint: TokenConstraint | null = null,
  ) {
    this.session = session
    this.#constraint = constraint
    this.#rules = rules
    const { startOfText = null, endOfText } = rules.tokenizer
    const isWhole = prompt.length === 1 && (prompt[0] === startOfText || prompt[0] === endOfText)
    this.#stream = new TextStream(rules.tokenizer, isWhole)
    this.#stops = new StopStrings(rules.stops)
    this.#adjustment = new LogitAdjustment(rules.penalties, prompt)
  }

  /** The stop string that ended the text, or null. */
  get stopString(): string | null {
    return this.#stops.found
  }

  /** Whether `next` can be called at once: nothing restricts the token, or it is known what does. */
  get isReady(): boolean {
    return this.#constraint === null || this.#constraint.allowed !== null
  }

  /** Resolves when `next` can be called. Throws as TokenConstraint.ready does. */
  async ready(): Promise<void> {
    await this.#constraint?.ready()
  }

  /** Chooses the token that follows what the session has read. Throws FlickerError LOGITS_INVALID. */
  next(): GeneratedToken {
    const { endOfText } = this.#rules
    const { session } = this
    const { best = null } = session
    const { id, ...logprobs } = best === null ? this.#choose() : this.#chooseAmong(best)
    this.#adjustment.count(id)
    this.#count++
    const text = this.#advance(id, endOfText.has(id))
    if (this.finishReason === null) this.#constraint?.accept(id)
    return {
      ...{ sequence: session.sequence, id, text },
      ...logprobs,
      ...session.stats,
      finishReason: this.finishReason,
    }
  }

  #choose(): Chosen {
    const { tokenizer, seed, sampling, topLogprobs: top } = this.#rules
    const { logits, sequence, position, logSumExp: logSum } = this.session
    // Rows beyond the tokenizer's ids only pad the vocabulary; no token has them.
    const known = logits.subarray(0, tokenizer.vocabSize)
    const adjusted = this.#adjustment.apply(known, this.#constraint?.allowed)
    const id = chooseToken(adjusted, sampling, { seed, sequence, position })
    return {
      id,
      logprob: logits[id] - logSum,
      ...(top > 0 && { topLogprobs: topLogprobs(known, top, logSum, tokenizer) }),
    }
  }

  /** The same of a session that has the largest logits alone. */
  #chooseAmong(best: BestLogits): Chosen {
    const { tokenizer, seed, sampling, topLogprobs: top } = this.#rules
    const { sequence, position } = this.session
    const { ids, logits, logSumExp: logSum } = best
    const id = chooseAmong(best, sampling, { seed, sequence, position })
    const listed = Array.from(ids.subarray(0, top), (other, i) =>
      tokenLogprob(other, logits[i] - logSum, tokenizer),
    )
    return {
      id,
      logprob: logits[ids.indexOf(id)] - logSum,
      ...(top > 0 && { topLogprobs: listed }),
    }
  }

  /** Ends the text here, with what was held back for a stop string. */
  abort(): void {
    this.text += this.#stops.push(this.#stream.end()) + this.#stops.end()
    this.finishReason = 'aborted'
  }

  /** The text that `id` makes certain; sets finishReason when it is the last token. */
  #advance(id: number, ended: boolean): string {
    const { limit, limitReason } = this.#rules
    let text = ended ? '' : this.#stops.push(this.#stream.push(id))
    const last = ended ? 'stop' : this.#count >= limit ? limitReason : null
    if (last !== null) text += this.#stops.push(this.#stream.end())
    this.finishReason = this.#stops.found === null ? last : 'stop'
    if (this.finishReason !== null) text += this.#stops.end()
    this.text += text
    return text
  }
}

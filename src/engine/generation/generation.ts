// One call that generates text: the prompt is read, its continuations are decoded together, and what that took is summed
// up.

import { OptionError } from '../../errors.js'
import { neuronsPerToken } from '../../nn/config.js'
import { bytesRead, bytesSkipped, type PassStats } from '../pass-stats.js'
import { bestWanted } from './best-logits.js'
import { Continuation, type FinishReason, type GeneratedToken, type TokenConstraint } from './continuation.js'
import type { CheckedOptions } from './generate-options.js'
import { PREFILL_BLOCK } from './shared-passes.js'
import type { TextEngine, TextSession } from './text-engine.js'

/** A whole continuation of the prompt. */
export interface Completion {
  readonly sequence: number
  readonly text: string
  readonly finishReason: FinishReason
  /** The stop string that ended it, or null. */
  readonly stopString: string | null
  readonly tokens: readonly GeneratedToken[]
  readonly usage: {
    readonly promptTokens: number
    readonly completionTokens: number
    readonly totalTokens: number
  }
  readonly stats: CompletionStats
}

/** Of all continuations of the call together, except activeFraction. */
export interface CompletionStats {
  /** Until the first token. */
  readonly promptSeconds: number
  /** After the first token. */
  readonly decodeSeconds: number
  /** Of the tokens after the first of each continuation; null when there are none. */
  readonly tokensPerSecond: number | null
  /** Bytes read for each of these tokens, weights and cache; null when there are none. */
  readonly bytesReadPerToken: number | null
  /** Bytes of weights that were not read, as their neurons are exactly 0. */
  readonly bytesSkippedPerToken: number | null
  /** Fraction of the neurons that were active, mean over this continuation's tokens, per layer. */
  readonly activeFraction: readonly number[]
}

export class Generation {
  readonly #engine: TextEngine
  readonly #prompt: ArrayLike<number>
  readonly #options: CheckedOptions
  readonly #started = performance.now()
  #firstToken = Number.NaN
  #ended = Number.NaN
  #continuations: Continuation<TextSession>[] = []
  readonly #constraints: readonly TokenConstraint[]

  /** constraints: of each sequence, or none. Throws OptionError CONTEXT_OVERFLOW. */
  constructor(
    engine: TextEngine,
    prompt: ArrayLike<number>,
    options: CheckedOptions,
    constraints: readonly TokenConstraint[] = [],
  ) {
    const { maxPositionEmbeddings } = engine.config
    if (prompt.length > maxPositionEmbeddings) {
      throw new OptionError(
        'CONTEXT_OVERFLOW',
        `the prompt is ${prompt.length} tokens long, but the model's context is ${maxPositionEmbeddings}; shorten it`,
      )
    }
    this.#engine = engine
    this.#prompt = prompt
    this.#options = options
    this.#constraints = constraints
  }

  /** The tokens of all continuations, position by position, in the order of their sequences. */
  async *tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    try {
      yield* this.#tokens()
    } finally {
      for (const constraint of this.#constraints) constraint.dispose()
    }
  }

  async *#tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    const { signal } = this.#options
    let running = await this.#start()
    while (running.length > 0) {
      const ids: number[] = []
      const unfinished: Continuation<TextSession>[] = []
      for (const continuation of running) {
        if (signal?.aborted) break
        if (!continuation.isReady) await continuation.ready()
        const token = continuation.next()
        if (Number.isNaN(this.#firstToken)) this.#firstToken = performance.now()
        this.#ended = performance.now()
        if (continuation.finishReason === null) {
          unfinished.push(continuation)
          ids.push(token.id)
        }
        yield token
      }
      if (unfinished.length === 0 && !signal?.aborted) return
      await yieldToTimers()
      if (signal?.aborted) break
      const sessions = unfinished.map(({ session }) => session)
      if (sessions.length === 1) await sessions[0].prefill(ids)
      else await this.#engine.stepTogether(sessions, ids)
      running = unfinished
    }
    for (const continuation of running) if (continuation.finishReason === null) continuation.abort()
  }

  completions(tokens: readonly GeneratedToken[]): Completion[] {
    const { sequences } = this.#options
    const neurons = neuronsPerToken(this.#engine.config)
    const promptTokens = this.#prompt.length
    const later = Math.max(0, tokens.length - sequences.length)
    const decodeSeconds = seconds(this.#firstToken, this.#ended)
    // The sequences of a pass have the same object of counts; the first tokens have the prompt's.
    const first = new Set(sequences.map(sequence => tokens.find(token => token.sequence === sequence)?.pass))
    const passes = new Set(tokens.map(({ pass }) => pass).filter(pass => !first.has(pass)))
    const perToken = (bytes: (pass: PassStats) => number) =>
      later === 0 ? null : [...passes].reduce((sum, pass) => sum + bytes(pass), 0) / later
    const shared = {
      promptSeconds: seconds(this.#started, this.#firstToken),
      decodeSeconds,
      tokensPerSecond: later > 0 && decodeSeconds > 0 ? later / decodeSeconds : null,
      bytesReadPerToken: perToken(bytesRead),
      bytesSkippedPerToken: perToken(bytesSkipped),
    }
    return sequences.map((sequence, i): Completion => {
      const own = tokens.filter(token => token.sequence === sequence)
      const continuation = this.#continuations.at(i)
      return {
        sequence,
        text: continuation?.text ?? '',
        finishReason: continuation?.finishReason ?? 'aborted',
        stopString: continuation?.stopString ?? null,
        tokens: own,
        usage: { promptTokens, completionTokens: own.length, totalTokens: promptTokens + own.length },
        stats: { ...shared, activeFraction: activeFraction(own, neurons) },
      }
    })
  }

  /** Reads the prompt; returns its continuations, none when the signal is aborted meanwhile. */
  async #start(): Promise<Continuation<TextSession>[]> {
    const { seed, sequences, activation, ffn, neurons, maxTokens, signal } = this.#options
    const prompt = Array.from(this.#prompt)
    const room = this.#engine.config.maxPositionEmbeddings - prompt.length + 1
    const limit = Math.min(maxTokens, room)
    // The prompt is stored once for all sequences.
    const each = limit - 1 + Math.ceil(prompt.length / sequences.length)
    this.#engine.requireCacheMemory(each, sequences.length)
    // A prompt has the draws of sequence 0 whichever sequences follow, so that they can share it. But where neurons are
    // drawn, each sequence reads the prompt's last token with its own draws, so that their first tokens differ too.
    const alone = sequences.length === 1 && sequences[0] === 0
    const own = activation.draws && !alone ? prompt.slice(-1) : []
    const common = prompt.slice(0, prompt.length - own.length)
    const best = this.#constraints.length > 0 ? null : bestWanted(this.#options)
    const shared = this.#engine.session({
      ...{
        seed,
        sequence: 0,
        activation,
        neurons,
        ...(ffn !== undefined && { ffn }),
        ...(best !== null && { best }),
      },
      sparseFrom: this.#engine.sparseFrom(prompt.length),
    })
    for (let start = 0; start < common.length; start += PREFILL_BLOCK) {
      if (start > 0) await yieldToTimers()
      if (signal?.aborted) return []
      await shared.prefill(common.slice(start, start + PREFILL_BLOCK))
    }
    const sessions = alone ? [shared] : shared.fork(sequences.map(sequence => ({ sequence })))
    for (const token of own) await this.#engine.stepTogether(sessions, Array(sessions.length).fill(token))

    const limitReason = maxTokens <= room ? ('length' as const) : ('context' as const)
    const rules = { ...this.#options, limit, limitReason }
    this.#continuations = sessions.map(
      (session, i) => new Continuation(rules, session, prompt, this.#constraints[i]),
    )
    return this.#continuations
  }
}

/** Lets timers and signals run: a loop of microtasks alone would delay them until its end. */
function yieldToTimers(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}

function seconds(from: number, to: number): number {
  return Number.isNaN(to - from) ? 0 : (to - from) / 1000
}

function activeFraction(tokens: readonly GeneratedToken[], neurons: number): number[] {
  const fractions: number[] = Array.from(tokens[0]?.activeNeurons ?? [], () => 0)
  for (const { activeNeurons } of tokens) {
    for (const [layer, active] of activeNeurons.entries())
      fractions[layer] += active / neurons / tokens.length
  }
  return fractions
}

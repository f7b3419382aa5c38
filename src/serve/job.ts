// One request on its way through the scheduler, and the stream of tokens that its client reads.

import type { Continuation } from '../engine/generation/continuation.js'
import type { GeneratedToken, PreparedPrompt, Session, TokenLogprob } from '../engine/index.js'

/** A token of the prompt as the model saw it coming; the first token has none. */
export interface PromptLogprob {
  readonly id: number
  readonly logprob: number
  /** The most likely tokens at its position. */
  readonly top: readonly TokenLogprob[]
}

export interface Request {
  readonly prepared: PreparedPrompt
  /** Return the log-probabilities of the prompt's tokens, with this many of the most likely ones at each position. */
  readonly promptLogprobs?: number
  /** Read the prompt and generate nothing. */
  readonly promptOnly?: boolean
  /** Read the prompt for the mean of its last hidden states, and generate nothing. */
  readonly embedding?: boolean
  readonly signal?: AbortSignal
}

/**
 * A continuation that decodes; `pending` is the token that it has chosen and not read yet, null while it is to choose one
 * by the logits that it has.
 */
export interface Running {
  readonly continuation: Continuation
  pending: number | null
}

/** So many tokens may wait for a client before its continuations pause; fewer where each has megabytes of neurons. */
const MOST_UNREAD = 64
const MOST_UNREAD_WITH_NEURONS = 4

export class Job {
  readonly request: Request
  readonly prompt: readonly number[]
  /** Positions of keys and values that it may come to need, over all its continuations. */
  readonly positions: number
  /** Has read the first `read` tokens of the prompt. */
  session: Session | null = null
  cachedTokens = 0
  running: Running[] = []
  /** Of the prompt's tokens from the second on. */
  readonly promptLogprobs: PromptLogprob[] = []
  /** Sum of the last hidden states so far, (d); with `embedding`. */
  hiddenSum = new Float64Array(0)
  readonly #generated = new Map<number, number[]>()
  #unread: GeneratedToken[] = []
  #ended = false
  #error: unknown
  #wakeReader: (() => void) | null = null
  readonly #wakeScheduler: () => void

  constructor(request: Request, positions: number, wakeScheduler: () => void) {
    this.request = request
    this.prompt = request.prepared.tokens
    this.positions = positions
    this.#wakeScheduler = wakeScheduler
    request.signal?.addEventListener('abort', wakeScheduler, { once: true })
  }

  get aborted(): boolean {
    return this.request.signal?.aborted === true
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Whether its client is so far behind that it must wait. */
  get paused(): boolean {
    const most = this.request.prepared.options.neurons ? MOST_UNREAD_WITH_NEURONS : MOST_UNREAD
    return this.#unread.length >= most * Math.max(1, this.running.length)
  }

  /** What a sequence has generated so far. */
  generatedIds(sequence: number): readonly number[] {
    return this.#generated.get(sequence) ?? []
  }

  /** Tokens generated so far, all sequences together. */
  get generatedTokens(): number {
    let count = 0
    for (const ids of this.#generated.values()) count += ids.length
    return count
  }

  push(token: GeneratedToken): void {
    const ids = this.#generated.get(token.sequence)
    if (ids === undefined) this.#generated.set(token.sequence, [token.id])
    else ids.push(token.id)
    this.#unread.push(token)
    this.#wake()
  }

  /** Ends the stream, after what has not been read; with an error, at once. */
  end(error?: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    if (error !== undefined) this.#unread = []
    this.running = []
    this.session = null
    // Node keeps a combined signal for as long as somebody listens to it.
    this.request.signal?.removeEventListener('abort', this.#wakeScheduler)
    for (const constraint of this.request.prepared.constraints) constraint.dispose()
    this.#wake()
  }

  /** Resolves once the prompt is read: its first token is there, or the job has ended. Throws what ended it. */
  async started(): Promise<void> {
    while (this.#unread.length === 0 && !this.#ended) await this.#news()
    if (this.#error !== undefined) throw this.#error
  }

  /** The tokens as they come. Throws what ended the job. Returning early does not abort it: the signal does. */
  async *tokens(): AsyncGenerator<GeneratedToken, void, undefined> {
    for (;;) {
      const wasPaused = this.paused
      const tokens = this.#unread.splice(0)
      if (wasPaused) this.#wakeScheduler()
      yield* tokens
      if (this.#error !== undefined) throw this.#error
      if (this.#unread.length > 0) continue
      if (this.#ended) return
      await this.#news()
    }
  }

  #news(): Promise<void> {
    return new Promise(resolve => {
      this.#wakeReader = resolve
    })
  }

  #wake(): void {
    this.#wakeReader?.()
    this.#wakeReader = null
  }
}

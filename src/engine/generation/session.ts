// One sequence being decoded: its KV cache, its position and its random draws. The prompt is read in blocks, then one token
// at a time; several sequences can read their next tokens together. All ways give the same bits.

import type { Activation } from '../../activations/index.js'
import { FlickerError, OptionError } from '../../errors.js'
import { Purpose, seedWords } from '../../kernels/philox.js'
import { KvCache } from '../attention/kv-cache.js'
import { roomForSigns } from '../ffn/neuron-signs.js'
import { type FfnMode, requireFfnMode } from '../ffn/policy.js'
import type { ForwardPass, SequenceState } from '../forward.js'
import { requireCacheMemory } from '../model/memory.js'
import {
  type OptionNames,
  received,
  requireKnownOptions,
  requireOptionalType,
  requireTokenList,
  wrongType,
} from '../option-checks.js'
import type { TokenStats } from '../pass-stats.js'
import type { BestWanted } from './best-logits.js'
import { logSumExp } from './logprobs.js'
import { requireReadable } from './readable-tokens.js'
import { groupedByPrefix, PREFILL_BLOCK, passesOf, type ReadPart } from './shared-passes.js'

export interface SessionOptions {
  /** Of the draws of a stochastic activation: an integer ≥ 0. Default 0. */
  readonly seed?: number
  /** Distinguishes sequences of one seed, whose draws are independent. Default 0. */
  readonly sequence?: number
  /** Instead of the model's. */
  readonly activation?: Activation
  /** Of a model with cuts: the first position that they apply to. Default 0: all. */
  readonly sparseFrom?: number
  /** Whether zeros are skipped, instead of as the model does it: never the reason for another result. */
  readonly ffn?: FfnMode
  /** Tell of each token which neurons it has activated: `stats.neurons`. Not of a mixture of experts. Default false. */
  readonly neurons?: boolean
  /** No other logits are needed: on a GPU the others stay there, and `best` has these. Default: all are. */
  readonly best?: BestWanted
}

/** What one of several sessions reads: `Session.readTogether`. */
export interface SessionRead {
  readonly session: Session
  /** At least one. */
  readonly tokens: ArrayLike<number>
  /** Of so many of the last tokens the logits are wanted, at least one. */
  readonly wanted: number
  /** Whether the session keeps those of the last token (default true): a vocabulary's worth of memory for each session. */
  readonly keepsLogits?: boolean
}

/** A row of logits: those after token `token` of `reads[read].tokens`. */
export interface ReadRow {
  readonly read: number
  readonly token: number
}

const SESSION_OPTION_NAMES: OptionNames<SessionOptions> = {
  seed: true,
  sequence: true,
  activation: true,
  sparseFrom: true,
  ffn: true,
  neurons: true,
  best: true,
}

/**
 * Several continuations of one prompt:
 *
 *     const prompt = model.session({ seed })
 *     prompt.prefill(tokens)                                     // computed and stored once
 *     let running = prompt.fork([0, 1, 2].map(sequence => ({ sequence })))
 *     while (running.length > 0) {
 *       const tokens = new Map(running.map(session => [session, choose(session.logits)]))
 *       running = running.filter(session => !ended(tokens.get(session)))   // a finished one leaves the batch
 *       Session.stepTogether(running, running.map(session => tokens.get(session)))
 *     }
 *
 * Each has the same bits as a fork that is stepped alone. A position keeps the draws of the session that read it: those of
 * a prompt belong to the session of the prompt (usually sequence 0), those after it to the fork. So the sequences of one
 * seed share their prompt's pass whatever the activation, and sequence `sequence` alone is `prompt.fork([{ sequence }])`.
 */
export class Session {
  readonly seed: number
  readonly sequence: number
  readonly activation: Activation
  readonly sparseFrom: number
  readonly ffn: FfnMode | undefined
  readonly neurons: boolean
  readonly #pass: ForwardPass
  readonly #state: SequenceState
  /** Null before the first token; shared with forks until one of them writes. */
  #logits: Float32Array | null = null
  #logitsShared = false
  #stats: TokenStats | null = null
  /** The tokens read so far, while they may have to be read again: of a model with LongRoPE, until its text is long. */
  #tokens: number[] | null

  /**
   * `EngineModel.session` and `fork` make sessions. Throws OptionError OPTION_TYPE, OPTION_UNKNOWN, SEED_RANGE,
   * SEQUENCE_RANGE, FFN_UNKNOWN, and what `FfnPolicy.requireUsable` throws.
   */
  constructor(
    pass: ForwardPass,
    options: SessionOptions & Required<Pick<SessionOptions, 'activation'>>,
    prefix?: SequenceState,
  ) {
    requireKnownOptions(options, SESSION_OPTION_NAMES)
    const { seed = 0, sequence = 0, activation, sparseFrom = 0, ffn, neurons = false } = options
    requireFfnMode(ffn)
    requireOptionalType('neurons', 'boolean', neurons)
    if (typeof activation !== 'object' || typeof activation?.spec !== 'string') {
      wrongType('activation', 'an activation, as parseActivation returns it', activation)
    }
    if (!(Number.isSafeInteger(seed) && seed >= 0)) {
      throw new OptionError('SEED_RANGE', `seed must be an integer of at least 0, not ${received(seed)}`)
    }
    if (!(Number.isInteger(sequence) && sequence >= 0 && sequence < 2 ** 32)) {
      throw new OptionError(
        'SEQUENCE_RANGE',
        `sequence must be an integer from 0 to 2^32 − 1, not ${received(sequence)}`,
      )
    }
    if (!(Number.isSafeInteger(sparseFrom) && sparseFrom >= 0)) {
      wrongType('sparseFrom', 'an integer of at least 0', sparseFrom)
    }
    const [seedLow, seedHigh] = seedWords(seed)
    pass.policy.requireUsable(activation)
    this.seed = seed
    this.sequence = sequence
    this.activation = activation
    this.sparseFrom = sparseFrom
    this.ffn = ffn
    this.neurons = neurons
    this.#pass = pass
    this.#state = {
      activation,
      cache: new KvCache(pass.cacheKind, prefix?.cache, prefix?.position),
      draw: { seedLow, seedHigh, purpose: Purpose.decode, step: sequence },
      position: prefix?.position ?? 0,
      sparseFrom,
      ...(ffn !== undefined && { ffn }),
      isLong: prefix?.isLong ?? pass.longBeyond === 0,
    }
    this.#tokens = this.#state.isLong || pass.longBeyond === Number.POSITIVE_INFINITY ? null : []
  }

  /**
   * To be called before `tokens` are read. Where they make the text longer than LongRoPE's short factors are for, what has
   * been read is read again with the long ones, as transformers does; a stochastic activation then draws for it as this session.
   */
  #beforeReading(tokens: ArrayLike<number>): void {
    if (this.#tokens === null) return
    // A pass that failed has left tokens that were not read.
    this.#tokens.length = this.position
    if (this.position + tokens.length <= this.#pass.longBeyond) {
      for (let i = 0; i < tokens.length; i++) this.#tokens.push(tokens[i])
      return
    }
    const read = this.#tokens
    const cache = new KvCache(this.#pass.cacheKind)
    cache.reserve(this.position + tokens.length)
    this.#tokens = null
    this.#state.isLong = true
    this.#state.cache = cache
    this.#state.position = 0
    for (let start = 0; start < read.length; start += PREFILL_BLOCK) {
      const count = Math.min(PREFILL_BLOCK, read.length - start)
      const activeNeurons = new Int32Array(this.#pass.config.numHiddenLayers)
      this.#pass.run([{ sequence: this.#state, tokens: read, start, count, activeNeurons }])
    }
  }

  /** Logits of this session alone, to be written. */
  #ownLogits(): Float32Array {
    if (this.#logits !== null && !this.#logitsShared) return this.#logits
    this.#logits = new Float32Array(this.#pass.config.vocabSize)
    this.#logitsShared = false
    return this.#logits
  }

  /** How many tokens have been read. */
  get position(): number {
    return this.#state.position
  }

  /** Logits after the last token read, (vocab): overwritten by the next. Throws FlickerError NOTHING_READ. */
  get logits(): Float32Array {
    if (this.position > 0 && this.#logits !== null) return this.#logits
    throw nothingRead('logits')
  }

  /** log Σ exp(logits): a logit minus this is the log-probability of its token. Throws FlickerError NOTHING_READ. */
  get logSumExp(): number {
    return logSumExp(this.#pass.kernels, this.logits)
  }

  /** Active neurons per layer at the last token read. Throws FlickerError NOTHING_READ. */
  get activeNeurons(): Int32Array {
    return this.stats.activeNeurons
  }

  /** Counts of the last token read; a new object for every token. Throws FlickerError NOTHING_READ. */
  get stats(): TokenStats {
    if (this.#stats !== null) return this.#stats
    throw nothingRead('telemetry')
  }

  /**
   * Reads `tokens` (at least one) and returns the logits after the last, as `logits`. With `all`,
   * (tokens.length, vocab), also those after every token. Throws OptionError OPTION_TYPE, CONTEXT_OVERFLOW or PROMPT_EMPTY,
   * TokenizerError TOKEN_OUT_OF_VOCABULARY; then nothing has been read.
   */
  prefill(tokens: ArrayLike<number>, all?: Float32Array): Float32Array {
    const { vocabSize } = this.#pass.config
    this.#check(tokens)
    if (all !== undefined && !(all instanceof Float32Array && all.length === tokens.length * vocabSize)) {
      wrongType('all', `a Float32Array of ${tokens.length} × ${vocabSize} values`, all)
    }
    this.#beforeReading(tokens)
    for (let start = 0; start < tokens.length; start += PREFILL_BLOCK) {
      const count = Math.min(PREFILL_BLOCK, tokens.length - start)
      const counts = this.#counts()
      const pass = this.#pass.run([{ sequence: this.#state, tokens, start, count, ...counts }])
      if (all !== undefined) this.#pass.logits(0, count, all.subarray(start * vocabSize), pass)
      else if (start + count === tokens.length) this.#pass.logits(count - 1, 1, this.#ownLogits(), pass)
      this.#stats = { ...counts, pass }
    }
    if (all !== undefined)
      this.#ownLogits().set(all.subarray((tokens.length - 1) * vocabSize, tokens.length * vocabSize))
    return this.logits
  }

  /**
   * Reads tokens, at least one, without logits: their last hidden states, (tokens.length, d), after the final norm. Throws
   * as prefill does.
   */
  prefillHidden(tokens: ArrayLike<number>): Float32Array {
    const { hiddenSize } = this.#pass.config
    this.#check(tokens)
    this.#beforeReading(tokens)
    const hidden = new Float32Array(tokens.length * hiddenSize)
    for (let start = 0; start < tokens.length; start += PREFILL_BLOCK) {
      const count = Math.min(PREFILL_BLOCK, tokens.length - start)
      const counts = this.#counts()
      const pass = this.#pass.run([{ sequence: this.#state, tokens, start, count, ...counts }])
      hidden.set(this.#pass.hidden(count), start * hiddenSize)
      this.#stats = { ...counts, pass }
    }
    return hidden
  }

  /** Reads one token; as prefill([token]). */
  step(token: number): Float32Array {
    return this.prefill([token])
  }

  /**
   * Sessions that continue from here independently: what has been read is shared, neither read nor stored again. Those of
   * one call are stored together, which makes them faster together. Options left out are this session's. This session can
   * continue too. Throws as the constructor does.
   */
  fork(each: readonly SessionOptions[]): Session[] {
    if (!Array.isArray(each)) wrongType('fork: each', 'an array with the options of each session', each)
    const { seed, sequence, activation, sparseFrom, ffn, neurons } = this
    return each.map(options => {
      requireKnownOptions(options, SESSION_OPTION_NAMES)
      const merged = {
        seed: options.seed ?? seed,
        sequence: options.sequence ?? sequence,
        activation: options.activation ?? activation,
        sparseFrom: options.sparseFrom ?? sparseFrom,
        ffn: options.ffn ?? ffn,
        neurons: options.neurons ?? neurons,
      }
      const fork = new Session(this.#pass, merged, this.#state)
      fork.#logits = this.#logits
      fork.#logitsShared = true
      this.#logitsShared = true
      fork.#stats = this.#stats
      if (this.#tokens !== null) fork.#tokens = [...this.#tokens]
      return fork
    })
  }

  /**
   * Each session reads its token, all in one pass: sessions[i] reads tokens[i]. Their logits are then in `logits` of
   * each. The sessions are of one model, and none is listed twice. Throws as `prefill` does; then none has read.
   */
  static stepTogether(sessions: readonly Session[], tokens: ArrayLike<number>): void {
    if (!(Array.isArray(sessions) && sessions.every(session => session instanceof Session))) {
      wrongType('sessions', 'an array of sessions', sessions)
    }
    requireTokenList('tokens', tokens)
    if (tokens.length !== sessions.length || new Set(sessions).size !== sessions.length) {
      throw new OptionError(
        'BATCH_MISMATCH',
        `${sessions.length} sessions, each once, need one token each, not ${tokens.length} tokens`,
      )
    }
    if (sessions.length === 0) return
    const pass = sessions[0].#pass
    if (sessions.some(session => session.#pass !== pass)) {
      throw new OptionError('BATCH_MISMATCH', 'sessions that step together must be of one model')
    }
    for (const [i, session] of sessions.entries()) session.#check([tokens[i]])
    for (const [i, session] of sessions.entries()) session.#beforeReading([tokens[i]])
    const { vocabSize } = pass.config
    const parts = groupedByPrefix(sessions.map(session => session.#state.cache.root)).map(start => {
      return { sequence: sessions[start].#state, tokens, start, count: 1, ...sessions[start].#counts() }
    })
    const stats = pass.run(parts)
    const logits = pass.firstLogits(parts.length, stats)
    for (const [row, { start, activeNeurons, neurons }] of parts.entries()) {
      sessions[start].#ownLogits().set(logits.subarray(row * vocabSize, (row + 1) * vocabSize))
      sessions[start].#stats = { activeNeurons, ...(neurons !== undefined && { neurons }), pass: stats }
    }
  }

  /**
   * Each session reads its tokens, all of them in full passes of up to PREFILL_BLOCK positions; the sessions are of one
   * model, and none is listed twice. `each` gets the wanted logits in blocks, (rows.length, vocab), valid during the call.
   * The bits are those of `prefill`. Caches get room for these tokens alone. Throws as `prefill` does; then none has read.
   */
  static readTogether(
    reads: readonly SessionRead[],
    each: (logits: Float32Array, rows: readonly ReadRow[]) => void,
  ): void {
    if (reads.length === 0) return
    const pass = reads[0].session.#pass
    if (reads.some(({ session }) => session.#pass !== pass)) {
      throw new OptionError('BATCH_MISMATCH', 'sessions that read together must be of one model')
    }
    for (const { session, tokens } of reads) session.#check(tokens)
    const tokens = reads.reduce((sum, read) => sum + read.tokens.length, 0)
    requireCacheMemory(pass.cacheKind, { tokens, sequences: 1 })
    for (const { session, tokens } of reads) {
      session.#beforeReading(tokens)
      session.#state.cache.reserveExactly(session.position + tokens.length)
    }
    for (const parts of passesOf(reads)) Session.#runTogether(pass, reads, parts, each)
  }

  static #runTogether(
    pass: ForwardPass,
    reads: readonly SessionRead[],
    parts: readonly ReadPart[],
    each: (logits: Float32Array, rows: readonly ReadRow[]) => void,
  ): void {
    const { vocabSize, numHiddenLayers } = pass.config
    const passRows = parts.map(({ read, start, count }) => {
      const { session, tokens } = reads[read]
      return {
        sequence: session.#state,
        tokens,
        start,
        count,
        activeNeurons: new Int32Array(numHiddenLayers),
      }
    })
    const stats = pass.run(passRows)
    const at: number[] = []
    const rows: ReadRow[] = []
    let row = 0
    for (const [i, { read, start, count }] of parts.entries()) {
      const { session, tokens, wanted } = reads[read]
      session.#stats = { activeNeurons: passRows[i].activeNeurons, pass: stats }
      for (let token = start; token < start + count; token++, row++) {
        if (token < tokens.length - wanted) continue
        at.push(row)
        rows.push({ read, token })
      }
    }
    pass.selectedLogits(at, stats, (logits, first, count) => {
      const block = rows.slice(first, first + count)
      for (const [i, { read, token }] of block.entries()) {
        const { session, tokens, keepsLogits = true } = reads[read]
        if (token !== tokens.length - 1) continue
        if (keepsLogits) session.#ownLogits().set(logits.subarray(i * vocabSize, (i + 1) * vocabSize))
        else session.#logits = null
      }
      each(logits, block)
    })
  }

  /** Room for what a pass tells of one token. */
  #counts(): { activeNeurons: Int32Array; neurons?: Uint8Array } {
    const { config } = this.#pass
    const neurons = this.neurons ? roomForSigns(config) : undefined
    return {
      activeNeurons: new Int32Array(config.numHiddenLayers),
      ...(neurons !== undefined && { neurons }),
    }
  }

  #check(tokens: ArrayLike<number>): void {
    requireReadable(tokens, this.#pass.config, this.position)
  }
}

function nothingRead(what: string): FlickerError {
  return new FlickerError('NOTHING_READ', `this session has read no token yet, so it has no ${what}`)
}

// One text being decoded: its KV cache, its position and its random draws. The prompt goes through in blocks, then
// one token at a time; several texts can take their next tokens together. All ways give the same bits.

import type { Activation } from '../../activations/index.js'
import { FlickerError, OptionError, TokenizerError } from '../../errors.js'
import { Purpose, seedWords } from '../../kernels/philox.js'
import type { ModelConfig } from '../../nn/config.js'
import { KvCache } from '../attention/kv-cache.js'
import type { EngineModel } from '../engine-model.js'
import type { TokenStats } from '../ffn/stats.js'
import { forward, head, type Sequence } from '../forward.js'
import { PREFILL_BLOCK } from '../model/workspace.js'

export interface SessionOptions {
  /** Of the draws of a stochastic activation: a whole number ≥ 0. Default 0. */
  readonly seed?: number
  /** Which of several texts with this seed: each draws its own numbers. Default 0. */
  readonly sequence?: number
  /** Instead of the model's. */
  readonly activation?: Activation
}

/**
 * Several texts from one prompt:
 *
 *     const prompt = model.session({ seed })
 *     prompt.prefill(tokens)                                     // computed and stored once
 *     let running = prompt.fork([0, 1, 2].map(sequence => ({ sequence })))
 *     while (running.length > 0) {
 *       const tokens = new Map(running.map(text => [text, choose(text.logits)]))
 *       running = running.filter(text => !ended(tokens.get(text)))   // a finished text leaves the batch
 *       Session.stepTogether(running, running.map(text => tokens.get(text)))
 *     }
 *
 * Each text has the same bits as the one of a fork that is stepped alone. A position keeps the draws it was read with:
 * those of a prompt belong to the session that read it (usually sequence 0), those after it to the fork. So the texts
 * of one seed share their prompt's pass whatever the activation, and text number `sequence` alone is
 * `prompt.fork([{ sequence }])`.
 */
export class Session {
  readonly seed: number
  readonly sequence: number
  readonly activation: Activation
  readonly #model: EngineModel
  readonly #text: Sequence
  readonly #logits: Float32Array
  #stats: TokenStats | null = null

  /** Throws OptionError SEED_RANGE, SEQUENCE_RANGE. */
  constructor(model: EngineModel, options: SessionOptions = {}, prefix?: Sequence) {
    const { seed = 0, sequence = 0, activation = model.activation } = options
    if (!(Number.isSafeInteger(seed) && seed >= 0)) {
      throw new OptionError('SEED_RANGE', `seed must be a whole number of at least 0, not ${seed}`)
    }
    if (!(Number.isInteger(sequence) && sequence >= 0 && sequence < 2 ** 32)) {
      throw new OptionError('SEQUENCE_RANGE', `sequence must be a whole number below 2^32, not ${sequence}`)
    }
    const [seedLow, seedHigh] = seedWords(seed)
    this.seed = seed
    this.sequence = sequence
    this.activation = activation
    this.#model = model
    this.#text = {
      activation,
      cache: new KvCache(
        { config: model.config, type: model.kv, memory: model.memory },
        prefix?.cache,
        prefix?.position,
      ),
      draw: { seedLow, seedHigh, purpose: Purpose.decode, step: sequence },
      position: prefix?.position ?? 0,
    }
    this.#logits = new Float32Array(model.config.vocabSize)
  }

  /** How many tokens have been read. */
  get position(): number {
    return this.#text.position
  }

  /** Logits after the last token read, (vocab): overwritten by the next. Throws FlickerError NOTHING_READ. */
  get logits(): Float32Array {
    if (this.position > 0) return this.#logits
    throw nothingRead('logits')
  }

  /** Active neurons per layer at the last token read. Throws FlickerError NOTHING_READ. */
  get activeNeurons(): Int32Array {
    return this.stats.activeNeurons
  }

  /** What the last token read took; a new object for every token. Throws FlickerError NOTHING_READ. */
  get stats(): TokenStats {
    if (this.#stats !== null) return this.#stats
    throw nothingRead('telemetry')
  }

  /**
   * Reads `tokens` (at least one) and returns the logits after the last, as `logits`. With `all`,
   * (tokens.length, vocab), also those after every token. Throws OptionError CONTEXT_OVERFLOW or PROMPT_EMPTY,
   * TokenizerError TOKEN_OUT_OF_VOCABULARY; then nothing has been read.
   */
  prefill(tokens: ArrayLike<number>, all?: Float32Array): Float32Array {
    this.#check(tokens)
    const { vocabSize, numHiddenLayers } = this.#model.config
    for (let start = 0; start < tokens.length; start += PREFILL_BLOCK) {
      const count = Math.min(PREFILL_BLOCK, tokens.length - start)
      const activeNeurons = new Int32Array(numHiddenLayers)
      const pass = forward(this.#model, [{ sequence: this.#text, tokens, start, count, activeNeurons }])
      if (all !== undefined) head(this.#model, { first: 0, count }, all.subarray(start * vocabSize), pass)
      else if (start + count === tokens.length) {
        head(this.#model, { first: count - 1, count: 1 }, this.#logits, pass)
      }
      this.#stats = { activeNeurons, pass }
    }
    if (all !== undefined)
      this.#logits.set(all.subarray((tokens.length - 1) * vocabSize, tokens.length * vocabSize))
    return this.#logits
  }

  /** Reads one token; as prefill([token]). */
  step(token: number): Float32Array {
    return this.prefill([token])
  }

  /**
   * Sessions that go on from here, each on its own: what has been read is shared, neither read nor stored again. Those
   * of one call are stored together, which makes them faster together. Options left out are this session's. This
   * session may go on as well. Throws as the constructor does.
   */
  fork(each: readonly SessionOptions[]): Session[] {
    const { seed, sequence, activation } = this
    return each.map(options => {
      const fork = new Session(this.#model, { seed, sequence, activation, ...options }, this.#text)
      fork.#logits.set(this.#logits)
      fork.#stats = this.#stats
      return fork
    })
  }

  /**
   * Each session reads its token, all in one pass: sessions[i] reads tokens[i]. Their logits are then in `logits` of
   * each. The sessions are of one model, and each stands here once. Throws as `prefill` does; then none has read.
   */
  static stepTogether(sessions: readonly Session[], tokens: ArrayLike<number>): void {
    if (tokens.length !== sessions.length || new Set(sessions).size !== sessions.length) {
      throw new OptionError(
        'BATCH_MISMATCH',
        `${sessions.length} sessions, each once, need one token each, not ${tokens.length} tokens`,
      )
    }
    if (sessions.length === 0) return
    const model = sessions[0].#model
    if (sessions.some(session => session.#model !== model)) {
      throw new OptionError('BATCH_MISMATCH', 'sessions that step together must be of one model')
    }
    for (const [i, session] of sessions.entries()) session.#check([tokens[i]])
    const { vocabSize, numHiddenLayers } = model.config
    const parts = besideTheirKin(sessions.map(session => session.#text.cache.root)).map(start => {
      const activeNeurons = new Int32Array(numHiddenLayers)
      return { sequence: sessions[start].#text, tokens, start, count: 1, activeNeurons }
    })
    const pass = forward(model, parts)
    const logits = model.workspace.logitsFor(parts.length)
    head(model, { first: 0, count: parts.length }, logits, pass)
    for (const [row, { start, activeNeurons }] of parts.entries()) {
      sessions[start].#logits.set(logits.subarray(row * vocabSize, (row + 1) * vocabSize))
      sessions[start].#stats = { activeNeurons, pass }
    }
  }

  #check(tokens: ArrayLike<number>): void {
    const { maxPositionEmbeddings } = this.#model.config
    if (tokens.length === 0) {
      throw new OptionError('PROMPT_EMPTY', 'there are no tokens to read; give at least one')
    }
    if (this.position + tokens.length > maxPositionEmbeddings) {
      throw new OptionError(
        'CONTEXT_OVERFLOW',
        `the text would be ${this.position + tokens.length} tokens long, but the model's context is ` +
          `${maxPositionEmbeddings}; shorten the prompt`,
      )
    }
    checkTokens(tokens, this.#model.config, this.position)
  }
}

/** Throws TokenizerError TOKEN_OUT_OF_VOCABULARY, naming the position in a text that has `position` tokens already. */
export function checkTokens(tokens: ArrayLike<number>, config: ModelConfig, position: number): void {
  const { vocabSize } = config
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]
    if (Number.isInteger(token) && token >= 0 && token < vocabSize) continue
    throw new TokenizerError(
      'TOKEN_OUT_OF_VOCABULARY',
      `token ${token} at position ${position + i} is outside the model's vocabulary of ${vocabSize}`,
    )
  }
}

/** Indices of `roots`, equal ones next to each other. */
function besideTheirKin(roots: readonly object[]): number[] {
  const kin = new Map<object, number[]>()
  for (const [i, root] of roots.entries()) {
    const members = kin.get(root)
    if (members === undefined) kin.set(root, [i])
    else members.push(i)
  }
  return [...kin.values()].flat()
}

function nothingRead(what: string): FlickerError {
  return new FlickerError('NOTHING_READ', `this session has read no token yet, so it has no ${what}`)
}

// One sequence being decoded on the device: as Session, but its steps are awaited.

import type { Activation } from '../../activations/index.js'
import { FlickerError, OptionError } from '../../errors.js'
import { kernels } from '../../kernels/index.js'
import { seedWords } from '../../kernels/philox.js'
import type { ModelConfig } from '../../nn/config.js'
import type { BestLogits, BestWanted } from '../generation/best-logits.js'
import { logSumExp } from '../generation/logprobs.js'
import { requireReadable } from '../generation/readable-tokens.js'
import type { SessionOptions } from '../generation/session.js'
import type { TokenStats } from '../pass-stats.js'
import type { DeviceCache } from './device-cache.js'
import type { DeviceOutput, DeviceRows } from './device-pass.js'

/** Caches of sessions that nobody holds any more are released. */
const forgotten = new FinalizationRegistry<DeviceCache>(cache => cache.dispose())

/** The model of a session. */
export interface SessionModel {
  readonly config: ModelConfig
  /** Reads `tokens` and hands the results to `session.advance`. */
  read(session: DeviceSession, tokens: ArrayLike<number>, all?: Float32Array): Promise<void>
}

export class DeviceSession {
  readonly seed: number
  readonly sequence: number
  readonly activation: Activation
  /** The logits that are needed; null: all. */
  readonly bestWanted: BestWanted | null
  /** The first position that the model's cuts apply to. */
  readonly sparseFrom: number
  readonly #model: SessionModel
  readonly #cache: DeviceCache
  readonly #draw: DeviceRows['draw']
  #position = 0
  #logits: Float32Array | null = null
  #best: BestLogits | null = null
  #stats: TokenStats | null = null

  /**
   * `DeviceModel.session` and `fork` make sessions. Throws OptionError SEED_RANGE, SEQUENCE_RANGE.
   * @internal
   */
  constructor(
    model: SessionModel,
    cache: DeviceCache,
    options: SessionOptions & Required<Pick<SessionOptions, 'activation'>>,
  ) {
    const { seed = 0, sequence = 0, activation, sparseFrom = 0 } = options
    if (!(Number.isSafeInteger(seed) && seed >= 0)) {
      throw new OptionError('SEED_RANGE', `seed must be an integer of at least 0, not ${seed}`)
    }
    if (!(Number.isInteger(sequence) && sequence >= 0 && sequence < 2 ** 32)) {
      throw new OptionError(
        'SEQUENCE_RANGE',
        `sequence must be an integer from 0 to 2^32 − 1, not ${sequence}`,
      )
    }
    const [seedLow, seedHigh] = seedWords(seed)
    this.seed = seed
    this.sequence = sequence
    this.activation = activation
    this.bestWanted = options.best ?? null
    this.sparseFrom = sparseFrom
    this.#model = model
    this.#cache = cache
    this.#draw = { seedLow, seedHigh, sequence }
    forgotten.register(this, cache)
  }

  /** How many tokens have been read. */
  get position(): number {
    return this.#position
  }

  /** Logits after the last token read, (vocab). Throws FlickerError NOTHING_READ. */
  get logits(): Float32Array {
    if (this.#logits === null) throw nothingRead('logits')
    return this.#logits
  }

  /** log Σ exp(logits). Throws FlickerError NOTHING_READ. */
  get logSumExp(): number {
    return this.#best === null ? logSumExp(kernels(), this.logits) : this.#best.logSumExp
  }

  /** The largest logits after the last token read; null where the session has all of them. */
  get best(): BestLogits | null {
    return this.#best
  }

  /** Active neurons per layer at the last token read. Throws FlickerError NOTHING_READ. */
  get activeNeurons(): Int32Array {
    return this.stats.activeNeurons
  }

  /** Counts of the last token read. Throws FlickerError NOTHING_READ. */
  get stats(): TokenStats {
    if (this.#stats === null) throw nothingRead('telemetry')
    return this.#stats
  }

  /**
   * Reads `tokens` (at least one) and returns the logits after the last, or those of `best`. With `all`, (tokens.length, vocab), also those
   * after every token. Throws as Session.prefill does, and FlickerError DEVICE_LOST, WEBGPU_FAILED, MODEL_DISPOSED.
   */
  async prefill(tokens: ArrayLike<number>, all?: Float32Array): Promise<Float32Array> {
    requireReadable(tokens, this.#model.config, this.#position)
    await this.#model.read(this, tokens, all)
    return this.#best?.logits ?? this.logits
  }

  /** Reads one token; as prefill([token]). */
  step(token: number): Promise<Float32Array> {
    return this.prefill([token])
  }

  /** Sessions that continue from here independently; each has a copy of the keys and values so far. */
  fork(each: readonly SessionOptions[]): DeviceSession[] {
    const { seed, sequence, activation, bestWanted, sparseFrom } = this
    return each.map(options => {
      const cache = this.#cache.fork(this.#position)
      const fork = new DeviceSession(this.#model, cache, {
        seed: options.seed ?? seed,
        sequence: options.sequence ?? sequence,
        activation: options.activation ?? activation,
        best: options.best ?? bestWanted ?? undefined,
        sparseFrom: options.sparseFrom ?? sparseFrom,
      })
      fork.#position = this.#position
      fork.#logits = this.#logits
      fork.#best = this.#best
      fork.#stats = this.#stats
      return fork
    })
  }

  /** Releases the keys and values. */
  dispose(): void {
    this.#cache.dispose()
  }

  /**
   * The next `count` rows, which read tokens [start, start + count): for the model.
   * @internal
   */
  rows(tokens: ArrayLike<number>, start: number, count: number): DeviceRows {
    const { sparseFrom } = this
    return {
      cache: this.#cache,
      position: this.#position,
      tokens,
      start,
      count,
      draw: this.#draw,
      sparseFrom,
    }
  }

  /**
   * Takes what a pass has computed of those rows: for the model.
   * @internal
   */
  advance(count: number, output: DeviceOutput | null, stats: TokenStats): void {
    this.#position += count
    if (output !== null) {
      this.#logits = output instanceof Float32Array ? output : null
      this.#best = output instanceof Float32Array ? null : output
    }
    this.#stats = stats
  }
}

function nothingRead(what: string): FlickerError {
  return new FlickerError('NOTHING_READ', `this session has read no token yet, so it has no ${what}`)
}

// What generating text needs of a model, whatever computes it: on the CPU a step returns with its result, on a GPU it is
// awaited.

import type { Activation } from '../../activations/index.js'
import type { ModelConfig } from '../../nn/config.js'
import type { TokenStats } from '../pass-stats.js'
import type { BestLogits } from './best-logits.js'
import type { SessionOptions } from './session.js'

/** One sequence. */
export interface TextSession {
  readonly sequence: number
  readonly position: number
  /** After the last token read, (vocab). */
  readonly logits: Float32Array
  readonly logSumExp: number
  /** Instead of the logits, where the session was told that no others are needed and makes use of it. */
  readonly best?: BestLogits | null
  readonly stats: TokenStats
  /** Reads tokens, at least one. */
  prefill(tokens: ArrayLike<number>): Float32Array | Promise<Float32Array>
  /** Sessions that continue from here independently. */
  fork(each: readonly SessionOptions[]): TextSession[]
  /** Releases what it holds outside the CPU's memory. */
  dispose?(): void
}

export interface TextEngine {
  readonly config: ModelConfig
  /** What it runs with, unless a session says otherwise. */
  readonly activation: Activation
  readonly notes: readonly string[]
  session(options: SessionOptions): TextSession
  /** Throws OptionError CACHE_MEMORY where it is known that there is no memory for so many sequences. */
  requireCacheMemory(tokens: number, sequences: number): void
  /** From which position of a prompt of that length on a model with cuts applies them. */
  sparseFrom(length: number): number
  /** sessions[i] reads tokens[i], all in one pass. */
  stepTogether(sessions: readonly TextSession[], tokens: ArrayLike<number>): void | Promise<void>
  /** (tokens.length, vocab). */
  logits(tokens: ArrayLike<number>): Float32Array | Promise<Float32Array>
  dispose(): void
}

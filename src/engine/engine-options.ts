// The options of a model that is ready to decode.

import { OptionError } from '../errors.js'
import { type ActivationType, activationTypes, type CacheType, type Kernels } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import type { LayerCuts } from '../nn/cuts.js'
import type { Predictor } from '../nn/predictor.js'
import type { VectorObserver } from './attention/attention.js'
import { FFN_MODES, type FfnMode, type NarrowGateMode } from './ffn/policy.js'
import type { Memory } from './model/memory.js'
import type { EngineDtype } from './model/weight-layout.js'
import { type OptionNames, received } from './option-checks.js'

export interface EngineOptions {
  /** How matrices are stored in memory. Default `auto`: as in the file. */
  readonly dtype?: EngineDtype
  /** How keys and values are stored. Default f32. */
  readonly kv?: CacheType
  /**
   * How hidden states are multiplied by quantized weights: in f32, or as integers of 16 bits, which is faster and rounds them to
   * 1/65,534 of the range of 32 of them, of 256 with K-quants. Other types always take f32. Default f32.
   */
  readonly activations?: ActivationType
  /** Skip neurons that are exactly 0; the result is the same. Default `auto`: where it is faster. */
  readonly ffn?: FfnMode
  /**
   * Prove neurons inactive with a narrow copy of the gate; the result is the same. Default `auto`: where it is faster. `on` is
   * refused for quantized weights and for activations that no bound can prove to be 0.
   */
  readonly narrowGate?: NarrowGateMode
  /** Instead of the config's, e.g. `stocha:p=0.3`. */
  readonly activation?: string
  /** Backend; default: the one that the process uses. */
  readonly kernels?: Kernels
  /**
   * Tokens of a text like those to come: neurons that stay inactive on it are kept in a file instead of in memory. When the
   * gate makes one of them active, it is read back first: the result is the same.
   */
  readonly compact?: ArrayLike<number>
  /**
   * Elements that are set to 0 in each layer, as `ModelSource.cuts()` of a model that `flicker sparsify` wrote gives them:
   * approximate. Default: none.
   */
  readonly cuts?: readonly LayerCuts[] | null
  /** Which tokens of a prompt the cuts apply to: none (the default), the second half of them, or all. */
  readonly sparsePrompt?: SparsePrompt
  /**
   * For so many tokens compute only neurons that as many tokens before have used, then as many in full, and so on: approximate.
   * For activations with exact zeros; of a prompt as `sparsePrompt` says, and only tokens that are read alone. Default: never.
   */
  readonly reuse?: number
  /** Compute the neurons alone that this takes for active: approximate, as `reuse` is. Default: all. */
  readonly predictor?: Predictor
  /**
   * Tokens that a text may have, at most the model's context. Of a model with LongRoPE, more than the original context take the
   * long factors from the first token on, as llama.cpp does; without this option a text takes them when it becomes longer than
   * that, and what was read is read again, as transformers does. Default: the model's context.
   */
  readonly context?: number
  /**
   * Record the kernel calls of a token that is read alone, and make those of the next tokens in one call: the result is the
   * same. Default true; native kernels alone do it.
   */
  readonly replay?: boolean
  /** Sees the vectors between the matrices of every pass. Default: none. */
  readonly observer?: VectorObserver
  /** Tells how much memory is available. Default: the system's. */
  readonly memory?: Memory
}

export const SPARSE_PROMPTS = ['none', 'half', 'all'] as const
export type SparsePrompt = (typeof SPARSE_PROMPTS)[number]

export const ENGINE_OPTION_NAMES: OptionNames<EngineOptions> = {
  dtype: true,
  kv: true,
  activations: true,
  ffn: true,
  narrowGate: true,
  activation: true,
  kernels: true,
  compact: true,
  cuts: true,
  sparsePrompt: true,
  reuse: true,
  predictor: true,
  context: true,
  replay: true,
  observer: true,
  memory: true,
}

export const ENGINE_CHOICES = {
  dtype: ['auto', 'f32', 'bf16', 'f16', 'q8_0', 'q6_k', 'q5_k', 'q4_k', 'q4_0'],
  kv: ['f32', 'f16', 'q8'],
  activations: activationTypes,
  ffn: FFN_MODES,
  narrowGate: ['auto', 'on', 'off'],
  sparsePrompt: SPARSE_PROMPTS,
} as const

/** The context that is asked for. Throws OptionError CONTEXT_RANGE. */
export function requireContext(
  { maxPositionEmbeddings: longest }: ModelConfig,
  context: number | undefined,
): number {
  if (context === undefined) return longest
  if (Number.isSafeInteger(context) && context >= 1 && context <= longest) return context
  throw new OptionError(
    'CONTEXT_RANGE',
    `context must be an integer from 1 to the model's ${longest} tokens, not ${received(context)}`,
  )
}

// The largest logits of a position instead of all: what a GPU sends back where nothing else is needed.

import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import type { CheckedPenalties } from './penalties.js'
import { type ChoiceKey, chooseToken, invalidLogits, type SamplingOptions } from './samplers.js'

/** What a text asks for. */
export interface BestWanted {
  readonly count: number
  /** Of the tokens below this id. */
  readonly among: number
}

export interface BestLogits {
  /** The largest first, of equal ones the smaller id. */
  readonly ids: Uint32Array
  /** Of these ids. */
  readonly logits: Float32Array
  /** log Σ exp over the whole vocabulary. */
  readonly logSumExp: number
}

/** How many of the largest logits the rules of a text need; null where they need all. */
export function bestWanted({
  sampling,
  penalties,
  topLogprobs,
  tokenizer,
}: {
  readonly sampling: Required<SamplingOptions>
  readonly penalties: CheckedPenalties
  readonly topLogprobs: number
  readonly tokenizer: Tokenizer
}): BestWanted | null {
  const { temperature, topK } = sampling
  const { repetition, presence, frequency, bias } = penalties
  const changes = repetition !== 1 || presence !== 0 || frequency !== 0 || bias.size > 0
  const candidates = temperature === 0 ? 1 : topK
  if (changes || candidates === 0) return null
  return { count: Math.max(candidates, topLogprobs), among: tokenizer.vocabSize }
}

/** The token that chooseToken would choose with all logits. Throws FlickerError LOGITS_INVALID. */
export function chooseAmong(
  { ids, logits, logSumExp }: BestLogits,
  options: Required<SamplingOptions>,
  key: ChoiceKey,
): number {
  if (!Number.isFinite(logSumExp)) throw invalidLogits(logSumExp)
  if (options.temperature === 0 || options.topK === 1) return ids[0]
  // As there: those that top-k keeps, by id.
  const kept = Array.from(ids.subarray(0, options.topK).keys()).sort((a, b) => ids[a] - ids[b])
  const own = Float32Array.from(kept, i => logits[i])
  return ids[kept[chooseToken(own, { ...options, topK: 0 }, key)]]
}

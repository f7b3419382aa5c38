// Log-probabilities from the logits that the model gave: log softmax of the whole vocabulary at temperature 1, before
// bias, penalties and truncation.

import type { Tokenizer } from '../../data/tokenizers/tokenizer.js'
import { OptionError } from '../../errors.js'
import type { Kernels } from '../../kernels/index.js'
import { received } from '../option-checks.js'
import { largest } from './largest.js'
import { mostLikelyToken } from './samplers.js'

export interface TokenLogprob {
  readonly id: number
  /** The token's own text; bytes that are no whole character show as U+FFFD. */
  readonly text: string
  /** log of its probability under the model, nats. */
  readonly logprob: number
}

const one = { target: new Int32Array(1), loss: new Float32Array(1) }

/** log Σ exp(logits): a logit minus this is a log-probability. */
export function logSumExp(kernels: Kernels, logits: Float32Array): number {
  const id = mostLikelyToken(logits)
  one.target[0] = id
  kernels.crossEntropy(logits, one.target, one.loss, null, 1, logits.length, 1)
  return logits[id] + one.loss[0]
}

/** The `n` most likely tokens, most likely first. logits: (vocab), those of the tokenizer's ids. */
export function topLogprobs(
  logits: Float32Array,
  n: number,
  logSum: number,
  tokenizer: Tokenizer,
): TokenLogprob[] {
  return Array.from(largest(logits, n), id => tokenLogprob(id, logits[id] - logSum, tokenizer))
}

export function tokenLogprob(id: number, logprob: number, tokenizer: Tokenizer): TokenLogprob {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(tokenizer.tokenBytes(id))
  return { id, text, logprob }
}

/** Throws OptionError TOP_LOGPROBS_RANGE. */
export function checkTopLogprobs(n: number, vocabSize: number): number {
  if (Number.isInteger(n) && n >= 0 && n <= vocabSize) return n
  throw new OptionError(
    'TOP_LOGPROBS_RANGE',
    `topLogprobs must be an integer from 0 to the vocabulary's ${vocabSize}, not ${received(n)}`,
  )
}

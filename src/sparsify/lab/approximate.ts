// What decoding with a selector of neurons costs, token by token beside exact decoding of the same text: perplexity, the
// Kullback-Leibler divergence of its predictions from the exact ones, and the bytes of FFNs that it reads.

import { logSumExp } from '../../engine/generation/logprobs.js'
import type { EngineModel } from '../../engine/index.js'
import type { Kernels } from '../../kernels/index.js'

export interface ApproximateDecoding {
  /** Of the exact model and of the approximate one, on the same tokens. */
  readonly exactPerplexity: number
  readonly perplexity: number
  /** Mean over tokens of Σ p · ln(p / q), p exact and q approximate, nats. */
  readonly divergence: number
  /** Bytes of the FFNs read over those that exact decoding reads. */
  readonly ffnBytes: number
  readonly tokens: number
}

/** Both models read `tokens` one at a time, in windows of `context` that each start without context. */
export function measureApproximate(
  exact: EngineModel,
  approximate: EngineModel,
  kernels: Kernels,
  tokens: Int32Array,
  context: number,
): ApproximateDecoding {
  const windows = Math.floor((tokens.length - 1) / context)
  let [nats, exactNats, divergence, read, exactRead] = [0, 0, 0, 0, 0]
  for (let window = 0; window < windows; window++) {
    const [p, q] = [exact.session(), approximate.session({ sparseFrom: 0 })]
    for (let t = window * context; t < (window + 1) * context; t++) {
      const [logP, logQ] = [p.step(tokens[t]), q.step(tokens[t])]
      const [sumP, sumQ] = [logSumExp(kernels, logP), logSumExp(kernels, logQ)]
      exactNats += sumP - logP[tokens[t + 1]]
      nats += sumQ - logQ[tokens[t + 1]]
      for (let i = 0; i < logP.length; i++) {
        const own = logP[i] - sumP
        divergence += Math.exp(own) * (own - (logQ[i] - sumQ))
      }
      exactRead += p.stats.pass.ffnBytesRead.reduce((sum, bytes) => sum + bytes, 0)
      read += q.stats.pass.ffnBytesRead.reduce((sum, bytes) => sum + bytes, 0)
    }
  }
  const count = windows * context
  return {
    exactPerplexity: Math.exp(exactNats / count),
    perplexity: Math.exp(nats / count),
    divergence: Math.max(0, divergence / count),
    ffnBytes: read / exactRead,
    tokens: count,
  }
}

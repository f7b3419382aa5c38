// What a model is worth on held-out text: loss, perplexity, bits per byte, and how sparse its FFNs are there.

import type { Activation } from '../activations/index.js'
import { type TokenIds, validationBatches } from '../data/tokens.js'
import type { Kernels } from '../kernels/index.js'
import { Purpose, seedWords } from '../kernels/philox.js'
import type { Llama } from '../nn/llama.js'
import { Tape } from '../tensor/index.js'

export interface EvaluateOptions {
  readonly activation: Activation
  /** Training steps behind the weights, for the record. */
  readonly step: number
  /** Tokens per window; every window starts without context. */
  readonly context: number
  readonly batchSize: number
  /** Stop after so many predicted tokens; all of them by default. */
  readonly maxTokens?: number
  /** For activations that draw. */
  readonly seed: number
}

export interface HeldOut {
  readonly tokens: TokenIds
  /** UTF-8 bytes behind each token id. */
  readonly byteLengths: Int32Array
}

/** One measurement on held-out text. */
export interface Evaluation {
  /** Training steps behind the weights. */
  step: number
  /** Mean negative log-likelihood per token, nats. */
  loss: number
  perplexity: number
  /** The same likelihood over the bytes of the text: comparable between tokenizers. */
  bitsPerByte: number
  /** Share of exact zeros among the FFN's hidden activations, one number per layer, in [0, 1]. */
  sparsity: number[]
  /** The activation it was measured with. */
  activation: string
  /** Predicted tokens. */
  tokens: number
}

/** Evaluates a model in consecutive windows; keeps its buffers for the next evaluation. */
export class Evaluator {
  readonly #kernels: Kernels
  readonly #tape: Tape

  constructor(kernels: Kernels) {
    this.#kernels = kernels
    this.#tape = new Tape(kernels, { training: false })
  }

  /** Throws CorpusError when the text is shorter than one window. */
  run(model: Llama, heldOut: HeldOut, options: EvaluateOptions): Evaluation {
    const { activation, context, batchSize, seed } = options
    const [seedLow, seedHigh] = seedWords(seed)
    const zeros = new Array<number>(model.config.numHiddenLayers).fill(0)
    let [nats, tokens, bytes, rows] = [0, 0, 0, 0]
    const batches = validationBatches(heldOut.tokens, { batchSize, context, maxTargets: options.maxTokens })
    for (const { inputs, targets, targetCount } of batches) {
      this.#tape.reset()
      // Every row of the text draws with numbers of its own, whatever the batch size: step 0 is never trained.
      const draw = { seedLow, seedHigh, purpose: Purpose.activation, step: 0, firstRow: rows }
      const loss = model.loss(this.#tape, inputs, targets, context, {
        activation,
        draw,
        onHidden: (layer, hidden) => {
          zeros[layer] += this.#kernels.countZeros(hidden.data, targetCount * hidden.width)
        },
      })
      nats += loss.data[0] * targetCount
      tokens += targetCount
      rows += inputs.length
      for (const target of targets) if (target >= 0) bytes += heldOut.byteLengths[target]
    }
    const loss = nats / tokens
    return {
      step: options.step,
      loss,
      perplexity: Math.exp(loss),
      bitsPerByte: nats / Math.LN2 / Math.max(1, bytes),
      sparsity: zeros.map(count => count / (tokens * model.config.intermediateSize)),
      activation: activation.spec,
      tokens,
    }
  }
}

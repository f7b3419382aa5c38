// What a model is worth on held-out text: loss, perplexity, bits per byte, and how sparse its FFNs are there.

import { z } from 'zod'
import { type Activation, drawUnits } from '../activations/activation.js'
import { measuredWindows, type TokenIds, validationBatches } from '../data/tokens.js'
import type { Kernels } from '../kernels/index.js'
import { Purpose, seedWords } from '../kernels/philox.js'
import { neuronsPerLayer, neuronsPerToken } from '../nn/config.js'
import type { Llama } from '../nn/llama.js'
import { firesIn } from '../nn/neurons.js'
import { Tape } from '../tensor/index.js'

/** Samples of held-out text are the same for every model and every seed of a run, so that losses compare. */
export const DEFAULT_SAMPLE_SEED = 1

export interface EvaluateOptions {
  readonly activation: Activation
  /** Training steps behind the weights, for the record. */
  readonly step: number
  /** Tokens per window; every window starts without context. */
  readonly context: number
  readonly batchSize: number
  /** Measure a sample of so many predicted tokens (rounded up to whole windows); all of them by default. */
  readonly maxTokens?: number
  /** Draws the sample. Default 1. */
  readonly sampleSeed?: number
  /** For activations that draw. */
  readonly seed: number
}

export interface HeldOut {
  readonly tokens: TokenIds
  /** UTF-8 bytes behind each token id. */
  readonly byteLengths: Int32Array
}

export const evaluationSchema = z.object({
  /** Training steps behind the weights. */
  step: z.int().min(0),
  /** Mean negative log-likelihood per token, nats. */
  loss: z.number(),
  perplexity: z.number(),
  /** The same likelihood over the bytes of the text: comparable between tokenizers. */
  bitsPerByte: z.number(),
  /** Fraction of exact zeros among the FFN's hidden activations, one value per layer, in [0, 1]. */
  sparsity: z.array(z.number()),
  /** Neurons of each layer that were 0 at every token, where the activation has exact zeros. */
  deadNeurons: z.array(z.int().min(0)).optional(),
  /** The activation it was measured with. */
  activation: z.string(),
  /**
   * What shared one draw while measuring: `element`, `neuron`, `token`, `sample` or `batch`; `neuron` and `batch` drew
   * again for every window. Null when the activation does not draw.
   */
  drawnPer: z.enum(drawUnits).nullable().default(null),
  /** Predicted tokens. */
  tokens: z.int().min(0),
  /** Null when all of the text was measured; else how many of its windows were, and the seed that drew them. */
  sample: z
    .object({ windows: z.int().min(1), of: z.int().min(1), seed: z.int().min(0) })
    .nullable()
    .default(null),
})
/** One measurement on held-out text. */
export type Evaluation = z.infer<typeof evaluationSchema>

/** Evaluates a model in windows that do not overlap; keeps its buffers for the next evaluation. */
export class Evaluator {
  readonly #kernels: Kernels
  readonly #tape: Tape

  constructor(kernels: Kernels) {
    this.#kernels = kernels
    this.#tape = new Tape(kernels, { training: false })
  }

  /** Throws CorpusError when the text is shorter than one window. */
  run(model: Llama, heldOut: HeldOut, options: EvaluateOptions): Evaluation {
    const { activation, context, maxTokens: maxTargets, sampleSeed = DEFAULT_SAMPLE_SEED } = options
    const [seedLow, seedHigh] = seedWords(options.seed)
    const { windows, of } = measuredWindows(heldOut.tokens, { context, maxTargets, seed: sampleSeed })
    const drawnPer = activation.draws ? activation.drawPer : null
    // One draw for all rows of a forward pass: each window is a pass of its own, with a draw of its own.
    const perPass = drawnPer === 'neuron' || drawnPer === 'batch'
    const batchSize = perPass ? 1 : options.batchSize
    const zeros = new Array<number>(model.config.numHiddenLayers).fill(0)
    const silent = zeros.map(() => Array.from({ length: neuronsPerLayer(model.config) }, (_, i) => i))
    let [nats, tokens, bytes, rows] = [0, 0, 0, 0]
    for (const batch of validationBatches(heldOut.tokens, windows, { batchSize, context })) {
      const { inputs, targets, targetCount, firstWindow } = batch
      this.#tape.reset()
      // Otherwise every row of the text draws numbers of its own, whatever the batch size: step 0 is never trained.
      const draw = perPass
        ? { seedLow, seedHigh, purpose: Purpose.heldOut, step: firstWindow, firstRow: 0 }
        : { seedLow, seedHigh, purpose: Purpose.activation, step: 0, firstRow: rows }
      const loss = model.loss(this.#tape, inputs, targets, context, {
        activation,
        draw,
        onHidden: (layer, hidden, of) => {
          const { width } = hidden
          const counted = of === undefined ? targetCount : of.rows.filter(row => row < targetCount).length
          zeros[layer] += this.#kernels.countZeros(hidden.data, counted * width)
          if (!activation.exactZeros) return
          const first = (of?.expert ?? 0) * width
          silent[layer] = silent[layer].filter(neuron => {
            const own = neuron - first
            return own < 0 || own >= width || !firesIn(hidden, own, counted)
          })
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
      // The largest number that JSON can hold stands for all above it.
      perplexity: Math.min(Math.exp(loss), Number.MAX_VALUE),
      bitsPerByte: nats / Math.LN2 / Math.max(1, bytes),
      sparsity: zeros.map(count => count / (tokens * neuronsPerToken(model.config))),
      ...(activation.exactZeros && { deadNeurons: silent.map(({ length }) => length) }),
      activation: activation.spec,
      drawnPer,
      tokens,
      sample: windows.length === of ? null : { windows: windows.length, of, seed: sampleSeed },
    }
  }
}

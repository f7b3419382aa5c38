// The loss of a model with the cuts of `flicker sparsify`, at every position, by the engine: the same windows and the same
// numbers as `Evaluator`, of the model as it is cut.

import { measuredWindows } from '../data/tokens.js'
import { logSumExp } from '../engine/generation/logprobs.js'
import { EngineModel, type EngineOptions } from '../engine/index.js'
import type { ModelSource } from '../formats/index.js'
import { kernels } from '../kernels/index.js'
import type { LayerCuts } from '../nn/cuts.js'
import { DEFAULT_SAMPLE_SEED, type EvaluateOptions, type Evaluation, type HeldOut } from './evaluate.js'

/** Positions whose logits are kept at a time. */
const BLOCK = 64

/** Throws what EngineModel throws, and CorpusError when the text is shorter than one window. */
export function evaluateCut(
  source: ModelSource,
  cuts: readonly LayerCuts[],
  dtype: EngineOptions['dtype'],
  heldOut: HeldOut,
  options: EvaluateOptions,
): Evaluation {
  const { config } = source
  const { activation, context, maxTokens: maxTargets, sampleSeed = DEFAULT_SAMPLE_SEED, seed } = options
  const { windows, of } = measuredWindows(heldOut.tokens, { context, maxTargets, seed: sampleSeed })
  const { vocabSize, numHiddenLayers, intermediateSize } = config
  const using = kernels()
  const zeros = new Array<number>(numHiddenLayers).fill(0)
  const engine = new EngineModel(config, source, {
    dtype,
    cuts,
    sparsePrompt: 'all',
    activation: activation.spec,
    // What down reads is a whole vector only where it is cut; else the gate has its zeros.
    observer: (vector, layer, values, rows) => {
      const own = cuts[layer].inputs.down === undefined ? 'gate' : 'hidden'
      if (vector === own) zeros[layer] += using.countZeros(values, rows * intermediateSize)
    },
  })
  const logits = new Float32Array(BLOCK * vocabSize)
  let [nats, tokens, bytes] = [0, 0, 0]
  for (const window of windows) {
    const first = window * context
    const ids = heldOut.tokens.subarray(first, Math.min(first + context + 1, heldOut.tokens.length))
    const session = engine.session({ seed, sequence: window, sparseFrom: 0 })
    for (let start = 0; start < ids.length - 1; start += BLOCK) {
      const count = Math.min(BLOCK, ids.length - 1 - start)
      session.prefill(ids.subarray(start, start + count), logits.subarray(0, count * vocabSize))
      for (let i = 0; i < count; i++) {
        const target = ids[start + i + 1]
        const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize)
        nats += logSumExp(using, row) - row[target]
        bytes += heldOut.byteLengths[target]
      }
      tokens += count
    }
  }
  engine.dispose()
  const loss = nats / tokens
  return {
    step: options.step,
    loss,
    perplexity: Math.min(Math.exp(loss), Number.MAX_VALUE),
    bitsPerByte: nats / Math.LN2 / Math.max(1, bytes),
    sparsity: zeros.map(count => count / (tokens * intermediateSize)),
    activation: activation.spec,
    drawnPer: activation.draws ? activation.drawPer : null,
    tokens,
    sample: windows.length === of ? null : { windows: windows.length, of, seed: sampleSeed },
  }
}

// Gives every layer of a random model the same fraction of exact zeros: one threshold for all, and in each layer a factor on
// the norm before its FFN that sets how far pre-activations spread around it.

import { EngineModel } from '../engine/engine-model.js'
import type { EngineWeights } from '../engine/model/weights.js'
import type { WeightType } from '../kernels/index.js'
import { fillNormal, Purpose, RandomStream } from '../kernels/philox.js'
import { type DecodeShape, randomConfig, WEIGHT_STD } from './random-model.js'

/** A threshold under or above which nothing, or everything, is zero. */
const BEYOND = 1000
/** Rounds, and tokens in each, over which layers are brought to the fraction. */
const ROUNDS = 3
const TOKENS = 24

/**
 * The threshold of a ReLU that makes `sparsity` (0 to 1) of the neurons exactly 0, and the fraction of zeros that its last
 * tokens showed; sets the FFN norms of `weights`.
 */
export function calibrate(
  shape: DecodeShape,
  weights: EngineWeights,
  sparsity: number,
  dtype: WeightType,
): { threshold: number; zeros: number } {
  if (sparsity <= 0) return { threshold: -BEYOND, zeros: 0 }
  if (sparsity >= 1) return { threshold: BEYOND, zeros: 1 }
  const normal = normalTable()
  // Normed positions have the length √d, so pre-activations spread by √d times the weights.
  const threshold = Number(
    (quantile(normal, sparsity) * WEIGHT_STD * Math.sqrt(shape.hiddenSize)).toPrecision(6),
  )
  const config = randomConfig(shape, threshold, ROUNDS * TOKENS)
  const model = new EngineModel(config, weights, { dtype, ffn: 'sparse', narrowGate: 'off' })
  const session = model.session()
  const random = new RandomStream({ seed: 2, purpose: Purpose.sampler, stream: 0 })
  let zeros = 0
  for (let round = 0; round < ROUNDS; round++) {
    const active = new Float64Array(shape.numHiddenLayers)
    for (let i = 0; i < TOKENS; i++) {
      session.step(random.below(shape.vocabSize))
      for (const [layer, count] of session.activeNeurons.entries()) {
        active[layer] += count / (TOKENS * shape.intermediateSize)
      }
    }
    for (const [layer, { ffnNorm }] of weights.layers.entries()) {
      const factor = quantile(normal, 1 - active[layer]) / quantile(normal, sparsity)
      // At a half the threshold is 0, which no spread moves; far off, one step does not reach.
      if (ffnNorm === null || !(factor > 0 && Number.isFinite(factor))) continue
      const { weight } = ffnNorm
      weight.forEach((value, k) => {
        weight[k] = value * Math.max(0.5, Math.min(2, factor))
      })
    }
    zeros = 1 - active.reduce((sum, fraction) => sum + fraction, 0) / shape.numHiddenLayers
  }
  return { threshold, zeros }
}

/** Normal values in ascending order. */
function normalTable(): Float32Array {
  const table = new Float32Array(2 ** 18)
  fillNormal(table, { seed: 4, purpose: Purpose.data, stream: 0 }, 0, 1)
  return table.sort()
}

function quantile(sorted: Float32Array, fraction: number): number {
  return sorted[Math.max(0, Math.min(sorted.length - 1, Math.round(fraction * sorted.length - 0.5)))]
}

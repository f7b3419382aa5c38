// Gives the layers of a random model chosen fractions of exact zeros: one threshold for all, and in each layer a factor on
// the norm before its FFN that sets how far pre-activations spread around it.

import { EngineModel } from '../engine/engine-model.js'
import type { EngineWeights } from '../engine/model/weights.js'
import { OptionError } from '../errors.js'
import type { WeightType } from '../kernels/index.js'
import { fillNormal, Purpose, RandomStream } from '../kernels/philox.js'
import { mean } from '../statistics.js'
import { type DecodeShape, randomConfig, WEIGHT_STD } from './random-model.js'

/** A threshold under or above which nothing, or everything, is zero. */
const BEYOND = 1000
/** Rounds, and tokens in each, over which layers are brought to the fraction. */
const ROUNDS = 3
const TOKENS = 24

/**
 * `sparsity` for each of `layers` layers: a list is spread over them, each of its values for as many layers. Throws
 * OptionError SPARSITY_LAYERS for values of a list that one threshold cannot give: those up to a half, and 1.
 */
export function sparsityOfLayers(sparsity: number | readonly number[], layers: number): number[] {
  const list = typeof sparsity === 'number' ? [sparsity] : sparsity
  const wrong = list.length > 1 ? list.find(zeros => !(zeros > 0.5 && zeros < 1)) : undefined
  if (wrong !== undefined || list.length > layers) {
    throw new OptionError(
      'SPARSITY_LAYERS',
      wrong === undefined
        ? `sparsity has ${list.length} values for ${layers} layers; give at most one for each`
        : `sparsity of different layers must lie above 0.5 and below 1, not at ${wrong}; give one value for all`,
    )
  }
  return Array.from({ length: layers }, (_, layer) => list[Math.floor((layer * list.length) / layers)])
}

/**
 * The threshold of a ReLU that makes `perLayer` (each 0 to 1) of the neurons exactly 0, and the fraction of zeros that its last
 * tokens showed; sets the FFN norms of `weights`.
 */
export function calibrate(
  shape: DecodeShape,
  weights: EngineWeights,
  perLayer: readonly number[],
  dtype: WeightType,
): { threshold: number; zeros: number } {
  const sparsity = mean(perLayer)
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
      const factor = quantile(normal, 1 - active[layer]) / quantile(normal, perLayer[layer])
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
export function normalTable(): Float32Array {
  const table = new Float32Array(2 ** 18)
  fillNormal(table, { seed: 4, purpose: Purpose.data, stream: 0 }, 0, 1)
  return table.sort()
}

/** The value that `fraction` of them do not exceed. */
export function quantile(sorted: Float32Array, fraction: number): number {
  return sorted[Math.max(0, Math.min(sorted.length - 1, Math.round(fraction * sorted.length - 0.5)))]
}

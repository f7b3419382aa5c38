// A low-rank predictor of active neurons: from the input of an FFN, before its gate is computed, a score for each neuron; those
// with a score above 0 are predicted to be active. What it misses is lost, so a model that runs with it is approximate.

import type { ModelConfig } from './config.js'

export interface LayerPredictor {
  /** (rank, d). */
  readonly into: Float32Array
  /** (h, rank). */
  readonly out: Float32Array
  /** (h). */
  readonly bias: Float32Array
}

/** scores (h) = out · (into · x) + bias. */
export interface Predictor {
  readonly rank: number
  readonly layers: readonly LayerPredictor[]
}

/** The first thing in which a predictor does not fit a model; null where it does. */
export function predictorProblem({ rank, layers }: Predictor, config: ModelConfig): string | null {
  const { numHiddenLayers, hiddenSize: d, intermediateSize: h } = config
  if (layers.length !== numHiddenLayers) return `it has ${layers.length} layers, the model ${numHiddenLayers}`
  for (const [i, { into, out, bias }] of layers.entries()) {
    if (into.length !== rank * d || out.length !== h * rank || bias.length !== h) {
      return (
        `layer ${i} is for ${into.length / rank} inputs and ${bias.length} neurons, the model has ` +
        `${d} and ${h}`
      )
    }
  }
  return null
}

// Whether the numbers of a ModelConfig fit each other. Who asks (a checkpoint, a recipe, an option) throws its own
// class of error.

import type { ModelConfig } from './config.js'

/** Far beyond any model, near enough that lists per layer and sizes of tensors stay countable. */
const MOST_LAYERS = 10_000
const LARGEST_SIZE = 2 ** 31 - 1

/** The first thing wrong with `config`, as `hiddenSize (100) is not a multiple of …`; null when nothing is. */
export function modelConfigProblem(config: ModelConfig): string | null {
  const sizes = [
    'vocabSize',
    'hiddenSize',
    'intermediateSize',
    'numHiddenLayers',
    'numAttentionHeads',
    'numKeyValueHeads',
    'maxPositionEmbeddings',
  ] as const
  for (const field of sizes) {
    const limit = field === 'numHiddenLayers' ? MOST_LAYERS : LARGEST_SIZE
    if (!Number.isInteger(config[field]) || config[field] < 1 || config[field] > limit) {
      return `${field} must be a whole number from 1 to ${limit}, not ${config[field]}`
    }
  }
  const { hiddenSize, numAttentionHeads, numKeyValueHeads } = config
  if (hiddenSize % numAttentionHeads !== 0) {
    return `hiddenSize (${hiddenSize}) is not a multiple of numAttentionHeads (${numAttentionHeads})`
  }
  if ((hiddenSize / numAttentionHeads) % 2 !== 0) {
    return `hiddenSize / numAttentionHeads (${hiddenSize / numAttentionHeads}) is odd; rotary embeddings turn pairs`
  }
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    return `numAttentionHeads (${numAttentionHeads}) is not a multiple of numKeyValueHeads (${numKeyValueHeads})`
  }
  if (!(config.rmsNormEps >= 0 && config.rmsNormEps < 1)) {
    return `rmsNormEps must be at least 0 and below 1, not ${config.rmsNormEps}`
  }
  if (!(config.ropeTheta > 0 && config.ropeTheta < Number.POSITIVE_INFINITY)) {
    return `ropeTheta must be above 0, not ${config.ropeTheta}`
  }
  return null
}

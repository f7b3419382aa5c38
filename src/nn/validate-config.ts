// Whether the numbers of a ModelConfig fit each other. Who asks (a checkpoint, a recipe, an option) throws its own
// class of error.

import { ffnWidths, headDimOf, type ModelConfig, type RopeScaling } from './config.js'

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
  if (config.headDim === undefined && hiddenSize % numAttentionHeads !== 0) {
    return `hiddenSize (${hiddenSize}) is not a multiple of numAttentionHeads (${numAttentionHeads})`
  }
  const headDim = headDimOf(config)
  if (!Number.isInteger(headDim) || headDim < 1 || headDim * numAttentionHeads > LARGEST_SIZE) {
    return `headDim (${headDim}) must be a whole number above 0, and times numAttentionHeads at most ${LARGEST_SIZE}`
  }
  if (headDim % 2 !== 0) {
    const source = config.headDim === undefined ? 'hiddenSize / numAttentionHeads' : 'headDim'
    return `${source} (${headDim}) is odd; rotary embeddings turn pairs`
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
  const spark = sparkProblem(config)
  if (spark !== null) return `sparkPredictorWidth ${spark}`
  return config.ropeScaling === undefined ? null : ropeScalingProblem(config.ropeScaling, headDim)
}

/** What is wrong with `sparkPredictorWidth`, as `must be …`; null when nothing is. */
export function sparkProblem(
  config: Pick<ModelConfig, 'ffn' | 'hiddenSize' | 'sparkPredictorWidth'>,
): string | null {
  const { ffn, hiddenSize, sparkPredictorWidth } = config
  if (ffn !== 'spark') {
    return sparkPredictorWidth === undefined ? null : `is for ffn spark alone, and ffn is ${ffn}`
  }
  const { gate, up } = ffnWidths(config)
  if (Number.isInteger(gate) && gate >= 1 && up >= 1) return null
  return `must be a whole number from 1 to ${hiddenSize - 1} (below hiddenSize), not ${gate}`
}

function ropeScalingProblem(scaling: RopeScaling, headDim: number): string | null {
  const positive = (value: number) => value > 0 && value < Number.POSITIVE_INFINITY
  if (scaling.type === 'factors') {
    const { factors } = scaling
    if (factors.length === headDim / 2 && factors.every(positive)) return null
    return `ropeScaling.factors must be ${headDim / 2} numbers above 0, one per rotated pair`
  }
  if (!positive(scaling.factor)) return `ropeScaling.factor must be above 0, not ${scaling.factor}`
  if (scaling.type === 'linear') return null
  const { lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: original } = scaling
  if (!(positive(low) && positive(high) && low < high)) {
    return `ropeScaling needs 0 < lowFreqFactor < highFreqFactor, not ${low} and ${high}`
  }
  if (positive(original)) return null
  return `ropeScaling.originalMaxPositionEmbeddings must be above 0, not ${original}`
}

// The description of a model, from which its parameters, its training graph and the engine's weights follow. Field names
// are Hugging Face's, in camel case.

import { type RopeConfig, ropeScalingProblem } from './rope.js'

/** See `ModelConfig.ffn`. */
export const FFN_FORMS = ['gated', 'plain', 'drelu', 'spark'] as const

/** Everything that fixes the model's tensors and its forward pass, weights aside. */
export interface ModelConfig extends RopeConfig {
  vocabSize: number
  hiddenSize: number
  intermediateSize: number
  numHiddenLayers: number
  numAttentionHeads: number
  /** Divides numAttentionHeads; equal to it without grouped-query attention. */
  numKeyValueHeads: number
  /** Width of an attention head. Absent: hiddenSize / numAttentionHeads. Read it with `headDimOf`. */
  headDim?: number
  /**
   * Which of attention's projections add a bias: q, k and v (as Qwen2 does), or the output projection too (as Llama
   * does with `attention_bias`). Absent: none.
   */
  attentionBias?: 'qkv' | 'qkvo'
  /** Longest context the model is meant for, in tokens. */
  maxPositionEmbeddings: number
  rmsNormEps: number
  tieWordEmbeddings: boolean
  /**
   * `gated`: down(f(gate x) ⊙ up x); `plain`: down(f(up x)); `drelu`: down(f(gate x) ⊙ f(up x)), f on both sides
   * (relu in TurboSparse, Song et al. 2024); `spark`: gated, but gate_proj reads only the first r values of x and
   * up_proj the others, so that the gate predicts which neurons matter at no cost in parameters (You et al. 2025,
   * arXiv 2506.06644). f is the activation.
   */
  ffn: (typeof FFN_FORMS)[number]
  /** Of a Spark FFN: r, from 1 to hiddenSize − 1. Absent: half of hiddenSize. Read it with `ffnWidths`. */
  sparkPredictorWidth?: number
  /** Activation as users type it, e.g. `relu` or `stocha:p=0.7`; what inference runs by default. */
  activation: string
  /** Other activations that training went through; the model keeps their learned parameters too. Absent: none. */
  trainedActivations?: readonly string[]
}

/** Width of an attention head. */
export function headDimOf(config: ModelConfig): number {
  return config.headDim ?? config.hiddenSize / config.numAttentionHeads
}

/** How many values of the FFN's input gate_proj and up_proj read: all of them, but of a Spark FFN a part each. */
export function ffnWidths(config: Pick<ModelConfig, 'ffn' | 'hiddenSize' | 'sparkPredictorWidth'>): {
  readonly gate: number
  readonly up: number
} {
  const { ffn, hiddenSize, sparkPredictorWidth = Math.floor(hiddenSize / 2) } = config
  if (ffn !== 'spark') return { gate: hiddenSize, up: hiddenSize }
  return { gate: sparkPredictorWidth, up: hiddenSize - sparkPredictorWidth }
}

/** The field with the width at which a Spark FFN's input is split, left out where it is the default. */
export function sparkSplit(
  ffn: ModelConfig['ffn'],
  hiddenSize: number,
  width: number | undefined,
): Pick<ModelConfig, 'sparkPredictorWidth'> {
  if (width === undefined || (ffn === 'spark' && width === Math.floor(hiddenSize / 2))) return {}
  return { sparkPredictorWidth: width }
}

/** Far above any model, low enough that lists per layer and sizes of tensors are exact integers. */
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
      return `${field} must be an integer from 1 to ${limit}, not ${config[field]}`
    }
  }
  const { hiddenSize, numAttentionHeads, numKeyValueHeads } = config
  if (config.headDim === undefined && hiddenSize % numAttentionHeads !== 0) {
    return `hiddenSize (${hiddenSize}) is not a multiple of numAttentionHeads (${numAttentionHeads})`
  }
  const headDim = headDimOf(config)
  if (!Number.isInteger(headDim) || headDim < 1 || headDim * numAttentionHeads > LARGEST_SIZE) {
    return `headDim (${headDim}) must be an integer above 0, and times numAttentionHeads at most ${LARGEST_SIZE}`
  }
  if (headDim % 2 !== 0) {
    const source = config.headDim === undefined ? 'hiddenSize / numAttentionHeads' : 'headDim'
    return `${source} (${headDim}) is odd; rotary embeddings rotate pairs`
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
  if (!FFN_FORMS.includes(config.ffn)) return `ffn must be one of ${FFN_FORMS.join(', ')}, not ${config.ffn}`
  if (typeof config.activation !== 'string') {
    return `activation must be the name of one, not ${config.activation}`
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
  return `must be an integer from 1 to ${hiddenSize - 1} (below hiddenSize), not ${gate}`
}

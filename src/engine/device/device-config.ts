// What of a model this backend does not compute, and says so before anything is read.

import { OptionError } from '../../errors.js'
import type { ModelConfig } from '../../nn/config.js'

/** The fields of a config that this backend knows: one with any other is refused, since it may change every value. */
const KNOWN_CONFIG: ReadonlySet<string> = new Set<keyof ModelConfig>([
  ...(['vocabSize', 'hiddenSize', 'intermediateSize', 'numHiddenLayers', 'numAttentionHeads'] as const),
  ...([
    'numKeyValueHeads',
    'headDim',
    'attentionBias',
    'maxPositionEmbeddings',
    'norm',
    'rmsNormEps',
  ] as const),
  ...(['normPlacement', 'normActivation', 'parallelBranches', 'learnedPositions', 'ropeLayers'] as const),
  ...(['qkNorm', 'attentionScale', 'attentionSoftcap', 'slidingWindow', 'windowLayers', 'ffnBias'] as const),
  ...(['embeddingScale', 'residualScale', 'logitScale', 'finalSoftcap', 'headBias'] as const),
  ...(['tieWordEmbeddings', 'experts', 'ffn', 'sparkPredictorWidth', 'activation'] as const),
  ...(['trainedActivations', 'ropeTheta', 'ropeScaling', 'rotaryDim', 'localRopeTheta'] as const),
])

/** Throws OptionError WEBGPU_CONFIG for a model with parts that this backend does not know. */
export function requireKnownConfig(config: ModelConfig): void {
  const unknown = Object.keys(config).filter(key => !KNOWN_CONFIG.has(key))
  if (unknown.length === 0) return
  throw new OptionError(
    'WEBGPU_CONFIG',
    `the WebGPU backend does not compute models with ${unknown.join(', ')} yet; leave --backend out`,
  )
}

// What of a model this backend does not compute, and says so before anything is read.

import { OptionError } from '../../errors.js'
import type { ModelConfig } from '../../nn/config.js'
import type { LayerCuts } from '../../nn/cuts.js'

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

/** Throws OptionError WEBGPU_CUTS for cuts of inputs of matrices: on a device they would save nothing. */
export function requireNeuronCuts(cuts: readonly LayerCuts[] | null): void {
  const ofInputs = (cuts ?? []).flatMap(({ inputs }) => Object.keys(inputs))
  if (ofInputs.length === 0) return
  throw new OptionError(
    'WEBGPU_CUTS',
    `this model is cut at the inputs of ${[...new Set(ofInputs)].join(', ')}, and the WebGPU backend applies cuts of neurons ` +
      'alone; give --exact, or leave --backend out',
  )
}

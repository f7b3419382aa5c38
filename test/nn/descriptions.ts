// Small models that use every field of a block's description, for tests of gradients and of training.

import type { ModelConfig } from '../../src/nn/config.js'

export const small: ModelConfig = {
  vocabSize: 11,
  hiddenSize: 12,
  intermediateSize: 10,
  numHiddenLayers: 2,
  numAttentionHeads: 3,
  numKeyValueHeads: 1,
  maxPositionEmbeddings: 8,
  rmsNormEps: 1e-5,
  ropeTheta: 100,
  tieWordEmbeddings: false,
  ffn: 'gated',
  activation: 'silu',
}
const layerNorm = { norm: 'layer', ffn: 'plain', ffnBias: true, attentionBias: 'qkvo' } as const
const original = { originalMaxPositionEmbeddings: 4 }

/** By what they are like. */
export const DESCRIPTIONS: Readonly<Record<string, ModelConfig>> = {
  'llama with yarn': { ...small, ropeScaling: { type: 'yarn', factor: 2, ...original } },
  qwen3: { ...small, qkNorm: 'head', headDim: 6, tieWordEmbeddings: true },
  smollm3: { ...small, ropeLayers: [true, false] },
  arcee: { ...small, ffn: 'plain', activation: 'relu2' },
  gemma2: {
    ...small,
    activation: 'gelu:form=tanh',
    normPlacement: 'both',
    embeddingScale: Math.sqrt(12),
    attentionScale: 0.7,
    attentionSoftcap: 1.5,
    finalSoftcap: 2,
    slidingWindow: 2,
    windowLayers: [true, false],
    tieWordEmbeddings: true,
  },
  gemma3: {
    ...small,
    activation: 'gelu:form=tanh',
    normPlacement: 'both',
    qkNorm: 'head',
    slidingWindow: 3,
    windowLayers: [true, false],
    localRopeTheta: 10,
    ropeScaling: { type: 'linear', factor: 2 },
  },
  'relu after norms': { ...small, activation: 'relu', normActivation: 'relu' },
  'relu after norms, one norm': {
    ...{ ...small, ffn: 'plain', activation: 'relu' },
    normActivation: 'relu',
    parallelBranches: 'oneNorm',
  },
  phi4: {
    ...small,
    rotaryDim: 2,
    ropeScaling: { type: 'longrope', factor: 2, ...original, shortFactors: [1.1], longFactors: [1.5] },
  },
  olmo2: { ...small, normPlacement: 'after', qkNorm: 'projection' },
  granite: { ...small, embeddingScale: 3, residualScale: 0.4, attentionScale: 0.3, logitScale: 0.5 },
  starcoder2: { ...small, ...layerNorm, activation: 'gelu:form=tanh', slidingWindow: 2 },
  gpt2: { ...small, ...layerNorm, activation: 'gelu:form=tanh', learnedPositions: { offset: 0 } },
  opt: {
    ...small,
    ...layerNorm,
    activation: 'relu',
    learnedPositions: { offset: 2 },
    tieWordEmbeddings: true,
  },
  'gpt-neox': { ...small, ...layerNorm, activation: 'gelu', rotaryDim: 2, parallelBranches: 'twoNorms' },
  falcon: { ...small, norm: 'layer', ffn: 'plain', activation: 'gelu', parallelBranches: 'oneNorm' },
  nemotron: { ...small, norm: 'layer', ffn: 'plain', activation: 'relu2', rotaryDim: 2 },
  stablelm: { ...small, norm: 'layer', attentionBias: 'qkv', rotaryDim: 2 },
  phi: {
    ...small,
    ...layerNorm,
    activation: 'gelu:form=tanh',
    rotaryDim: 2,
    headBias: true,
    parallelBranches: 'oneNorm',
  },
  mixtral: { ...small, experts: { count: 4, perToken: 2, normalized: true } },
  olmoe: { ...small, qkNorm: 'projection', experts: { count: 3, perToken: 2, normalized: false } },
  'turbosparse-mixtral': {
    ...small,
    ffn: 'drelu',
    activation: 'relu',
    experts: { count: 4, perToken: 2, normalized: true },
  },
}

// The description of a model, from which its parameters, its training graph, the engine's weights and pass, and what files
// say of it follow. Field names are Hugging Face's, in camel case. Every field beside the sizes describes a difference from the
// block of Llama, so that a model of another family is the same kind of data.

import { type RopeConfig, type RopeKind, ropeScalingProblem } from './rope.js'

/** See `ModelConfig.ffn`. */
export const FFN_FORMS = ['gated', 'plain', 'drelu', 'spark'] as const

/**
 * A mixture of experts (Shazeer et al. 2017, arXiv 1701.06538). For each token, p = softmax(router · x) over all experts; the
 * `perToken` experts with the largest p are computed, and their outputs added up with the factors p, divided by their own sum
 * where `normalized` (Mixtral: always; Qwen3-MoE and OLMoE: as norm_topk_prob says).
 */
export interface ExpertsConfig {
  readonly count: number
  readonly perToken: number
  readonly normalized: boolean
}

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
  /** `rms`: RMSNorm (files that hold w of 1 + w are read as 1 + w); `layer`: LayerNorm with bias. Absent: rms. */
  norm?: 'rms' | 'layer'
  /** ε of every norm. */
  rmsNormEps: number
  /**
   * Where norms stand: `before` each branch, on what it reads; `after`, on its output before that joins the residual stream
   * (OLMo 2); or `both` (Gemma 2 and 3). Absent: before.
   */
  normPlacement?: 'before' | 'after' | 'both'
  /**
   * What is applied to the normed input of attention and of the FFN: with `relu` their matrices read vectors with zeros (ReLU
   * Strikes Back, stage 2, Mirzadeh et al. 2023). Needs norms before the branches. Absent: nothing.
   */
  normActivation?: 'relu'
  /**
   * Attention and FFN read the same residual stream and both are added to it: through one norm (Falcon 7B, Phi) or each
   * through its own (GPT-NeoX, Falcon 40B). Absent: the FFN reads what attention has added to.
   */
  parallelBranches?: 'oneNorm' | 'twoNorms'
  /** A learned vector for each position, at row position + offset of its table, instead of rotation. Absent: rotation. */
  learnedPositions?: { readonly offset: number }
  /** Per layer, whether queries and keys are rotated (SmolLM3: not in every fourth). Absent: in all. */
  ropeLayers?: readonly boolean[]
  /** RMSNorm of queries and keys before the rotation, over each head (Qwen3) or the whole projection (OLMo 2). Absent: none. */
  qkNorm?: 'head' | 'projection'
  /** Factor of q·k. Absent: 1/√headDim. */
  attentionScale?: number
  /** Scores s of attention become cap · tanh(s / cap). Absent: they stay. */
  attentionSoftcap?: number
  /** Positions that attention sees, the present one included, in the layers of `windowLayers`. Absent: all before it. */
  slidingWindow?: number
  /** Per layer, whether it has the sliding window. Absent: all have. */
  windowLayers?: readonly boolean[]
  /** Biases of a plain FFN's projections. Absent: none. */
  ffnBias?: boolean
  /** Factor of the embeddings. Absent: 1. */
  embeddingScale?: number
  /** Factor of what attention and FFN add to the residual stream. Absent: 1. */
  residualScale?: number
  /** Factor of the logits. Absent: 1. */
  logitScale?: number
  /** Logits z become cap · tanh(z / cap), after the factor. Absent: they stay. */
  finalSoftcap?: number
  /** Whether the head adds a bias. Absent: no. */
  headBias?: boolean
  tieWordEmbeddings: boolean
  /** A mixture of experts instead of one FFN in every layer; intermediateSize is then the width of an expert. Absent: one FFN. */
  experts?: ExpertsConfig
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

/** What distinguishes one layer's attention from another's. */
export interface LayerKind {
  /** Positions that it sees; undefined: all before it. */
  readonly window: number | undefined
  readonly rope: RopeKind
}

/** Of layer number `layer`. */
export function layerKind(config: ModelConfig, layer: number): LayerKind {
  const { slidingWindow, windowLayers, ropeLayers, learnedPositions } = config
  const window = windowLayers === undefined || windowLayers[layer] ? slidingWindow : undefined
  const rotates = learnedPositions === undefined && (ropeLayers === undefined || ropeLayers[layer])
  return { window, rope: rotates ? (window === undefined ? 'global' : 'local') : 'none' }
}

/** The norms of a layer, by the names of their parameters; null where it has none. */
export interface LayerNorms {
  readonly attentionInput: string | null
  readonly attentionOutput: string | null
  /** null too where the FFN reads what attention reads. */
  readonly ffnInput: string | null
  readonly ffnOutput: string | null
}

/** As Hugging Face names them, where `post_attention_layernorm` is the FFN's input norm or attention's output norm. */
export function layerNorms({ normPlacement, parallelBranches }: ModelConfig): LayerNorms {
  switch (normPlacement) {
    case 'after':
      return {
        attentionInput: null,
        attentionOutput: 'post_attention_layernorm',
        ffnInput: null,
        ffnOutput: 'post_feedforward_layernorm',
      }
    case 'both':
      return {
        attentionInput: 'input_layernorm',
        attentionOutput: 'post_attention_layernorm',
        ffnInput: 'pre_feedforward_layernorm',
        ffnOutput: 'post_feedforward_layernorm',
      }
    default:
      return {
        attentionInput: 'input_layernorm',
        attentionOutput: null,
        ffnInput: parallelBranches === 'oneNorm' ? null : 'post_attention_layernorm',
        ffnOutput: null,
      }
  }
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

/** Neurons that are computed for a token in each layer, those that are 0 included: of a mixture those of the chosen experts. */
export function neuronsPerToken(config: Pick<ModelConfig, 'intermediateSize' | 'experts'>): number {
  return config.intermediateSize * (config.experts?.perToken ?? 1)
}

/** Neurons of a layer. */
export function neuronsPerLayer(config: Pick<ModelConfig, 'intermediateSize' | 'experts'>): number {
  return config.intermediateSize * (config.experts?.count ?? 1)
}

/**
 * The number that draws of an expert's activation take for the layer (`Draw.layer`): another one for each expert of each
 * layer; that of the layer itself for expert 0 and for models without experts.
 */
export function drawLayer(config: Pick<ModelConfig, 'numHiddenLayers'>, layer: number, expert = 0): number {
  return layer + config.numHiddenLayers * expert
}

/** Far above any model, low enough that lists per layer and sizes of tensors are exact integers. */
export const MOST_LAYERS = 10_000
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
  const form = blockProblem(config, headDim)
  if (form !== null) return form
  if (!FFN_FORMS.includes(config.ffn)) return `ffn must be one of ${FFN_FORMS.join(', ')}, not ${config.ffn}`
  if (typeof config.activation !== 'string') {
    return `activation must be the name of one, not ${config.activation}`
  }
  const spark = sparkProblem(config)
  if (spark !== null) return `sparkPredictorWidth ${spark}`
  const experts = expertsProblem(config)
  if (experts !== null) return experts
  return config.ropeScaling === undefined
    ? null
    : ropeScalingProblem(config.ropeScaling, config.rotaryDim ?? headDim)
}

/** What is wrong with the fields in which a block differs from Llama's; null when nothing is. */
function blockProblem(config: ModelConfig, headDim: number): string | null {
  const { rotaryDim, parallelBranches, normPlacement = 'before', numHiddenLayers } = config
  if (rotaryDim !== undefined && !(rotaryDim >= 2 && rotaryDim <= headDim && rotaryDim % 2 === 0)) {
    return `rotaryDim must be an even integer from 2 to the head's width (${headDim}), not ${rotaryDim}`
  }
  if (config.localRopeTheta !== undefined && !positive(config.localRopeTheta)) {
    return `localRopeTheta must be above 0, not ${config.localRopeTheta}`
  }
  if (parallelBranches !== undefined && normPlacement !== 'before') {
    return `parallelBranches needs norms before its branches, and normPlacement is ${normPlacement}`
  }
  if (config.normActivation !== undefined && normPlacement === 'after') {
    return 'normActivation needs norms before the branches, and normPlacement is after'
  }
  for (const field of ['slidingWindow'] as const) {
    const value = config[field]
    if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= LARGEST_SIZE)) {
      return `${field} must be an integer from 1 to ${LARGEST_SIZE}, not ${value}`
    }
  }
  for (const field of ['windowLayers', 'ropeLayers'] as const) {
    const list = config[field]
    if (list !== undefined && list.length !== numHiddenLayers) {
      return `${field} has ${list.length} values for ${numHiddenLayers} layers`
    }
  }
  for (const field of SCALES) {
    const value = config[field]
    if (value !== undefined && !positive(value)) return `${field} must be above 0, not ${value}`
  }
  const offset = config.learnedPositions?.offset ?? 0
  if (!(Number.isInteger(offset) && offset >= 0 && offset <= LARGEST_SIZE)) {
    return `learnedPositions.offset must be an integer from 0 on, not ${offset}`
  }
  if (config.ffnBias === true && config.ffn !== 'plain') {
    return `ffnBias is for ffn plain alone, and ffn is ${config.ffn}`
  }
  return null
}

/** Experts times layers: what the counter of random numbers has room for. */
const MOST_EXPERTS = 2 ** 16

function expertsProblem({ experts, ffn, ffnBias, numHiddenLayers }: ModelConfig): string | null {
  if (experts === undefined) return null
  const { count, perToken } = experts
  if (!(Number.isInteger(count) && count >= 1 && count * numHiddenLayers <= MOST_EXPERTS)) {
    return `experts.count must be an integer from 1 on, and times the layers at most ${MOST_EXPERTS}, not ${count}`
  }
  if (!(Number.isInteger(perToken) && perToken >= 1 && perToken <= count)) {
    return `experts.perToken must be an integer from 1 to experts.count (${count}), not ${perToken}`
  }
  if (ffn !== 'gated' && ffn !== 'drelu') return `experts are for ffn gated and drelu, and ffn is ${ffn}`
  return ffnBias === true ? 'experts have no biases, and ffnBias is true' : null
}

const SCALES = [
  'attentionScale',
  'attentionSoftcap',
  'embeddingScale',
  'residualScale',
  'logitScale',
  'finalSoftcap',
] as const

function positive(value: number): boolean {
  return value > 0 && value < Number.POSITIVE_INFINITY
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

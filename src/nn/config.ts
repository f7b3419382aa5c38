// The shape of a Llama-style model. Field names are Hugging Face's, in camel case.

/** See `ModelConfig.ffn`. */
export const FFN_FORMS = ['gated', 'plain', 'drelu', 'spark'] as const

/** Everything that fixes the model's tensors and its forward pass, weights aside. */
export interface ModelConfig {
  vocabSize: number
  hiddenSize: number
  intermediateSize: number
  numHiddenLayers: number
  numAttentionHeads: number
  /** Divides numAttentionHeads; equal to it without grouped-query attention. */
  numKeyValueHeads: number
  /** Numbers per attention head. Absent: hiddenSize / numAttentionHeads. Ask `headDimOf`. */
  headDim?: number
  /**
   * Which of attention's projections add a bias: q, k and v (as Qwen2 does), or the output projection too (as Llama
   * does with `attention_bias`). Absent: none.
   */
  attentionBias?: 'qkv' | 'qkvo'
  /** Longest context the model is meant for, in tokens. */
  maxPositionEmbeddings: number
  rmsNormEps: number
  ropeTheta: number
  /** How rotary frequencies are stretched to longer contexts. Absent: they are not. Ask `ropeFrequencies`. */
  ropeScaling?: RopeScaling
  tieWordEmbeddings: boolean
  /**
   * `gated`: down(f(gate x) ⊙ up x); `plain`: down(f(up x)); `drelu`: down(f(gate x) ⊙ f(up x)), f on both sides
   * (relu in TurboSparse, Song et al. 2024); `spark`: gated, but gate_proj reads the first r numbers of x alone and
   * up_proj the others, so that the gate predicts which neurons matter at no cost in parameters (You et al. 2025,
   * arXiv 2506.06644). f is the activation.
   */
  ffn: (typeof FFN_FORMS)[number]
  /** Of a Spark FFN: r, from 1 to hiddenSize − 1. Absent: half of hiddenSize. Ask `ffnWidths`. */
  sparkPredictorWidth?: number
  /** Activation as users type it, e.g. `relu` or `stocha:p=0.7`; what inference runs by default. */
  activation: string
  /** Other activations that training went through; the model keeps their learned parameters too. Absent: none. */
  trainedActivations?: readonly string[]
}

export type RopeScaling =
  /** Every frequency divided by `factor`: positions are interpolated. Chen et al. 2023, arXiv 2306.15595. */
  | { readonly type: 'linear'; readonly factor: number }
  /**
   * Llama 3.1: wavelengths above originalMaxPositionEmbeddings / lowFreqFactor are stretched by `factor`, those below
   * originalMaxPositionEmbeddings / highFreqFactor stay, those between are blended.
   */
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalMaxPositionEmbeddings: number
    }
  /** Frequency i divided by factors[i], headDim / 2 of them, as llama.cpp stores any stretching. */
  | { readonly type: 'factors'; readonly factors: readonly number[] }

/** Numbers per attention head. */
export function headDimOf(config: ModelConfig): number {
  return config.headDim ?? config.hiddenSize / config.numAttentionHeads
}

/** How many numbers of the FFN's input gate_proj and up_proj read: all of them, but Spark's share them out. */
export function ffnWidths(config: Pick<ModelConfig, 'ffn' | 'hiddenSize' | 'sparkPredictorWidth'>): {
  readonly gate: number
  readonly up: number
} {
  const { ffn, hiddenSize, sparkPredictorWidth = Math.floor(hiddenSize / 2) } = config
  if (ffn !== 'spark') return { gate: hiddenSize, up: hiddenSize }
  return { gate: sparkPredictorWidth, up: hiddenSize - sparkPredictorWidth }
}

/** The field that says where a Spark FFN's input is split, left out where its default says the same. */
export function sparkSplit(
  ffn: ModelConfig['ffn'],
  hiddenSize: number,
  width: number | undefined,
): Pick<ModelConfig, 'sparkPredictorWidth'> {
  if (width === undefined || (ffn === 'spark' && width === Math.floor(hiddenSize / 2))) return {}
  return { sparkPredictorWidth: width }
}

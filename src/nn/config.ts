// The shape of a Llama-style model. Field names are Hugging Face's, in camel case.

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
   * (relu in TurboSparse, Song et al. 2024). f is the activation.
   */
  ffn: 'gated' | 'plain' | 'drelu'
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

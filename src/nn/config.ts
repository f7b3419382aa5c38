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
  /** Longest context the model is meant for, in tokens. */
  maxPositionEmbeddings: number
  rmsNormEps: number
  ropeTheta: number
  tieWordEmbeddings: boolean
  /** `gated`: down(f(gate x) ⊙ up x); `plain`: down(f(up x)). */
  ffn: 'gated' | 'plain'
  /** Activation as users type it, e.g. `relu` or `stocha:p=0.7`; what inference runs by default. */
  activation: string
}

// Names and shapes of a model's parameters, as Hugging Face's Llama has them.

import { headDimOf, type ModelConfig } from './config.js'

export interface ParameterShape {
  readonly name: string
  readonly shape: readonly number[]
}

/** Every parameter that `config` asks for, in the order of the forward pass. Matrices are (out, in), biases (out). */
export function parameterShapes(config: ModelConfig): ParameterShape[] {
  const { vocabSize, hiddenSize: d, intermediateSize: h, attentionBias } = config
  const { numAttentionHeads, numKeyValueHeads } = config
  const q = headDimOf(config) * numAttentionHeads
  const kv = headDimOf(config) * numKeyValueHeads
  const shapes: ParameterShape[] = [{ name: 'model.embed_tokens.weight', shape: [vocabSize, d] }]
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const add = (name: string, ...shape: number[]) =>
      shapes.push({ name: `model.layers.${layer}.${name}.weight`, shape })
    const project = (name: string, bias: boolean, ...shape: [out: number, from: number]) => {
      add(name, ...shape)
      if (bias) shapes.push({ name: `model.layers.${layer}.${name}.bias`, shape: [shape[0]] })
    }
    add('input_layernorm', d)
    project('self_attn.q_proj', attentionBias !== undefined, q, d)
    project('self_attn.k_proj', attentionBias !== undefined, kv, d)
    project('self_attn.v_proj', attentionBias !== undefined, kv, d)
    project('self_attn.o_proj', attentionBias === 'qkvo', d, q)
    add('post_attention_layernorm', d)
    if (config.ffn !== 'plain') add('mlp.gate_proj', h, d)
    add('mlp.up_proj', h, d)
    add('mlp.down_proj', d, h)
  }
  shapes.push({ name: 'model.norm.weight', shape: [d] })
  if (!config.tieWordEmbeddings) shapes.push({ name: 'lm_head.weight', shape: [vocabSize, d] })
  return shapes
}

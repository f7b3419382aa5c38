// Names and shapes of a model's parameters, as Hugging Face's Llama has them.

import type { ModelConfig } from './config.js'

export interface ParameterShape {
  readonly name: string
  readonly shape: readonly number[]
}

/** Every parameter that `config` asks for, in the order of the forward pass. Matrices are (out, in). */
export function parameterShapes(config: ModelConfig): ParameterShape[] {
  const { vocabSize, hiddenSize: d, intermediateSize: h, numAttentionHeads, numKeyValueHeads } = config
  const kv = (d / numAttentionHeads) * numKeyValueHeads
  const shapes: ParameterShape[] = [{ name: 'model.embed_tokens.weight', shape: [vocabSize, d] }]
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const add = (name: string, ...shape: number[]) =>
      shapes.push({ name: `model.layers.${layer}.${name}.weight`, shape })
    add('input_layernorm', d)
    add('self_attn.q_proj', d, d)
    add('self_attn.k_proj', kv, d)
    add('self_attn.v_proj', kv, d)
    add('self_attn.o_proj', d, d)
    add('post_attention_layernorm', d)
    if (config.ffn === 'gated') add('mlp.gate_proj', h, d)
    add('mlp.up_proj', h, d)
    add('mlp.down_proj', d, h)
  }
  shapes.push({ name: 'model.norm.weight', shape: [d] })
  if (!config.tieWordEmbeddings) shapes.push({ name: 'lm_head.weight', shape: [vocabSize, d] })
  return shapes
}

// Nemotron (Minitron): LayerNorm times 1 + w, a plain FFN with the square of ReLU, a part of each head rotated.

import { headDimOf, type ModelConfig } from '../../nn/config.js'
import type { Architecture } from './architecture.js'
import { headRows, isRotated, layerName, type TensorMap } from './tensors.js'

const tensors =
  (config: ModelConfig): TensorMap =>
  name => {
    if (/norm\.weight$/.test(name)) return { name, plus: 1 }
    const of = layerName(name)
    if (of === null || !isRotated(of.part)) return { name }
    const { numAttentionHeads, numKeyValueHeads } = config
    const heads = of.part === 'self_attn.q_proj' ? numAttentionHeads : numKeyValueHeads
    return { name, rows: headRows(config, 'halves', heads * headDimOf(config)) }
  }

export const NEMOTRON: Architecture = {
  huggingFace: [
    {
      name: 'NemotronForCausalLM',
      modelType: 'nemotron',
      runs: { partialRotation: true },
      aliases: { norm_eps: 'rms_norm_eps' },
      defaults: {
        rms_norm_eps: 1e-5,
        hidden_act: 'relu2',
        max_position_embeddings: 4096,
        partial_rotary_factor: 0.5,
      },
      reads: ['mlp_bias'],
      describe: json => ({
        norm: 'layer',
        ffn: 'plain',
        ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
        ...(json.mlp_bias ? { ffnBias: true } : {}),
      }),
      write: config => ({
        attention_bias: config.attentionBias === 'qkvo',
        mlp_bias: config.ffnBias === true,
      }),
      tensors,
    },
  ],
  gguf: {
    name: 'nemotron',
    activation: 'relu2',
    describe: keys => ({
      norm: 'layer',
      ffn: 'plain',
      ...(keys.hasInLayer('ffn_up.bias') ? { ffnBias: true } : {}),
    }),
    write: () => [],
  },
}

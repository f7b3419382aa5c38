// StableLM: Llama with LayerNorm, a part of each head rotated, and optionally parallel branches through one norm.

import { headDimOf, type ModelConfig } from '../../nn/config.js'
import type { Architecture } from './architecture.js'
import { headRows, isRotated, layerName, type TensorMap } from './tensors.js'

const tensors =
  (config: ModelConfig): TensorMap =>
  name => {
    const of = layerName(name)
    if (of === null || !isRotated(of.part)) return { name }
    const { numAttentionHeads, numKeyValueHeads } = config
    const heads = of.part === 'self_attn.q_proj' ? numAttentionHeads : numKeyValueHeads
    return { name, rows: headRows(config, 'halves', heads * headDimOf(config)) }
  }

export const STABLELM: Architecture = {
  huggingFace: [
    {
      name: 'StableLmForCausalLM',
      modelType: 'stablelm',
      runs: { partialRotation: true, ownHeadDim: false },
      aliases: { layer_norm_eps: 'rms_norm_eps', use_qkv_bias: 'bias' },
      defaults: { rms_norm_eps: 1e-5, max_position_embeddings: 4096, partial_rotary_factor: 0.25 },
      reads: ['use_parallel_residual', 'bias'],
      describe: json => ({
        norm: 'layer',
        ...(json.bias ? { attentionBias: 'qkv' } : {}),
        ...(json.use_parallel_residual ? { parallelBranches: 'oneNorm' } : {}),
      }),
      write: config => ({
        use_qkv_bias: config.attentionBias === 'qkv',
        use_parallel_residual: config.parallelBranches === 'oneNorm',
        qk_layernorm: false,
      }),
      tensors,
    },
  ],
  gguf: {
    name: 'stablelm',
    activation: 'silu',
    describe(keys) {
      // As llama.cpp: what counts is whether the FFN has a norm of its own.
      keys.flag('use_parallel_residual', false)
      return { norm: 'layer', ...(keys.hasInLayer('ffn_norm.weight') ? {} : { parallelBranches: 'oneNorm' }) }
    },
    write: config => [['use_parallel_residual', 'bool', config.parallelBranches === 'oneNorm']],
  },
}

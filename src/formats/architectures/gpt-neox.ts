// GPT-NeoX and Pythia: parallel branches with a norm each, a part of each head rotated, q, k and v fused head by head.

import { headDimOf, type ModelConfig } from '../../nn/config.js'
import type { Architecture } from './architecture.js'
import { fusedQkv, headRows, isRotated, layerName, type Rows, type TensorMap, within } from './tensors.js'

const PARTS: Readonly<Record<string, string>> = {
  'self_attn.o_proj': 'attention.dense',
  'mlp.up_proj': 'mlp.dense_h_to_4h',
  'mlp.down_proj': 'mlp.dense_4h_to_h',
}
const OTHERS: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'gpt_neox.embed_in.weight',
  'model.norm.weight': 'gpt_neox.final_layer_norm.weight',
  'model.norm.bias': 'gpt_neox.final_layer_norm.bias',
  'lm_head.weight': 'embed_out.weight',
}

/** Of each head its queries, then its keys, then its values. */
function headByHead(config: ModelConfig, part: string): Rows {
  const headDim = headDimOf(config)
  const which = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'].indexOf(part)
  const rows: Rows = {
    total: 3 * headDim * config.numAttentionHeads,
    at: row => (3 * Math.floor(row / headDim) + which) * headDim + (row % headDim),
  }
  // The rotation's order is that within a head, which `at` keeps.
  return within(rows, isRotated(part) ? headRows(config, 'halves', rows.total) : undefined) ?? rows
}

const tensors =
  (config: ModelConfig): TensorMap =>
  name => {
    const of = layerName(name)
    if (of === null) return { name: OTHERS[name] ?? name }
    const file = (part: string) => `gpt_neox.layers.${of.layer}.${part}.${of.kind}`
    if (/^self_attn\.[qkv]_proj$/.test(of.part)) {
      return { name: file('attention.query_key_value'), rows: headByHead(config, of.part) }
    }
    return { name: file(PARTS[of.part] ?? of.part) }
  }

const block = { norm: 'layer', ffn: 'plain', ffnBias: true } as const

export const GPT_NEOX: Architecture = {
  huggingFace: [
    {
      name: 'GPTNeoXForCausalLM',
      modelType: 'gpt_neox',
      runs: { partialRotation: true, ownHeadDim: false, groupedHeads: false },
      aliases: {
        layer_norm_eps: 'rms_norm_eps',
        rotary_pct: 'partial_rotary_factor',
        rotary_emb_base: 'rope_theta',
      },
      defaults: {
        rms_norm_eps: 1e-5,
        partial_rotary_factor: 0.25,
        hidden_act: 'gelu',
        attention_bias: true,
        use_parallel_residual: true,
      },
      reads: ['use_parallel_residual'],
      describe: json => ({
        ...block,
        numKeyValueHeads: json.num_attention_heads,
        ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
        ...(json.use_parallel_residual ? { parallelBranches: 'twoNorms' } : {}),
      }),
      write: config => ({
        use_parallel_residual: config.parallelBranches === 'twoNorms',
        attention_bias: config.attentionBias === 'qkvo',
        rotary_pct: (config.rotaryDim ?? headDimOf(config)) / headDimOf(config),
        rotary_emb_base: config.ropeTheta,
      }),
      tensors,
      ignored: /\.attention\.(bias|masked_bias)$/,
    },
  ],
  gguf: {
    name: 'gptneox',
    activation: 'gelu',
    describe: keys => ({
      ...block,
      ...(keys.flag('use_parallel_residual', true) ? { parallelBranches: 'twoNorms' } : {}),
    }),
    write: config => [['use_parallel_residual', 'bool', config.parallelBranches === 'twoNorms']],
    tensors: (config, usual) => name => {
      const of = layerName(name)
      if (of === null || !/^self_attn\.[qkv]_proj$/.test(of.part)) return usual(name)
      const rows = fusedQkv(config, of.part)
      return {
        name: `blk.${of.layer}.attn_qkv.${of.kind}`,
        rows: within(rows, isRotated(of.part) ? headRows(config, 'halves', rows.total) : undefined),
      }
    },
  },
}

// Falcon: attention and FFN from the same residual stream, through one norm (7B) or two (40B), q, k and v fused in groups. The
// activation is the one that config.json names: ReLU-Falcon is a Falcon.

import { headDimOf, type ModelConfig } from '../../nn/config.js'
import type { Architecture, Differences } from './architecture.js'
import type { ConfigJson } from './config-json.js'
import { fusedQkv, layerName, type Rows, type TensorMap } from './tensors.js'

const PARTS: Readonly<Record<string, string>> = {
  'self_attn.o_proj': 'self_attention.dense',
  'mlp.up_proj': 'mlp.dense_h_to_4h',
  'mlp.down_proj': 'mlp.dense_4h_to_h',
}
const OTHERS: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'transformer.word_embeddings.weight',
  'model.norm.weight': 'transformer.ln_f.weight',
  'model.norm.bias': 'transformer.ln_f.bias',
}

/** Of each key/value head the queries that read it, then its key, then its value. */
function inGroups(config: ModelConfig, part: string): Rows {
  const { numAttentionHeads: heads, numKeyValueHeads: kvHeads } = config
  const headDim = headDimOf(config)
  const group = heads / kvHeads
  const total = (heads + 2 * kvHeads) * headDim
  const of = (head: number) => {
    if (part === 'self_attn.q_proj') return Math.floor(head / group) * (group + 2) + (head % group)
    return head * (group + 2) + group + (part === 'self_attn.k_proj' ? 0 : 1)
  }
  return { total, at: row => of(Math.floor(row / headDim)) * headDim + (row % headDim) }
}

const tensors =
  (config: ModelConfig): TensorMap =>
  name => {
    const of = layerName(name)
    if (of === null) return { name: OTHERS[name] ?? name }
    const file = (part: string) => `transformer.h.${of.layer}.${part}.${of.kind}`
    if (/^self_attn\.[qkv]_proj$/.test(of.part)) {
      return { name: file('self_attention.query_key_value'), rows: inGroups(config, of.part) }
    }
    if (config.parallelBranches === 'twoNorms') {
      if (of.part === 'input_layernorm') return { name: file('ln_attn') }
      if (of.part === 'post_attention_layernorm') return { name: file('ln_mlp') }
    }
    return { name: file(PARTS[of.part] ?? of.part) }
  }

function keyValueHeads(json: ConfigJson): number {
  if (json.new_decoder_architecture) return json.num_key_value_heads ?? json.num_attention_heads
  return (json.multi_query ?? true) ? 1 : json.num_attention_heads
}

function branches(json: ConfigJson): Differences['parallelBranches'] {
  if (json.new_decoder_architecture) {
    return (json.num_ln_in_parallel_attn ?? 2) === 2 ? 'twoNorms' : 'oneNorm'
  }
  return (json.parallel_attn ?? true) ? 'oneNorm' : undefined
}

export const FALCON: Architecture = {
  huggingFace: [
    {
      name: 'FalconForCausalLM',
      modelType: 'falcon',
      runs: { ownHeadDim: false },
      aliases: {
        num_kv_heads: 'num_key_value_heads',
        n_head: 'num_attention_heads',
        n_layer: 'num_hidden_layers',
        n_head_kv: 'num_key_value_heads',
        ffn_hidden_size: 'intermediate_size',
        layer_norm_epsilon: 'rms_norm_eps',
        activation: 'hidden_act',
      },
      defaults: { rms_norm_eps: 1e-5, hidden_act: 'gelu', tie_word_embeddings: true },
      reads: ['alibi', 'parallel_attn', 'bias'],
      describe(json) {
        if (json.alibi === true) return { problem: 'alibi: true is not supported; supported: false' }
        const parallelBranches = branches(json)
        return {
          norm: 'layer',
          ffn: 'plain',
          numKeyValueHeads: keyValueHeads(json),
          ...(json.bias === true ? { attentionBias: 'qkvo', ffnBias: true } : {}),
          ...(parallelBranches === undefined ? {} : { parallelBranches }),
        }
      },
      write: config => ({
        alibi: false,
        bias: config.ffnBias === true,
        multi_query: config.numKeyValueHeads === 1,
        new_decoder_architecture: isNewForm(config),
        ...(isNewForm(config)
          ? { num_ln_in_parallel_attn: config.parallelBranches === 'twoNorms' ? 2 : 1 }
          : {}),
        parallel_attn: config.parallelBranches !== undefined,
      }),
      tensors,
    },
  ],
  gguf: {
    name: 'falcon',
    // What the models were trained with; llama.cpp approximates it.
    activation: 'gelu',
    describe: keys => ({
      norm: 'layer',
      ffn: 'plain',
      parallelBranches: keys.hasInLayer('attn_norm_2.weight') ? 'twoNorms' : 'oneNorm',
    }),
    write: () => [],
    tensors: (config, usual) => name => {
      const of = layerName(name)
      if (of === null) return usual(name)
      if (/^self_attn\.[qkv]_proj$/.test(of.part)) {
        return { name: `blk.${of.layer}.attn_qkv.${of.kind}`, rows: fusedQkv(config, of.part) }
      }
      if (config.parallelBranches === 'twoNorms' && of.part === 'input_layernorm') {
        return { name: `blk.${of.layer}.attn_norm_2.${of.kind}` }
      }
      if (of.part === 'post_attention_layernorm') return { name: `blk.${of.layer}.attn_norm.${of.kind}` }
      return usual(name)
    },
  },
}

/** The form of 40B, which alone can have any number of key/value heads, and two norms. */
function isNewForm({ numKeyValueHeads, numAttentionHeads, parallelBranches }: ModelConfig): boolean {
  return parallelBranches === 'twoNorms' || (numKeyValueHeads !== 1 && numKeyValueHeads !== numAttentionHeads)
}

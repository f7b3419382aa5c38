// Tensors by GGUF's names and by Hugging Face's.

import { layerNorms, type ModelConfig } from '../../nn/config.js'
import {
  type FileTensor,
  headRows,
  isRotated,
  layerName,
  projectionRows,
  type TensorMap,
} from '../architectures/tensors.js'

const LAYER_PARTS: Readonly<Record<string, string>> = {
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
}
const OTHERS: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'model.embed_positions': 'position_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
}

/** Factors of the rotary frequencies, as ggml divides by them, one per rotated pair; of LongRoPE two sets. */
export const ROPE_FACTORS = 'rope_freqs.weight'
export const SHORT_FACTORS = 'rope_factors_short.weight'
export const LONG_FACTORS = 'rope_factors_long.weight'

/**
 * Where the parameters of a model are: `blk.0.attn_q.weight`; `blk.0.ffn_act.alpha` for what an activation learns, our own.
 * order: in which files hold the rows of the rotated heads.
 */
export function ggufTensors(config: ModelConfig, order: 'halves' | 'pairs'): TensorMap {
  const norms = layerNorms(config)
  const { q, kv } = projectionRows(config)
  const normNames = new Map(
    [
      [norms.attentionInput, 'attn_norm'],
      [norms.attentionOutput, 'post_attention_norm'],
      [norms.ffnInput, 'ffn_norm'],
      [norms.ffnOutput, 'post_ffw_norm'],
    ].flatMap(([ours, theirs]) => (ours === null || theirs === null ? [] : [[ours, theirs] as const])),
  )
  return (name): FileTensor => {
    const learned = /^model\.layers\.(\d+)\.mlp\.act\.(.+)$/.exec(name)
    if (learned !== null) return { name: `blk.${learned[1]}.ffn_act.${learned[2]}` }
    const of = layerName(name)
    if (of === null) {
      const [, base, kind] = /^(.*)\.(weight|bias)$/.exec(name) ?? [name, name, 'weight']
      return { name: `${OTHERS[base]}.${kind}` }
    }
    const theirs = `blk.${of.layer}.${LAYER_PARTS[of.part] ?? normNames.get(of.part)}.${of.kind}`
    if (!isRotated(of.part)) return { name: theirs }
    return { name: theirs, rows: headRows(config, order, of.part === 'self_attn.q_proj' ? q : kv) }
  }
}

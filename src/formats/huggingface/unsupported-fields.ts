// Fields of config.json that are not read although they can change what a model computes.

import { quoted } from '../safetensors.js'

/**
 * Fields that change the forward pass of models built on Llama's block and that are not read, with the values that
 * change nothing. Sources: the configuration classes of transformers and of models that kept Llama's names.
 */
const NEUTRAL_FIELDS: Readonly<Record<string, readonly unknown[]>> = {
  mlp_bias: [false],
  rope_interleaved: [false],
  attention_out_bias: [false],
  qk_norm: [false],
  use_qk_norm: [false],
  qk_layernorm: [false],
  clip_qkv: [],
  alibi: [false],
  is_causal: [true],
  use_bidirectional_attention: [false],
  parallel_attn: [false],
  use_parallel_residual: [false],
  no_rope_layers: [],
  no_rope_layer_interval: [],
  attn_logit_softcapping: [0],
  final_logit_softcapping: [0],
  logit_scale: [1],
  logits_scaling: [1],
  embedding_multiplier: [1],
  residual_multiplier: [1],
  attention_multiplier: [],
  scale_emb: [1],
  scale_depth: [],
  num_experts: [0],
  num_local_experts: [0],
  n_routed_experts: [0],
  n_shared_experts: [0],
  num_shared_experts: [0],
  shared_expert_intermediate_size: [0],
}

/** The first field that asks for what is not supported, with its value; null when there is none. */
export function unsupportedField(
  json: Record<string, unknown>,
  reads: readonly string[] = [],
): string | null {
  for (const [field, neutral] of Object.entries(NEUTRAL_FIELDS)) {
    if (reads.includes(field)) continue
    const value = Object.hasOwn(json, field) ? json[field] : null
    if (value === null || neutral.includes(value)) continue
    const supported = neutral.length === 0 ? 'none' : neutral.join(' or ')
    return `${field}: ${quoted(JSON.stringify(value))} would change the results and is not supported; supported: ${supported}`
  }
  const layers = Array.isArray(json.layer_types) ? json.layer_types : []
  const other = layers.find(type => type !== 'full_attention' && type !== 'sliding_attention')
  return other === undefined ? null : `layer_types: ${quoted(JSON.stringify(other))} is not supported`
}

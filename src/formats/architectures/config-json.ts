// The fields of config.json, by Llama's names: other architectures' are renamed to them first.

import { z } from 'zod'
import { FFN_FORMS, MOST_LAYERS } from '../../nn/config.js'
import { quantizationSchema } from '../huggingface/quantization.js'
import { ropeFields } from '../rope.js'

const size = z.int().positive()
const layers = z.array(z.union([z.boolean(), z.number()])).nullish()

/** Defaults are those of transformers' LlamaConfig. */
export const configSchema = z.object({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size.max(MOST_LAYERS),
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size.default(2048),
  original_max_position_embeddings: size.nullish(),
  sliding_window: z.int().nonnegative().nullish(),
  use_sliding_window: z.boolean().default(false),
  max_window_layers: z.int().nonnegative().nullish(),
  sliding_window_pattern: size.nullish(),
  layer_types: z.array(z.string()).nullish(),
  no_rope_layers: layers,
  no_rope_layer_interval: size.nullish(),
  hidden_act: z.string().default('silu'),
  hidden_act_param: z.number().nullish(),
  rms_norm_eps: z.number().default(1e-6),
  ...ropeFields,
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  quantization_config: quantizationSchema,
  // Scalars.
  query_pre_attn_scalar: z.number().positive().nullish(),
  attn_logit_softcapping: z.number().nullish(),
  final_logit_softcapping: z.number().nullish(),
  embedding_multiplier: z.number().nullish(),
  attention_multiplier: z.number().nullish(),
  residual_multiplier: z.number().nullish(),
  logits_scaling: z.number().nullish(),
  scale_emb: z.number().nullish(),
  scale_depth: z.number().nullish(),
  dim_model_base: z.number().nullish(),
  // Mixtures of experts.
  num_experts: size.nullish(),
  num_local_experts: size.nullish(),
  num_experts_per_tok: size.nullish(),
  norm_topk_prob: z.boolean().nullish(),
  moe_intermediate_size: size.nullish(),
  decoder_sparse_step: z.int().nullish(),
  mlp_only_layers: z.array(z.int()).nullish(),
  // Layout of the block.
  parallel_attn: z.boolean().nullish(),
  use_parallel_residual: z.boolean().nullish(),
  qk_layernorm: z.boolean().nullish(),
  // Falcon.
  multi_query: z.boolean().nullish(),
  new_decoder_architecture: z.boolean().nullish(),
  num_ln_in_parallel_attn: z.int().nullish(),
  alibi: z.boolean().nullish(),
  // OPT.
  do_layer_norm_before: z.boolean().nullish(),
  word_embed_proj_dim: size.nullish(),
  layer_norm_elementwise_affine: z.boolean().nullish(),
  _remove_final_layer_norm: z.boolean().nullish(),
  // GPT-2.
  scale_attn_weights: z.boolean().nullish(),
  scale_attn_by_inverse_layer_idx: z.boolean().nullish(),
  // SparseLM.
  sparsity_gated_mlp: z.boolean().default(true),
  sparsity_new_intermediate_size: size.nullish(),
  flicker: z
    .looseObject({
      version: z.int(),
      activation: z.string(),
      ffn: z.enum(FFN_FORMS),
      spark_predictor_width: size.optional(),
      attention_bias: z.enum(['qkv', 'qkvo']).optional(),
      trained_activations: z.array(z.string()).optional(),
      block: z.record(z.string(), z.unknown()).optional(),
    })
    .optional(),
})
export type ConfigJson = z.infer<typeof configSchema>

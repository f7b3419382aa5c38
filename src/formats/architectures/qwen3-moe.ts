// Qwen3 with a mixture of experts in every layer. Checkpoints with plain layers among them are refused.

import type { Architecture } from './architecture.js'
import { EXPERT_FIELDS, expertEntries, expertFields, ggufExperts, jsonExperts } from './experts.js'
import { jsonWindows, windowFields } from './windows.js'

export const QWEN3_MOE: Architecture = {
  huggingFace: [
    {
      name: 'Qwen3MoeForCausalLM',
      modelType: 'qwen3_moe',
      defaults: {
        max_position_embeddings: 32_768,
        num_attention_heads: 32,
        num_key_value_heads: 4,
        moe_intermediate_size: 768,
      },
      reads: EXPERT_FIELDS,
      describe(json) {
        if ((json.mlp_only_layers ?? []).length > 0 || (json.decoder_sparse_step ?? 1) !== 1) {
          return {
            problem: 'mlp_only_layers and decoder_sparse_step: layers without experts are not supported',
          }
        }
        return {
          qkNorm: 'head',
          ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
          ...(json.use_sliding_window ? jsonWindows(json) : {}),
          ...jsonExperts(json, { count: 128, perToken: 8 }, json.norm_topk_prob ?? false),
          intermediateSize: json.moe_intermediate_size ?? 768,
        }
      },
      write: config => ({
        attention_bias: config.attentionBias === 'qkvo',
        ...windowFields(config),
        use_sliding_window: config.slidingWindow !== undefined,
        ...expertFields(config),
        num_experts: config.experts?.count,
        norm_topk_prob: config.experts?.normalized,
        moe_intermediate_size: config.intermediateSize,
        decoder_sparse_step: 1,
        mlp_only_layers: [],
      }),
    },
  ],
  gguf: {
    name: 'qwen3moe',
    activation: 'silu',
    describe(keys) {
      const { experts } = ggufExperts(keys, true)
      // As llama.cpp: without a width of its own, an expert has its part of a dense FFN's.
      const dense = keys.perLayer('feed_forward_length', keys.layers, 0)
      const own = keys.number('expert_feed_forward_length', 0)
      return {
        qkNorm: 'head',
        experts,
        intermediateSize: own > 0 ? own : dense / (experts?.perToken ?? 1),
      }
    },
    write: config => [
      ...expertEntries(config),
      ['expert_feed_forward_length', 'u32', config.intermediateSize],
    ],
  },
}

// OLMoE: a mixture of experts whose factors are not divided by their sum, norms of queries and keys over their whole projections.

import type { Architecture } from './architecture.js'
import { EXPERT_FIELDS, expertEntries, expertFields, ggufExperts, jsonExperts } from './experts.js'

export const OLMOE: Architecture = {
  huggingFace: [
    {
      name: 'OlmoeForCausalLM',
      modelType: 'olmoe',
      defaults: { max_position_embeddings: 4096, rms_norm_eps: 1e-5 },
      reads: EXPERT_FIELDS,
      describe: json => ({
        qkNorm: 'projection',
        ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
        ...jsonExperts(json, { count: 64, perToken: 8 }, json.norm_topk_prob ?? false),
      }),
      write: config => ({
        attention_bias: config.attentionBias === 'qkvo',
        ...expertFields(config),
        num_experts: config.experts?.count,
        norm_topk_prob: config.experts?.normalized,
      }),
    },
  ],
  gguf: {
    name: 'olmoe',
    activation: 'silu',
    groupedHeads: false,
    describe: keys => ({ qkNorm: 'projection', ...ggufExperts(keys, false) }),
    write: expertEntries,
  },
}

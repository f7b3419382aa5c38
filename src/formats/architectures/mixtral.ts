// Mixtral, and TurboSparse-Mixtral, whose experts have dReLU: Mistral with a mixture of experts, whose factors always sum to 1.
// GGUF calls Mixtral `llama`.

import type { ModelConfig } from '../../nn/config.js'
import { expertPart } from '../../nn/parameters.js'
import type { Architecture, HuggingFaceForm } from './architecture.js'
import { EXPERT_FIELDS, expertFields, jsonExperts } from './experts.js'
import { layerName, type TensorMap } from './tensors.js'
import { jsonWindows, windowFields } from './windows.js'

const MATRICES: Readonly<Record<string, string>> = {
  'mlp.gate_proj': 'w1',
  'mlp.down_proj': 'w2',
  'mlp.up_proj': 'w3',
}

const tensors = (): TensorMap => name => {
  const of = layerName(name)
  if (of === null) return { name }
  const prefix = `model.layers.${of.layer}.block_sparse_moe`
  if (of.part === 'mlp.gate') return { name: `${prefix}.gate.weight` }
  const inExpert = expertPart(of.part)
  if (inExpert === null) return { name }
  return { name: `${prefix}.experts.${inExpert.expert}.${MATRICES[inExpert.part]}.weight` }
}

const mixtral: HuggingFaceForm = {
  name: 'MixtralForCausalLM',
  modelType: 'mixtral',
  defaults: {
    max_position_embeddings: 131_072,
    num_key_value_heads: 8,
    rms_norm_eps: 1e-5,
    rope_theta: 1_000_000,
  },
  reads: EXPERT_FIELDS,
  describe: json => ({ ...jsonWindows(json), ...jsonExperts(json, { count: 8, perToken: 2 }, true) }),
  write: (config: ModelConfig) => ({
    ...windowFields(config),
    ...expertFields(config),
    num_local_experts: config.experts?.count,
  }),
  tensors,
}

export const MIXTRAL: Architecture = {
  huggingFace: [
    mixtral,
    // With the predictors that PowerInfer needs and we do not.
    {
      ...mixtral,
      name: 'TurboSparseMixtralForCausalLM',
      modelType: 'turbosparsemixtral',
      describe: json => ({ ...mixtral.describe(json), ffn: 'drelu', activation: 'relu' }),
      write: undefined,
      ignored: /\.predictors?\./,
    },
  ],
}

// Phi-1.5 and Phi-2: parallel branches through one norm, a plain FFN, biases everywhere, the head's too.

import { headDimOf, type ModelConfig } from '../../nn/config.js'
import type { Architecture } from './architecture.js'
import { headRows, isRotated, layerName, type TensorMap } from './tensors.js'

const PARTS: Readonly<Record<string, string>> = {
  'self_attn.o_proj': 'self_attn.dense',
  'mlp.up_proj': 'mlp.fc1',
  'mlp.down_proj': 'mlp.fc2',
}

const tensors =
  (config: ModelConfig): TensorMap =>
  name => {
    if (name.startsWith('model.norm.')) return { name: name.replace('norm', 'final_layernorm') }
    const of = layerName(name)
    if (of === null) return { name }
    if (isRotated(of.part)) {
      const { numAttentionHeads, numKeyValueHeads } = config
      const heads = of.part === 'self_attn.q_proj' ? numAttentionHeads : numKeyValueHeads
      return { name, rows: headRows(config, 'halves', heads * headDimOf(config)) }
    }
    return { name: name.replace(of.part, PARTS[of.part] ?? of.part) }
  }

const block = {
  norm: 'layer',
  ffn: 'plain',
  ffnBias: true,
  attentionBias: 'qkvo',
  headBias: true,
  parallelBranches: 'oneNorm',
} as const

export const PHI: Architecture = {
  huggingFace: [
    {
      name: 'PhiForCausalLM',
      modelType: 'phi',
      runs: { partialRotation: true, ownHeadDim: false },
      aliases: { layer_norm_eps: 'rms_norm_eps' },
      defaults: { rms_norm_eps: 1e-5, hidden_act: 'gelu_new', partial_rotary_factor: 0.5 },
      describe: () => block,
      write: () => ({ qk_layernorm: false }),
      tensors,
    },
  ],
  gguf: {
    name: 'phi2',
    activation: 'gelu:form=tanh',
    describe: () => block,
    write: () => [],
  },
}

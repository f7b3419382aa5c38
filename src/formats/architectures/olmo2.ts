// OLMo 2 and 3: norms on the output of each branch alone, and of queries and keys over their whole projections. OLMo 3 has layers
// with a sliding window.

import type { ModelConfig } from '../../nn/config.js'
import { ropeScalingJson } from '../rope.js'
import type { Architecture, GgufForm, HuggingFaceForm } from './architecture.js'
import { jsonWindows, windowFields, windowsOf } from './windows.js'

const olmo2: HuggingFaceForm = {
  name: 'Olmo2ForCausalLM',
  modelType: 'olmo2',
  defaults: { rms_norm_eps: 1e-5 },
  describe: json => ({
    normPlacement: 'after',
    qkNorm: 'projection',
    ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
  }),
  write: config => ({ attention_bias: config.attentionBias === 'qkvo' }),
}

const gguf: GgufForm = {
  name: 'olmo2',
  activation: 'silu',
  describe(keys) {
    const layers = Array.from({ length: keys.layers }, (_, layer) => (layer + 1) % 4 !== 0)
    return {
      normPlacement: 'after',
      qkNorm: 'projection',
      // Layers with a window are rotated without scaling.
      localRopeTheta: keys.decimal('rope.freq_base', 10_000),
      ...windowsOf(keys.number('attention.sliding_window', 0), layers, keys.number('context_length')),
    }
  },
  write: ({ slidingWindow }) =>
    slidingWindow === undefined ? [] : [['attention.sliding_window', 'u32', slidingWindow]],
}

/** One for each type of layers, as transformers 5 has it. */
function rotations(config: ModelConfig): Record<string, unknown> {
  return {
    sliding_attention: { rope_type: 'default', rope_theta: config.localRopeTheta },
    full_attention: { rope_type: 'default', ...ropeScalingJson(config), rope_theta: config.ropeTheta },
  }
}

export const OLMO2: Architecture = {
  huggingFace: [
    olmo2,
    {
      ...olmo2,
      name: 'Olmo3ForCausalLM',
      modelType: 'olmo3',
      runs: { localRotation: true },
      defaults: { ...olmo2.defaults, sliding_window: 4096 },
      describe: json => ({
        ...olmo2.describe(json),
        ...jsonWindows(json, layer => (layer + 1) % 4 !== 0),
      }),
      write: config => ({
        attention_bias: config.attentionBias === 'qkvo',
        ...windowFields(config),
        ...(config.localRopeTheta === undefined
          ? {}
          : { rope_theta: undefined, rope_scaling: undefined, rope_parameters: rotations(config) }),
      }),
    },
  ],
  gguf,
}

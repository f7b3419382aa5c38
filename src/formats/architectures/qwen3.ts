// Qwen3: RMSNorm of queries and keys over each head, before the rotation.

import type { Architecture } from './architecture.js'
import { jsonWindows, windowFields } from './windows.js'

export const QWEN3: Architecture = {
  huggingFace: [
    {
      name: 'Qwen3ForCausalLM',
      modelType: 'qwen3',
      defaults: { max_position_embeddings: 32_768, head_dim: 128 },
      describe(json) {
        const first = json.max_window_layers ?? 28
        const slides = json.use_sliding_window || json.layer_types?.includes('sliding_attention') === true
        return {
          qkNorm: 'head',
          ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
          ...(slides ? jsonWindows(json, layer => layer >= first) : {}),
        }
      },
      write: config => ({
        attention_bias: config.attentionBias === 'qkvo',
        ...windowFields(config),
        use_sliding_window: config.slidingWindow !== undefined,
        max_window_layers: config.windowLayers?.indexOf(true) ?? 0,
      }),
    },
  ],
  gguf: {
    name: 'qwen3',
    activation: 'silu',
    describe: () => ({ qkNorm: 'head' }),
    write: () => [],
  },
}

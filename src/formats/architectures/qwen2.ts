// Qwen2 and Qwen2.5: biases on q, k and v.

import type { Architecture, HuggingFaceForm } from './architecture.js'
import { sparseLm } from './llama.js'
import { jsonWindows, windowFields } from './windows.js'

const qwen2: HuggingFaceForm = {
  name: 'Qwen2ForCausalLM',
  modelType: 'qwen2',
  defaults: { max_position_embeddings: 32_768, sliding_window: 4096 },
  describe(json) {
    const first = json.max_window_layers ?? 28
    const slides = json.use_sliding_window || json.layer_types?.includes('sliding_attention') === true
    return { attentionBias: 'qkv', ...(slides ? jsonWindows(json, layer => layer >= first) : {}) }
  },
  write: config => ({
    ...windowFields(config),
    use_sliding_window: config.slidingWindow !== undefined,
    max_window_layers: config.windowLayers?.indexOf(true) ?? 0,
  }),
}

export const QWEN2: Architecture = {
  huggingFace: [
    qwen2,
    {
      ...qwen2,
      name: 'SparseQwen2ForCausalLM',
      modelType: 'qwen2_sparse_relu',
      describe: json => ({ ...qwen2.describe(json), ...sparseLm(json) }),
      write: undefined,
    },
  ],
  gguf: {
    name: 'qwen2',
    activation: 'silu',
    ownHeadDim: false,
    describe: () => ({ attentionBias: 'qkv' }),
    write: () => [],
  },
}

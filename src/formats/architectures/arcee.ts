// Arcee (AFM-4.5B): Llama without a gate, and the square of ReLU, which is exactly 0 for most neurons.

import type { Architecture } from './architecture.js'

export const ARCEE: Architecture = {
  huggingFace: [
    {
      name: 'ArceeForCausalLM',
      modelType: 'arcee',
      defaults: { max_position_embeddings: 4096, hidden_act: 'relu2', rms_norm_eps: 1e-5 },
      reads: ['mlp_bias'],
      describe: json => ({
        ffn: 'plain',
        ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
        ...(json.mlp_bias ? { ffnBias: true } : {}),
      }),
      write: config => ({
        attention_bias: config.attentionBias === 'qkvo',
        mlp_bias: config.ffnBias === true,
      }),
    },
  ],
  gguf: {
    name: 'arcee',
    activation: 'relu2',
    rowsInPairs: true,
    describe: () => ({ ffn: 'plain' }),
    write: () => [],
  },
}

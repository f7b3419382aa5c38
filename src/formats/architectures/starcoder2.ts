// StarCoder2: LayerNorm with bias, a plain FFN, biases on every projection.

import type { Architecture } from './architecture.js'
import type { TensorMap } from './tensors.js'
import { jsonWindows, windowFields, windowsOf } from './windows.js'

/** A plain FFN under GPT's names. */
const tensors = (): TensorMap => name => ({
  name: name.replace('.mlp.up_proj.', '.mlp.c_fc.').replace('.mlp.down_proj.', '.mlp.c_proj.'),
})

export const STARCODER2: Architecture = {
  huggingFace: [
    {
      name: 'Starcoder2ForCausalLM',
      modelType: 'starcoder2',
      aliases: { norm_epsilon: 'rms_norm_eps', use_bias: 'bias' },
      defaults: {
        rms_norm_eps: 1e-5,
        hidden_act: 'gelu_pytorch_tanh',
        bias: true,
        tie_word_embeddings: true,
        max_position_embeddings: 4096,
      },
      describe: json => ({
        norm: 'layer',
        ffn: 'plain',
        ...(json.bias ? { ffnBias: true, attentionBias: 'qkvo' } : {}),
        ...jsonWindows(json),
      }),
      write: config => ({
        use_bias: config.ffnBias === true,
        ...windowFields(config),
      }),
      tensors,
    },
  ],
  gguf: {
    name: 'starcoder2',
    activation: 'gelu:form=tanh',
    describe(keys) {
      const all = Array<boolean>(keys.layers).fill(true)
      return {
        norm: 'layer',
        ffn: 'plain',
        ...(keys.hasInLayer('ffn_up.bias') ? { ffnBias: true } : {}),
        ...windowsOf(keys.number('attention.sliding_window', 0), all, keys.number('context_length')),
      }
    },
    write: () => [],
  },
}

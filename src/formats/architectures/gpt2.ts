// GPT-2: learned positions, LayerNorm, a plain FFN, and matrices that files hold as (in, out), q, k and v in one.

import type { ModelConfig } from '../../nn/config.js'
import type { Architecture } from './architecture.js'
import { type FileTensor, fusedQkv, layerName, type TensorMap } from './tensors.js'

const PARTS: Readonly<Record<string, string>> = {
  input_layernorm: 'ln_1',
  'self_attn.o_proj': 'attn.c_proj',
  post_attention_layernorm: 'ln_2',
  'mlp.up_proj': 'mlp.c_fc',
  'mlp.down_proj': 'mlp.c_proj',
}
const OTHERS: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'transformer.wte.weight',
  'model.embed_positions.weight': 'transformer.wpe.weight',
  'model.norm.weight': 'transformer.ln_f.weight',
  'model.norm.bias': 'transformer.ln_f.bias',
}

const tensors =
  (config: ModelConfig): TensorMap =>
  (name): FileTensor => {
    const of = layerName(name)
    if (of === null) return { name: OTHERS[name] ?? name }
    const file = (part: string) => `transformer.h.${of.layer}.${part}.${of.kind}`
    const isMatrix = of.kind === 'weight' && !of.part.endsWith('layernorm')
    const transposed = isMatrix ? { transposed: true } : {}
    if (/^self_attn\.[qkv]_proj$/.test(of.part)) {
      return { name: file('attn.c_attn'), rows: fusedQkv(config, of.part), ...transposed }
    }
    return { name: file(PARTS[of.part] ?? of.part), ...transposed }
  }

const block = {
  norm: 'layer',
  ffn: 'plain',
  ffnBias: true,
  attentionBias: 'qkvo',
  learnedPositions: { offset: 0 },
} as const

export const GPT2: Architecture = {
  huggingFace: [
    {
      name: 'GPT2LMHeadModel',
      modelType: 'gpt2',
      runs: { ownHeadDim: false, groupedHeads: false },
      aliases: {
        n_embd: 'hidden_size',
        n_layer: 'num_hidden_layers',
        n_head: 'num_attention_heads',
        n_inner: 'intermediate_size',
        n_positions: 'max_position_embeddings',
        layer_norm_epsilon: 'rms_norm_eps',
        activation_function: 'hidden_act',
      },
      defaults: {
        vocab_size: 50_257,
        max_position_embeddings: 1024,
        rms_norm_eps: 1e-5,
        hidden_act: 'gelu_new',
        tie_word_embeddings: true,
      },
      describe(json) {
        if (json.scale_attn_by_inverse_layer_idx === true) {
          return { problem: 'scale_attn_by_inverse_layer_idx: true is not supported; supported: false' }
        }
        return json.scale_attn_weights === false ? { ...block, attentionScale: 1 } : block
      },
      write: () => ({ scale_attn_weights: true, scale_attn_by_inverse_layer_idx: false }),
      tensors,
      // Masks that older files hold.
      ignored: /\.attn\.(bias|masked_bias)$/,
    },
  ],
  gguf: {
    name: 'gpt2',
    activation: 'gelu:form=tanh',
    describe: () => block,
    write: () => [],
    tensors: (config, usual) => name => {
      const of = layerName(name)
      if (of === null || !/^self_attn\.[qkv]_proj$/.test(of.part)) return usual(name)
      return { name: `blk.${of.layer}.attn_qkv.${of.kind}`, rows: fusedQkv(config, of.part) }
    },
  },
}

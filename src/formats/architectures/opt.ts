// OPT: learned positions from row 2 on, LayerNorm, a plain FFN with ReLU, biases everywhere. llama.cpp does not run it.

import type { Architecture } from './architecture.js'
import { layerName, type TensorMap } from './tensors.js'

const PARTS: Readonly<Record<string, string>> = {
  input_layernorm: 'self_attn_layer_norm',
  'self_attn.o_proj': 'self_attn.out_proj',
  post_attention_layernorm: 'final_layer_norm',
  'mlp.up_proj': 'fc1',
  'mlp.down_proj': 'fc2',
}

const tensors = (): TensorMap => name => {
  const of = layerName(name)
  if (of !== null) return { name: `model.decoder.layers.${of.layer}.${PARTS[of.part] ?? of.part}.${of.kind}` }
  return {
    name: name
      .replace('model.norm', 'model.decoder.final_layer_norm')
      .replace('model.embed', 'model.decoder.embed'),
  }
}

export const OPT: Architecture = {
  huggingFace: [
    {
      name: 'OPTForCausalLM',
      modelType: 'opt',
      runs: { ownHeadDim: false, groupedHeads: false },
      aliases: { ffn_dim: 'intermediate_size', activation_function: 'hidden_act', enable_bias: 'bias' },
      defaults: {
        vocab_size: 50_272,
        rms_norm_eps: 1e-5,
        hidden_act: 'relu',
        bias: true,
        tie_word_embeddings: true,
      },
      reads: ['bias'],
      describe(json) {
        const { word_embed_proj_dim: width = json.hidden_size } = json
        if (json.do_layer_norm_before === false || width !== json.hidden_size) {
          return {
            problem:
              'do_layer_norm_before: false and word_embed_proj_dim other than hidden_size (OPT-350M) are not supported; use another size of OPT',
          }
        }
        if (
          json.bias === false ||
          json._remove_final_layer_norm === true ||
          json.layer_norm_elementwise_affine === false
        ) {
          return {
            problem: 'only OPT with biases (enable_bias), a final norm and norms with weights is supported',
          }
        }
        return {
          norm: 'layer',
          ffn: 'plain',
          ffnBias: true,
          attentionBias: 'qkvo',
          learnedPositions: { offset: 2 },
        }
      },
      write: config => ({
        do_layer_norm_before: true,
        word_embed_proj_dim: config.hiddenSize,
        enable_bias: true,
        layer_norm_elementwise_affine: true,
        _remove_final_layer_norm: false,
      }),
      tensors,
    },
  ],
}

// Llama, and the models that are described as it or with small differences: Mistral, SparseLlama (ProSparse), SparseLM, Bamboo
// and TurboSparse.

import type { Architecture, GgufForm, HuggingFaceForm } from './architecture.js'
import type { ConfigJson } from './config-json.js'
import { expertEntries, ggufExperts } from './experts.js'
import { jsonWindows, windowFields, windowsOf } from './windows.js'

const llama: HuggingFaceForm = {
  name: 'LlamaForCausalLM',
  modelType: 'llama',
  describe: json => (json.attention_bias ? { attentionBias: 'qkvo' } : {}),
  write: config => ({ attention_bias: config.attentionBias === 'qkvo', mlp_bias: false }),
}

/** SparseLM (of "Sparser, Faster, Lighter Transformer Language Models"): always relu, whatever `hidden_act` says. */
export function sparseLm(json: ConfigJson) {
  return {
    intermediateSize: json.sparsity_new_intermediate_size ?? json.intermediate_size,
    ffn: json.sparsity_gated_mlp ? ('gated' as const) : ('plain' as const),
    activation: 'relu',
  }
}

/** llama.cpp knows no window of this architecture; a file may name one all the same. */
const gguf: GgufForm = {
  name: 'llama',
  activation: 'silu',
  rowsInPairs: true,
  factors: 'one',
  describe(keys) {
    const layers = keys.layers
    const all = Array<boolean>(layers).fill(true)
    return {
      ...windowsOf(keys.number('attention.sliding_window', 0), all, keys.number('context_length')),
      // Mixtral.
      ...ggufExperts(keys, true),
    }
  },
  write: expertEntries,
}

export const LLAMA: Architecture = {
  huggingFace: [
    llama,
    {
      name: 'MistralForCausalLM',
      modelType: 'mistral',
      defaults: { sliding_window: 4096, max_position_embeddings: 131_072 },
      describe: json => jsonWindows(json),
      write: windowFields,
    },
    // ProSparse.
    { ...llama, name: 'SparseLlamaForCausalLM', modelType: 'sparsellama', write: undefined },
    {
      name: 'SparseLlamaForCausalLM',
      modelType: 'llama_sparse_relu',
      describe: json => ({ ...llama.describe(json), ...sparseLm(json) }),
    },
    // Bamboo and TurboSparse-Mistral, with the predictors that PowerInfer needs and we do not.
    {
      name: 'BambooForCausalLM',
      modelType: 'bamboo',
      describe: json => ({ ...jsonWindows(json), ffn: 'drelu' }),
      ignored: /\.mlp\.predictor\./,
    },
  ],
  gguf,
}

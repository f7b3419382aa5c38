// Granite 3 and MiniCPM: Llama with factors of the embeddings, of what the branches add, of the scores and of the logits.

import { headDimOf } from '../../nn/config.js'
import type { Architecture, Differences } from './architecture.js'
import type { GgufKeys } from './gguf-keys.js'

/** Factors, each left out where it changes nothing. */
function factors(of: Differences): Differences {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined && value !== 1))
}

export const GRANITE: Architecture = {
  huggingFace: [
    {
      name: 'GraniteForCausalLM',
      modelType: 'granite',
      reads: ['embedding_multiplier', 'attention_multiplier', 'residual_multiplier', 'logits_scaling'],
      describe: json => ({
        ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
        ...factors({
          embeddingScale: json.embedding_multiplier ?? 1,
          residualScale: json.residual_multiplier ?? 1,
          logitScale: 1 / (json.logits_scaling ?? 1),
        }),
        attentionScale: json.attention_multiplier ?? 1,
      }),
      write: config => ({
        attention_bias: config.attentionBias === 'qkvo',
        mlp_bias: false,
        embedding_multiplier: config.embeddingScale ?? 1,
        attention_multiplier: config.attentionScale ?? headDimOf(config) ** -0.5,
        residual_multiplier: config.residualScale ?? 1,
        logits_scaling: 1 / (config.logitScale ?? 1),
      }),
    },
  ],
  gguf: {
    name: 'granite',
    activation: 'silu',
    rowsInPairs: true,
    describe(keys) {
      const attentionScale = keys.optional('attention.scale', 0)
      return {
        ...ggufFactors(keys),
        logitScale: 1 / (keys.optional('logit_scale', 0) ?? 1),
        ...(attentionScale === undefined ? {} : { attentionScale }),
      }
    },
    write: config => [
      ['embedding_scale', 'f32', config.embeddingScale ?? 1],
      ['residual_scale', 'f32', config.residualScale ?? 1],
      ['logit_scale', 'f32', 1 / (config.logitScale ?? 1)],
      ['attention.scale', 'f32', config.attentionScale ?? headDimOf(config) ** -0.5],
    ],
  },
}

function ggufFactors(keys: GgufKeys): Differences {
  return factors({
    embeddingScale: keys.optional('embedding_scale', 0),
    residualScale: keys.optional('residual_scale', 0),
  })
}

/** MiniCPM-1B and 2B, ReLU variants (MiniCPM-S) among them. */
export const MINICPM: Architecture = {
  huggingFace: [
    {
      name: 'MiniCPMForCausalLM',
      modelType: 'minicpm',
      reads: ['scale_emb', 'scale_depth', 'dim_model_base'],
      describe: json => ({
        ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
        ...factors({
          embeddingScale: json.scale_emb ?? 1,
          residualScale: json.scale_depth ? json.scale_depth / Math.sqrt(json.num_hidden_layers) : 1,
          logitScale: json.dim_model_base ? json.dim_model_base / json.hidden_size : 1,
        }),
      }),
    },
  ],
  gguf: {
    name: 'minicpm',
    activation: 'silu',
    rowsInPairs: true,
    // Without the keys llama.cpp takes the values of the 2B model.
    describe(keys) {
      const layers = keys.layers
      return factors({
        embeddingScale: keys.decimal('embedding_scale', 12),
        residualScale: keys.decimal('residual_scale', 1.4 / Math.sqrt(layers)),
        logitScale: 1 / keys.decimal('logit_scale', keys.number('embedding_length') / 256),
      })
    },
  },
}

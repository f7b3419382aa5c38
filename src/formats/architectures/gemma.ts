// Gemma 1, 2 and 3 (text): embeddings times √d, RMSNorm times 1 + w, GELU in its tanh form. Gemma 2 and 3 have norms on both sides
// of each branch and layers with a sliding window; Gemma 3 has norms of queries and keys and two bases of rotation.

import { headDimOf, type ModelConfig } from '../../nn/config.js'
import type { Architecture, Differences, GgufForm, HuggingFaceForm } from './architecture.js'
import type { ConfigJson } from './config-json.js'
import type { GgufKeys } from './gguf-keys.js'
import type { FileTensor } from './tensors.js'
import { jsonWindows, windowFields, windowsOf } from './windows.js'

const common = {
  vocab_size: 256_000,
  head_dim: 256,
  max_position_embeddings: 8192,
  hidden_act: 'gelu_pytorch_tanh',
  tie_word_embeddings: true,
}
const aliases = { hidden_activation: 'hidden_act' }
const ACTIVATION = 'gelu:form=tanh'

/** Norms stand in Hugging Face's files as w of 1 + w. */
const tensors =
  () =>
  (name: string): FileTensor => {
    return /norm\.weight$/.test(name) ? { name, plus: 1 } : { name }
  }

function scaled(json: ConfigJson): Differences {
  const {
    query_pre_attn_scalar: scalar,
    final_logit_softcapping: final,
    attn_logit_softcapping: scores,
  } = json
  return {
    embeddingScale: Math.sqrt(json.hidden_size),
    ...(json.attention_bias ? { attentionBias: 'qkvo' as const } : {}),
    ...(scalar ? { attentionScale: scalar ** -0.5 } : {}),
    ...(scores ? { attentionSoftcap: scores } : {}),
    ...(final ? { finalSoftcap: final } : {}),
  }
}

function written(config: ModelConfig): Record<string, unknown> {
  const { attentionScale } = config
  const scalar = attentionScale === undefined ? headDimOf(config) : attentionScale ** -2
  return {
    attention_bias: config.attentionBias === 'qkvo',
    query_pre_attn_scalar: Number(scalar.toPrecision(12)),
    attn_logit_softcapping: config.attentionSoftcap ?? null,
    final_logit_softcapping: config.finalSoftcap ?? null,
    ...windowFields(config),
  }
}

const reads = ['query_pre_attn_scalar', 'attn_logit_softcapping', 'final_logit_softcapping']

const gemma1: HuggingFaceForm = {
  name: 'GemmaForCausalLM',
  modelType: 'gemma',
  aliases,
  defaults: common,
  describe: json => ({
    embeddingScale: Math.sqrt(json.hidden_size),
    // As transformers runs Gemma 1: files say `gelu` and were trained with the tanh form.
    activation: ACTIVATION,
    ...(json.attention_bias ? { attentionBias: 'qkvo' } : {}),
  }),
  write: config => ({ attention_bias: config.attentionBias === 'qkvo' }),
  tensors,
}

const gemma2: HuggingFaceForm = {
  name: 'Gemma2ForCausalLM',
  modelType: 'gemma2',
  aliases,
  defaults: {
    ...common,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
  },
  reads,
  describe: json => ({
    normPlacement: 'both',
    ...scaled(json),
    ...jsonWindows(json, layer => layer % 2 === 0),
  }),
  write: written,
  tensors,
}

const gemma3: HuggingFaceForm = {
  name: 'Gemma3ForCausalLM',
  modelType: 'gemma3_text',
  runs: { localRotation: true },
  aliases,
  defaults: {
    ...common,
    vocab_size: 262_208,
    hidden_size: 2304,
    intermediate_size: 9216,
    num_hidden_layers: 26,
    num_attention_heads: 8,
    num_key_value_heads: 4,
    max_position_embeddings: 131_072,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    rope_theta: 1_000_000,
    rope_local_base_freq: 10_000,
  },
  reads,
  describe(json) {
    const pattern = json.sliding_window_pattern ?? 6
    return {
      normPlacement: 'both',
      qkNorm: 'head',
      ...scaled(json),
      ...jsonWindows(json, layer => (layer + 1) % pattern !== 0),
    }
  },
  write: config => ({ ...written(config), rope_local_base_freq: config.localRopeTheta ?? config.ropeTheta }),
  tensors,
}

/** llama.cpp's scale: of the two largest models d / heads, of the others the width of a head. */
function ggufScale(keys: GgufKeys, largest: number): Differences {
  if (keys.layers !== largest) return {}
  const width = keys.number('embedding_length') / keys.number('attention.head_count')
  return width === keys.number('attention.key_length', width) ? {} : { attentionScale: width ** -0.5 }
}

function ggufWindows(keys: GgufKeys, slides: (layer: number) => boolean): Differences {
  const layers = Array.from({ length: keys.layers }, (_, layer) => slides(layer))
  return windowsOf(keys.number('attention.sliding_window', 0), layers, keys.number('context_length'))
}

const embedded = (keys: GgufKeys) => ({ embeddingScale: Math.sqrt(keys.number('embedding_length')) })

const gguf1: GgufForm = { name: 'gemma', activation: ACTIVATION, describe: embedded, write: () => [] }

const gguf2: GgufForm = {
  name: 'gemma2',
  activation: ACTIVATION,
  describe(keys) {
    const scores = keys.optional('attn_logit_softcapping', 0)
    const final = keys.optional('final_logit_softcapping', 0)
    return {
      ...embedded(keys),
      normPlacement: 'both',
      ...ggufScale(keys, 46),
      ...(scores === undefined ? {} : { attentionSoftcap: scores }),
      ...(final === undefined ? {} : { finalSoftcap: final }),
      ...ggufWindows(keys, layer => layer % 2 === 0),
    }
  },
  write: ({ attentionSoftcap = 0, finalSoftcap = 0, slidingWindow, maxPositionEmbeddings }) => [
    ['attn_logit_softcapping', 'f32', attentionSoftcap],
    ['final_logit_softcapping', 'f32', finalSoftcap],
    ['attention.sliding_window', 'u32', slidingWindow ?? maxPositionEmbeddings],
  ],
}

const gguf3: GgufForm = {
  name: 'gemma3',
  activation: ACTIVATION,
  describe(keys) {
    const final = keys.optional('final_logit_softcapping', 0)
    const local = keys.decimal('rope.freq_base_swa', 10_000)
    return {
      ...embedded(keys),
      normPlacement: 'both',
      qkNorm: 'head',
      ...ggufScale(keys, 62),
      ...(final === undefined ? {} : { finalSoftcap: final }),
      ...ggufWindows(keys, layer => (layer + 1) % 6 !== 0),
      localRopeTheta: local,
    }
  },
  write: ({ finalSoftcap, slidingWindow, maxPositionEmbeddings, localRopeTheta, ropeTheta }) => [
    ['attention.sliding_window', 'u32', slidingWindow ?? maxPositionEmbeddings],
    ['rope.freq_base_swa', 'f32', localRopeTheta ?? ropeTheta],
    ...(finalSoftcap === undefined ? [] : [['final_logit_softcapping', 'f32', finalSoftcap] as const]),
  ],
}

export const GEMMA: Architecture = { huggingFace: [gemma1], gguf: gguf1 }
export const GEMMA2: Architecture = { huggingFace: [gemma2], gguf: gguf2 }
export const GEMMA3: Architecture = { huggingFace: [gemma3], gguf: gguf3 }

// The keys of a GGUF header that describe a forward pass, as llama.cpp names them (llama-arch.cpp, llama-model.cpp), beside
// those that the model's architecture has read: what changes the results and cannot be run is refused by name unless it
// has the value that changes nothing; a key that is not known is reported.

import { headDimOf, type ModelConfig } from '../../nn/config.js'
import type { GgufKeys } from '../architectures/gguf-keys.js'
import { quoted } from '../safetensors.js'
import { valueText } from './metadata-text.js'
import { ggufInvalid } from './parse.js'
import type { MetadataValue } from './types.js'

/** Of our architecture `flicker`, read where they stand in its description. */
const OWN = ['trained_activations']

/** Without effect on the results, or only beside a key that is refused. */
const WITHOUT_EFFECT = [
  'attention.layer_norm_epsilon',
  'attention.layer_norm_rms_epsilon',
  'attention.sliding_window_pattern',
  'expert_used_count',
  'expert_feed_forward_length',
  'pooling_type',
  'rope.scaling.finetuned',
  'rope.scaling.yarn_log_multiplier',
  'rope.scaling.yarn_beta_fast',
  'rope.scaling.yarn_beta_slow',
  'rope.scaling.yarn_attn_factor',
  'tensor_data_layout',
]

/** Keys that change the results, and the values with which they do not. */
const NEUTRAL: Readonly<Record<string, (config: ModelConfig) => readonly (number | boolean)[]>> = {
  'attention.causal': () => [true],
  'attention.clamp_kqv': () => [0],
  'attention.max_alibi_bias': () => [0],
  'attention.output_scale': () => [0, 1],
  'attention.scale': config => [0, Math.fround(1 / Math.sqrt(headDimOf(config)))],
  'attention.temperature_scale': () => [0],
  attn_logit_softcapping: () => [0],
  final_logit_softcapping: () => [0],
  embedding_scale: () => [0, 1],
  logit_scale: () => [0, 1],
  residual_scale: () => [0, 1],
  expert_count: () => [0],
  // 1 is softmax; without experts none of these matters.
  expert_gating_func: ({ experts }) => (experts === undefined ? [0, 1, 2, 3] : [0, 1]),
  expert_weights_norm: ({ experts }) => (experts === undefined ? [true, false] : [experts.normalized]),
  expert_weights_scale: () => [0, 1],
  expert_shared_count: () => [0],
  expert_group_count: () => [0],
  leading_dense_block_count: () => [0],
  nextn_predict_layers: () => [0],
  full_attention_interval: () => [0],
  'rope.freq_base_swa': config => [config.ropeTheta],
  'rope.scaling.attn_factor': () => [0, 1],
  'rope.scaling.yarn_ext_factor': () => [0, -1],
  swin_norm: () => [false],
  use_parallel_residual: () => [false],
}

const KNOWN = new Set([...OWN, ...WITHOUT_EFFECT, ...Object.keys(NEUTRAL)])

/**
 * Throws CheckpointError GGUF_INVALID for a key that would change the results of `config`, was not read and is not supported.
 * Returns what a user should know: keys that are not known.
 */
export function checkModelKeys(keys: GgufKeys, config: ModelConfig): string[] {
  const { file, metadata, architecture, read } = keys
  const prefix = `${architecture}.`
  const unknown: string[] = []
  for (const [key, value] of metadata) {
    if (!key.startsWith(prefix)) continue
    const name = key.slice(prefix.length)
    if (read.has(name)) continue
    const neutral = NEUTRAL[name]?.(config)
    if (neutral !== undefined && !elementsOf(value).every(element => neutral.includes(element as number))) {
      throw ggufInvalid(
        file,
        `${key} is ${valueText(value)}, which would change the results and is not supported; supported: ` +
          neutral.join(' or '),
      )
    }
    if (!KNOWN.has(name)) unknown.push(key)
  }
  if (unknown.length === 0) return []
  const more = unknown.length > 5 ? ` and ${unknown.length - 5} more` : ''
  return [
    `keys that are not known here are ignored: ${unknown.slice(0, 5).map(quoted).join(', ')}${more}; ` +
      'if they change the forward pass, the results are not those of the model',
  ]
}

function elementsOf(value: MetadataValue): ArrayLike<unknown> & unknown[] {
  return typeof value === 'object' ? Array.from(value as ArrayLike<unknown>) : [value]
}

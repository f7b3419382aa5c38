// config.json of a Hugging Face directory to and from ModelConfig.
//
// Who reads it with `transformers` must never get another model than was trained. So:
// - a gated FFN with silu or relu is an ordinary LlamaForCausalLM;
// - a stochastic activation becomes `hidden_act: "relu"`: `transformers` cannot draw, and ReLU is what the paper
//   runs at inference after StochA (and equals StochA on x >= 0). The exact activation, which Flicker runs, stands
//   under `flicker.activation`;
// - what `transformers` has no name for (a plain FFN, any other activation) says `FlickerForCausalLM`, which it
//   refuses to load.

import path from 'node:path'
import { z } from 'zod'
import { parseActivation } from '../activations/catalogue.js'
import { CheckpointError, FlickerError } from '../errors.js'
import type { ModelConfig } from '../nn/config.js'
import { modelConfigProblem } from '../nn/validate-config.js'
import { readJsonFile } from './json.js'
import { quoted, type WeightDtype } from './safetensors.js'

/** Version of what stands under `flicker`; raised when an older reader would misunderstand it. */
const FLICKER_VERSION = 1

const ARCHITECTURES = { llama: 'LlamaForCausalLM', flicker: 'FlickerForCausalLM' } as const
const TORCH_DTYPES = { f32: 'float32', bf16: 'bfloat16', f16: 'float16' } as const

const architectureSchema = z.object({
  architectures: z.array(z.string()).nullish(),
  model_type: z.string().optional(),
})

const ropeSchema = z.object({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().optional(),
})

const size = z.int().positive()

/** Defaults are those of transformers' LlamaConfig. */
const configSchema = z.object({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: size,
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size.default(2048),
  hidden_act: z.string().default('silu'),
  rms_norm_eps: z.number().default(1e-6),
  rope_theta: z.number().nullish(),
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  flicker: z
    .looseObject({
      version: z.int(),
      activation: z.string(),
      ffn: z.enum(['gated', 'plain']),
    })
    .optional(),
})

/** The object that config.json holds. `flicker` is added to our own fields under that key. */
export function configToJson(
  config: ModelConfig,
  options: { dtype: WeightDtype; endOfText: number | null; flicker?: Record<string, unknown> },
): Record<string, unknown> {
  const problem = modelConfigProblem(config)
  if (problem !== null) throw new CheckpointError('CONFIG_INVALID', `this model cannot be saved: ${problem}`)
  const { hiddenAct, knownToTransformers } = hiddenActOf(config.activation)
  const modelType = knownToTransformers && config.ffn === 'gated' ? 'llama' : 'flicker'
  return {
    architectures: [ARCHITECTURES[modelType]],
    model_type: modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: config.hiddenSize / config.numAttentionHeads,
    hidden_act: hiddenAct,
    max_position_embeddings: config.maxPositionEmbeddings,
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    rope_scaling: null,
    attention_bias: false,
    attention_dropout: 0,
    mlp_bias: false,
    tie_word_embeddings: config.tieWordEmbeddings,
    initializer_range: 0.02,
    use_cache: true,
    bos_token_id: options.endOfText,
    eos_token_id: options.endOfText,
    pad_token_id: null,
    torch_dtype: TORCH_DTYPES[options.dtype],
    flicker: {
      ...options.flicker,
      version: FLICKER_VERSION,
      activation: config.activation,
      ffn: config.ffn,
    },
  }
}

/**
 * The model that `directory`/config.json describes, and what stands under `flicker` there. Throws CheckpointError:
 * CHECKPOINT_FILE_MISSING, ARCHITECTURE_UNSUPPORTED, ACTIVATION_UNSUPPORTED, CHECKPOINT_VERSION, CONFIG_INVALID.
 */
export function readConfig(directory: string): { config: ModelConfig; flicker: Record<string, unknown> } {
  const file = path.join(directory, 'config.json')
  const invalid = (message: string) => new CheckpointError('CONFIG_INVALID', `${file}: ${message}`)

  // The architecture first: another model's config would fail on its fields, and hide the reason.
  const { architectures, model_type } = readJsonFile(file, architectureSchema, 'CONFIG_INVALID')
  const architecture = architectures?.[0] ?? (model_type === 'llama' ? ARCHITECTURES.llama : undefined)
  const modelType = architecture === ARCHITECTURES.flicker ? 'flicker' : 'llama'
  if (architecture !== ARCHITECTURES[modelType] || (model_type ?? modelType) !== modelType) {
    throw new CheckpointError(
      'ARCHITECTURE_UNSUPPORTED',
      `${file}: architecture ${quoted(architecture ?? 'none')} with model_type ${quoted(model_type ?? 'none')} ` +
        `is not supported; supported: ${Object.values(ARCHITECTURES).join(', ')}`,
    )
  }

  const json = readJsonFile(file, configSchema, 'CONFIG_INVALID')
  if (json.flicker !== undefined && json.flicker.version !== FLICKER_VERSION) {
    throw new CheckpointError(
      'CHECKPOINT_VERSION',
      `${file}: flicker.version is ${json.flicker.version}, this Flicker reads ${FLICKER_VERSION}; update Flicker`,
    )
  }
  if (modelType === 'flicker' && json.flicker === undefined) {
    throw invalid('flicker: missing, and FlickerForCausalLM needs its activation and ffn')
  }
  for (const field of ['attention_bias', 'mlp_bias'] as const) {
    if (json[field]) throw invalid(`${field}: true is not supported; Flicker's projections have no biases`)
  }
  const ropeType = [json.rope_scaling, json.rope_parameters]
    .map(rope => rope?.rope_type ?? rope?.type ?? 'default')
    .find(type => type !== 'default')
  if (ropeType !== undefined) {
    throw invalid(`rope_scaling: rope_type ${quoted(ropeType)} is not supported; supported: default`)
  }
  const headDim = json.hidden_size / json.num_attention_heads
  if (json.head_dim !== null && json.head_dim !== undefined && json.head_dim !== headDim) {
    throw invalid(
      `head_dim: ${json.head_dim} is not supported; it must be hidden_size / num_attention_heads = ${headDim}`,
    )
  }

  const config: ModelConfig = {
    vocabSize: json.vocab_size,
    hiddenSize: json.hidden_size,
    intermediateSize: json.intermediate_size,
    numHiddenLayers: json.num_hidden_layers,
    numAttentionHeads: json.num_attention_heads,
    numKeyValueHeads: json.num_key_value_heads ?? json.num_attention_heads,
    maxPositionEmbeddings: json.max_position_embeddings,
    rmsNormEps: json.rms_norm_eps,
    ropeTheta: json.rope_theta ?? json.rope_parameters?.rope_theta ?? 10_000,
    tieWordEmbeddings: json.tie_word_embeddings,
    ffn: json.flicker?.ffn ?? 'gated',
    activation: activationOf(json.hidden_act, json.flicker?.activation, file),
  }
  if (modelType === 'llama' && config.ffn === 'plain') {
    throw invalid('flicker.ffn: "plain" contradicts LlamaForCausalLM, whose FFN is gated')
  }
  const problem = modelConfigProblem(config)
  if (problem !== null) throw invalid(snakeCase(problem))
  return { config, flicker: json.flicker ?? {} }
}

/** Field names as config.json has them: `hiddenSize` to `hidden_size`. */
function snakeCase(message: string): string {
  return message.replace(
    /([a-z])([A-Z])/g,
    (_, before: string, after: string) => `${before}_${after.toLowerCase()}`,
  )
}

/** What `hidden_act` says for an activation, and whether `transformers` then runs a model it should run. */
function hiddenActOf(spec: string): { hiddenAct: string; knownToTransformers: boolean } {
  const { name, draws } = parseActivation(spec)
  if (draws) return { hiddenAct: 'relu', knownToTransformers: true }
  return { hiddenAct: name, knownToTransformers: name === 'silu' || name === 'relu' }
}

/** The activation to run: ours when config.json has it, which must not contradict `hidden_act`. */
function activationOf(hiddenAct: string, ours: string | undefined, file: string): string {
  const theirs = hiddenAct === 'swish' ? 'silu' : hiddenAct
  if (ours === undefined) {
    if (theirs === 'silu' || theirs === 'relu') return theirs
    throw new CheckpointError(
      'ACTIVATION_UNSUPPORTED',
      `${file}: hidden_act ${quoted(hiddenAct)} is not supported; supported: silu, relu`,
    )
  }
  let expected: string
  try {
    expected = hiddenActOf(ours).hiddenAct
  } catch (cause) {
    if (!(cause instanceof FlickerError)) throw cause
    const message = `${file}: flicker.activation: ${cause.message}`
    throw new CheckpointError('ACTIVATION_UNSUPPORTED', message, { cause })
  }
  if (theirs !== expected) {
    throw new CheckpointError(
      'CONFIG_INVALID',
      `${file}: hidden_act ${quoted(hiddenAct)} contradicts flicker.activation ${quoted(ours)}; ` +
        `set it to "${expected}", or change flicker.activation`,
    )
  }
  return ours
}

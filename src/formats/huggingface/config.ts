// config.json of a Hugging Face directory to and from ModelConfig.
//
// Who reads it with `transformers` must never get another model than was trained. So:
// - a gated FFN whose activation transformers knows is an ordinary LlamaForCausalLM, with biases on q, k and v an
//   ordinary Qwen2ForCausalLM;
// - a stochastic activation becomes `hidden_act: "relu"`: `transformers` cannot draw, and ReLU is what the paper
//   runs at inference after StochA (and equals StochA on x >= 0). The exact activation, which Flicker runs, stands
//   under `flicker.activation`;
// - what `transformers` has no name for (another form of FFN, any other activation) says `FlickerForCausalLM`, which
//   it refuses to load.

import { z } from 'zod'
import { CheckpointError, FlickerError } from '../../errors.js'
import {
  FFN_FORMS,
  ffnWidths,
  headDimOf,
  type ModelConfig,
  modelConfigProblem,
  sparkSplit,
} from '../../nn/config.js'
import { fitting } from '../json.js'
import { contextWithin } from '../model-source.js'
import { ropeFields, ropeOf, ropeScalingJson } from '../rope.js'
import { quoted } from '../safetensors.js'
import { type WeightDtype, WRITTEN_TYPES } from '../stored.js'
import {
  type Architecture,
  FLICKER,
  findArchitecture,
  LLAMA,
  QWEN2,
  supportedArchitectures,
} from './architectures.js'
import { activationOfHiddenAct, hiddenActOf, sameHiddenAct } from './hidden-act.js'
import { type Float8Weights, quantizationOf, quantizationSchema } from './quantization.js'
import { ROTARY_TABLES } from './shards.js'

/** Version of what stands under `flicker`; raised when an older reader would misunderstand it. */
const FLICKER_VERSION = 1

const architectureSchema = z.object({
  architectures: z.array(z.string()).nullish(),
  model_type: z.string().optional(),
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
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().default(false),
  hidden_act: z.string().default('silu'),
  hidden_act_param: z.number().nullish(),
  rms_norm_eps: z.number().default(1e-6),
  ...ropeFields,
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  layer_types: z.array(z.string()).nullish(),
  quantization_config: quantizationSchema,
  // SparseLM.
  sparsity_gated_mlp: z.boolean().default(true),
  sparsity_new_intermediate_size: size.nullish(),
  flicker: z
    .looseObject({
      version: z.int(),
      activation: z.string(),
      ffn: z.enum(FFN_FORMS),
      spark_predictor_width: size.optional(),
      attention_bias: z.enum(['qkv', 'qkvo']).optional(),
      trained_activations: z.array(z.string()).optional(),
    })
    .optional(),
})
type ConfigJson = z.infer<typeof configSchema>

/**
 * Fields that change the forward pass of models built on Llama's block and that are not read, with the values that
 * change nothing. Sources: the configuration classes of transformers and of models that kept Llama's names.
 */
const NEUTRAL_FIELDS: Readonly<Record<string, readonly unknown[]>> = {
  mlp_bias: [false],
  rope_interleaved: [false],
  attention_out_bias: [false],
  qk_norm: [false],
  use_qk_norm: [false],
  qk_layernorm: [false],
  clip_qkv: [],
  alibi: [false],
  is_causal: [true],
  use_bidirectional_attention: [false],
  parallel_attn: [false],
  no_rope_layers: [],
  no_rope_layer_interval: [],
  attn_logit_softcapping: [0],
  final_logit_softcapping: [0],
  logit_scale: [1],
  logits_scaling: [1],
  embedding_multiplier: [1],
  residual_multiplier: [1],
  attention_multiplier: [],
  scale_emb: [1],
  scale_depth: [],
  num_experts: [0],
  num_local_experts: [0],
  n_routed_experts: [0],
}

/** The first field that asks for what is not supported, with its value; null when there is none. */
function unsupportedField(json: Record<string, unknown>): string | null {
  for (const [field, neutral] of Object.entries(NEUTRAL_FIELDS)) {
    const value = Object.hasOwn(json, field) ? json[field] : null
    if (value === null || neutral.includes(value)) continue
    const supported = neutral.length === 0 ? 'none' : neutral.join(' or ')
    return `${field}: ${quoted(JSON.stringify(value))} would change the results and is not supported; supported: ${supported}`
  }
  const layers = Array.isArray(json.layer_types) ? json.layer_types : []
  const other = layers.find(type => type !== 'full_attention' && type !== 'sliding_attention')
  return other === undefined ? null : `layer_types: ${quoted(JSON.stringify(other))} is not supported`
}

/** The object that config.json holds. `flicker` is added to our own fields under that key. */
export function configToJson(
  config: ModelConfig,
  options: {
    dtype: WeightDtype
    bos: number | null
    eos: number | number[] | null
    flicker?: Record<string, unknown>
  },
): Record<string, unknown> {
  const problem = modelConfigProblem(config)
  if (problem !== null) throw new CheckpointError('CONFIG_INVALID', `this model cannot be saved: ${problem}`)
  const { hiddenAct, parameter, knownToTransformers } = hiddenActOf(config.activation)
  const ordinary = knownToTransformers && config.ffn === 'gated' && config.ropeScaling?.type !== 'factors'
  const architecture = !ordinary ? FLICKER : config.attentionBias === 'qkv' ? QWEN2 : LLAMA
  return {
    architectures: [architecture.name],
    model_type: architecture.modelType,
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.numHiddenLayers,
    num_attention_heads: config.numAttentionHeads,
    num_key_value_heads: config.numKeyValueHeads,
    head_dim: headDimOf(config),
    hidden_act: hiddenAct,
    ...(parameter === undefined ? {} : { hidden_act_param: parameter }),
    max_position_embeddings: config.maxPositionEmbeddings,
    rms_norm_eps: config.rmsNormEps,
    rope_theta: config.ropeTheta,
    rope_scaling: ropeScalingJson(config),
    attention_bias: config.attentionBias === 'qkvo',
    attention_dropout: 0,
    mlp_bias: false,
    tie_word_embeddings: config.tieWordEmbeddings,
    initializer_range: 0.02,
    use_cache: true,
    bos_token_id: options.bos,
    eos_token_id: options.eos,
    pad_token_id: null,
    torch_dtype: WRITTEN_TYPES[options.dtype].torch,
    flicker: {
      ...options.flicker,
      version: FLICKER_VERSION,
      activation: config.activation,
      ffn: config.ffn,
      ...(config.ffn === 'spark' ? { spark_predictor_width: ffnWidths(config).gate } : {}),
      ...(config.attentionBias === undefined ? {} : { attention_bias: config.attentionBias }),
      ...(config.trainedActivations === undefined ? {} : { trained_activations: config.trainedActivations }),
    },
  }
}

/** What config.json says. */
export interface DescribedModel {
  readonly config: ModelConfig
  /** What stands under `flicker`; empty for a checkpoint that Flicker did not write. */
  readonly flicker: Record<string, unknown>
  /** What a user should know about how it was understood. */
  readonly notes: readonly string[]
  /** Null for plain weights. */
  readonly quantization: Float8Weights | null
  /** Whether a tensor may stand beside the model's own. */
  readonly ignored: (tensor: string) => boolean
}

/**
 * The model that a config.json describes. content: what it holds; file: its path, for messages. Throws
 * CheckpointError: ARCHITECTURE_UNSUPPORTED, ACTIVATION_UNSUPPORTED, CHECKPOINT_VERSION, CONFIG_INVALID.
 */
export function describedModel(content: unknown, file: string): DescribedModel {
  const invalid = (message: string) => new CheckpointError('CONFIG_INVALID', `${file}: ${message}`)

  // The architecture first: another model's config would fail on its fields, and hide the reason.
  const { architectures, model_type } = fitting(content, architectureSchema, 'CONFIG_INVALID', file)
  const architecture = findArchitecture(architectures?.[0], model_type)
  if (architecture === undefined) {
    throw new CheckpointError(
      'ARCHITECTURE_UNSUPPORTED',
      `${file}: architecture ${quoted(architectures?.[0] ?? 'none')} with model_type ${quoted(model_type ?? 'none')} ` +
        `is not supported; supported: ${supportedArchitectures()}`,
    )
  }

  const json = fitting(content, configSchema, 'CONFIG_INVALID', file)
  if (json.flicker !== undefined && json.flicker.version !== FLICKER_VERSION) {
    throw new CheckpointError(
      'CHECKPOINT_VERSION',
      `${file}: flicker.version is ${json.flicker.version}, this Flicker reads ${FLICKER_VERSION}; update Flicker`,
    )
  }
  if (architecture === FLICKER && json.flicker === undefined) {
    throw invalid('flicker: missing, and FlickerForCausalLM needs its activation and ffn')
  }
  const unsupported = unsupportedField(Object(content))
  if (unsupported !== null) throw invalid(unsupported)
  const quantization = quantizationOf(json.quantization_config)
  if (quantization !== null && 'problem' in quantization) throw invalid(quantization.problem)
  const rope = ropeOf(json)
  if ('problem' in rope) throw invalid(rope.problem)
  const ffn = ffnOf(architecture, json)
  if (json.flicker !== undefined && architecture !== FLICKER && json.flicker.ffn !== ffn) {
    throw invalid(
      `flicker.ffn: ${quoted(json.flicker.ffn)} contradicts ${architecture.name}, whose FFN is ${ffn}`,
    )
  }
  const { maxPositionEmbeddings, notes } = contextWithin(
    slidingWindow(architecture, json),
    json.max_position_embeddings,
  )
  const attentionBias = attentionBiasOf(architecture, json)
  const trained = json.flicker?.trained_activations
  const ownHeadDim = json.head_dim ?? json.hidden_size / json.num_attention_heads

  const config: ModelConfig = {
    vocabSize: json.vocab_size,
    hiddenSize: json.hidden_size,
    intermediateSize: json.sparsity_new_intermediate_size ?? json.intermediate_size,
    numHiddenLayers: json.num_hidden_layers,
    numAttentionHeads: json.num_attention_heads,
    numKeyValueHeads: json.num_key_value_heads ?? json.num_attention_heads,
    ...(ownHeadDim === json.hidden_size / json.num_attention_heads ? {} : { headDim: ownHeadDim }),
    ...(attentionBias === undefined ? {} : { attentionBias }),
    maxPositionEmbeddings,
    rmsNormEps: json.rms_norm_eps,
    ropeTheta: rope.theta,
    ...(rope.scaling === undefined ? {} : { ropeScaling: rope.scaling }),
    tieWordEmbeddings: json.tie_word_embeddings,
    ffn,
    ...sparkSplit(ffn, json.hidden_size, json.flicker?.spark_predictor_width),
    activation: architecture.ffn === 'sparselm' ? 'relu' : activationOf(json, file),
    ...(trained === undefined ? {} : { trainedActivations: trained }),
  }
  const problem = modelConfigProblem(config)
  if (problem !== null) throw invalid(snakeCase(problem))
  return {
    config,
    flicker: json.flicker ?? {},
    notes,
    quantization,
    ignored: tensor =>
      ROTARY_TABLES.test(tensor) ||
      (config.tieWordEmbeddings && tensor === 'lm_head.weight') ||
      architecture.ignored?.test(tensor) === true,
  }
}

function ffnOf(architecture: Architecture, json: ConfigJson): ModelConfig['ffn'] {
  if (architecture === FLICKER) return json.flicker?.ffn ?? 'gated'
  if (architecture.ffn === 'sparselm') return json.sparsity_gated_mlp ? 'gated' : 'plain'
  return architecture.ffn
}

function attentionBiasOf(architecture: Architecture, json: ConfigJson): ModelConfig['attentionBias'] {
  if (architecture === FLICKER) return json.flicker?.attention_bias
  if (architecture.attentionBias === 'qkv') return 'qkv'
  return architecture.attentionBias === 'config' && json.attention_bias ? 'qkvo' : undefined
}

/** The window of tokens that attention sees; 0 for all. `layer_types` says it of newer models. */
function slidingWindow({ slidingWindow }: Architecture, json: ConfigJson): number {
  const isSwitched = json.use_sliding_window || json.layer_types?.includes('sliding_attention') === true
  const applies = slidingWindow === 'given' || (slidingWindow === 'switched' && isSwitched)
  return applies ? (json.sliding_window ?? 0) : 0
}

/** Field names as config.json has them: `hiddenSize` to `hidden_size`. */
function snakeCase(message: string): string {
  return message.replace(
    /([a-z])([A-Z])/g,
    (_, before: string, after: string) => `${before}_${after.toLowerCase()}`,
  )
}

/** The activation to run: ours when config.json has it, which must not contradict `hidden_act`. */
function activationOf(json: ConfigJson, file: string): string {
  const { hidden_act: hiddenAct, hidden_act_param: parameter } = json
  const ours = json.flicker?.activation
  if (ours === undefined) {
    const found = activationOfHiddenAct(hiddenAct, parameter)
    if ('spec' in found) return found.spec
    throw new CheckpointError(
      'ACTIVATION_UNSUPPORTED',
      `${file}: hidden_act ${quoted(hiddenAct)} ${found.problem}`,
    )
  }
  let expected: ReturnType<typeof hiddenActOf>
  try {
    expected = hiddenActOf(ours)
  } catch (cause) {
    if (!(cause instanceof FlickerError)) throw cause
    const message = `${file}: flicker.activation: ${cause.message}`
    throw new CheckpointError('ACTIVATION_UNSUPPORTED', message, { cause })
  }
  const same =
    sameHiddenAct(hiddenAct, expected.hiddenAct) &&
    (expected.parameter === undefined || parameter === expected.parameter)
  if (!same) {
    const theirs = parameter === null || parameter === undefined ? '' : ` with hidden_act_param ${parameter}`
    const wanted = expected.parameter === undefined ? '' : ` and hidden_act_param to ${expected.parameter}`
    throw new CheckpointError(
      'CONFIG_INVALID',
      `${file}: hidden_act ${quoted(hiddenAct)}${theirs} contradicts flicker.activation ${quoted(ours)}; ` +
        `set it to "${expected.hiddenAct}"${wanted}, or change flicker.activation`,
    )
  }
  return ours
}

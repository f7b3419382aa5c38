// config.json of a Hugging Face directory to and from ModelConfig.
//
// Who reads it with `transformers` must never get another model than was trained. So:
// - a model that an architecture of transformers describes, with an activation that transformers knows, is written under
//   that architecture: the first whose description, read again, is this very model;
// - a stochastic activation becomes `hidden_act: "relu"`: `transformers` cannot draw, and ReLU is what the paper
//   runs at inference after StochA (and equals StochA on x >= 0). The exact activation, which Flicker runs, stands
//   under `flicker.activation`;
// - what `transformers` has no name for (another form of block, any other activation) says `FlickerForCausalLM`, which
//   it refuses to load, and is described under `flicker`.

import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { CheckpointError, FlickerError } from '../../errors.js'
import { ffnWidths, headDimOf, type ModelConfig, modelConfigProblem, sparkSplit } from '../../nn/config.js'
import type { HuggingFaceForm } from '../architectures/architecture.js'
import { type ConfigJson, configSchema } from '../architectures/config-json.js'
import { HUGGING_FACE_FORMS, refusalOf } from '../architectures/index.js'
import { headRows, isRotated, layerName, projectionRows, type TensorMap } from '../architectures/tensors.js'
import { blockFields, describedBlock, normalConfig } from '../block-fields.js'
import { fitting } from '../json.js'
import { type Rope, ropeOf, ropeScalingJson } from '../rope.js'
import { quoted } from '../safetensors.js'
import { type WeightDtype, WRITTEN_TYPES } from '../stored.js'
import { activationOfHiddenAct, hiddenActOf, sameHiddenAct } from './hidden-act.js'
import { type Float8Weights, quantizationOf } from './quantization.js'
import { ROTARY_TABLES } from './shards.js'
import { unsupportedField } from './unsupported-fields.js'

/** What transformers has no name for, described under `flicker` in config.json; transformers refuses to load it. */
const FLICKER: HuggingFaceForm = {
  name: 'FlickerForCausalLM',
  modelType: 'flicker',
  runs: { partialRotation: true, localRotation: true },
  describe: () => ({}),
  write: config => ({ attention_bias: config.attentionBias === 'qkvo', mlp_bias: false }),
}
const FORMS: readonly HuggingFaceForm[] = [...HUGGING_FACE_FORMS, FLICKER]

/** The form of these names; a missing name goes by the other, undefined when the two name none together. */
function findForm(name: string | undefined, modelType: string | undefined): HuggingFaceForm | undefined {
  if (name === undefined && modelType === undefined) return undefined
  return FORMS.find(
    known =>
      known.name === (name ?? known.name) &&
      known.modelType === (modelType ?? FORMS.find(first => first.name === name)?.modelType),
  )
}

/** Version of what stands under `flicker`; raised when an older reader would misunderstand it. */
const FLICKER_VERSION = 1

const architectureSchema = z.object({
  architectures: z.array(z.string()).nullish(),
  model_type: z.string().optional(),
})

/** The object that config.json holds, and where its tensors are. `flicker` is added to our own fields under that key. */
export function configToJson(
  config: ModelConfig,
  options: {
    dtype: WeightDtype
    bos: number | null
    eos: number | number[] | null
    flicker?: Record<string, unknown>
  },
): { readonly json: Record<string, unknown>; readonly tensors: TensorMap } {
  const problem = modelConfigProblem(config)
  if (problem !== null) throw new CheckpointError('CONFIG_INVALID', `this model cannot be saved: ${problem}`)
  const form = formFor(config)
  return { json: jsonOf(form, config, options), tensors: tensorMap(form, config) }
}

/** The first form that describes this very model, and that transformers runs with its activation; else our own. */
function formFor(config: ModelConfig): HuggingFaceForm {
  const { knownToTransformers } = hiddenActOf(config.activation)
  if (!knownToTransformers || config.ropeScaling?.type === 'factors') return FLICKER
  const wanted = normalConfig({ ...config, activation: '', trainedActivations: undefined })
  const options = { dtype: 'f32', bos: null, eos: null } as const
  const found = HUGGING_FACE_FORMS.find(form => {
    if (form.write === undefined || !runs(form, config)) return false
    const json = jsonOf(form, config, options)
    const read = readForm(form, json, 'config.json')
    if ('problem' in read) return false
    return isDeepStrictEqual(
      normalConfig({ ...read.config, activation: '', trainedActivations: undefined }),
      wanted,
    )
  })
  return found ?? FLICKER
}

/** Whether transformers runs what this architecture's config.json can say but its code may not do. */
function runs({ runs = {} }: HuggingFaceForm, config: ModelConfig): boolean {
  const { rotaryDim, localRopeTheta, numKeyValueHeads, numAttentionHeads, hiddenSize } = config
  return (
    (rotaryDim === undefined || runs.partialRotation === true) &&
    (localRopeTheta === undefined || runs.localRotation === true) &&
    (headDimOf(config) === hiddenSize / numAttentionHeads || runs.ownHeadDim !== false) &&
    (numKeyValueHeads === numAttentionHeads || runs.groupedHeads !== false)
  )
}

function jsonOf(
  form: HuggingFaceForm,
  config: ModelConfig,
  options: Parameters<typeof configToJson>[1],
): Record<string, unknown> {
  const { hiddenAct, parameter } = hiddenActOf(config.activation)
  const { rotaryDim } = config
  const usual: Record<string, unknown> = {
    architectures: [form.name],
    model_type: form.modelType,
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
    ...(config.learnedPositions === undefined
      ? { rope_theta: config.ropeTheta, rope_scaling: ropeScalingJson(config) }
      : {}),
    ...(rotaryDim === undefined ? {} : { partial_rotary_factor: rotaryDim / headDimOf(config) }),
    attention_dropout: 0,
    tie_word_embeddings: config.tieWordEmbeddings,
    initializer_range: 0.02,
    use_cache: true,
    bos_token_id: options.bos,
    eos_token_id: options.eos,
    pad_token_id: null,
    torch_dtype: WRITTEN_TYPES[options.dtype].torch,
    ...form.write?.(config),
    flicker: {
      ...options.flicker,
      version: FLICKER_VERSION,
      activation: config.activation,
      ffn: config.ffn,
      ...(config.ffn === 'spark' ? { spark_predictor_width: ffnWidths(config).gate } : {}),
      ...(config.attentionBias === undefined ? {} : { attention_bias: config.attentionBias }),
      ...(config.trainedActivations === undefined ? {} : { trained_activations: config.trainedActivations }),
      ...(form === FLICKER ? blockFields(config) : {}),
    },
  }
  for (const [theirs, ours] of Object.entries(form.aliases ?? {})) {
    if (usual[ours] !== undefined) usual[theirs] = usual[ours]
  }
  return usual
}

/** Where parameters are; the rows of partly rotated heads are in the order of Hugging Face. */
function tensorMap(form: HuggingFaceForm, config: ModelConfig): TensorMap {
  if (form.tensors !== undefined) return form.tensors(config)
  const { q, kv } = projectionRows(config)
  return name => {
    const of = layerName(name)
    if (form === FLICKER || config.rotaryDim === undefined || of === null || !isRotated(of.part))
      return { name }
    return { name, rows: headRows(config, 'halves', of.part === 'self_attn.q_proj' ? q : kv) }
  }
}

/** What config.json says. */
export interface DescribedModel {
  readonly config: ModelConfig
  /** What stands under `flicker`; empty for a checkpoint that Flicker did not write. */
  readonly flicker: Record<string, unknown>
  /** Where the model's parameters are. */
  readonly tensors: TensorMap
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
  const form = findForm(architectures?.[0], model_type)
  if (form === undefined) {
    const refusal = refusalOf(model_type ?? '') || refusalOf(architectures?.[0] ?? '')
    throw new CheckpointError(
      'ARCHITECTURE_UNSUPPORTED',
      `${file}: architecture ${quoted(architectures?.[0] ?? 'none')} with model_type ${quoted(model_type ?? 'none')} ` +
        `is not supported${refusal}; supported: ${FORMS.map(({ name, modelType }) => `${name} (${modelType})`).join(', ')}`,
    )
  }
  const read = readForm(form, content, file)
  if ('problem' in read) throw invalid(read.problem)
  const { config, json, quantization } = read
  const problem = modelConfigProblem(config)
  if (problem !== null) throw invalid(snakeCase(problem))
  return {
    config,
    flicker: json.flicker ?? {},
    tensors: tensorMap(form, config),
    quantization,
    ignored: tensor =>
      ROTARY_TABLES.test(tensor) ||
      (config.tieWordEmbeddings && /^(lm_head|embed_out)\.weight$/.test(tensor)) ||
      form.ignored?.test(tensor) === true,
  }
}

interface ReadForm {
  readonly config: ModelConfig
  readonly json: ConfigJson
  readonly quantization: Float8Weights | null
}

/** Throws CheckpointError for fields that are not what they should be; `problem` says what is not supported. */
function readForm(
  form: HuggingFaceForm,
  content: unknown,
  file: string,
): ReadForm | { readonly problem: string } {
  const json = fitting(withUsualNames(form, content), configSchema, 'CONFIG_INVALID', file)
  if (json.flicker !== undefined && json.flicker.version !== FLICKER_VERSION) {
    throw new CheckpointError(
      'CHECKPOINT_VERSION',
      `${file}: flicker.version is ${json.flicker.version}, this Flicker reads ${FLICKER_VERSION}; update Flicker`,
    )
  }
  if (form === FLICKER && json.flicker === undefined) {
    return { problem: 'flicker: missing, and FlickerForCausalLM needs its activation and ffn' }
  }
  const unsupported = unsupportedField(Object(content), form.reads)
  if (unsupported !== null) return { problem: unsupported }
  const quantization = quantizationOf(json.quantization_config)
  if (quantization !== null && 'problem' in quantization) return quantization
  const rope = ropeOf(json)
  if ('problem' in rope) return rope
  const unable = rotationProblem(form, rope)
  if (unable !== null) return { problem: unable }
  const differences = form === FLICKER ? describedBlock(json.flicker?.block) : form.describe(json)
  if ('problem' in differences) return differences
  const ffn = form === FLICKER ? (json.flicker?.ffn ?? 'gated') : (differences.ffn ?? 'gated')
  if (json.flicker !== undefined && form !== FLICKER && json.flicker.ffn !== ffn) {
    return {
      problem: `flicker.ffn: ${quoted(json.flicker.ffn)} contradicts ${form.name}, whose FFN is ${ffn}`,
    }
  }
  const trained = json.flicker?.trained_activations
  const usualHeadDim = json.hidden_size / json.num_attention_heads
  const headDim = json.head_dim ?? usualHeadDim
  const rotaryDim = Math.trunc(headDim * rope.fraction)
  const config: ModelConfig = {
    vocabSize: json.vocab_size,
    hiddenSize: json.hidden_size,
    intermediateSize: json.intermediate_size,
    numHiddenLayers: json.num_hidden_layers,
    numAttentionHeads: json.num_attention_heads,
    numKeyValueHeads: json.num_key_value_heads ?? json.num_attention_heads,
    ...(headDim === usualHeadDim ? {} : { headDim }),
    maxPositionEmbeddings: json.max_position_embeddings,
    rmsNormEps: json.rms_norm_eps,
    ropeTheta: rope.theta,
    ...(rope.scaling === undefined ? {} : { ropeScaling: rope.scaling }),
    ...(rotaryDim === headDim ? {} : { rotaryDim }),
    ...(rope.localTheta === undefined ? {} : { localRopeTheta: rope.localTheta }),
    tieWordEmbeddings: json.tie_word_embeddings,
    activation: differences.activation ?? activationOf(json, file),
    ...differences,
    ffn,
    ...(form === FLICKER ? { attentionBias: json.flicker?.attention_bias } : {}),
    ...sparkSplit(ffn, json.hidden_size, json.flicker?.spark_predictor_width),
    ...(trained === undefined ? {} : { trainedActivations: trained }),
  }
  return { config: normalConfig(config), json, quantization }
}

/** What of a rotation this architecture's code in transformers does not do. */
function rotationProblem(
  { runs = {}, name }: HuggingFaceForm,
  { fraction, localTheta }: Rope,
): string | null {
  if (fraction !== 1 && runs.partialRotation !== true) {
    return `partial_rotary_factor ${fraction} is not supported for ${name}; supported: 1`
  }
  if (localTheta === undefined || runs.localRotation === true) return null
  return `rope_parameters describe different rotations, which is not supported for ${name}; only one for all layers is`
}

/** The fields under Llama's names, with the defaults of the architecture. */
function withUsualNames(form: HuggingFaceForm, content: unknown): unknown {
  if (typeof content !== 'object' || content === null) return content
  const named: Record<string, unknown> = { ...content }
  for (const [theirs, ours] of Object.entries(form.aliases ?? {})) {
    if (named[theirs] !== undefined && named[theirs] !== null && named[ours] === undefined) {
      named[ours] = named[theirs]
    }
  }
  // A plain FFN is four times as wide where its width is not given.
  const width = Number(named.hidden_size)
  if (named.intermediate_size == null && form.aliases !== undefined) named.intermediate_size = 4 * width
  return { ...form.defaults, ...named }
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

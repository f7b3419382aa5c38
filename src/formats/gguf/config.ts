// ModelConfig to and from GGUF's metadata.
//
// llama.cpp runs what `general.architecture` names with the activation that it has for it, and takes no notice of ours. So
// a model is written under the first architecture whose description, read again, is this very model, activation included;
// any other is of the architecture `flicker`, which llama.cpp refuses, with its activation, its form of FFN and the
// description of its block under keys of their own.

import { isDeepStrictEqual } from 'node:util'
import { parseActivation } from '../../activations/index.js'
import { CheckpointError, FlickerError } from '../../errors.js'
import {
  FFN_FORMS,
  ffnWidths,
  headDimOf,
  type ModelConfig,
  modelConfigProblem,
  sparkSplit,
} from '../../nn/config.js'
import { magnitudeOf } from '../../nn/rope.js'
import type { Differences, GgufForm } from '../architectures/architecture.js'
import { type ExpertTensors, expertTensorsOf, withExperts } from '../architectures/experts.js'
import { GgufKeys, type MetadataEntry } from '../architectures/gguf-keys.js'
import { GGUF_FORMS, refusalOf } from '../architectures/index.js'
import type { TensorMap } from '../architectures/tensors.js'
import { blockFields, describedBlock, normalConfig } from '../block-fields.js'
import { ggufScaling, namedScaling, ropeFactors } from '../rope.js'
import { quoted } from '../safetensors.js'
import { decodeStored } from '../stored.js'
import { valueText } from './metadata-text.js'
import { checkModelKeys } from './model-keys.js'
import { ggufTensors, LONG_FACTORS, ROPE_FACTORS, SHORT_FACTORS } from './names.js'
import { ggufInvalid } from './parse.js'
import type { GgufTensor, Metadata, MetadataValue } from './types.js'

export type { MetadataEntry } from '../architectures/gguf-keys.js'

/** Our own architecture, which llama.cpp refuses. */
const FLICKER: GgufForm = {
  name: 'flicker',
  activation: 'silu',
  describe: keys => ownDescription(keys),
  write: config => {
    const { block } = blockFields(config)
    return [
      ['activation', 'string', config.activation],
      ['ffn', 'string', config.ffn],
      ...(config.ffn === 'spark' ? [['spark_predictor_width', 'u32', ffnWidths(config).gate] as const] : []),
      ...(config.trainedActivations === undefined
        ? []
        : [['trained_activations', 'strings', config.trainedActivations] as const]),
      ...(block === undefined ? [] : [['block', 'string', JSON.stringify(block)] as const]),
    ]
  },
}
const FORMS: readonly GgufForm[] = [...GGUF_FORMS, FLICKER]

/** How a model is written. */
export interface WrittenForm {
  readonly architecture: string
  /** The metadata that describes the model itself. */
  readonly entries: readonly MetadataEntry[]
  readonly tensors: TensorMap
  /** Values of tensors beside the parameters, by name. */
  readonly more: ReadonlyMap<string, Float32Array>
}

/** `general.architecture` of the file that a model is written as; `flicker` where llama.cpp has none for it. */
export function ggufArchitecture(config: ModelConfig): string {
  return formFor(config).name
}

/** How `config` is written. */
export function writtenForm(config: ModelConfig): WrittenForm {
  const form = formFor(config)
  const key = (name: string) => `${form.name}.${name}`
  const entries = [...usualEntries(config), ...(form.write?.(config) ?? [])].map(
    ([name, ...value]) => [key(name), ...value] as unknown as MetadataEntry,
  )
  return { architecture: form.name, entries, tensors: tensorMap(form, config), more: factorTensors(config) }
}

function tensorMap(form: GgufForm, config: ModelConfig, experts: ExpertTensors = 'merged'): TensorMap {
  const usual = ggufTensors(config, form.rowsInPairs === true ? 'pairs' : 'halves')
  return withExperts(config, form.tensors?.(config, usual) ?? usual, experts)
}

function factorTensors({ ropeScaling, ...config }: ModelConfig): Map<string, Float32Array> {
  if (ropeScaling?.type === 'longrope') {
    return new Map([
      [LONG_FACTORS, Float32Array.from(ropeScaling.longFactors)],
      [SHORT_FACTORS, Float32Array.from(ropeScaling.shortFactors)],
    ])
  }
  const factors = ropeFactors({ ...config, ropeScaling })
  return factors === null ? new Map() : new Map([[ROPE_FACTORS, factors]])
}

/** The first form that describes this very model; else our own. */
function formFor(config: ModelConfig): GgufForm {
  if (config.trainedActivations !== undefined) return FLICKER
  const wanted = comparable(config)
  const found = GGUF_FORMS.find(form => {
    if (form.write === undefined || !loads(form, config)) return false
    try {
      return isDeepStrictEqual(comparable(described(form, config)), wanted)
    } catch (error) {
      if (error instanceof FlickerError) return false
      throw error
    }
  })
  return found ?? FLICKER
}

/** Whether llama.cpp takes what a file of this architecture can hold. */
function loads(form: GgufForm, config: ModelConfig): boolean {
  const { headDim, ropeScaling } = config
  const longrope = ropeScaling?.type === 'longrope'
  const factors = ropeFactors(config) !== null ? 'one' : longrope ? 'shortAndLong' : undefined
  return (
    (factors === undefined || factors === form.factors) &&
    (headDim === undefined || form.ownHeadDim !== false) &&
    (config.numKeyValueHeads === config.numAttentionHeads || form.groupedHeads !== false)
  )
}

/** What the file that `form` would be written as says of the model. */
function described(form: GgufForm, config: ModelConfig): ModelConfig {
  const metadata = new Map<string, MetadataValue>()
  for (const [name, type, value] of [...usualEntries(config), ...(form.write?.(config) ?? [])]) {
    metadata.set(
      `${form.name}.${name}`,
      type === 'f32' ? Math.fround(value as number) : (value as MetadataValue),
    )
  }
  const tensor = (shape: readonly number[]): GgufTensor => ({ dtype: 'f32', shape, offset: 0, bytes: 0 })
  const tensors = new Map<string, GgufTensor>()
  const map = tensorMap(form, config)
  for (const name of namesOf(config)) tensors.set(map(name).name, tensor([config.vocabSize]))
  const more = factorTensors(config)
  for (const [name, values] of more) tensors.set(name, tensor([values.length]))
  return readForm(
    form,
    new GgufKeys('the file', metadata, tensors, form.name),
    name => more.get(name) ?? null,
  )
}

/** The parameters whose presence says something of the model. */
function namesOf(config: ModelConfig): string[] {
  const names = ['model.embed_tokens.weight']
  if (!config.tieWordEmbeddings) names.push('lm_head.weight')
  const layer = (part: string) => names.push(`model.layers.0.${part}`)
  layer('input_layernorm.weight')
  if (config.parallelBranches !== 'oneNorm') layer('post_attention_layernorm.weight')
  if (config.attentionBias !== undefined) layer('self_attn.q_proj.bias')
  if (config.attentionBias === 'qkvo') layer('self_attn.o_proj.bias')
  if (config.ffnBias === true) layer('mlp.up_proj.bias')
  if (config.qkNorm !== undefined) layer('self_attn.q_norm.weight')
  return names
}

/** Equal for models that run alike: factors to the precision of the file. */
function comparable(config: ModelConfig): unknown {
  const rounded = (value: unknown): unknown => {
    if (typeof value === 'number') return Number(value.toPrecision(6))
    if (Array.isArray(value)) return value.map(rounded)
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, rounded(inner)]))
  }
  const { spec } = parseActivation(config.activation)
  const factors = ropeFactors(config)
  const scaling = factors === null ? config.ropeScaling : { type: 'factors', factors: Array.from(factors) }
  return rounded({ ...normalConfig(config), ropeScaling: scaling, activation: spec })
}

/** What every architecture says by the same keys, without their prefix. */
function usualEntries(config: ModelConfig): MetadataEntry[] {
  const headDim = headDimOf(config)
  const { ropeScaling } = config
  const entries: MetadataEntry[] = [
    ['vocab_size', 'u32', config.vocabSize],
    ['context_length', 'u32', config.maxPositionEmbeddings],
    ['embedding_length', 'u32', config.hiddenSize],
    ['block_count', 'u32', config.numHiddenLayers],
    ['feed_forward_length', 'u32', config.intermediateSize],
    ['attention.head_count', 'u32', config.numAttentionHeads],
    ['attention.head_count_kv', 'u32', config.numKeyValueHeads],
    [
      config.norm === 'layer' ? 'attention.layer_norm_epsilon' : 'attention.layer_norm_rms_epsilon',
      'f32',
      config.rmsNormEps,
    ],
  ]
  if (config.learnedPositions === undefined) {
    entries.push(
      ['rope.dimension_count', 'u32', config.rotaryDim ?? headDim],
      ['rope.freq_base', 'f32', config.ropeTheta],
    )
  }
  if (config.headDim !== undefined) {
    entries.push(['attention.key_length', 'u32', headDim], ['attention.value_length', 'u32', headDim])
  }
  if (ropeScaling?.type === 'linear' || ropeScaling?.type === 'yarn') {
    entries.push(['rope.scaling.type', 'string', ropeScaling.type])
    entries.push(['rope.scaling.factor', 'f32', ropeScaling.factor])
  }
  if (ropeScaling?.type === 'yarn' || ropeScaling?.type === 'longrope') {
    entries.push(['rope.scaling.original_context_length', 'u32', ropeScaling.originalMaxPositionEmbeddings])
  }
  if (ropeScaling?.type === 'longrope') {
    entries.push(['rope.scaling.attn_factor', 'f32', magnitudeOf(ropeScaling)])
  }
  if (ropeScaling?.type === 'yarn') {
    const { betaFast, betaSlow, attentionFactor: own } = ropeScaling
    if (betaFast !== undefined) entries.push(['rope.scaling.yarn_beta_fast', 'f32', betaFast])
    if (betaSlow !== undefined) entries.push(['rope.scaling.yarn_beta_slow', 'f32', betaSlow])
    if (own !== undefined) {
      const usual = magnitudeOf({ ...ropeScaling, attentionFactor: undefined })
      entries.push(['rope.scaling.attn_factor', 'f32', own / usual])
    }
  }
  return entries
}

export interface GgufModel {
  readonly architecture: string
  readonly config: ModelConfig
  /** Where the model's parameters are. */
  readonly tensors: TensorMap
  /** What a user should know about how it was understood. */
  readonly notes: readonly string[]
}

/** What `general.architecture` names. Throws CheckpointError ARCHITECTURE_UNSUPPORTED. */
export function supportedArchitecture(file: string, metadata: Metadata): GgufForm {
  const named = metadata.get('general.architecture')
  const form = FORMS.find(({ name }) => name === named)
  if (form !== undefined) return form
  const names = FORMS.map(({ name }) => name).join(', ')
  throw new CheckpointError(
    'ARCHITECTURE_UNSUPPORTED',
    `${file}: general.architecture ${named === undefined ? 'is missing' : `${valueText(named)} is not supported${refusalOf(String(named))}`}; ` +
      `supported: ${names}`,
  )
}

/**
 * The model that a header describes. `values`: those of a tensor of the file, null without it. Throws CheckpointError:
 * ARCHITECTURE_UNSUPPORTED, ACTIVATION_UNSUPPORTED, GGUF_INVALID.
 */
export function readGgufConfig(
  file: string,
  metadata: Metadata,
  tensors: ReadonlyMap<string, GgufTensor>,
  read: (tensor: GgufTensor) => Uint8Array,
): GgufModel {
  const form = supportedArchitecture(file, metadata)
  const keys = new GgufKeys(file, metadata, tensors, form.name)
  const values = (name: string) => {
    const tensor = tensors.get(name)
    return tensor === undefined ? null : decodeStored(tensor.dtype, read(tensor))
  }
  const config = readForm(form, keys, values)
  const problem = modelConfigProblem(config)
  if (problem !== null) throw ggufInvalid(file, problem)
  const notes = checkModelKeys(keys, config)
  const map = tensorMap(form, config, expertTensorsOf(tensors))
  return { architecture: form.name, config, tensors: map, notes }
}

function readForm(
  form: GgufForm,
  keys: GgufKeys,
  values: (tensor: string) => Float32Array | null,
): ModelConfig {
  const { file, tensors } = keys
  const invalid = (message: string) => ggufInvalid(file, message)
  const key = (name: string) => `${form.name}.${name}`
  const layers = keys.layers
  const embedding = tensors.get('token_embd.weight')
  const hiddenSize = keys.number('embedding_length')
  const heads = keys.perLayer('attention.head_count', layers)
  const headDim = keys.number('attention.key_length', hiddenSize / heads)
  for (const [name, expected] of [
    ['attention.value_length', headDim],
    ['vocab_size', embedding?.shape[0] ?? 0],
  ] as const) {
    const found = keys.number(name, expected)
    if (found !== expected) throw invalid(`${key(name)} is ${found}; supported here: ${expected}`)
  }
  const differences = form.describe(keys)
  if ('problem' in differences) throw invalid(differences.problem)
  const hasBias = (name: string) => keys.hasInLayer(`${name}.bias`)
  const qkvBias = hasBias('attn_q') || hasBias('attn_qkv')
  const attentionBias = qkvBias ? (hasBias('attn_output') ? 'qkvo' : 'qkv') : undefined
  const context = keys.number('context_length')
  const scaling = ggufScaling({
    // As llama.cpp: a factor without a type is linear, 0 is no factor, and the key had another name once.
    type: keys.text('rope.scaling.type', 'linear'),
    factor: keys.decimal('rope.scaling.factor', keys.number('rope.scale_linear', 0)),
    original: keys.number('rope.scaling.original_context_length', context),
    context,
    betas: yarnBetas(keys),
    attentionFactor: attentionFactor(keys),
    factors: values(ROPE_FACTORS),
    short: values(SHORT_FACTORS),
    long: values(LONG_FACTORS),
  })
  if (typeof scaling === 'string') throw invalid(`${key('rope.scaling.type')}: ${scaling}`)
  const rotaryDim = keys.number('rope.dimension_count', headDim)
  const norm = differences.norm === 'layer' ? 'layer_norm_epsilon' : 'layer_norm_rms_epsilon'
  const config: ModelConfig = {
    vocabSize: embedding?.shape[0] ?? 0,
    hiddenSize,
    intermediateSize: keys.perLayer('feed_forward_length', layers),
    numHiddenLayers: layers,
    numAttentionHeads: heads,
    numKeyValueHeads: keys.perLayer('attention.head_count_kv', layers, heads),
    ...(headDim === hiddenSize / heads ? {} : { headDim }),
    ...(attentionBias === undefined ? {} : { attentionBias }),
    maxPositionEmbeddings: context,
    rmsNormEps: keys.decimal(`attention.${norm}`),
    ropeTheta: keys.decimal('rope.freq_base', 10_000),
    ...(scaling === undefined ? {} : { ropeScaling: scaling }),
    ...(rotaryDim === headDim ? {} : { rotaryDim }),
    tieWordEmbeddings: !tensors.has('output.weight'),
    ffn: 'gated',
    activation: form.activation,
    ...differences,
  }
  return normalConfig(namedScaling(config))
}

function yarnBetas(keys: GgufKeys): { betaFast?: number; betaSlow?: number } {
  const betaFast = keys.optional('rope.scaling.yarn_beta_fast', 0, 32)
  const betaSlow = keys.optional('rope.scaling.yarn_beta_slow', 0, 1)
  return {
    ...(betaFast === undefined ? {} : { betaFast }),
    ...(betaSlow === undefined ? {} : { betaSlow }),
  }
}

/** Under one of two names, of the scalings that have one. */
function attentionFactor(keys: GgufKeys): number | undefined {
  const scaled = keys.text('rope.scaling.type', 'linear') === 'yarn' || keys.tensors.has(LONG_FACTORS)
  if (!scaled) return undefined
  const own = keys.optional('rope.scaling.attn_factor', 0, 1)
  return own ?? keys.optional('rope.scaling.yarn_attn_factor', 0, 1)
}

/** Of the architecture `flicker`. */
function ownDescription(keys: GgufKeys): Differences | { readonly problem: string } {
  const { file, metadata } = keys
  const form = keys.text('ffn')
  const ffn = FFN_FORMS.find(known => known === form)
  if (ffn === undefined) {
    return { problem: `flicker.ffn is ${quoted(form)}; supported: ${FFN_FORMS.join(', ')}` }
  }
  const block = keys.has('block') ? describedBlock(parsedJson(keys.text('block'))) : {}
  if ('problem' in block) return block
  const width = keys.has('spark_predictor_width') ? keys.number('spark_predictor_width') : undefined
  const trained = metadata.get('flicker.trained_activations')
  return {
    ...block,
    ffn,
    ...sparkSplit(ffn, keys.number('embedding_length'), width),
    activation: checkedActivation(keys.text('activation'), file),
    ...(Array.isArray(trained)
      ? { trainedActivations: trained.map(spec => checkedActivation(`${spec}`, file)) }
      : {}),
  }
}

/** undefined for what is no JSON: then the description says what it must be. */
function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

function checkedActivation(spec: string, file: string): string {
  try {
    parseActivation(spec)
    return spec
  } catch (cause) {
    if (!(cause instanceof FlickerError)) throw cause
    throw new CheckpointError('ACTIVATION_UNSUPPORTED', `${file}: flicker.activation: ${cause.message}`, {
      cause,
    })
  }
}

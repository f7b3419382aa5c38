// ModelConfig to and from GGUF's metadata.
//
// llama.cpp runs what `general.architecture` names with the activation that it has for it, silu, and takes no notice of
// ours. So `llama` and `qwen2` are written for gated silu models alone; any other model is of the architecture
// `flicker`, which llama.cpp refuses, with its activation and its form of FFN under keys of their own.

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
import { contextWithin } from '../model-source.js'
import { ggufScaling, namedScaling, ropeFactors } from '../rope.js'
import { quoted } from '../safetensors.js'
import { checkModelKeys, sameInEveryLayer, valueText } from './model-keys.js'
import { ggufName } from './names.js'
import { ggufInvalid } from './parse.js'
import type { GgufTensor, Metadata } from './types.js'

export type GgufArchitecture = 'llama' | 'qwen2' | 'flicker'
const ARCHITECTURES: readonly GgufArchitecture[] = ['llama', 'qwen2', 'flicker']

/** Whether q and k have the rows of a head in the order of pairs, as ggml's rotation of `llama` wants them. */
export function rowsInPairs(architecture: GgufArchitecture): boolean {
  return architecture === 'llama'
}

/** What a model is written as. */
export function architectureFor(config: ModelConfig): GgufArchitecture {
  const silu = parseActivation(config.activation).spec === 'silu' && config.trainedActivations === undefined
  if (config.ffn !== 'gated' || !silu) return 'flicker'
  // llama.cpp's qwen2 has no head dimension of its own and no factors; its llama has both, and biases as well.
  const plain = config.headDim === undefined && ropeFactors(config) === null
  return config.attentionBias === 'qkv' && plain ? 'qwen2' : 'llama'
}

/** A key, its type and its value, in the order of the file. */
export type MetadataEntry =
  | readonly [key: string, type: 'u32' | 'f32', value: number]
  | readonly [key: string, type: 'string', value: string]
  | readonly [key: string, type: 'bool', value: boolean]
  | readonly [key: string, type: 'strings', value: readonly string[]]
  | readonly [key: string, type: 'f32s' | 'i32s', value: readonly number[]]

/** The metadata that describes the model itself. */
export function configMetadata(config: ModelConfig): MetadataEntry[] {
  const architecture = architectureFor(config)
  const key = (name: string) => `${architecture}.${name}`
  const headDim = headDimOf(config)
  const entries: MetadataEntry[] = [
    [key('vocab_size'), 'u32', config.vocabSize],
    [key('context_length'), 'u32', config.maxPositionEmbeddings],
    [key('embedding_length'), 'u32', config.hiddenSize],
    [key('block_count'), 'u32', config.numHiddenLayers],
    [key('feed_forward_length'), 'u32', config.intermediateSize],
    [key('attention.head_count'), 'u32', config.numAttentionHeads],
    [key('attention.head_count_kv'), 'u32', config.numKeyValueHeads],
    [key('attention.layer_norm_rms_epsilon'), 'f32', config.rmsNormEps],
    [key('rope.dimension_count'), 'u32', headDim],
    [key('rope.freq_base'), 'f32', config.ropeTheta],
  ]
  if (config.headDim !== undefined) {
    entries.push(
      [key('attention.key_length'), 'u32', headDim],
      [key('attention.value_length'), 'u32', headDim],
    )
  }
  if (config.ropeScaling?.type === 'linear') {
    entries.push([key('rope.scaling.type'), 'string', 'linear'])
    entries.push([key('rope.scaling.factor'), 'f32', config.ropeScaling.factor])
  }
  if (architecture === 'flicker') {
    entries.push([key('activation'), 'string', config.activation], [key('ffn'), 'string', config.ffn])
    if (config.ffn === 'spark') entries.push([key('spark_predictor_width'), 'u32', ffnWidths(config).gate])
    const trained = config.trainedActivations
    if (trained !== undefined) entries.push([key('trained_activations'), 'strings', trained])
  }
  return entries
}

export interface GgufModel {
  readonly architecture: GgufArchitecture
  readonly config: ModelConfig
  /** What a user should know about how it was understood. */
  readonly notes: readonly string[]
}

/** What `general.architecture` names. Throws CheckpointError ARCHITECTURE_UNSUPPORTED. */
export function supportedArchitecture(file: string, metadata: Metadata): GgufArchitecture {
  const named = metadata.get('general.architecture')
  const architecture = ARCHITECTURES.find(known => known === named)
  if (architecture !== undefined) return architecture
  throw new CheckpointError(
    'ARCHITECTURE_UNSUPPORTED',
    `${file}: general.architecture ${named === undefined ? 'is missing' : `${valueText(named)} is not supported`}; ` +
      `supported: ${ARCHITECTURES.join(', ')}`,
  )
}

/**
 * The model that a header describes. `factors`: the values of rope_freqs.weight, null without. Throws
 * CheckpointError: ARCHITECTURE_UNSUPPORTED, ACTIVATION_UNSUPPORTED, GGUF_INVALID.
 */
export function readGgufConfig(
  file: string,
  metadata: Metadata,
  tensors: ReadonlyMap<string, GgufTensor>,
  factors: Float32Array | null,
): GgufModel {
  const invalid = (message: string) => ggufInvalid(file, message)
  const architecture = supportedArchitecture(file, metadata)
  const field = <T extends number | string>(name: string, type: 'number' | 'string', otherwise?: T): T => {
    const key = `${architecture}.${name}`
    const value = metadata.get(key) ?? otherwise
    if (value === undefined) throw invalid(`${key} is missing from the metadata`)
    if (typeof value !== type) throw invalid(`${key} is ${valueText(value)}, not a ${type}`)
    return value as T
  }
  const number = (name: string, otherwise?: number) => field(name, 'number', otherwise)
  const layers = number('block_count')
  const perLayer = (name: string, otherwise?: number) =>
    sameInEveryLayer(file, metadata, `${architecture}.${name}`, layers) ?? number(name, otherwise)

  const embedding = tensors.get('token_embd.weight')
  const hiddenSize = number('embedding_length')
  const heads = perLayer('attention.head_count')
  const headDim = number('attention.key_length', hiddenSize / heads)
  for (const [name, expected] of [
    ['attention.value_length', headDim],
    ['rope.dimension_count', headDim],
    ['vocab_size', embedding?.shape[0] ?? 0],
  ] as const) {
    const found = number(name, expected)
    if (found !== expected) throw invalid(`${architecture}.${name} is ${found}; supported here: ${expected}`)
  }
  const has = (name: string) => tensors.has(ggufName(`model.layers.0.self_attn.${name}_proj.bias`))
  const attentionBias = has('q') ? (has('o') ? 'qkvo' : 'qkv') : undefined
  // As llama.cpp: a factor without a type is linear, 0 is no factor, and the key had another name once.
  const scaling = ggufScaling(
    field('rope.scaling.type', 'string', 'linear'),
    asWritten(number('rope.scaling.factor', number('rope.scale_linear', 0))),
    factors,
  )
  if (typeof scaling === 'string') throw invalid(`${architecture}.rope.scaling.type: ${scaling}`)
  const { maxPositionEmbeddings, notes } = contextWithin(
    number('attention.sliding_window', 0),
    number('context_length'),
  )

  const config: ModelConfig = {
    vocabSize: embedding?.shape[0] ?? 0,
    hiddenSize,
    intermediateSize: perLayer('feed_forward_length'),
    numHiddenLayers: layers,
    numAttentionHeads: heads,
    numKeyValueHeads: perLayer('attention.head_count_kv', heads),
    ...(headDim === hiddenSize / heads ? {} : { headDim }),
    ...(attentionBias === undefined ? {} : { attentionBias }),
    maxPositionEmbeddings,
    rmsNormEps: asWritten(number('attention.layer_norm_rms_epsilon')),
    ropeTheta: asWritten(number('rope.freq_base', 10_000)),
    ...(scaling === undefined ? {} : { ropeScaling: scaling }),
    tieWordEmbeddings: !tensors.has('output.weight'),
    ffn: 'gated',
    activation: 'silu',
  }
  if (architecture === 'flicker') {
    const form = field<string>('ffn', 'string')
    const ffn = FFN_FORMS.find(known => known === form)
    if (ffn === undefined) {
      throw invalid(`flicker.ffn is ${quoted(form)}; supported: ${FFN_FORMS.join(', ')}`)
    }
    config.ffn = ffn
    const width = metadata.has('flicker.spark_predictor_width') ? number('spark_predictor_width') : undefined
    Object.assign(config, sparkSplit(ffn, hiddenSize, width))
    config.activation = checkedActivation(field<string>('activation', 'string'), file)
    const trained = metadata.get('flicker.trained_activations')
    if (Array.isArray(trained))
      config.trainedActivations = trained.map(spec => checkedActivation(`${spec}`, file))
  }
  const problem = modelConfigProblem(config)
  if (problem !== null) throw invalid(problem)
  notes.push(...checkModelKeys(file, metadata, architecture, config))
  return { architecture, config: namedScaling(config), notes }
}

/** An f32 of the metadata as the decimal that it was written from: 1e-5, not 0.000009999999747378752. */
function asWritten(value: number): number {
  const short = Number(value.toPrecision(7))
  return Math.fround(short) === Math.fround(value) ? short : value
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

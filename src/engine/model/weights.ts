// A model's weights in the engine's own layout: what decoding reads together is contiguous, with one type per matrix. One
// copy serves decoding and the pass over the prompt.

import type { Activation } from '../../activations/index.js'
import type { ModelSource, StoredTensor } from '../../formats/index.js'
import { decodeStored } from '../../formats/stored.js'
import {
  allocateRows,
  type Weights,
  type WeightType,
  weightBytes,
  weightTypeOf,
} from '../../kernels/index.js'
import { ffnWidths, headDimOf, type ModelConfig } from '../../nn/config.js'
import type { LayerCuts, MatrixName } from '../../nn/cuts.js'
import { activationParameterName, activationParameters, parameterShapes } from '../../nn/parameters.js'
import { CompactNeurons } from './compact-neurons.js'
import { checkSize, storeColumns, storeRows } from './store.js'

/**
 * How matrices are stored in memory; `auto`: as in the file. With `q4_0` the embedding and the head are q8_0, since they
 * lose more to 4 bits than the other matrices. Norms and biases are always f32.
 */
export type EngineDtype = WeightType | 'auto'

/** Where weights come from: an open model, or anything else that gives its tensors by their Hugging Face names. */
export type TensorSource = Pick<ModelSource, 'names' | 'info' | 'stored'>

/**
 * How matrices are stored. `rows`: as the fields of `LayerWeights` say. `separate`: as `rows`, but the up rows of a gated
 * FFN are in `up` and neurons are their down columns alone. `channels`: as `separate`, and q, k, v, o, gate and up are
 * stored by input channel, so that those of an element that is 0 are not read.
 */
export type WeightStorage = 'rows' | 'separate' | 'channels'

export interface LayerWeights {
  /** Default `rows`. */
  readonly storage?: WeightStorage
  /** What is set to 0 in this layer, see `flicker sparsify`. Default: nothing. */
  readonly cuts?: LayerCuts | null
  /** (d). */
  readonly inputNorm: Float32Array
  /** Rows of q, then k, then v: (q + 2·kv, d). By channel: q (d, q), then k (d, kv), then v (d, kv). */
  readonly qkv: Weights
  /** Of those rows, (q + 2·kv); null without. */
  readonly qkvBias: Float32Array | null
  /** o_proj, (d, q); by channel (q, d). */
  readonly output: Weights
  /** (d); null without. */
  readonly outputBias: Float32Array | null
  /** (d). */
  readonly ffnNorm: Float32Array
  /** What the activation is applied to: gate_proj, or up_proj of a plain FFN; (h, d), of a Spark FFN (h, r); by channel (d, h). */
  readonly gate: Weights
  /**
   * up_proj of a dReLU FFN, (h, d), to which the activation is applied too; of a gated FFN that is stored `separate` or by
   * channel, (h, d) or (d, h); else null.
   */
  readonly up: Weights | null
  /**
   * Neuron after neuron. Gated and Spark: its up row, of d or d − r values, then its down column, of d. Plain and dReLU:
   * the down column alone.
   */
  readonly neurons: Weights | CompactNeurons
  /** Whether neurons have up rows. */
  readonly gated: boolean
  /** Null where nothing is learned. */
  readonly learned: LearnedParameters | null
}

export interface EngineWeights {
  /** (vocab, d). */
  readonly embedding: Weights
  readonly layers: readonly LayerWeights[]
  /** (d). */
  readonly norm: Float32Array
  /** (vocab, d); the embedding itself when the two are tied. */
  readonly head: Weights
}

/** A matrix of the layout, and the tensors that become its rows. */
interface Plan {
  /** Stored one after the other; or, all with as many rows, row i of each and then row i + 1 of each. */
  readonly parts: readonly Part[]
  readonly interleaved?: boolean
  /** Embedding and head, which lose much to 4 bits. */
  readonly atVocabulary?: boolean
}

/** The rows of a tensor (rows, columns), or the columns of one (columns, rows) when `transposed`. */
interface Part {
  readonly name: string
  readonly rows: number
  readonly columns: number
  readonly transposed?: boolean
}

/** Where each matrix of a layer comes from. */
function layerPlans(config: ModelConfig, layer: number, storage: WeightStorage) {
  const { hiddenSize: d, intermediateSize: h, numAttentionHeads, numKeyValueHeads, ffn } = config
  const q = headDimOf(config) * numAttentionHeads
  const kv = headDimOf(config) * numKeyValueHeads
  const widths = ffnWidths(config)
  const part = (name: string, rows: number, columns: number): Part => {
    return { name: `model.layers.${layer}.${name}.weight`, rows, columns }
  }
  const plan = (...parts: Part[]): Plan => ({ parts })
  const byChannel = ({ parts }: Plan): Plan => ({
    parts: parts.map(({ name, rows, columns }) => ({ name, rows: columns, columns: rows, transposed: true })),
  })
  const gate = part('mlp.gate_proj', h, widths.gate)
  const up = part('mlp.up_proj', h, widths.up)
  const down = { ...part('mlp.down_proj', h, d), transposed: true }
  const attention = {
    qkv: plan(
      part('self_attn.q_proj', q, d),
      part('self_attn.k_proj', kv, d),
      part('self_attn.v_proj', kv, d),
    ),
    output: plan(part('self_attn.o_proj', d, q)),
  }
  if (storage !== 'rows') {
    const order = storage === 'channels' ? byChannel : (given: Plan) => given
    return {
      qkv: order(attention.qkv),
      output: order(attention.output),
      gate: order(plan(ffn === 'plain' ? up : gate)),
      up: ffn === 'plain' ? null : order(plan(up)),
      neurons: plan(down),
    }
  }
  return {
    ...attention,
    gate: plan(ffn === 'plain' ? up : gate),
    up: ffn === 'drelu' ? plan(up) : null,
    neurons: hasUpRows(ffn) ? { parts: [up, down], interleaved: true } : plan(down),
  }
}

/** Whether what is read of an active neuron begins with its up row. */
export function hasUpRows(ffn: ModelConfig['ffn']): boolean {
  return ffn === 'gated' || ffn === 'spark'
}

/** How the matrices of a model with these cuts are stored: by channel only where inputs of wide rows are cut. */
export function storageFor(cuts: readonly LayerCuts[] | null): WeightStorage {
  const cut = new Set((cuts ?? []).flatMap(({ inputs }) => Object.keys(inputs) as MatrixName[]))
  if (cut.size === 0) return 'rows'
  return cut.size === 1 && cut.has('down') ? 'separate' : 'channels'
}

/** Bytes of one neuron of `LayerWeights.neurons`. */
export function neuronBytes(config: ModelConfig, layer: Pick<LayerWeights, 'neurons' | 'gated'>): number {
  const type = weightTypeOf(storedNeurons(layer))
  const up = layer.gated ? weightBytes(type, ffnWidths(config).up) : 0
  return up + weightBytes(type, config.hiddenSize)
}

/** The neurons of a layer that are in memory. */
export function storedNeurons({ neurons }: Pick<LayerWeights, 'neurons'>): Weights {
  return neurons instanceof CompactNeurons ? neurons.weights : neurons
}

/** The types of the layers' gates. */
export function gateTypesOf(layers: readonly LayerWeights[]): Set<WeightType> {
  return new Set(layers.map(({ gate }) => weightTypeOf(gate)))
}

/** Bytes of all FFN weights of a layer, whether or not they are in memory. */
export function layerFfnBytes(config: ModelConfig, layer: LayerWeights): number {
  const { hiddenSize: d, intermediateSize: h } = config
  const bytes = (w: Weights, columns: number) =>
    layer.storage === 'channels'
      ? columns * weightBytes(weightTypeOf(w), h)
      : h * weightBytes(weightTypeOf(w), columns)
  const up = layer.up === null ? 0 : bytes(layer.up, d)
  return bytes(layer.gate, ffnWidths(config).gate) + up + h * neuronBytes(config, layer)
}

function vocabularyPlan(config: ModelConfig, name: string): Plan {
  return { parts: [{ name, rows: config.vocabSize, columns: config.hiddenSize }], atVocabulary: true }
}

const EMBEDDING = 'model.embed_tokens.weight'
const HEAD = 'lm_head.weight'

/**
 * Lays out a model's tensors one at a time: never more memory than the model and one tensor. Quantized tensors that keep
 * their type are copied unchanged, all but down_proj, which is requantized, since its groups must lie within a neuron.
 */
export class WeightLayout {
  readonly #config: ModelConfig
  readonly #source: TensorSource
  readonly #dtype: EngineDtype
  readonly #cuts: readonly LayerCuts[] | null
  readonly #storage: WeightStorage

  /** `cuts`: of each layer, default none. `storage`: default what the cuts need. */
  constructor(
    config: ModelConfig,
    source: TensorSource,
    dtype: EngineDtype,
    cuts: readonly LayerCuts[] | null = null,
    storage: WeightStorage = storageFor(cuts),
  ) {
    this.#config = config
    this.#source = source
    this.#dtype = dtype
    this.#cuts = cuts
    this.#storage = storage
  }

  /** Bytes of all matrices, without reading any. Throws CheckpointError TENSOR_MISSING. */
  get bytes(): number {
    return this.#plans.reduce((sum, plan) => sum + bytesOf(plan, this.#typeOf(plan)), 0)
  }

  /** The types of the gates, without reading any. Throws CheckpointError TENSOR_MISSING. */
  get gateTypes(): Set<WeightType> {
    const layers = Array.from({ length: this.#config.numHiddenLayers }, (_, layer) => layer)
    return new Set(layers.map(layer => this.#typeOf(layerPlans(this.#config, layer, this.#storage).gate)))
  }

  /** Of all matrices. */
  get #plans(): Plan[] {
    const { tieWordEmbeddings, numHiddenLayers } = this.#config
    const plans = [EMBEDDING, ...(tieWordEmbeddings ? [] : [HEAD])].map(name =>
      vocabularyPlan(this.#config, name),
    )
    for (let layer = 0; layer < numHiddenLayers; layer++) {
      for (const plan of Object.values(layerPlans(this.#config, layer, this.#storage)))
        if (plan !== null) plans.push(plan)
    }
    return plans
  }

  /**
   * Everything. `finish` is called with the embedding; what it returns may replace each layer before the next is read.
   * Throws CheckpointError: TENSOR_SHAPE, TENSOR_MISSING; OptionError QUANTIZE_RANGE.
   */
  all(
    finish: (embedding: Weights) => (layer: LayerWeights, index: number) => LayerWeights = () => layer =>
      layer,
  ): EngineWeights {
    const config = this.#config
    const { embedding } = this
    const finished = finish(embedding)
    const layers: LayerWeights[] = []
    // The buffer of neurons that a layer has given up has the size that the next layer needs.
    let spare: Weights | undefined
    for (let index = 0; index < config.numHiddenLayers; index++) {
      const layer = this.layer(index, spare)
      layers.push(finished(layer, index))
      spare = layers[index].neurons === layer.neurons ? undefined : layer.neurons
    }
    return {
      embedding,
      layers,
      norm: this.#vector('model.norm.weight', config.hiddenSize),
      head: config.tieWordEmbeddings ? embedding : this.#matrix(vocabularyPlan(config, HEAD)),
    }
  }

  /** (vocab, d). Throws as `all` does. */
  get embedding(): Weights {
    return this.#matrix(vocabularyPlan(this.#config, EMBEDDING))
  }

  /** One layer. `buffer`: for the neurons; default: a new one. Throws as `all` does. */
  layer(layer: number, buffer?: Weights): LayerWeights & { readonly neurons: Weights } {
    const { hiddenSize: d, attentionBias } = this.#config
    const plans = layerPlans(this.#config, layer, this.#storage)
    const name = (part: string) => `model.layers.${layer}.${part}`
    const biases = ({ parts }: Plan) =>
      parts.map(({ name, rows, columns, transposed }) =>
        this.#vector(name.replace(/weight$/, 'bias'), transposed === true ? columns : rows),
      )
    return {
      storage: this.#storage,
      cuts: this.#cuts?.[layer] ?? null,
      inputNorm: this.#vector(name('input_layernorm.weight'), d),
      qkv: this.#matrix(plans.qkv),
      qkvBias: attentionBias === undefined ? null : joined(biases(plans.qkv)),
      output: this.#matrix(plans.output),
      outputBias: attentionBias === 'qkvo' ? joined(biases(plans.output)) : null,
      ffnNorm: this.#vector(name('post_attention_layernorm.weight'), d),
      gate: this.#matrix(plans.gate),
      up: plans.up === null ? null : this.#matrix(plans.up),
      neurons: this.#matrix(plans.neurons, buffer),
      gated: this.#storage === 'rows' && hasUpRows(this.#config.ffn),
      learned: this.#learned(layer),
    }
  }

  /** What all activations of the model have learned in a layer. */
  #learned(layer: number): LearnedParameters {
    const stored = new Map<string, Float32Array>()
    for (const { name, shape, start } of parameterShapes(this.#config)) {
      const own = start !== undefined && name.startsWith(activationParameterName(layer, ''))
      if (own && this.#source.names.includes(name)) stored.set(name, this.#vector(name, shape[0]))
    }
    return new LearnedParameters(layer, this.#config.intermediateSize, stored)
  }

  /** The type of the options, or for `auto` the type of the parts in the file: the widest, f32 where f16 meets bf16. */
  #typeOf({ parts, atVocabulary }: Plan): WeightType {
    const types = parts.map(({ name }) => this.#source.info(name).dtype)
    const widest: WeightType[] = ['q4_0', 'q8_0', 'bf16', 'f16', 'f32']
    const neither = types.includes('f16') && types.includes('bf16')
    const stored = neither ? 'f32' : widest[Math.max(...types.map(type => widest.indexOf(type)))]
    if (this.#dtype === 'auto') return stored
    return this.#dtype === 'q4_0' && stored !== 'q4_0' && atVocabulary === true ? 'q8_0' : this.#dtype
  }

  #take(name: string, shape: readonly number[]): StoredTensor {
    const tensor = this.#source.stored(name)
    checkSize(name, tensor, shape)
    return tensor
  }

  #matrix(plan: Plan, buffer?: Weights): Weights {
    const type = this.#typeOf(plan)
    const out =
      buffer !== undefined && weightTypeOf(buffer) === type ? buffer : allocateRows(type, bytesOf(plan, type))
    const record = plan.parts.reduce((sum, { columns }) => sum + weightBytes(type, columns), 0)
    let start = 0
    for (const part of plan.parts) {
      const { name, rows, columns, transposed } = part
      const [first, own] = [start, weightBytes(type, columns)]
      const step = plan.interleaved === true ? record : own
      const byteOf = (row: number) => first + step * row
      const shape = transposed === true ? { rows: columns, columns: rows } : { rows, columns }
      const store = transposed === true ? storeColumns : storeRows
      store(this.#take(name, [shape.rows, shape.columns]), shape, out, byteOf)
      start += plan.interleaved === true ? own : rows * own
    }
    return out
  }

  #vector(name: string, length: number): Float32Array {
    const { dtype, bytes } = this.#take(name, [length])
    return decodeStored(dtype, bytes)
  }
}

function bytesOf({ parts }: Plan, type: WeightType): number {
  return parts.reduce((sum, { rows, columns }) => sum + rows * weightBytes(type, columns), 0)
}

function joined(vectors: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(vectors.reduce((sum, { length }) => sum + length, 0))
  let start = 0
  for (const vector of vectors) {
    out.set(vector, start)
    start += vector.length
  }
  return out
}

/** What activations have learned in one layer. */
export class LearnedParameters {
  readonly #layer: number
  readonly #neurons: number
  readonly #stored: ReadonlyMap<string, Float32Array>
  readonly #byActivation = new Map<string, Float32Array | undefined>()

  /** `stored`: tensors by name. */
  constructor(layer: number, neurons: number, stored: ReadonlyMap<string, Float32Array>) {
    this.#layer = layer
    this.#neurons = neurons
    this.#stored = stored
  }

  /** The flat buffer that the kernels of `activation` take; undefined for one without learned parameters. */
  of(activation: Activation): Float32Array | undefined {
    const { spec, learned } = activation
    if (learned.length === 0) return undefined
    if (!this.#byActivation.has(spec)) {
      const stored = (name: string) => this.#stored.get(name)
      this.#byActivation.set(spec, activationParameters(activation, this.#neurons, this.#layer, stored))
    }
    return this.#byActivation.get(spec)
  }
}

/** Tensors that are f32 values in memory. */
export function sourceOf(names: readonly string[], tensor: (name: string) => Float32Array): TensorSource {
  const stored = (name: string): StoredTensor => {
    const { buffer, byteOffset, byteLength, length } = tensor(name)
    return { dtype: 'f32', shape: [length], bytes: new Uint8Array(buffer, byteOffset, byteLength) }
  }
  return { names, info: () => ({ dtype: 'f32', shape: [] }), stored }
}

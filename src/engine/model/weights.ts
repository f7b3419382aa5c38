// A model's weights in the engine's own layout: what decoding reads together is contiguous, with one type per matrix. One
// copy serves decoding and the pass over the prompt.

import type { Activation } from '../../activations/index.js'
import type { ModelSource, StoredTensor } from '../../formats/index.js'
import { decodeStored, heldAs } from '../../formats/stored.js'
import {
  allocateRows,
  readRow,
  type Weights,
  type WeightType,
  weightBytes,
  weightTypeOf,
} from '../../kernels/index.js'
import { ffnWidths, headDimOf, layerNorms, type ModelConfig } from '../../nn/config.js'
import type { LayerCuts, MatrixName } from '../../nn/cuts.js'
import { activationParameterName, activationParameters, parameterShapes } from '../../nn/parameters.js'
import { CompactNeurons } from './compact-neurons.js'
import { type CutWeights, cutBytes, cutWeights } from './cut-weights.js'
import type { RowBlock } from './row-blocks.js'
import { checkSize, storeColumns, storeRows } from './store.js'

/**
 * How matrices are stored in memory; `auto`: as in the file, or in a type of at least the same precision where the engine
 * does not compute with the file's. With `q4_0` the embedding and the head are q8_0, with `q4_k` and `q5_k` they are q6_k,
 * since they lose more to few bits than the other matrices. Norms and biases are always f32.
 */
export type EngineDtype = WeightType | 'auto'

/** Where weights come from: an open model, or anything else that gives its tensors by their Hugging Face names. */
export type TensorSource = Pick<ModelSource, 'names' | 'info' | 'stored'>

/** RMSNorm has a weight alone, LayerNorm a bias too. */
export interface NormWeights {
  /** (d). */
  readonly weight: Float32Array
  /** (d). */
  readonly bias: Float32Array | null
}

/**
 * How matrices are stored. `rows`: as the fields of `LayerWeights` say. `separate`: as `rows`, but the up rows of a gated
 * FFN are in `up` and neurons are their down columns alone. `channels`: as `separate`, and q, k, v, o, gate and up are
 * stored by input channel, so that those of an element that is 0 are not read. `inputs`: as `rows`, but q, k, v, o and gate
 * are stored by input channel, for models whose normed inputs have zeros.
 */
export type WeightStorage = 'rows' | 'separate' | 'channels' | 'inputs'
/** Whether q, k, v, o and gate are stored by input channel. */
export function isByChannel(storage: WeightStorage = 'rows'): boolean {
  return storage === 'channels' || storage === 'inputs'
}
/** Whether the up rows of a gated FFN stand with the down columns of their neurons. */
export function holdsNeurons(storage: WeightStorage = 'rows'): boolean {
  return storage === 'rows' || storage === 'inputs'
}

export interface LayerWeights {
  /** Default `rows`. */
  readonly storage?: WeightStorage
  /** What is set to 0 in this layer, see `flicker sparsify`. Default: nothing. */
  readonly cuts?: LayerCuts | null
  /** Stands for what cuts leave out of the inputs of matrices. Default: nothing does. */
  readonly lowRank?: CutWeights['lowRank']
  /** (d, d): the inputs of q, k and v, and of gate and up, are multiplied by these, for which their matrices are laid out. */
  readonly rotations?: CutWeights['rotations']
  /** Of what attention reads; null where it reads the residual stream as it is. */
  readonly inputNorm: NormWeights | null
  /**
   * Rows of q, then k, then v, (q + 2·kv, d): one block where they are of one type, else one of each. By channel always one
   * of each: q (d, q), k (d, kv), v (d, kv).
   */
  readonly qkv: readonly RowBlock[]
  /** Of those rows, (q + 2·kv); null without. */
  readonly qkvBias: Float32Array | null
  /** o_proj, (d, q); by channel (q, d). */
  readonly output: Weights
  /** (d); null without. */
  readonly outputBias: Float32Array | null
  /** Of queries and keys: (headDim), or (q) and (kv) for whole projections; null without. */
  readonly qNorm: Float32Array | null
  readonly kNorm: Float32Array | null
  /** Of what attention adds to the residual stream; null without. */
  readonly attentionNorm: NormWeights | null
  /** Of what the FFN reads; null where it reads what attention reads, or the residual stream as it is. */
  readonly ffnNorm: NormWeights | null
  /** Of what the FFN adds to the residual stream; null without. */
  readonly ffnOutputNorm: NormWeights | null
  /** What the activation is applied to: gate_proj, or up_proj of a plain FFN; (h, d), of a Spark FFN (h, r); by channel (d, h). */
  readonly gate: Weights
  /** (h), of a plain FFN; null without. */
  readonly gateBias: Float32Array | null
  /** Of the down projection, (d); null without. */
  readonly downBias: Float32Array | null
  /**
   * up_proj as a matrix of its own, (h, d), of a Spark FFN (h, d − r), by channel (d, h): of a dReLU FFN, whose activation
   * is applied to it too; of a gated FFN that is stored `separate` or by channel, or has up and down in different types.
   * Else null.
   */
  readonly up: Weights | null
  /**
   * Neuron after neuron: with `gated` its up row, of d or d − r values, then its down column, of d; else the down column
   * alone.
   */
  readonly neurons: Weights | CompactNeurons
  /** Whether neurons have up rows. */
  readonly gated: boolean
  /** Null where nothing is learned. */
  readonly learned: LearnedParameters | null
}

/** What the residual stream begins with. */
export interface Embeddings {
  /** (vocab, d). */
  readonly embedding: Weights
  /** A row for each position, (positions, d); null without. */
  readonly positions: Float32Array | null
}

export interface EngineWeights extends Embeddings {
  readonly layers: readonly LayerWeights[]
  readonly norm: NormWeights
  /** (vocab, d); the embedding itself when the two are tied. */
  readonly head: Weights
  /** (vocab); null without. */
  readonly headBias: Float32Array | null
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
  const order = isByChannel(storage) ? byChannel : (given: Plan) => given
  return {
    qkv: order(attention.qkv),
    output: order(attention.output),
    gate: order(plan(ffn === 'plain' ? up : gate)),
    up: ffn === 'plain' ? null : storage === 'channels' ? byChannel(plan(up)) : plan(up),
    down: plan(down),
    /** Up and down together, for forms of FFN that read them together. */
    neurons: holdsNeurons(storage) && hasUpRows(ffn) ? { parts: [up, down], interleaved: true } : null,
  }
}

/** Whether the up row of a neuron can stand before its down column: nothing is done to the projection but a product. */
function hasUpRows(ffn: ModelConfig['ffn']): boolean {
  return ffn === 'gated' || ffn === 'spark'
}

/** How the matrices of a model with these cuts are stored: by channel only where inputs of wide rows are cut or have zeros. */
export function storageFor(
  cuts: readonly LayerCuts[] | null,
  { normActivation }: Pick<ModelConfig, 'normActivation'>,
): WeightStorage {
  const cut = new Set((cuts ?? []).flatMap(({ inputs }) => Object.keys(inputs) as MatrixName[]))
  if (cut.size === 0) return normActivation === undefined ? 'rows' : 'inputs'
  return cut.size === 1 && cut.has('down') && normActivation === undefined ? 'separate' : 'channels'
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
  const { intermediateSize: h } = config
  const widths = ffnWidths(config)
  const bytes = (w: Weights, columns: number, byChannel: boolean) =>
    byChannel ? columns * weightBytes(weightTypeOf(w), h) : h * weightBytes(weightTypeOf(w), columns)
  const up = layer.up === null ? 0 : bytes(layer.up, widths.up, layer.storage === 'channels')
  const gate = bytes(layer.gate, widths.gate, isByChannel(layer.storage))
  return gate + up + h * neuronBytes(config, layer)
}

/** x (d) = what the residual stream of `token` at `position` begins with. */
export function embed(
  config: ModelConfig,
  { embedding, positions }: Embeddings,
  token: number,
  position: number,
  x: Float32Array,
): void {
  const { embeddingScale = 1, learnedPositions } = config
  readRow(embedding, token, x)
  if (embeddingScale !== 1) for (let k = 0; k < x.length; k++) x[k] *= embeddingScale
  if (positions === null || learnedPositions === undefined) return
  const row = (position + learnedPositions.offset) * x.length
  for (let k = 0; k < x.length; k++) x[k] += positions[row + k]
}

function vocabularyPlan(config: ModelConfig, name: string): Plan {
  return { parts: [{ name, rows: config.vocabSize, columns: config.hiddenSize }], atVocabulary: true }
}

/**
 * How a matrix is held transposed, as down_proj is, where the file has it as `stored`. Blocks of a file run across neurons;
 * here they run along them, so the values are rounded once more. The type is such that this adds little to the error that
 * the file has already: 2 to 5 % (docs/formats.md). `width`: of a transposed row, for down d; super-blocks that would
 * mostly be padding are larger than q8_0.
 */
export function transposedType(stored: WeightType, width: number): WeightType {
  if (stored === 'q5_k' || stored === 'q6_k') return 'q8_0'
  if (stored !== 'q4_k' && stored !== 'q4_0') return stored
  return weightBytes('q6_k', width) <= weightBytes('q8_0', width) ? 'q6_k' : 'q8_0'
}

/** Embedding and head lose more to few bits than the other matrices. */
export function atLeastAtVocabulary(dtype: WeightType): WeightType {
  if (dtype === 'q4_0') return 'q8_0'
  return dtype === 'q4_k' || dtype === 'q5_k' ? 'q6_k' : dtype
}

const EMBEDDING = 'model.embed_tokens.weight'
const POSITIONS = 'model.embed_positions.weight'
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
    storage: WeightStorage = storageFor(cuts, config),
  ) {
    this.#config = config
    this.#source = source
    this.#dtype = dtype
    this.#cuts = cuts
    this.#storage = storage
  }

  /** Bytes of all matrices, without reading any. Throws CheckpointError TENSOR_MISSING. */
  get bytes(): number {
    const matrices = this.#plans.reduce((sum, plan) => sum + bytesOf(plan, this.#typeOf(plan)), 0)
    return matrices + (this.#cuts ?? []).reduce((sum, cuts) => sum + cutBytes(cuts), 0)
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
      const { qkv, output, gate, up, down } = layerPlans(this.#config, layer, this.#storage)
      plans.push(...this.#rowPlans(qkv), output, gate, down, ...(up === null ? [] : [up]))
    }
    return plans
  }

  /** One plan where all parts can be one matrix, else one of each. */
  #rowPlans(plan: Plan): Plan[] {
    const together = !isByChannel(this.#storage) && this.#typesOf(plan).size === 1
    return together ? [plan] : plan.parts.map(part => ({ parts: [part] }))
  }

  /** Of the parts of a plan. */
  #typesOf({ parts, atVocabulary }: Plan): Set<WeightType> {
    return new Set(parts.map(part => this.#typeOf({ parts: [part], atVocabulary })))
  }

  /**
   * Everything. `finish` is called with the embeddings; what it returns may replace each layer before the next is read.
   * Throws CheckpointError: TENSOR_SHAPE, TENSOR_MISSING; OptionError QUANTIZE_RANGE.
   */
  all(
    finish: (embeddings: Embeddings) => (layer: LayerWeights, index: number) => LayerWeights = () => layer =>
      layer,
  ): EngineWeights {
    const config = this.#config
    const { embedding } = this
    const positions = this.positions()
    const finished = finish({ embedding, positions })
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
      positions,
      layers,
      norm: this.#norm('model.norm'),
      head: config.tieWordEmbeddings ? embedding : this.#matrix(vocabularyPlan(config, HEAD)),
      headBias: config.headBias === true ? this.#vector('lm_head.bias', config.vocabSize) : null,
    }
  }

  /** (positions, d); null where positions are not learned. Throws as `all` does. */
  positions(): Float32Array | null {
    const { learnedPositions, maxPositionEmbeddings, hiddenSize } = this.#config
    if (learnedPositions === undefined) return null
    const rows = maxPositionEmbeddings + learnedPositions.offset
    return this.#values(POSITIONS, [rows, hiddenSize])
  }

  #norm(name: string): NormWeights {
    const { norm, hiddenSize } = this.#config
    return {
      weight: this.#vector(`${name}.weight`, hiddenSize),
      bias: norm === 'layer' ? this.#vector(`${name}.bias`, hiddenSize) : null,
    }
  }

  /** (vocab, d). Throws as `all` does. */
  get embedding(): Weights {
    return this.#matrix(vocabularyPlan(this.#config, EMBEDDING))
  }

  /** One layer. `buffer`: for the neurons; default: a new one. Throws as `all` does. */
  layer(layer: number, buffer?: Weights): LayerWeights & { readonly neurons: Weights } {
    const { hiddenSize: d, intermediateSize: h, attentionBias, ffnBias, qkNorm } = this.#config
    const plans = layerPlans(this.#config, layer, this.#storage)
    const norms = layerNorms(this.#config)
    const name = (part: string) => `model.layers.${layer}.${part}`
    const outputs = ({ rows, columns, transposed }: Part) => (transposed === true ? columns : rows)
    const biases = ({ parts }: Plan) =>
      parts.map(part => this.#vector(part.name.replace(/weight$/, 'bias'), outputs(part)))
    const norm = (part: string | null) => (part === null ? null : this.#norm(name(part)))
    const headNorm = (part: string, of: Part) => {
      const width = qkNorm === 'head' ? headDimOf(this.#config) : outputs(of)
      return qkNorm === undefined ? null : this.#vector(name(`self_attn.${part}.weight`), width)
    }
    const [qPart, kPart] = plans.qkv.parts
    return {
      storage: this.#storage,
      cuts: this.#cuts?.[layer] ?? null,
      ...cutWeights(this.#config, this.#cuts?.[layer] ?? null, this.#typeOf(plans.output)),
      inputNorm: norm(norms.attentionInput),
      qkv: this.#rowBlocks(plans.qkv),
      qkvBias: attentionBias === undefined ? null : joined(biases(plans.qkv)),
      output: this.#matrix(plans.output),
      outputBias: attentionBias === 'qkvo' ? joined(biases(plans.output)) : null,
      qNorm: headNorm('q_norm', qPart),
      kNorm: headNorm('k_norm', kPart),
      attentionNorm: norm(norms.attentionOutput),
      ffnNorm: norm(norms.ffnInput),
      ffnOutputNorm: norm(norms.ffnOutput),
      gate: this.#matrix(plans.gate),
      gateBias: ffnBias === true ? this.#vector(name('mlp.up_proj.bias'), h) : null,
      downBias: ffnBias === true ? this.#vector(name('mlp.down_proj.bias'), d) : null,
      ...this.#neurons(plans, buffer),
      learned: this.#learned(layer),
    }
  }

  /** Up and down projections: together where they may be and are of one type. */
  #neurons(
    { up, down, neurons }: ReturnType<typeof layerPlans>,
    buffer?: Weights,
  ): { readonly up: Weights | null; readonly neurons: Weights; readonly gated: boolean } {
    if (neurons !== null && this.#typesOf(neurons).size === 1) {
      return { up: null, neurons: this.#matrix(neurons, buffer), gated: true }
    }
    return { up: up === null ? null : this.#matrix(up), neurons: this.#matrix(down, buffer), gated: false }
  }

  #rowBlocks(plan: Plan): RowBlock[] {
    return this.#rowPlans(plan).map(own => {
      const rows = own.parts.reduce(
        (sum, part) => sum + (part.transposed === true ? part.columns : part.rows),
        0,
      )
      return { weights: this.#matrix(own), rows }
    })
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

  /** The type of the options, or for `auto` that of the first part in the file: all parts of a plan are of one type. */
  #typeOf({ parts: [{ name, columns, transposed }], atVocabulary }: Plan): WeightType {
    const stored = heldAs(this.#source.info(name).dtype)
    if (this.#dtype === 'auto') return transposed === true ? transposedType(stored, columns) : stored
    return atVocabulary === true && stored !== this.#dtype ? atLeastAtVocabulary(this.#dtype) : this.#dtype
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
    return this.#values(name, [length])
  }

  #values(name: string, shape: readonly number[]): Float32Array {
    const { dtype, bytes } = this.#take(name, shape)
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

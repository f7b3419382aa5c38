// From the tensors of an open model to the engine's layout.

import type { ModelSource, StoredTensor } from '../../formats/index.js'
import { decodeStored, heldAs } from '../../formats/stored.js'
import {
  allocateRows,
  type Weights,
  type WeightType,
  weightBytes,
  weightTypeOf,
} from '../../kernels/index.js'
import { headDimOf, layerNorms, type ModelConfig } from '../../nn/config.js'
import type { LayerCuts } from '../../nn/cuts.js'
import { activationParameterName, parameterShapes } from '../../nn/parameters.js'
import { cutBytes, cutWeights } from './cut-weights.js'
import type { RowBlock } from './row-blocks.js'
import { checkSize, storeColumns, storePieces, storeRows } from './store.js'
import {
  atLeastAtVocabulary,
  layerPlans,
  type Part,
  type Plan,
  storageFor,
  transposedType,
  vocabularyPlan,
} from './weight-plans.js'
import {
  type Embeddings,
  type EngineWeights,
  expertsOf,
  isByChannel,
  type LayerWeights,
  LearnedParameters,
  type NormWeights,
  storedNeurons,
  type WeightStorage,
} from './weights.js'

/**
 * How matrices are stored in memory; `auto`: as in the file, or in a type of at least the same precision where the engine
 * does not compute with the file's. With `q4_0` the embedding and the head are q8_0, with `q4_k` and `q5_k` they are q6_k,
 * since they lose more to few bits than the other matrices. Norms and biases are always f32.
 */
export type EngineDtype = WeightType | 'auto'

/** Where weights come from: an open model, or anything else that gives its tensors by their Hugging Face names. */
export type TensorSource = Pick<ModelSource, 'names' | 'info' | 'stored' | 'reader'>

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

  /** The types of down_proj as it would be if it were stored by output, without reading any. Throws as `bytes` does. */
  static downTypes(config: ModelConfig, source: TensorSource, dtype: EngineDtype): Set<WeightType> {
    const layout = new WeightLayout(config, source, dtype, null, 'dense')
    const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) => layer)
    return new Set(layers.map(layer => layout.#typeOf(layerPlans(config, layer, 'dense').down)))
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
      const { qkv, output, router, gate, up, down } = layerPlans(this.#config, layer, this.#storage)
      plans.push(...this.#rowPlans(qkv), output, gate, down)
      for (const plan of [router, up]) if (plan !== null) plans.push(plan)
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
      const { neurons } = layer
      spare = neurons === null || layers[index].neurons === neurons ? undefined : storedNeurons(layer)
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
  layer(layer: number, buffer?: Weights): LayerWeights {
    const { hiddenSize: d, intermediateSize: h, attentionBias, ffnBias, qkNorm, experts } = this.#config
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
    const ffn = {
      storage: this.#storage,
      cuts: this.#cuts?.[layer] ?? null,
      gate: this.#matrix(plans.gate),
      gateBias: ffnBias === true ? this.#vector(name('mlp.up_proj.bias'), h) : null,
      downBias: ffnBias === true ? this.#vector(name('mlp.down_proj.bias'), d) : null,
      ...this.#neurons(plans, buffer),
      learned: this.#learned(layer),
    }
    return {
      ...ffn,
      experts:
        experts === undefined || plans.router === null
          ? null
          : { router: this.#matrix(plans.router), each: expertsOf(ffn, experts.count) },
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
    }
  }

  /** Up and down projections: together where they may be and are of one type. */
  #neurons(
    { up, down, neurons }: ReturnType<typeof layerPlans>,
    buffer?: Weights,
  ): Pick<LayerWeights, 'up' | 'down' | 'gated'> & { readonly neurons: Weights | null } {
    if (this.#storage === 'dense') {
      return {
        up: up === null ? null : this.#matrix(up),
        neurons: null,
        down: this.#matrix(down),
        gated: false,
      }
    }
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
  #typeOf({ parts: [{ name, columns, transposed }], atVocabulary, routes }: Plan): WeightType {
    const stored = heldAs(this.#source.info(name).dtype)
    if (routes === true) return stored === 'bf16' || stored === 'f16' ? stored : 'f32'
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
    const together = plan.interleaved ?? 1
    let start = 0
    for (let first = 0; first < plan.parts.length; first += together) {
      const group = plan.parts.slice(first, first + together)
      const record = group.reduce((sum, { columns }) => sum + weightBytes(type, columns), 0)
      let column = start
      for (const { name, rows, columns, transposed } of group) {
        const shape = transposed === true ? { rows: columns, columns: rows } : { rows, columns }
        const to = { out, first: column, step: record }
        const reader = this.#source.reader?.(name) ?? null
        const { dtype } = this.#source.info(name)
        if (reader === null || !storePieces({ dtype, reader }, shape, to, transposed === true)) {
          const store = transposed === true ? storeColumns : storeRows
          store(this.#take(name, [shape.rows, shape.columns]), shape, to)
        }
        column += weightBytes(type, columns)
      }
      start += group[0].rows * record
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

/** Tensors that are f32 values in memory. */
export function sourceOf(names: readonly string[], tensor: (name: string) => Float32Array): TensorSource {
  const stored = (name: string): StoredTensor => {
    const { buffer, byteOffset, byteLength, length } = tensor(name)
    return { dtype: 'f32', shape: [length], bytes: new Uint8Array(buffer, byteOffset, byteLength) }
  }
  return { names, info: () => ({ dtype: 'f32', shape: [] }), stored }
}

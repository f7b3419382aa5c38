// A model's weights in the engine's own layout: what decoding reads together stands together, in one number type per
// matrix. One copy serves decoding and the pass over the prompt.

import { parameterLayout, parseActivation } from '../activations/index.js'
import type { ModelSource, StoredTensor } from '../formats/index.js'
import { decodeStored } from '../formats/stored.js'
import { allocateWeights, type Weights, type WeightType, weightBytes } from '../kernels/index.js'
import { headDimOf, type ModelConfig } from '../nn/config.js'
import type { CompactNeurons } from './compact-neurons.js'
import { checkSize, storeColumns, storeRows } from './store.js'

/**
 * How matrices are stored; `auto` as they are in the file (f16 as bf16). With `q4_0` the embedding and the head are
 * q8_0, as they bear it badly. Norms and biases are f32 in any case.
 */
export type EngineDtype = WeightType | 'auto'

/** Where weights come from: an open model, or anything else that has its tensors by Hugging Face's names. */
export type TensorSource = Pick<ModelSource, 'names' | 'info' | 'stored'>

export interface LayerWeights {
  /** (d). */
  readonly inputNorm: Float32Array
  /** Rows of q, then k, then v: (q + 2·kv, d). */
  readonly qkv: Weights
  /** Of those rows, (q + 2·kv); null without. */
  readonly qkvBias: Float32Array | null
  /** o_proj, (d, q). */
  readonly output: Weights
  /** (d); null without. */
  readonly outputBias: Float32Array | null
  /** (d). */
  readonly ffnNorm: Float32Array
  /** What the activation is applied to: gate_proj, or up_proj of a plain FFN; (h, d). */
  readonly gate: Weights
  /** up_proj of a dReLU FFN, (h, d), to which the activation is applied too; null of the other forms. */
  readonly up: Weights | null
  /**
   * Neuron after neuron, rows of d numbers. Gated: two per neuron, its up row and its down column, (2·h, d). Plain and
   * dReLU: the down column alone, (h, d).
   */
  readonly neurons: Weights | CompactNeurons
  /** Whether neurons have up rows. */
  readonly gated: boolean
  /** What the checkpoint's own activation has learned in this layer, as its kernels take it; null for most. */
  readonly learned: Float32Array | null
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
  readonly columns: number
  readonly parts: readonly Part[]
  /** Embedding and head, which take 4 bits badly. */
  readonly atVocabulary?: boolean
}

interface Part {
  readonly name: string
  /** Rows of the matrix that it makes up: row i of the tensor, or column i when `turned`, is row first + step·i. */
  readonly rows: number
  readonly first: number
  readonly step: number
  readonly turned?: boolean
}

/** Where each matrix of a layer comes from. */
function layerPlans(config: ModelConfig, layer: number) {
  const { hiddenSize: d, intermediateSize: h, numAttentionHeads, numKeyValueHeads, ffn } = config
  const q = headDimOf(config) * numAttentionHeads
  const kv = headDimOf(config) * numKeyValueHeads
  const part = (name: string, rows: number, first = 0, step = 1, turned = false): Part => {
    return { name: `model.layers.${layer}.${name}.weight`, rows, first, step, turned }
  }
  const plan = (columns: number, ...parts: Part[]): Plan => ({ columns, parts })
  return {
    qkv: plan(
      d,
      part('self_attn.q_proj', q),
      part('self_attn.k_proj', kv, q),
      part('self_attn.v_proj', kv, q + kv),
    ),
    output: plan(q, part('self_attn.o_proj', d)),
    gate: plan(d, part(ffn === 'plain' ? 'mlp.up_proj' : 'mlp.gate_proj', h)),
    up: ffn === 'drelu' ? plan(d, part('mlp.up_proj', h)) : null,
    neurons:
      ffn === 'gated'
        ? plan(d, part('mlp.up_proj', h, 0, 2), part('mlp.down_proj', h, 1, 2, true))
        : plan(d, part('mlp.down_proj', h, 0, 1, true)),
  }
}

function vocabularyPlan(config: ModelConfig, name: string): Plan {
  const part = { name, rows: config.vocabSize, first: 0, step: 1 }
  return { columns: config.hiddenSize, parts: [part], atVocabulary: true }
}

const EMBEDDING = 'model.embed_tokens.weight'
const HEAD = 'lm_head.weight'

/**
 * Lays out a model's tensors one at a time: never more memory than the model and one tensor. Quantised tensors that
 * keep their type are taken over unchanged, all but down_proj: it is quantised anew, since its groups must lie within a
 * neuron.
 */
export class WeightLayout {
  readonly #config: ModelConfig
  readonly #source: TensorSource
  readonly #dtype: EngineDtype

  constructor(config: ModelConfig, source: TensorSource, dtype: EngineDtype) {
    this.#config = config
    this.#source = source
    this.#dtype = dtype
  }

  /** Bytes of all matrices, without reading any. Throws CheckpointError TENSOR_MISSING. */
  get bytes(): number {
    const { tieWordEmbeddings, numHiddenLayers } = this.#config
    const plans = [EMBEDDING, ...(tieWordEmbeddings ? [] : [HEAD])].map(name =>
      vocabularyPlan(this.#config, name),
    )
    for (let layer = 0; layer < numHiddenLayers; layer++) {
      for (const plan of Object.values(layerPlans(this.#config, layer))) if (plan !== null) plans.push(plan)
    }
    return plans.reduce((sum, plan) => sum + rowsOf(plan) * weightBytes(this.#typeOf(plan), plan.columns), 0)
  }

  /**
   * Everything; `finish`, made once the embedding is there, may change each layer before the next is read. Throws
   * CheckpointError: TENSOR_SHAPE, TENSOR_MISSING; OptionError QUANTISE_RANGE.
   */
  all(
    finish: (embedding: Weights) => (layer: LayerWeights, index: number) => LayerWeights = () => layer =>
      layer,
  ): EngineWeights {
    const config = this.#config
    const embedding = this.#matrix(vocabularyPlan(config, EMBEDDING))
    const finished = finish(embedding)
    const { numHiddenLayers: length } = config
    return {
      embedding,
      layers: Array.from({ length }, (_, index) => finished(this.#layer(index), index)),
      norm: this.#vector('model.norm.weight', config.hiddenSize),
      head: config.tieWordEmbeddings ? embedding : this.#matrix(vocabularyPlan(config, HEAD)),
    }
  }

  #layer(layer: number): LayerWeights {
    const { hiddenSize: d, attentionBias } = this.#config
    const plans = layerPlans(this.#config, layer)
    const name = (part: string) => `model.layers.${layer}.${part}`
    const biases = ({ parts }: Plan) =>
      parts.map(part => this.#vector(part.name.replace(/weight$/, 'bias'), part.rows))
    return {
      inputNorm: this.#vector(name('input_layernorm.weight'), d),
      qkv: this.#matrix(plans.qkv),
      qkvBias: attentionBias === undefined ? null : joined(biases(plans.qkv)),
      output: this.#matrix(plans.output),
      outputBias: attentionBias === 'qkvo' ? joined(biases(plans.output)) : null,
      ffnNorm: this.#vector(name('post_attention_layernorm.weight'), d),
      gate: this.#matrix(plans.gate),
      up: plans.up === null ? null : this.#matrix(plans.up),
      neurons: this.#matrix(plans.neurons),
      gated: this.#config.ffn === 'gated',
      learned: this.#learned(layer),
    }
  }

  /** The flat buffer of the activation's parameters; null when it has none, or the source has none of them. */
  #learned(layer: number): Float32Array | null {
    const activation = parseActivation(this.#config.activation)
    const { intermediateSize: h } = this.#config
    const layout = parameterLayout(activation, h).map(place => {
      return { ...place, tensor: `model.layers.${layer}.mlp.act.${place.name}` }
    })
    if (!layout.some(({ tensor }) => this.#source.names.includes(tensor))) return null
    return joined(layout.map(({ tensor, length }) => this.#vector(tensor, length)))
  }

  /** The widest of the types that the parts are stored in, unless one is asked for. */
  #typeOf({ parts, atVocabulary }: Plan): WeightType {
    const widest: WeightType[] = ['q4_0', 'q8_0', 'bf16', 'f32']
    const ranks = parts.map(({ name }) => {
      const { dtype } = this.#source.info(name)
      return widest.indexOf(dtype === 'f16' ? 'bf16' : dtype)
    })
    const stored = widest[Math.max(...ranks)]
    if (this.#dtype === 'auto') return stored
    return this.#dtype === 'q4_0' && stored !== 'q4_0' && atVocabulary === true ? 'q8_0' : this.#dtype
  }

  #take(name: string, shape: readonly number[]): StoredTensor {
    const tensor = this.#source.stored(name)
    checkSize(name, tensor, shape)
    return tensor
  }

  #matrix(plan: Plan): Weights {
    const { columns, parts } = plan
    const out = allocateWeights(this.#typeOf(plan), rowsOf(plan), columns)
    for (const { name, rows, first, step, turned } of parts) {
      const place = (row: number) => first + step * row
      if (turned === true) {
        const shape = { rows: columns, columns: rows }
        storeColumns(this.#take(name, [columns, rows]), shape, out, place)
      } else {
        storeRows(this.#take(name, [rows, columns]), { rows, columns }, out, place)
      }
    }
    return out
  }

  #vector(name: string, length: number): Float32Array {
    const { dtype, bytes } = this.#take(name, [length])
    return decodeStored(dtype, bytes)
  }
}

function rowsOf({ parts }: Plan): number {
  return parts.reduce((sum, { rows }) => sum + rows, 0)
}

function joined(vectors: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(vectors.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const vector of vectors) {
    out.set(vector, at)
    at += vector.length
  }
  return out
}

/** Tensors that are numbers in memory. */
export function sourceOf(names: readonly string[], tensor: (name: string) => Float32Array): TensorSource {
  const stored = (name: string): StoredTensor => {
    const { buffer, byteOffset, byteLength, length } = tensor(name)
    return { dtype: 'f32', shape: [length], bytes: new Uint8Array(buffer, byteOffset, byteLength) }
  }
  return { names, info: () => ({ dtype: 'f32', shape: [] }), stored }
}

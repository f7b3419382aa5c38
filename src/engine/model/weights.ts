// A model's weights in the engine's own layout: what decoding reads together is contiguous, with one type per matrix. One
// copy serves decoding and the pass over the prompt.

import type { Activation } from '../../activations/index.js'
import {
  bytesOf,
  readRow,
  rowsFrom,
  type Weights,
  type WeightType,
  weightBytes,
  weightTypeOf,
} from '../../kernels/index.js'
import { ffnWidths, type ModelConfig } from '../../nn/config.js'
import type { LayerCuts } from '../../nn/cuts.js'
import { activationParameters } from '../../nn/parameters.js'
import { CompactNeurons } from './compact-neurons.js'
import type { CutWeights } from './cut-weights.js'
import type { RowBlock } from './row-blocks.js'

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
 * are stored by input channel, for models whose normed inputs have zeros. `dense`: as `separate`, but down_proj is stored by
 * output, as files have it: for quantized models whose activation is exactly 0 nowhere. Nothing can be skipped there, and
 * blocks of a file need not be rounded again to run along neurons.
 */
export type WeightStorage = 'rows' | 'separate' | 'channels' | 'inputs' | 'dense'
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
  /**
   * Of a mixture of experts: then gate, up and neurons have the rows of all experts, one expert after the other. Default:
   * none.
   */
  readonly experts?: ExpertWeights | null
  /** What the activation is applied to: gate_proj, or up_proj of a plain FFN; (h, d), of a Spark FFN (h, r); by channel (d, h). */
  readonly gate: Weights
  /** (h), of a plain FFN; null without. */
  readonly gateBias: Float32Array | null
  /** Of the down projection, (d); null without. */
  readonly downBias: Float32Array | null
  /**
   * up_proj as a matrix of its own, (h, d), of a Spark FFN (h, d − r), by channel (d, h): of a dReLU FFN, whose activation
   * is applied to it too; of a gated FFN that is stored `separate`, `dense` or by channel, or has up and down in different types.
   * Else null.
   */
  readonly up: Weights | null
  /**
   * Neuron after neuron: with `gated` its up row, of d or d − r values, then its down column, of d; else the down column
   * alone. Null where storage is `dense`.
   */
  readonly neurons: Weights | CompactNeurons | null
  /** down_proj, (d, h), where storage is `dense`. Default: the neurons have it. */
  readonly down?: Weights | null
  /** Whether neurons have up rows. */
  readonly gated: boolean
  /** Null where nothing is learned. */
  readonly learned: LearnedParameters | null
}

/** One FFN: a layer's, or one expert of it. */
export type FfnWeights = Pick<
  LayerWeights,
  'storage' | 'cuts' | 'gate' | 'gateBias' | 'up' | 'neurons' | 'down' | 'gated' | 'downBias' | 'learned'
>

export interface ExpertWeights {
  /** (experts, d). */
  readonly router: Weights
  /** The rows of each expert, in the memory of the layer's. */
  readonly each: readonly FfnWeights[]
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

/** Bytes of one neuron of `LayerWeights.neurons`. */
export function neuronBytes(config: ModelConfig, layer: Pick<LayerWeights, 'neurons' | 'gated'>): number {
  const type = weightTypeOf(storedNeurons(layer))
  const up = layer.gated ? weightBytes(type, ffnWidths(config).up) : 0
  return up + weightBytes(type, config.hiddenSize)
}

/** The neurons of a layer that are in memory; the layer is not stored `dense`. */
export function storedNeurons({ neurons }: Pick<LayerWeights, 'neurons'>): Weights {
  if (neurons === null) throw new Error('a layer that is stored dense has no neurons')
  return neurons instanceof CompactNeurons ? neurons.weights : neurons
}

/** The types of the layers' gates. */
export function gateTypesOf(layers: readonly FfnWeights[]): Set<WeightType> {
  return new Set(layers.map(({ gate }) => weightTypeOf(gate)))
}

/** Every FFN of a model: of each layer its own, or its experts. */
export function ffnsOf(layers: readonly LayerWeights[]): FfnWeights[] {
  return layers.flatMap((layer): readonly FfnWeights[] => layer.experts?.each ?? [layer])
}

/** The FFNs that a layer's matrices hold, `count` equal parts of each. */
export function expertsOf(whole: FfnWeights, count: number): FfnWeights[] {
  const part = (w: Weights, expert: number) => {
    const bytes = bytesOf(w).length / count
    return rowsFrom(w, expert * bytes, bytes)
  }
  return Array.from({ length: count }, (_, expert) => ({
    ...whole,
    gate: part(whole.gate, expert),
    up: whole.up === null ? null : part(whole.up, expert),
    neurons: part(storedNeurons(whole), expert),
  }))
}

/** Bytes of all weights of an FFN, whether or not they are in memory. */
export function ffnBytes(config: ModelConfig, layer: FfnWeights): number {
  const { intermediateSize: h } = config
  const widths = ffnWidths(config)
  const bytes = (w: Weights, columns: number, byChannel: boolean) =>
    byChannel ? columns * weightBytes(weightTypeOf(w), h) : h * weightBytes(weightTypeOf(w), columns)
  const up = layer.up === null ? 0 : bytes(layer.up, widths.up, layer.storage === 'channels')
  const gate = bytes(layer.gate, widths.gate, isByChannel(layer.storage))
  const { down = null } = layer
  return gate + up + (down === null ? h * neuronBytes(config, layer) : downBytes(config, down))
}

/** Bytes of a down_proj stored by output. */
export function downBytes({ hiddenSize: d, intermediateSize: h }: ModelConfig, down: Weights): number {
  return d * weightBytes(weightTypeOf(down), h)
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

// A text taken through a model one layer at a time, and the error that cuts make in the output of a layer.

import type { Activation } from '../activations/index.js'
import type { VectorObserver } from '../engine/attention/attention.js'
import { KvCache } from '../engine/attention/kv-cache.js'
import { DENSE_POLICY, type FfnPolicy } from '../engine/ffn/policy.js'
import { type LayerContext, Layers } from '../engine/layers.js'
import { type Embeddings, embed, type LayerWeights } from '../engine/model/weights.js'
import { emptyStats } from '../engine/pass-stats.js'
import { Purpose } from '../kernels/philox.js'

/** Positions that attend to each other, at most. */
const WINDOW = 512

/** Consecutive positions of the text at the input of a layer. */
export interface Window {
  /** (count, d). */
  readonly x: Float32Array
  readonly count: number
}

/** The residual stream of the text, window by window; each window starts without context. */
export class ResidualStream {
  readonly activation: Activation
  /** Tokens. */
  readonly count: number
  readonly #context: LayerContext
  readonly #window: number
  readonly #x: Float32Array

  constructor(
    context: LayerContext,
    embeddings: Embeddings,
    tokens: ArrayLike<number>,
    activation: Activation,
  ) {
    const { hiddenSize: d, maxPositionEmbeddings } = context.config
    this.#context = context
    this.activation = activation
    this.count = tokens.length
    this.#window = Math.min(WINDOW, maxPositionEmbeddings, tokens.length)
    this.#x = new Float32Array(tokens.length * d)
    for (let t = 0; t < tokens.length; t++)
      embed(context.config, embeddings, tokens[t], t % this.#window, this.#x.subarray(t * d, (t + 1) * d))
  }

  /** Copies of `windows` stretches of at most `length` positions, spread over the text, each at the start of a window. */
  sample(windows: number, length: number): Window[] {
    const { hiddenSize: d } = this.#context.config
    const count = Math.min(length, this.#window)
    const starts = Math.floor(this.count / this.#window)
    return Array.from({ length: Math.min(windows, starts) }, (_, i) => {
      const start = Math.floor(((i + 0.5) * starts) / Math.min(windows, starts)) * this.#window
      return { x: this.#x.slice(start * d, (start + count) * d), count }
    })
  }

  /** Takes the whole text through a layer, uncut; `observer` sees the vectors. */
  advance(layer: LayerWeights, index: number, observer: VectorObserver): void {
    const { hiddenSize: d } = this.#context.config
    const pass = new LayerPass({ ...this.#context, observer }, DENSE_POLICY, this.activation, this.#window)
    for (let start = 0; start < this.count; start += this.#window) {
      const count = Math.min(this.#window, this.count - start)
      const x = this.#x.subarray(start * d, (start + count) * d)
      x.set(pass.run(layer, index, { x, count }))
    }
  }
}

/** Runs one layer over windows, each a sequence of its own. */
class LayerPass {
  readonly #context: LayerContext
  readonly #layers: Layers
  readonly #activation: Activation
  readonly #cache: KvCache

  constructor(context: LayerContext, policy: FfnPolicy, activation: Activation, longest: number) {
    const { config, cacheKind } = context
    this.#context = context
    this.#activation = activation
    this.#layers = new Layers(context, policy)
    this.#layers.reserve(longest, longest)
    this.#cache = new KvCache({ ...cacheKind, config: { ...config, numHiddenLayers: 1 } })
    this.#cache.reserve(longest)
  }

  /** (count, d) after the layer; valid until the next call. */
  run(layer: LayerWeights, index: number, { x, count }: Window): Float32Array {
    const { hiddenSize: d, numHiddenLayers } = this.#context.config
    const sequence = {
      activation: this.#activation,
      draw: { seedLow: 0, seedHigh: 0, purpose: Purpose.decode, step: 0 },
      position: 0,
      // The only layer of this cache, whichever layer of the model is computed.
      cache: { segments: () => this.#cache.segments(0) },
    }
    this.#layers.x.set(x.subarray(0, count * d))
    const part = { sequence, count, activeNeurons: new Int32Array(numHiddenLayers) }
    this.#layers.run(layer, index, [part], emptyStats(1, count, numHiddenLayers))
    return this.#layers.x.subarray(0, count * d)
  }
}

/** Skips nothing: of many rows few channels are 0 at all of them. */
const CUTTING_POLICY: FfnPolicy = { ...DENSE_POLICY, mostActiveChannels: 0 }

/** ‖y − ŷ‖₂ of a layer's output over the last quarter of sampled windows, cut against uncut. */
export class LayerError {
  readonly #layer: LayerWeights
  readonly #index: number
  readonly #windows: readonly Window[]
  readonly #pass: LayerPass
  readonly #exact: Float32Array[]
  readonly #d: number

  constructor(
    context: LayerContext,
    layer: LayerWeights,
    index: number,
    windows: readonly Window[],
    activation: Activation,
  ) {
    this.#layer = layer
    this.#index = index
    this.#windows = windows
    this.#d = context.config.hiddenSize
    const longest = Math.max(...windows.map(({ count }) => count))
    this.#pass = new LayerPass(context, CUTTING_POLICY, activation, longest)
    this.#exact = windows.map(window => this.#pass.run(layer, index, window).slice())
  }

  at(inputs: NonNullable<LayerWeights['cuts']>['inputs']): number {
    const layer = { ...this.#layer, cuts: { neurons: null, inputs } }
    let sum = 0
    for (const [w, window] of this.#windows.entries()) {
      const out = this.#pass.run(layer, this.#index, window)
      for (let i = Math.floor(window.count * 0.75) * this.#d; i < out.length; i++) {
        sum += (out[i] - this.#exact[w][i]) ** 2
      }
    }
    return Math.sqrt(sum)
  }
}

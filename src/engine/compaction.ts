// Which neurons never fire on a calibration text, found layer by layer while the model is laid out: the text goes through
// a layer as soon as it has been read, and the neurons that stay inactive leave memory before the next layer is read. So
// the whole model is never in memory.

import type { Activation } from '../activations/index.js'
import { OptionError } from '../errors.js'
import { Purpose } from '../kernels/philox.js'
import { KvCache } from './attention/kv-cache.js'
import { DENSE_POLICY } from './ffn/policy.js'
import { type LayerContext, Layers } from './layers.js'
import { CompactNeurons } from './model/compact-neurons.js'
import type { SpillFile } from './model/spill-file.js'
import { type Embeddings, embed, type LayerWeights, neuronBytes } from './model/weights.js'
import { emptyStats } from './pass-stats.js'

/** Positions that attend to each other: no more memory than decoding takes. */
const WINDOW = 256

/** What compaction keeps out of memory. */
export interface CompactionSummary {
  /** Tokens of the calibration text. */
  readonly tokens: number
  /** Neurons of all layers, and those of them that are in the file now. */
  readonly neurons: number
  readonly dropped: number
  /** Neurons that were read back since. */
  readonly recalled: number
  /** Memory saved now. */
  readonly bytes: number
}

export class Compaction {
  readonly tokens: number
  readonly #context: LayerContext
  readonly #activation: Activation
  readonly #file: SpillFile
  /** With buffers of its own: ones as large may never be needed again. */
  readonly #layers: Layers
  readonly #window: number
  /** The residual stream of the whole text, (tokens, d). */
  readonly #stream: Float32Array

  /** Throws OptionError COMPACT_TEXT for a text without tokens. */
  constructor(
    context: LayerContext,
    options: {
      readonly activation: Activation
      readonly tokens: ArrayLike<number>
      readonly file: SpillFile
    },
    embeddings: Embeddings,
  ) {
    const { config } = context
    const { tokens } = options
    if (tokens.length === 0) {
      throw new OptionError(
        'COMPACT_TEXT',
        'the text for compaction has no tokens; give one like those to come',
      )
    }
    this.tokens = tokens.length
    this.#context = context
    this.#activation = options.activation
    this.#file = options.file
    this.#layers = new Layers(context, DENSE_POLICY)
    this.#window = Math.min(WINDOW, config.maxPositionEmbeddings, tokens.length)
    const d = config.hiddenSize
    this.#stream = new Float32Array(tokens.length * d)
    for (let t = 0; t < tokens.length; t++)
      embed(config, embeddings, tokens[t], t % this.#window, this.#stream.subarray(t * d, (t + 1) * d))
  }

  /** The layer without the neurons that stay inactive on the text; itself when there are none. */
  compact(layer: LayerWeights, index: number): LayerWeights {
    const fired = this.#fired(layer, index)
    const { neurons } = layer
    if (neurons === null || neurons instanceof CompactNeurons || fired.every(flag => flag === 1)) return layer
    const bytes = neuronBytes(this.#context.config, layer)
    return { ...layer, neurons: new CompactNeurons(neurons, bytes, fired, this.#file) }
  }

  /** Sends the text through the layer, each window a sequence of its own; (h): 1 for every neuron that fired. */
  #fired(layer: LayerWeights, index: number): Uint8Array {
    const { config, cacheKind } = this.#context
    const { hiddenSize: d, intermediateSize: h, numHiddenLayers } = config
    const fired = new Uint8Array(h)
    const cache = new KvCache({ ...cacheKind, config: { ...config, numHiddenLayers: 1 } })
    cache.reserve(this.#window)
    this.#layers.reserve(this.#window, this.#window)
    const sequence = {
      activation: this.#activation,
      draw: { seedLow: 0, seedHigh: 0, purpose: Purpose.decode, step: 0 },
      position: 0,
      // The only layer of this cache, whichever layer of the model is computed.
      cache: { segments: () => cache.segments(0) },
    }
    for (let start = 0; start < this.tokens; start += this.#window) {
      const rows = Math.min(this.#window, this.tokens - start)
      const window = this.#stream.subarray(start * d, (start + rows) * d)
      this.#layers.x.set(window)
      const part = { sequence, count: rows, activeNeurons: new Int32Array(numHiddenLayers) }
      this.#layers.run(layer, index, [part], emptyStats(1, rows, numHiddenLayers))
      window.set(this.#layers.x.subarray(0, rows * d))
      const { hidden } = this.#layers.ffn
      for (let i = 0; i < rows * h; i++) if (hidden[i] !== 0) fired[i % h] = 1
    }
    return fired
  }
}

/** layers: of `neurons` neurons each. */
export function summarizeCompaction(
  layers: readonly LayerWeights[],
  perLayer: number,
  tokens: number,
): CompactionSummary {
  const total = { tokens, neurons: layers.length * perLayer, dropped: 0, recalled: 0, bytes: 0 }
  for (const { neurons } of layers) {
    if (!(neurons instanceof CompactNeurons)) continue
    total.dropped += neurons.dropped
    total.recalled += neurons.recalled
    total.bytes += neurons.droppedBytes
  }
  return total
}

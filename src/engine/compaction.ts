// Which neurons never fire on a calibration text, found layer by layer while the model is laid out: the text goes
// through a layer as soon as it is there, and what it leaves inactive is dropped before the next layer is read. So the
// whole model is never in memory.

import type { Activation } from '../activations/index.js'
import { OptionError } from '../errors.js'
import { readRow, type Weights, weightTypeOf } from '../kernels/index.js'
import { Purpose } from '../kernels/philox.js'
import { KvCache } from './attention/kv-cache.js'
import { FeedForward } from './ffn/ffn.js'
import { passStats } from './ffn/stats.js'
import { type LayerContext, layerForward } from './forward.js'
import { CompactNeurons } from './model/compact-neurons.js'
import type { SpillFile } from './model/spill-file.js'
import { type LayerWeights, neuronBytes } from './model/weights.js'
import { Workspace } from './model/workspace.js'

/** Tokens that see each other: no more memory than decoding takes. */
const WINDOW = 256

/** What compaction has dropped, for people. */
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
  readonly #ffn: FeedForward
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
    embedding: Weights,
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
    const { kernels, decode, kv, memory, rotation } = context
    // Buffers of its own: so large ones may never be needed again.
    this.#context = { config, kernels, decode, kv, memory, rotation, workspace: new Workspace(config) }
    this.#activation = options.activation
    this.#file = options.file
    this.#ffn = new FeedForward(config, [], context, { ffn: 'dense', narrow: 'off' })
    this.#window = Math.min(WINDOW, config.maxPositionEmbeddings, tokens.length)
    const d = config.hiddenSize
    this.#stream = new Float32Array(tokens.length * d)
    for (let t = 0; t < tokens.length; t++)
      readRow(embedding, tokens[t], this.#stream.subarray(t * d, (t + 1) * d))
  }

  /** The layer without the neurons that stay inactive on the text; itself when there are none. */
  compact(layer: LayerWeights, index: number): LayerWeights {
    const fired = this.#fired(layer, index)
    if (layer.neurons instanceof CompactNeurons || fired.every(flag => flag === 1)) return layer
    const bytes = neuronBytes(this.#context.config, weightTypeOf(layer.neurons))
    return { ...layer, neurons: new CompactNeurons(layer.neurons, bytes, fired, this.#file) }
  }

  /** Sends the text through the layer, in windows of their own; (h): 1 for every neuron that fired. */
  #fired(layer: LayerWeights, index: number): Uint8Array {
    const { config, workspace, rotation, kv, memory } = this.#context
    const { hiddenSize: d, intermediateSize: h } = config
    const fired = new Uint8Array(h)
    const cache = new KvCache({ config: { ...config, numHiddenLayers: 1 }, type: kv, memory })
    cache.reserve(this.#window)
    rotation.reserve(this.#window)
    for (let start = 0; start < this.tokens; start += this.#window) {
      const rows = Math.min(this.#window, this.tokens - start)
      const { x, activated } = workspace.forRows(rows)
      const window = this.#stream.subarray(start * d, (start + rows) * d)
      x.set(window)
      const text = {
        activation: this.#activation,
        draw: { seedLow: 0, seedHigh: 0, purpose: Purpose.decode, step: 0 },
        position: 0,
        cache: { segments: () => cache.segments(0) },
      }
      const part = { sequence: text, count: rows, activeNeurons: new Int32Array(config.numHiddenLayers) }
      layerForward(
        this.#context,
        this.#ffn,
        { layer, index },
        [part],
        passStats(1, rows, config.numHiddenLayers),
      )
      window.set(x.subarray(0, rows * d))
      for (let i = 0; i < rows * h; i++) if (activated[i] !== 0) fired[i % h] = 1
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

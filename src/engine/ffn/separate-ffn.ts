// One layer's FFN where gate, up and down are each computed for themselves. Of a model whose cuts are on the inputs of matrices,
// gate and up are stored by row or by input channel, down by neuron, which is its input channel. Of one that has nothing to skip
// and is stored `dense`, all are stored by output.

import type { DecodeKernels, Kernels, Weights } from '../../kernels/index.js'
import { weightBytes, weightTypeOf } from '../../kernels/index.js'
import type { ModelConfig } from '../../nn/config.js'
import type { MatrixName } from '../../nn/cuts.js'
import type { CutRows } from '../attention/attention.js'
import { ChannelProduct, type Traffic } from '../cuts.js'
import { downBytes, type LayerWeights, storedNeurons } from '../model/weights.js'
import { activateRows } from './ffn.js'
import { clearSigns, recordSigns } from './neuron-signs.js'
import { type FfnRows, hasZeros } from './policy.js'

export class SeparateFeedForward {
  readonly #config: ModelConfig
  readonly #kernels: Kernels
  readonly #decode: DecodeKernels
  readonly #channels: ChannelProduct
  /** Pre-activations, activated gate, hidden values, (rows, h). */
  #hidden = new Float32Array(0)
  /** (rows, h). */
  #up = new Float32Array(0)

  constructor(config: ModelConfig, using: { readonly kernels: Kernels; readonly decode: DecodeKernels }) {
    this.#config = config
    this.#kernels = using.kernels
    this.#decode = using.decode
    this.#channels = new ChannelProduct(using.decode)
  }

  /** x (rows, d) += FFN(normed (rows, d)), the rows of `sequences` one after the other. */
  run(
    layer: LayerWeights,
    index: number,
    sequences: readonly FfnRows[],
    normed: Float32Array,
    x: Float32Array,
    cutting: CutRows,
  ): Traffic {
    const { hiddenSize: d, intermediateSize: h, ffn } = this.#config
    const { observer } = cutting
    const rows = sequences.reduce((sum, { count }) => sum + count, 0)
    const size = rows * h
    if (this.#hidden.length < size) this.#hidden = new Float32Array(size)
    if (this.#up.length < size) this.#up = new Float32Array(size)
    const [hidden, up] = [this.#hidden.subarray(0, size), this.#up.subarray(0, size)]
    // Of a plain FFN, `gate` is its up_proj.
    const gate = ffn === 'plain' ? 'up' : 'gate'
    const traffic = [this.#project(layer, layer.gate, gate, normed, hidden, rows, cutting)]
    if (layer.gateBias !== null) this.#kernels.addBias(hidden, layer.gateBias, rows, h)
    activateRows(this.#kernels, layer, sequences, hidden, h)
    observer?.('gate', index, hidden, rows, h)
    recordSigns(sequences, index, hidden, h)
    if (layer.up !== null) {
      traffic.push(this.#project(layer, layer.up, 'up', normed, up, rows, cutting))
      observer?.('up', index, up, rows, h)
      this.#kernels.multiply(hidden, up, hidden, size)
    }
    observer?.('hidden', index, hidden, rows, h)
    clearSigns(sequences, index, hidden, h)
    if (layer.down) return this.#dense(layer, layer.down, index, sequences, x, traffic)
    const cut = layer.cuts?.inputs.down ?? null
    const input = {
      ...{ x: hidden, rows, channels: h, cut, zeros: hasZeros(sequences) },
      lowRank: layer.lowRank?.down,
      ...cutting,
    }
    traffic.push(this.#channels.add(storedNeurons(layer), input, x, d))
    if (layer.downBias !== null) this.#kernels.addBias(x, layer.downBias, rows, d)
    countActive(sequences, index, row => this.#channels.active[row])
    return sumOf(traffic)
  }

  /** x (rows, d) += the hidden values times down (d, h). */
  #dense(
    { downBias }: LayerWeights,
    down: Weights,
    index: number,
    sequences: readonly FfnRows[],
    x: Float32Array,
    traffic: readonly Traffic[],
  ): Traffic {
    const { hiddenSize: d, intermediateSize: h } = this.#config
    const rows = sequences.reduce((sum, { count }) => sum + count, 0)
    this.#decode.matvec(down, this.#hidden, x, d, h, rows, true, downBias)
    const hidden = (row: number) => this.#hidden.subarray(row * h, (row + 1) * h)
    countActive(sequences, index, row => h - this.#kernels.countZeros(hidden(row), h))
    return sumOf([...traffic, { read: downBytes(this.#config, down), skipped: 0 }])
  }

  /** y (rows, h) = normed · wᵀ, w stored as the layer's matrices are. */
  #project(
    { storage, cuts, lowRank }: LayerWeights,
    w: Weights,
    name: MatrixName,
    normed: Float32Array,
    y: Float32Array,
    rows: number,
    cutting: CutRows,
  ): Traffic {
    const { hiddenSize: d, intermediateSize: h } = this.#config
    if (storage === 'channels') {
      const cut = cuts?.inputs[name] ?? null
      const zeros = this.#config.normActivation !== undefined
      const input = { x: normed, rows, channels: d, cut, lowRank: lowRank?.[name], zeros, ...cutting }
      return this.#channels.add(w, input, y.fill(0), h)
    }
    this.#decode.matvec(w, normed, y, h, d, rows, false)
    return { read: h * weightBytes(weightTypeOf(w), d), skipped: 0 }
  }
}

/** Writes the active neurons of the last row of each sequence; active(row): those of a row of the pass. */
function countActive(sequences: readonly FfnRows[], index: number, active: (row: number) => number): void {
  let row = 0
  for (const { count, activeNeurons } of sequences) {
    row += count
    activeNeurons[index] = active(row - 1)
  }
}

function sumOf(traffic: readonly Traffic[]): Traffic {
  return {
    read: traffic.reduce((sum, { read }) => sum + read, 0),
    skipped: traffic.reduce((sum, { skipped }) => sum + skipped, 0),
  }
}

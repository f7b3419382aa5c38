// One layer's mixture of experts at the rows of a pass: the router, then each expert that some row has chosen, at those rows
// alone, through the same FFN as in models without experts. Nothing of the other experts is read. A row adds its experts up
// in ascending order, so its bits do not depend on the other rows.

import {
  chooseExperts,
  type DecodeKernels,
  type Kernels,
  type Weights,
  weightBytes,
  weightTypeOf,
} from '../../kernels/index.js'
import { drawLayer, type ModelConfig } from '../../nn/config.js'
import type { Traffic } from '../cuts.js'
import type { ExpertWeights } from '../model/weights.js'
import type { FeedForward } from './ffn.js'
import type { FfnRows } from './policy.js'

export class ExpertsFeedForward {
  readonly #config: ModelConfig
  readonly #kernels: Kernels
  readonly #decode: DecodeKernels
  readonly #ffn: FeedForward
  /** Router logits, (rows, experts), and the probabilities of a row, (experts). */
  #scores = new Float32Array(0)
  readonly #probabilities: Float64Array
  /** The input of an expert's rows, and its output, (rows, d). */
  #input = new Float32Array(0)
  #output = new Float32Array(0)
  /** Where the FFN writes the count of a sequence's last row: unread, since an expert's rows are sequences of one row. */
  readonly #counts: Int32Array

  constructor(
    config: ModelConfig,
    using: { readonly kernels: Kernels; readonly decode: DecodeKernels },
    ffn: FeedForward,
  ) {
    this.#config = config
    this.#kernels = using.kernels
    this.#decode = using.decode
    this.#ffn = ffn
    this.#probabilities = new Float64Array(config.experts?.count ?? 0)
    this.#counts = new Int32Array(config.numHiddenLayers * (config.experts?.count ?? 0))
  }

  /** x (rows, d) += Σ over the chosen experts of factor · FFN(normed (rows, d)), the rows of `sequences` one after the other. */
  run(
    { router, each }: ExpertWeights,
    index: number,
    sequences: readonly FfnRows[],
    normed: Float32Array,
    x: Float32Array,
  ): Traffic {
    const { hiddenSize: d } = this.#config
    const single = sequences.flatMap(oneByOne)
    this.#reserve(single.length)
    const chosen = this.#route(router, each.length, normed, single.length)
    let read = each.length * weightBytes(weightTypeOf(router), d)
    let skipped = 0
    const active = new Int32Array(single.length)
    for (const [expert, rows] of chosen.entries()) {
      if (rows.length === 0) continue
      const [input, output] = [this.#input, this.#output.subarray(0, rows.length * d).fill(0)]
      for (const [i, { row }] of rows.entries()) {
        input.set(normed.subarray(row * d, (row + 1) * d), i * d)
      }
      const number = index * each.length + expert
      const own = rows.map(({ row }): FfnRows => {
        const { draw, ...of } = single[row]
        const layer = drawLayer(this.#config, index, expert)
        return { ...of, draw: { ...draw, layer }, activeNeurons: this.#counts, neurons: undefined }
      })
      const traffic = this.#ffn.run(each[expert], number, own, input, output)
      read += traffic.read
      skipped += traffic.skipped
      for (const [i, { row, factor }] of rows.entries()) {
        active[row] += this.#ffn.active[i]
        this.#kernels.axpy(factor, output.subarray(i * d, (i + 1) * d), x.subarray(row * d, (row + 1) * d), d)
      }
    }
    let end = 0
    for (const { count, activeNeurons } of sequences) {
      end += count
      activeNeurons[index] = active[end - 1]
    }
    return { read, skipped }
  }

  /** Of each expert the rows that have chosen it, ascending, and the factors of its output. */
  #route(router: Weights, experts: number, normed: Float32Array, rows: number): Chosen[][] {
    const { perToken = 1, normalized = false } = this.#config.experts ?? {}
    const { hiddenSize: d } = this.#config
    this.#decode.matvec(router, normed, this.#scores, experts, d, rows, false)
    const chosen: Chosen[][] = Array.from({ length: experts }, () => [])
    for (let row = 0; row < rows; row++) {
      const scores = this.#scores.subarray(row * experts, (row + 1) * experts)
      const own = chooseExperts(scores, perToken, this.#probabilities)
      const sum = normalized ? own.reduce((total, expert) => total + this.#probabilities[expert], 0) : 1
      for (const expert of own) {
        chosen[expert].push({ row, factor: this.#probabilities[expert] / sum })
      }
    }
    return chosen
  }

  #reserve(rows: number): void {
    const { hiddenSize: d, experts } = this.#config
    if (rows * d <= this.#input.length) return
    this.#scores = new Float32Array(rows * (experts?.count ?? 0))
    this.#input = new Float32Array(rows * d)
    this.#output = new Float32Array(rows * d)
  }
}

interface Chosen {
  readonly row: number
  readonly factor: number
}

/** A sequence's rows as sequences of one row each. */
function oneByOne({ count, draw, ...rest }: FfnRows): FfnRows[] {
  return Array.from({ length: count }, (_, i) => {
    return { ...rest, count: 1, draw: { ...draw, firstRow: draw.firstRow + i } }
  })
}

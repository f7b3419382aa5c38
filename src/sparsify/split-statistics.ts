// What R-Sparse needs of a layer: the distribution of each input channel, and for each matrix its low-rank term and the share
// of the budget that input channels get.

import type { VectorName } from '../engine/attention/attention.js'
import type { LayerContext } from '../engine/layers.js'
import { type MatrixName, matricesOf, matrixShape } from '../nn/cuts.js'
import { scoreLimits } from './cut-layer.js'
import { ChannelHistograms } from './histograms.js'
import { bestShare, type ChannelMatrix, largestRank, principalTerm } from './low-rank.js'
import { RowSample } from './row-sample.js'
import { INPUT_OF, type LayerStatistics } from './statistics.js'

/** Rows of each vector that shares are chosen on. */
const SAMPLED_ROWS = 128

export class SplitStatistics {
  readonly channels: Partial<Record<VectorName, ChannelHistograms>> = {}
  readonly #context: LayerContext
  readonly #samples: Partial<Record<VectorName, RowSample>> = {}

  /** count: rows that will be added of each vector. */
  constructor(context: LayerContext, count: number) {
    this.#context = context
    for (const matrix of matricesOf(context.config)) {
      const vector = INPUT_OF[matrix]
      const { columns } = matrixShape(context.config, matrix)
      this.channels[vector] ??= new ChannelHistograms(columns)
      if (matrix !== 'down') this.#samples[vector] ??= new RowSample(SAMPLED_ROWS, count)
    }
  }

  add(vector: VectorName, values: Float32Array, rows: number, width: number): void {
    this.channels[vector]?.add(values, rows)
    this.#samples[vector]?.add(values, rows, width)
  }

  /**
   * Terms and shares of all matrices but down, whose input is sparse by itself: the published search gives channels all of its
   * budget, and those of gate and up almost always. norms: ‖W[:, j]‖₂.
   */
  terms(
    matrixOf: (matrix: MatrixName) => ChannelMatrix,
    norms: LayerStatistics['columnNorms'],
    levels: readonly number[],
  ): LayerStatistics['lowRank'] {
    const { config, kernels } = this.#context
    const terms: Partial<
      Record<MatrixName, { term: ReturnType<typeof principalTerm>; shares: Map<number, number> }>
    > = {}
    for (const name of matricesOf(config)) {
      const [histograms, sample, own] = [
        this.channels[INPUT_OF[name]],
        this.#samples[INPUT_OF[name]],
        norms[name],
      ]
      if (name === 'down' || histograms === undefined || sample === undefined || own === undefined) continue
      const matrix = matrixOf(name)
      const term = principalTerm(matrix, largestRank(matrix, Math.min(...levels)), kernels)
      const rows = { x: sample.values, count: sample.count }
      const shares = levels.map((level): [number, number] => {
        const limitsFor = (cut: number) => scoreLimits(histograms, own, cut)
        return [level, bestShare(matrix, term, level, rows, limitsFor, kernels)]
      })
      terms[name] = { term, shares: new Map(shares) }
    }
    return terms
  }
}

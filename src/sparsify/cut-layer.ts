// From the statistics of a layer to its cuts at given levels.

import type { ModelConfig } from '../nn/config.js'
import {
  type Cut,
  type LayerCuts,
  type LowRank,
  type MatrixName,
  matricesOf,
  matrixShape,
} from '../nn/cuts.js'
import { commonError } from './error-curve.js'
import { type Levels, levelsAt } from './greedy.js'
import type { ChannelHistograms } from './histograms.js'
import { splitBudget, truncated } from './low-rank.js'
import type { Method } from './methods.js'
import { countedMagnitudes, INPUT_OF, type LayerStatistics } from './statistics.js'

/** Makes cuts of one layer for one method. */
export class LayerCutter {
  readonly #config: ModelConfig
  readonly #statistics: LayerStatistics
  readonly #method: Method

  constructor(config: ModelConfig, statistics: LayerStatistics, method: Method) {
    this.#config = config
    this.#statistics = statistics
    this.#method = method
  }

  /** Cuts of the inputs of matrices at these levels; level 0 is no cut. */
  inputs(levels: Levels): LayerCuts['inputs'] {
    const cuts: Partial<Record<MatrixName, Cut>> = {}
    for (const matrix of matricesOf(this.#config)) {
      const score = this.#method.inputs[matrix]
      const level = levels[matrix] ?? 0
      if (score !== undefined) cuts[matrix] = this.#input(matrix, level)
    }
    return cuts
  }

  #input(matrix: MatrixName, level: number): Cut {
    const { columns } = matrixShape(this.#config, matrix)
    const { cut, inputs } = this.#method
    const { columnNorms } = this.#statistics
    if (cut === 'top') {
      const scale = inputs[matrix] === 'column-norm' ? (columnNorms[matrix] ?? null) : null
      return { kind: 'top', keep: Math.max(1, Math.floor(columns * (1 - level) + 1e-9)), scale }
    }
    const limit = level <= 0 ? 0 : countedMagnitudes(this.#statistics, INPUT_OF[matrix]).quantile(level)
    return { kind: 'threshold', limits: Float32Array.of(limit) }
  }

  /** R-Sparse: cuts by |x_j| · ‖W[:, j]‖₂ at one level for all matrices, with what stands for the rest. */
  split(level: number): Pick<LayerCuts, 'inputs' | 'lowRank'> {
    const { columnNorms, channels, lowRank = {} } = this.#statistics
    const inputs: Partial<Record<MatrixName, Cut>> = {}
    const terms: Partial<Record<MatrixName, LowRank>> = {}
    for (const matrix of matricesOf(this.#config)) {
      const [histograms, norms] = [channels?.[INPUT_OF[matrix]], columnNorms[matrix]]
      if (histograms === undefined || norms === undefined) throw new Error(`no statistics of ${matrix}`)
      const own = lowRank[matrix]
      const shape = matrixShape(this.#config, matrix)
      const { rank, cut } = splitBudget(shape, level, own?.shares.get(level) ?? 1)
      inputs[matrix] = { kind: 'threshold', limits: scoreLimits(histograms, norms, cut) }
      if (own !== undefined && rank > 0) terms[matrix] = truncated(own.term, rank)
    }
    return { inputs, lowRank: terms }
  }

  /** A cut of a fraction `level` of the neurons. */
  neurons(level: number): Cut {
    const { neurons } = this.#statistics
    if (this.#method.neurons === 'magnitude' || neurons === null) {
      return {
        kind: 'threshold',
        limits: Float32Array.of(countedMagnitudes(this.#statistics, 'gate').quantile(level)),
      }
    }
    const { gate, meanUp } = neurons
    const limit = gate.scoreQuantile(meanUp, level)
    return { kind: 'threshold', limits: meanUp.map(mean => limit / mean) }
  }
}

/** (channels): the limits for |x_j| below which a fraction `cut` of all |x_j| · norms[j] lies. */
export function scoreLimits(histograms: ChannelHistograms, norms: Float32Array, cut: number): Float32Array {
  const limit = histograms.scoreQuantile(norms, cut)
  return norms.map(norm => limit / norm)
}

/** The levels of LaRoSa's published code for inputs in rotated axes and for the others, which stay below 1. */
function rotatedLevels(config: ModelConfig, level: number): Levels {
  return Object.fromEntries(
    matricesOf(config).map(matrix => [
      matrix,
      matrix === 'o' || matrix === 'down' ? Math.min(0.95, 1.2 * level) : 0.8 * level,
    ]),
  )
}

/** The cuts of all layers at a level of the whole model, and what they are for reports. */
export function cutsAt(
  config: ModelConfig,
  layers: readonly LayerStatistics[],
  method: Method,
  level: number,
): { cuts: LayerCuts[]; levels: Levels[]; error: number | null } {
  const cutters = layers.map(statistics => new LayerCutter(config, statistics, method))
  if (method.allocation === 'error') {
    const curves = layers.flatMap(({ curve }) => (curve === null ? [] : [curve]))
    const { error, epsilons, fractions } = commonError(curves, level)
    return {
      cuts: layers.map(({ downLengths }, i) => {
        const limits = downLengths.map(length => epsilons[i] / length)
        return { neurons: null, inputs: { down: { kind: 'threshold', limits } } }
      }),
      levels: fractions.map(down => ({ down })),
      error,
    }
  }
  if (method.allocation === 'uniform') {
    return {
      cuts: cutters.map(cutter => ({ neurons: cutter.neurons(level), inputs: {} })),
      levels: layers.map(() => ({ up: level, down: level })),
      error: null,
    }
  }
  if (method.allocation === 'split') {
    const levels = layers.map(() => Object.fromEntries(matricesOf(config).map(matrix => [matrix, level])))
    return { cuts: cutters.map(cutter => ({ neurons: null, ...cutter.split(level) })), levels, error: null }
  }
  if (method.allocation === 'rotated') {
    const levels = rotatedLevels(config, level)
    const cuts = cutters.map((cutter, i) => {
      return { neurons: null, inputs: cutter.inputs(levels), rotations: layers[i].rotations }
    })
    return { cuts, levels: layers.map(() => levels), error: null }
  }
  const levels = layers.map(({ paths }) => levelsAt(paths[method.name] ?? [], level))
  return {
    cuts: cutters.map((cutter, i) => ({ neurons: null, inputs: cutter.inputs(levels[i]) })),
    levels,
    error: null,
  }
}

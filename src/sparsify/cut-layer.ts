// From the statistics of a layer to its cuts at given levels.

import type { ModelConfig } from '../nn/config.js'
import { type Cut, type LayerCuts, type MatrixName, matricesOf, matrixShape } from '../nn/cuts.js'
import { commonError } from './error-curve.js'
import { type Levels, levelsAt } from './greedy.js'
import type { Method } from './methods.js'
import { INPUT_OF, type LayerStatistics } from './statistics.js'

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
    const { magnitudes, columnNorms } = this.#statistics
    if (cut === 'top') {
      const scale = inputs[matrix] === 'column-norm' ? (columnNorms[matrix] ?? null) : null
      return { kind: 'top', keep: Math.max(1, Math.floor(columns * (1 - level) + 1e-9)), scale }
    }
    const limit = level <= 0 ? 0 : magnitudes[INPUT_OF[matrix]].quantile(level)
    return { kind: 'threshold', limits: Float32Array.of(limit) }
  }

  /** A cut of a fraction `level` of the neurons. */
  neurons(level: number): Cut {
    const { neurons, magnitudes } = this.#statistics
    if (this.#method.neurons === 'magnitude' || neurons === null) {
      return { kind: 'threshold', limits: Float32Array.of(magnitudes.gate.quantile(level)) }
    }
    const { gate, meanUp } = neurons
    const limit = gate.scoreQuantile(meanUp, level)
    return { kind: 'threshold', limits: meanUp.map(mean => limit / mean) }
  }
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
  const levels = layers.map(({ paths }) => levelsAt(paths[method.name] ?? [], level))
  return {
    cuts: cutters.map((cutter, i) => ({ neurons: null, inputs: cutter.inputs(levels[i]) })),
    levels,
    error: null,
  }
}

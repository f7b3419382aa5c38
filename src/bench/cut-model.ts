// The random model of `bench decode` cut by a method of `flicker sparsify`: the same buffers, read by input channel where the
// method needs that, since what random weights mean does not matter. Thresholds come from random tokens, all matrices at
// one level.

import { EngineModel } from '../engine/engine-model.js'
import type { EngineOptions } from '../engine/engine-options.js'
import type { EngineWeights, LayerWeights } from '../engine/model/weights.js'
import { OptionError } from '../errors.js'
import { isQuantized, rowsFrom, weightBytes, weightTypeOf } from '../kernels/index.js'
import { headDimOf, type ModelConfig } from '../nn/config.js'
import { type LayerCuts, MATRICES } from '../nn/cuts.js'
import { LayerCutter } from '../sparsify/cut-layer.js'
import { MagnitudeHistogram } from '../sparsify/histograms.js'
import { METHODS } from '../sparsify/methods.js'
import { countedMagnitudes, type LayerStatistics } from '../sparsify/statistics.js'

/** The methods whose thresholds need no more than magnitudes. */
export const BENCH_METHODS = ['cats', 'teal'] as const
export type BenchMethod = (typeof BENCH_METHODS)[number]

/**
 * `weights` with the cuts of a method at `level`, calibrated on `tokens`. Throws OptionError METHOD_DTYPE for quantized
 * weights, whose rows cannot be read in another shape.
 */
export function cutWeights(
  config: ModelConfig,
  weights: EngineWeights,
  method: BenchMethod,
  level: number,
  tokens: ArrayLike<number>,
): EngineWeights {
  const type = weightTypeOf(weights.layers[0].gate)
  if (isQuantized(weights.layers[0].gate)) {
    throw new OptionError('METHOD_DTYPE', `bench decode --method needs f32, bf16 or f16 weights, not ${type}`)
  }
  const byChannel = METHODS[method].neurons === null
  const layers = byChannel ? weights.layers.map(layer => channelView(config, layer)) : weights.layers
  const statistics = magnitudesOf(config, { ...weights, layers }, tokens)
  return {
    ...weights,
    layers: layers.map((layer, i): LayerWeights => {
      const cutter = new LayerCutter(config, statistics[i], METHODS[method])
      const cuts: LayerCuts = byChannel
        ? {
            neurons: null,
            inputs: cutter.inputs(Object.fromEntries(MATRICES.map(matrix => [matrix, level]))),
          }
        : { neurons: cutter.neurons(level), inputs: {} }
      return { ...layer, cuts }
    }),
  }
}

/**
 * The matrices of a gated layer as if they were stored by input channel: q, k and v are parts of their buffer, and up is the
 * first half of the neurons'.
 */
function channelView(config: ModelConfig, layer: LayerWeights): LayerWeights {
  const { hiddenSize: d, intermediateSize: h, numAttentionHeads, numKeyValueHeads } = config
  const { neurons } = layer
  if (neurons === null || 'rowOf' in neurons) return layer
  const downs = rowsFrom(neurons, d * weightBytes(weightTypeOf(neurons), h))
  const [{ weights }] = layer.qkv
  const headDim = headDimOf(config)
  let first = 0
  const qkv = [numAttentionHeads, numKeyValueHeads, numKeyValueHeads].map(heads => {
    const rows = heads * headDim
    const part = { weights: rowsFrom(weights, d * weightBytes(weightTypeOf(weights), first)), rows }
    first += rows
    return part
  })
  return { ...layer, storage: 'channels', qkv, up: neurons, neurons: downs, gated: false }
}

/** Magnitudes of the vectors of each layer over `tokens`, without cuts. */
function magnitudesOf(
  config: ModelConfig,
  weights: EngineWeights,
  tokens: ArrayLike<number>,
): LayerStatistics[] {
  const statistics = weights.layers.map(
    (): LayerStatistics => ({
      magnitudes: {
        attention: new MagnitudeHistogram(),
        heads: new MagnitudeHistogram(),
        ffn: new MagnitudeHistogram(),
        gate: new MagnitudeHistogram(),
        up: new MagnitudeHistogram(),
        hidden: new MagnitudeHistogram(),
      },
      neurons: null,
      curve: null,
      downLengths: new Float32Array(0),
      columnNorms: {},
      paths: {},
    }),
  )
  const options: EngineOptions = {
    observer: (vector, layer, values, rows, width) =>
      countedMagnitudes(statistics[layer], vector).add(values, rows * width),
  }
  new EngineModel(config, weights, options).session().prefill(tokens)
  return statistics
}

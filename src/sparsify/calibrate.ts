// What a calibration text shows of each layer, for all methods at once. Layer by layer: a layer is laid out, the whole text
// goes through it, its statistics are taken, and it leaves memory before the next is read. In memory: one layer, the
// residual stream of the text, and histograms.

import type { Activation } from '../activations/index.js'
import type { VectorName, VectorObserver } from '../engine/attention/attention.js'
import type { LayerContext } from '../engine/layers.js'
import type { WeightLayout } from '../engine/model/weight-layout.js'
import { type LayerWeights, storedNeurons } from '../engine/model/weights.js'
import { readRow, type Weights } from '../kernels/index.js'
import { MATRICES, type MatrixName, matricesOf, matrixShape } from '../nn/cuts.js'
import { LayerCutter } from './cut-layer.js'
import { type ErrorCurve, errorCurve } from './error-curve.js'
import { type GreedyStep, greedyPath } from './greedy.js'
import { ChannelHistograms, MagnitudeHistogram } from './histograms.js'
import { LayerError, ResidualStream } from './layer-pass.js'
import type { ChannelMatrix } from './low-rank.js'
import { METHODS, type Method, type MethodName } from './methods.js'
import { SecondMoments } from './rotation.js'
import { RowSample } from './row-sample.js'
import { SplitStatistics } from './split-statistics.js'
import { INPUT_OF, type LayerStatistics } from './statistics.js'

/** Tokens whose hidden values give the curve of CETT. */
const CURVE_TOKENS = 256
/** The greedy search: by how much a level rises at a step, and the multiply-adds that one error may take. */
const GREEDY_STEP = 0.05
const SEARCH_WORK = 4e9
const SEARCH_WINDOW = 64
const MOST_SEARCH_WINDOWS = 8

export interface CalibrateOptions {
  readonly methods: readonly MethodName[]
  /** The levels that cuts will be made for, at least one. */
  readonly levels: readonly number[]
  readonly activation: Activation
  /** Sees the vectors of each layer, uncut, and is told when the text has gone through it. */
  readonly inspector?: { readonly observer: VectorObserver; readonly done: (layer: number) => void }
  /** Called before each layer. */
  readonly onLayer?: (layer: number, layers: number) => void
}

/**
 * layouts: of the same weights. The text goes through `separate` storage, whose products of many rows are faster; norms and the
 * greedy search need `channels`. tokens: at least one.
 */
export function calibrate(
  context: LayerContext,
  layouts: { readonly separate: WeightLayout; readonly channels: WeightLayout },
  tokens: ArrayLike<number>,
  options: CalibrateOptions,
): LayerStatistics[] {
  const { config } = context
  const { separate, channels } = layouts
  const embeddings = { embedding: separate.embedding, positions: separate.positions() }
  const stream = new ResidualStream(context, embeddings, tokens, options.activation)
  return Array.from({ length: config.numHiddenLayers }, (_, index) => {
    options.onLayer?.(index, config.numHiddenLayers)
    return layerStatistics(
      context,
      { text: separate.layer(index), layer: channels.layer(index) },
      index,
      stream,
      options,
    )
  })
}

function layerStatistics(
  context: LayerContext,
  { text, layer }: { readonly text: LayerWeights; readonly layer: LayerWeights },
  index: number,
  stream: ResidualStream,
  { methods, levels, inspector }: CalibrateOptions,
): LayerStatistics {
  const { config } = context
  const { intermediateSize: h, hiddenSize: d } = config
  const wanted = methods.map(name => METHODS[name])
  const magnitudes: Partial<Record<VectorName, MagnitudeHistogram>> = {}
  for (const vector of scoredVectors(wanted)) magnitudes[vector] = new MagnitudeHistogram()
  const perNeuron = wanted.some(({ neurons }) => neurons === 'mean-up') ? new ChannelHistograms(h) : null
  const upSums = new Float64Array(h)
  const wantsCurve = wanted.some(({ allocation }) => allocation === 'error')
  const sample = new RowSample(CURVE_TOKENS, stream.count)
  const splits = wanted.some(({ allocation }) => allocation === 'split')
    ? new SplitStatistics(context, stream.count)
    : null
  const moments = wanted.some(({ allocation }) => allocation === 'rotated')
    ? { attention: new SecondMoments(d, context.kernels), ffn: new SecondMoments(d, context.kernels) }
    : null
  const observer: VectorObserver = (vector, _, values, rows, width) => {
    inspector?.observer(vector, index, values, rows, width)
    magnitudes[vector]?.add(values, rows * width)
    if (vector === 'gate') perNeuron?.add(values, rows)
    if (vector === 'up' && perNeuron !== null) {
      for (let i = 0; i < rows * width; i++) upSums[i % width] += Math.abs(values[i])
    }
    if (vector === 'hidden' && wantsCurve) sample.add(values, rows, width)
    if (vector === 'attention' || vector === 'ffn') moments?.[vector].add(values, rows)
    splits?.add(vector, values, rows, width)
  }
  const columnNorms: Partial<Record<MatrixName, Float32Array>> = {}
  for (const matrix of matricesOf(config)) {
    if (wanted.some(({ inputs }) => inputs[matrix] === 'column-norm')) {
      columnNorms[matrix] = channelLengths(context, layer, matrix)
    }
  }
  const downLengths = channelLengths(context, layer, 'down')
  // Before the stream leaves this layer's input.
  const windows = stream.sample(searchWindows(context), SEARCH_WINDOW)
  stream.advance(text, index, observer)
  inspector?.done(index)
  const partial = {
    magnitudes,
    neurons:
      perNeuron === null
        ? null
        : {
            gate: perNeuron,
            meanUp: Float32Array.from(upSums, sum => (sum * h) / Math.max(1, perNeuron.total)),
          },
    downLengths,
    columnNorms,
    curve: null,
    paths: {},
  }
  const paths: Partial<Record<MethodName, readonly GreedyStep[]>> = {}
  for (const method of wanted.filter(({ allocation }) => allocation === 'greedy')) {
    const cutter = new LayerCutter(config, partial, method)
    const error = new LayerError(context, layer, index, windows, stream.activation)
    const sizes = Object.fromEntries(
      matricesOf(config).map(matrix => {
        const { rows, columns } = matrixShape(config, matrix)
        return [matrix, rows * columns]
      }),
    )
    paths[method.name] = greedyPath(sizes, Math.max(...levels), GREEDY_STEP, at =>
      error.at(cutter.inputs(at)),
    )
  }
  const curve = wantsCurve ? curveOf(context, layer, sample, downLengths) : null
  // Nothing of the layer's weights is kept beside what the cuts need.
  return {
    ...partial,
    curve,
    paths,
    ...(splits !== null && {
      channels: splits.channels,
      lowRank: splits.terms(matrix => channelMatrix(context, layer, matrix), columnNorms, levels),
    }),
    ...(moments !== null && {
      rotations: { attention: moments.attention.rotation(), ffn: moments.ffn.rotation() },
    }),
  }

  function curveOf(
    { decode }: LayerContext,
    weights: LayerWeights,
    { values: hidden, count }: RowSample,
    lengths: Float32Array,
  ): ErrorCurve {
    const active = new Int32Array(count)
    const down = (values: Float32Array) => {
      const out = new Float32Array(count * d)
      const shape = { neurons: h, width: d, upWidth: 1, batch: count, gated: false, maxActive: 0 }
      decode.ffnNeurons(storedNeurons(weights), values, values, out, active, shape)
      return out
    }
    return errorCurve(hidden, lengths, count, down)
  }
}

/** The vectors whose elements are scored by magnitude, times something or not. */
function scoredVectors(methods: readonly Method[]): Set<VectorName> {
  return new Set(
    methods.flatMap(({ neurons, inputs }) => [
      ...(neurons === null ? [] : (['gate'] as const)),
      ...MATRICES.filter(matrix => inputs[matrix] !== undefined).map(matrix => INPUT_OF[matrix]),
    ]),
  )
}

/** How many windows the greedy search computes for one error. */
function searchWindows({ config }: LayerContext): number {
  const work = matricesOf(config).reduce((sum, matrix) => {
    const { rows, columns } = matrixShape(config, matrix)
    return sum + rows * columns
  }, 0)
  return Math.max(1, Math.min(MOST_SEARCH_WINDOWS, Math.floor(SEARCH_WORK / work / SEARCH_WINDOW)))
}

/** (columns): ‖W[:, j]‖₂ of a matrix stored by input channel. */
function channelLengths({ config }: LayerContext, layer: LayerWeights, matrix: MatrixName): Float32Array {
  const { columns, rows: width } = matrixShape(config, matrix)
  const row = new Float32Array(width)
  const w = channelsOf(layer, matrix)
  return Float32Array.from({ length: columns }, (_, j) => {
    readRow(w, j, row)
    return Math.sqrt(row.reduce((sum, value) => sum + value * value, 0))
  })
}

/** A matrix stored by input channel, in f32. */
function channelMatrix({ config }: LayerContext, layer: LayerWeights, matrix: MatrixName): ChannelMatrix {
  const { columns, rows } = matrixShape(config, matrix)
  const channels = new Float32Array(columns * rows)
  const w = channelsOf(layer, matrix)
  for (let j = 0; j < columns; j++) readRow(w, j, channels.subarray(j * rows, (j + 1) * rows))
  return { columns, rows, channels }
}

function channelsOf(layer: LayerWeights, matrix: MatrixName): Weights {
  const [q, k, v] = layer.qkv.map(({ weights }) => weights)
  const gateOrUp = layer.up === null || matrix === 'gate' ? layer.gate : layer.up
  return {
    q,
    k,
    v,
    o: layer.output,
    gate: gateOrUp,
    up: gateOrUp,
    down: storedNeurons(layer),
  }[matrix]
}

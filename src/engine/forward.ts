// The forward pass over some rows: each row is one position of one text. The rows of a pass may belong to one text (a
// prompt) or to several (texts decoded together); each weight is read once for all of them, and every row comes out
// with the same bits as alone.

import type { Activation } from '../activations/index.js'
import {
  type CacheType,
  type DecodeKernels,
  type Draw,
  type Kernels,
  readRow,
  type Weights,
  weightBytes,
  weightTypeOf,
} from '../kernels/index.js'
import { headDimOf, type ModelConfig } from '../nn/config.js'
import type { KvCache, RotationTable } from './attention/kv-cache.js'
import type { EngineModel } from './engine-model.js'
import type { FeedForward } from './ffn/ffn.js'
import { type PassStats, passStats } from './ffn/stats.js'
import { cacheBytesPerPosition, type Memory } from './model/memory.js'
import type { LayerWeights } from './model/weights.js'
import type { Workspace } from './model/workspace.js'

/** What a layer is computed with, its weights aside. */
export interface LayerContext {
  readonly config: ModelConfig
  readonly kernels: Kernels
  readonly decode: DecodeKernels
  readonly kv: CacheType
  readonly memory: Memory
  readonly rotation: RotationTable
  readonly workspace: Workspace
}

/** What a layer needs to know about one text. */
export interface LayerSequence {
  readonly activation: Activation
  readonly cache: Pick<KvCache, 'segments'>
  /** Whose random numbers the activation draws; the row of a draw is the position. */
  readonly draw: Omit<Draw, 'layer' | 'firstRow'>
  /** How many tokens have been read. */
  readonly position: number
}

/** What the pass needs to know about one text. */
export interface Sequence extends LayerSequence {
  readonly cache: KvCache
  position: number
}

/** The rows of one text in a layer. */
export interface LayerPart {
  readonly sequence: LayerSequence
  readonly count: number
  /** Receives the active neurons per layer of the last row. */
  readonly activeNeurons: Int32Array
}

/** The rows of one text: tokens [start, start + count). */
export interface Part extends LayerPart {
  readonly sequence: Sequence
  readonly tokens: ArrayLike<number>
  readonly start: number
}

/**
 * Runs all parts through all layers, the rows of one part after those of another; the residual stream is left in the
 * workspace. Parts that go on from one prompt should stand next to each other.
 */
export function forward(model: EngineModel, parts: readonly Part[]): PassStats {
  const { hiddenSize: d, numHiddenLayers } = model.config
  const rows = parts.reduce((sum, { count }) => sum + count, 0)
  const { weights, ffn } = model.ready
  const workspace = model.workspace.forRows(rows)
  let row = 0
  for (const { sequence, tokens, start, count } of parts) {
    sequence.cache.reserve(sequence.position + count)
    model.rotation.reserve(sequence.position + count)
    for (let i = 0; i < count; i++, row++) {
      readRow(weights.embedding, tokens[start + i], workspace.x.subarray(row * d, (row + 1) * d))
    }
  }
  const stats = passStats(parts.length, rows, numHiddenLayers)
  stats.otherBytesRead = rows * bytesOf(weights.embedding, 1, d) + cacheBytesRead(model, parts)
  for (const [index, layer] of weights.layers.entries())
    layerForward(model, ffn, { layer, index }, parts, stats)
  for (const { sequence, count } of parts) sequence.position += count
  return stats
}

/** The workspace's rows through one layer; counts into `stats`. */
export function layerForward(
  context: LayerContext,
  ffn: FeedForward,
  { layer, index }: { readonly layer: LayerWeights; readonly index: number },
  parts: readonly LayerPart[],
  stats: PassStats,
): void {
  const { config, kernels, workspace } = context
  const { x, normed, rstd } = workspace
  const { rows } = stats
  stats.otherBytesRead += attention(context, layer, index, parts, rows)
  kernels.rmsNorm(x, layer.ffnNorm, normed, rstd, rows, config.hiddenSize, config.rmsNormEps)
  const texts = parts.map(({ sequence, count, activeNeurons }) => {
    // All positions of a text are one sample: they share a draw where the activation says per=sample.
    const rowsPerSample = config.maxPositionEmbeddings
    // Field by field: for every layer of a token, copying the object took longer than the activation.
    const { seedLow, seedHigh, purpose, step } = sequence.draw
    const draw = {
      seedLow,
      seedHigh,
      purpose,
      step,
      layer: index,
      firstRow: sequence.position,
      rowsPerSample,
    }
    return { activation: sequence.activation, count, draw, activeNeurons }
  })
  ffn.run({ layer, index }, texts, workspace, stats)
}

/** out (rows, vocab) = logits of the workspace's rows [first, first + rows); counts into `stats`. */
export function head(
  model: EngineModel,
  rows: { readonly first: number; readonly count: number },
  out: Float32Array,
  stats: PassStats,
): void {
  const { config, workspace, kernels, decode } = model
  const { weights } = model.ready
  const { hiddenSize: d, vocabSize, rmsNormEps } = config
  const { x, normed, rstd } = workspace
  const { first, count } = rows
  const from = x.subarray(first * d, (first + count) * d)
  kernels.rmsNorm(from, weights.norm, normed, rstd, count, d, rmsNormEps)
  decode.matvec(weights.head, normed, out, vocabSize, d, count, false)
  stats.otherBytesRead += bytesOf(weights.head, vocabSize, d)
}

/** x += o_proj(attention(norm(x))); the new keys and values go into each text's cache. Returns the bytes of weights. */
function attention(
  context: LayerContext,
  layer: LayerWeights,
  index: number,
  parts: readonly LayerPart[],
  rows: number,
): number {
  const { config, workspace, kernels, decode, rotation, kv } = context
  const { hiddenSize: d, numAttentionHeads: heads, numKeyValueHeads: kvHeads, rmsNormEps } = config
  const { x, normed, rstd, qkv, mixed } = workspace
  const headDim = headDimOf(config)
  const width = (heads + 2 * kvHeads) * headDim
  kernels.rmsNorm(x, layer.inputNorm, normed, rstd, rows, d, rmsNormEps)
  decode.matvec(layer.qkv, normed, qkv, width, d, rows, false, layer.qkvBias)
  const sequences = parts.map(({ sequence, count }) => {
    return { count, position: sequence.position, segments: sequence.cache.segments(index) }
  })
  decode.attention(qkv, rotation.cos, rotation.sin, kv, sequences, mixed, { heads, kvHeads, headDim })
  decode.matvec(layer.output, mixed, x, d, heads * headDim, rows, true, layer.outputBias)
  return bytesOf(layer.qkv, width, d) + bytesOf(layer.output, d, heads * headDim)
}

/** Keys and values of all positions before the new ones, those that texts have in common once. */
function cacheBytesRead(model: EngineModel, parts: readonly Part[]): number {
  const seen = new Set<object>()
  let positions = 0
  for (const { sequence } of parts) {
    const segments = sequence.cache.segments(0)
    for (const [i, { keys, start }] of segments.entries()) {
      if (seen.has(keys)) continue
      seen.add(keys)
      positions += (segments[i + 1]?.start ?? sequence.position) - start
    }
  }
  return positions * cacheBytesPerPosition({ config: model.config, type: model.kv })
}

function bytesOf(w: Weights, rows: number, columns: number): number {
  return rows * weightBytes(weightTypeOf(w), columns)
}

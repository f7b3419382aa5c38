// The forward pass over some rows: each row is one position of one text. The rows of a pass may belong to one text (a
// prompt) or to several (texts decoded together); each weight is read once for all of them, and every row comes out
// with the same bits as alone.

import type { Activation } from '../activations/index.js'
import { widenBfloat16 } from '../formats/half-precision.js'
import type { Draw } from '../kernels/index.js'
import { headDimOf } from '../nn/config.js'
import type { KvCache } from './kv-cache.js'
import type { EngineModel } from './model.js'
import type { LayerWeights } from './weights.js'

/** What the pass needs to know about one text. */
export interface Sequence {
  readonly activation: Activation
  readonly cache: KvCache
  /** Whose random numbers the activation draws; the row of a draw is the position. */
  readonly draw: Omit<Draw, 'layer' | 'firstRow'>
  /** Active neurons per layer at the last position computed. */
  readonly activeNeurons: Int32Array
  /** How many tokens have been read. */
  position: number
}

/** The rows of one text: tokens [start, start + count). */
export interface Part {
  readonly sequence: Sequence
  readonly tokens: ArrayLike<number>
  readonly start: number
  readonly count: number
}

/** Runs all parts through all layers, one row after the other; the residual stream is left in the workspace. */
export function forward(model: EngineModel, parts: readonly Part[]): void {
  const { hiddenSize: d } = model.config
  const rows = parts.reduce((sum, { count }) => sum + count, 0)
  const { x } = model.workspace.forRows(rows)
  let row = 0
  for (const { sequence, tokens, start, count } of parts) {
    sequence.cache.reserve(sequence.position + count)
    model.rotation.reserve(sequence.position + count)
    for (let i = 0; i < count; i++, row++) embed(model, tokens[start + i], x.subarray(row * d, (row + 1) * d))
  }
  for (const [index, layer] of model.weights.layers.entries()) {
    attention(model, layer, index, parts, rows)
    feedForward(model, layer, index, parts, rows)
  }
  for (const { sequence, count } of parts) sequence.position += count
}

/** out (rows, vocab) = logits of the workspace's rows [first, first + rows). */
export function head(model: EngineModel, first: number, rows: number, out: Float32Array): void {
  const { config, weights, workspace, kernels, decode } = model
  const { hiddenSize: d, vocabSize, rmsNormEps } = config
  const { x, normed, rstd } = workspace
  const from = x.subarray(first * d, (first + rows) * d)
  kernels.rmsNorm(from, weights.norm, normed, rstd, rows, d, rmsNormEps)
  decode.matvec(weights.head, normed, out, vocabSize, d, rows, false)
}

function embed(model: EngineModel, token: number, out: Float32Array): void {
  const { embedding } = model.weights
  const row = embedding.subarray(token * out.length, (token + 1) * out.length)
  if (row instanceof Uint16Array) widenBfloat16(row, out)
  else out.set(row)
}

/** x += o_proj(attention(norm(x))); the new keys and values go into each text's cache. */
function attention(
  model: EngineModel,
  layer: LayerWeights,
  index: number,
  parts: readonly Part[],
  rows: number,
): void {
  const { config, workspace, kernels, decode, rotation } = model
  const { hiddenSize: d, numAttentionHeads: heads, numKeyValueHeads: kvHeads, rmsNormEps } = config
  const { x, normed, rstd, qkv, mixed } = workspace
  const headDim = headDimOf(config)
  const width = (heads + 2 * kvHeads) * headDim
  kernels.rmsNorm(x, layer.inputNorm, normed, rstd, rows, d, rmsNormEps)
  decode.matvec(layer.qkv, normed, qkv, width, d, rows, false)
  if (layer.qkvBias !== null) kernels.addBias(qkv, layer.qkvBias, rows, width)
  let row = 0
  for (const { sequence, count } of parts) {
    const { keys, values } = sequence.cache.layers[index]
    decode.cachedAttention(
      qkv.subarray(row * width, (row + count) * width),
      rotation.cos,
      rotation.sin,
      keys,
      values,
      mixed.subarray(row * heads * headDim, (row + count) * heads * headDim),
      {
        batch: count,
        position: sequence.position,
        capacity: sequence.cache.capacity,
        heads,
        kvHeads,
        headDim,
      },
    )
    row += count
  }
  decode.matvec(layer.output, mixed, x, d, heads * headDim, rows, true)
  if (layer.outputBias !== null) kernels.addBias(x, layer.outputBias, rows, d)
}

/** x += FFN(norm(x)). */
function feedForward(
  model: EngineModel,
  layer: LayerWeights,
  index: number,
  parts: readonly Part[],
  rows: number,
): void {
  const { config, workspace, kernels, decode } = model
  const { hiddenSize: d, intermediateSize: h, rmsNormEps } = config
  const { x, normed, rstd, activated, active } = workspace
  kernels.rmsNorm(x, layer.ffnNorm, normed, rstd, rows, d, rmsNormEps)
  decode.matvec(layer.gate, normed, activated, h, d, rows, false)
  let row = 0
  for (const { sequence, count } of parts) {
    const own = activated.subarray(row * h, (row + count) * h)
    const draw = { ...sequence.draw, layer: index, firstRow: sequence.position }
    kernels.activation(sequence.activation, own, own, count, h, draw)
    row += count
  }
  // Without exact zeros there is nothing to skip, and looking for them would only cost.
  const sparse = model.sparse && parts.some(({ sequence }) => sequence.activation.exactZeros)
  const shape = { neurons: h, width: d, batch: rows, gated: config.ffn === 'gated', sparse }
  decode.ffnNeurons(layer.neurons, activated, normed, x, active, shape)
  row = 0
  for (const { sequence, count } of parts) {
    row += count
    sequence.activeNeurons[index] = active[row - 1]
  }
}

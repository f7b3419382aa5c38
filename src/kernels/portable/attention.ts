// Causal attention, forward and backward, in blocks of 64 queries × 64 keys: memory does not grow with seq².
// The running softmax and the recomputation of the probabilities from `lse` follow Dao et al. 2022
// (FlashAttention, arXiv 2205.14135); every block product is the one of matmul.ts.

import type { AttentionShape, Floats } from '../interface/training.js'
import { type MatrixView, matrix, multiply, transpose } from './matmul.js'
import { scratch } from './scratch.js'

const BLOCK = 64

const scores = new Float64Array(BLOCK * BLOCK)
const dProbabilities = new Float64Array(BLOCK * BLOCK)
const rowMax = new Float64Array(BLOCK)
const rowSum = new Float64Array(BLOCK)
const rowDot = new Float64Array(BLOCK)
/** (queries, headDim): Σ exp(score − running maximum) · v. */
const outputSums = scratch()

/** Rows of one head in a (batch·seq, heads·headDim) buffer, from row `row` on. */
function headRows(data: Floats, row: number, head: number, heads: number, headDim: number): MatrixView {
  return matrix(data, (row * heads + head) * headDim, heads * headDim)
}

/** One block of queries of one head, and where its sequence starts. */
interface QueryBlock {
  readonly head: number
  readonly kvHead: number
  /** Row of the sequence's first token in the whole batch. */
  readonly sequenceRow: number
  /** Position of the block's first query in the sequence, a multiple of BLOCK. */
  readonly position: number
  readonly queries: number
}

function* queryBlocks({ batch, seq, heads, kvHeads }: AttentionShape): Generator<QueryBlock> {
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head / (heads / kvHeads))
      for (let position = 0; position < seq; position += BLOCK) {
        const queries = Math.min(BLOCK, seq - position)
        yield { head, kvHead, sequenceRow: b * seq, position, queries }
      }
    }
  }
}

/**
 * scores (queries, keys) = q kᵀ / √headDim for the keys from position `keyPosition` on, and −∞ where the key
 * comes after the query.
 */
function blockScores(
  q: MatrixView,
  k: MatrixView,
  { position, queries }: QueryBlock,
  keyPosition: number,
  keys: number,
  headDim: number,
): void {
  multiply(q, transpose(k), matrix(scores, 0, BLOCK), queries, keys, headDim, false)
  const scale = 1 / Math.sqrt(headDim)
  for (let i = 0; i < queries; i++) {
    const visible = Math.min(keys, position + i - keyPosition + 1)
    for (let j = 0; j < visible; j++) scores[i * BLOCK + j] *= scale
    for (let j = visible; j < keys; j++) scores[i * BLOCK + j] = Number.NEGATIVE_INFINITY
  }
}

/**
 * Turns row i of `scores` into exp(score − running maximum) and brings the row's running maximum, sum and
 * output (headDim elements of `sums`) up to date.
 */
function softmaxRow(i: number, keys: number, sums: Float64Array, headDim: number): void {
  let max = rowMax[i]
  for (let j = 0; j < keys; j++) max = Math.max(max, scores[i * BLOCK + j])
  const shrink = Math.exp(rowMax[i] - max)
  let total = rowSum[i] * shrink
  for (let j = 0; j < keys; j++) {
    const weight = Math.exp(scores[i * BLOCK + j] - max)
    scores[i * BLOCK + j] = weight
    total += weight
  }
  for (let c = 0; c < headDim; c++) sums[i * headDim + c] *= shrink
  rowMax[i] = max
  rowSum[i] = total
}

/** out = softmax(q kᵀ / √headDim) v over the keys up to each query; see Kernels.attention for the shapes. */
export function attention(
  q: Floats,
  k: Floats,
  v: Floats,
  out: Floats,
  lse: Floats,
  shape: AttentionShape,
): void {
  const { heads, kvHeads, headDim } = shape
  for (const block of queryBlocks(shape)) {
    const { head, kvHead, sequenceRow, position, queries } = block
    const firstRow = sequenceRow + position
    const sums = outputSums(queries * headDim).fill(0, 0, queries * headDim)
    rowMax.fill(Number.NEGATIVE_INFINITY)
    rowSum.fill(0)

    const qBlock = headRows(q, firstRow, head, heads, headDim)
    for (let keyPosition = 0; keyPosition < position + queries; keyPosition += BLOCK) {
      const keys = Math.min(BLOCK, position + queries - keyPosition)
      const keyRow = sequenceRow + keyPosition
      blockScores(qBlock, headRows(k, keyRow, kvHead, kvHeads, headDim), block, keyPosition, keys, headDim)
      for (let i = 0; i < queries; i++) softmaxRow(i, keys, sums, headDim)
      const vBlock = headRows(v, keyRow, kvHead, kvHeads, headDim)
      multiply(matrix(scores, 0, BLOCK), vBlock, matrix(sums, 0, headDim), queries, headDim, keys, true)
    }

    for (let i = 0; i < queries; i++) {
      const row = (firstRow + i) * heads + head
      for (let c = 0; c < headDim; c++) out[row * headDim + c] = sums[i * headDim + c] / rowSum[i]
      lse[row] = rowMax[i] + Math.log(rowSum[i])
    }
  }
}

/**
 * With P = exp(q kᵀ / √headDim − lse), recomputed block by block, and D = Σ dOut · out of each row:
 * dV = Pᵀ dOut; dS = P ⊙ (dOut vᵀ − D) / √headDim; dQ = dS k; dK = dSᵀ q.
 */
export function attentionBackward(
  dOut: Floats,
  q: Floats,
  k: Floats,
  v: Floats,
  out: Floats,
  lse: Floats,
  dQ: Floats,
  dK: Floats,
  dV: Floats,
  shape: AttentionShape,
): void {
  const { heads, kvHeads, headDim } = shape
  const rows = shape.batch * shape.seq
  dQ.fill(0, 0, rows * heads * headDim)
  for (const gradient of [dK, dV]) gradient.fill(0, 0, rows * kvHeads * headDim)
  const scale = 1 / Math.sqrt(headDim)
  const probabilities = matrix(scores, 0, BLOCK)
  const dScores = matrix(dProbabilities, 0, BLOCK)
  for (const block of queryBlocks(shape)) {
    const { head, kvHead, sequenceRow, position, queries } = block
    const firstRow = sequenceRow + position
    for (let i = 0; i < queries; i++) {
      const start = ((firstRow + i) * heads + head) * headDim
      let dot = 0
      for (let c = start; c < start + headDim; c++) dot += dOut[c] * out[c]
      rowDot[i] = dot
    }

    const qBlock = headRows(q, firstRow, head, heads, headDim)
    const dOutBlock = headRows(dOut, firstRow, head, heads, headDim)
    const dQBlock = headRows(dQ, firstRow, head, heads, headDim)
    for (let keyPosition = 0; keyPosition < position + queries; keyPosition += BLOCK) {
      const keys = Math.min(BLOCK, position + queries - keyPosition)
      const keyRow = sequenceRow + keyPosition
      const kBlock = headRows(k, keyRow, kvHead, kvHeads, headDim)
      const vBlock = headRows(v, keyRow, kvHead, kvHeads, headDim)
      blockScores(qBlock, kBlock, block, keyPosition, keys, headDim)
      multiply(dOutBlock, transpose(vBlock), dScores, queries, keys, headDim, false)
      for (let i = 0; i < queries; i++) {
        const rowLse = lse[(firstRow + i) * heads + head]
        for (let j = i * BLOCK; j < i * BLOCK + keys; j++) {
          const probability = Math.exp(scores[j] - rowLse)
          scores[j] = probability
          dProbabilities[j] = probability * (dProbabilities[j] - rowDot[i]) * scale
        }
      }

      const dKBlock = headRows(dK, keyRow, kvHead, kvHeads, headDim)
      const dVBlock = headRows(dV, keyRow, kvHead, kvHeads, headDim)
      multiply(transpose(probabilities), dOutBlock, dVBlock, keys, headDim, queries, true)
      multiply(dScores, kBlock, dQBlock, queries, headDim, keys, true)
      multiply(transpose(dScores), qBlock, dKBlock, keys, headDim, queries, true)
    }
  }
}

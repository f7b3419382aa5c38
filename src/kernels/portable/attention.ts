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
/**
 * Beyond this |lse|, exp(score − lse) loses more than 1e-4 to the rounding of an lse in f32: a row's maximum and sum are
 * then taken again from its scores.
 */
const LARGEST_LSE = 64
/** Of each query in the backward pass: P = exp(score − shift − log sum). */
const rowShift = new Float64Array(BLOCK)
const rowLogSum = new Float64Array(BLOCK)
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

/** The keys [first, last) of a block from `keyPosition` on that the query at `position` sees. */
function visibleKeys(
  position: number,
  keyPosition: number,
  keys: number,
  window: number | undefined,
): [first: number, last: number] {
  const oldest = window === undefined ? 0 : position - window + 1
  return [
    Math.min(keys, Math.max(0, oldest - keyPosition)),
    Math.max(0, Math.min(keys, position - keyPosition + 1)),
  ]
}

/**
 * scores (queries, keys) of q kᵀ for the keys from position `keyPosition` on, and −∞ where the query does not see the key.
 */
function blockScores(
  q: MatrixView,
  k: MatrixView,
  { position, queries }: QueryBlock,
  keyPosition: number,
  keys: number,
  { headDim, scale = 1 / Math.sqrt(headDim), softcap, window }: AttentionShape,
): void {
  multiply(q, transpose(k), matrix(scores, 0, BLOCK), queries, keys, headDim, false)
  for (let i = 0; i < queries; i++) {
    const [first, last] = visibleKeys(position + i, keyPosition, keys, window)
    const row = i * BLOCK
    for (let j = 0; j < first; j++) scores[row + j] = Number.NEGATIVE_INFINITY
    for (let j = first; j < last; j++) {
      const score = scores[row + j] * scale
      scores[row + j] = softcap === undefined ? score : softcap * Math.tanh(score / softcap)
    }
    for (let j = last; j < keys; j++) scores[row + j] = Number.NEGATIVE_INFINITY
  }
}

/**
 * Turns row i of `scores` into exp(score − running maximum) and brings the row's running maximum, sum and
 * output (headDim elements of `sums`) up to date.
 */
function softmaxRow(i: number, keys: number, sums: Float64Array, headDim: number): void {
  let max = rowMax[i]
  for (let j = 0; j < keys; j++) max = Math.max(max, scores[i * BLOCK + j])
  // None of the keys so far is in the window of this row.
  if (max === Number.NEGATIVE_INFINITY) {
    scores.fill(0, i * BLOCK, i * BLOCK + keys)
    return
  }
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

/** out = softmax(scores of q kᵀ) v over the keys that each query sees; see Kernels.attention for the shapes. */
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
      blockScores(qBlock, headRows(k, keyRow, kvHead, kvHeads, headDim), block, keyPosition, keys, shape)
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
 * rowShift, rowLogSum and rowDot (Σ P dP) of the queries whose lse is beyond LARGEST_LSE, from their scores with all keys.
 * `scoresOf` fills `scores` and `dProbabilities` for the keys from a position on and returns how many these are.
 */
function retakeStatistics(
  { position, queries }: QueryBlock,
  isSaturated: (query: number) => boolean,
  scoresOf: (keyPosition: number) => number,
): void {
  rowMax.fill(Number.NEGATIVE_INFINITY)
  rowSum.fill(0)
  const products = new Float64Array(queries)
  for (let keyPosition = 0; keyPosition < position + queries; keyPosition += BLOCK) {
    const keys = scoresOf(keyPosition)
    for (let i = 0; i < queries; i++) {
      let max = rowMax[i]
      for (let j = 0; j < keys; j++) max = Math.max(max, scores[i * BLOCK + j])
      if (max === Number.NEGATIVE_INFINITY) continue
      const shrink = Math.exp(rowMax[i] - max)
      rowSum[i] *= shrink
      products[i] *= shrink
      const visible = Math.min(keys, position + i - keyPosition + 1)
      for (let j = 0; j < visible; j++) {
        const weight = Math.exp(scores[i * BLOCK + j] - max)
        rowSum[i] += weight
        products[i] += weight * dProbabilities[i * BLOCK + j]
      }
      rowMax[i] = max
    }
  }
  for (let i = 0; i < queries; i++) {
    if (!isSaturated(i)) continue
    rowShift[i] = rowMax[i]
    rowLogSum[i] = Math.log(rowSum[i])
    rowDot[i] = products[i] / rowSum[i]
  }
}

/**
 * With P = exp(scores − lse), recomputed block by block, and D = Σ dOut · out of each row:
 * dV = Pᵀ dOut; dS = scale · P ⊙ (dOut vᵀ − D), times 1 − (score / softcap)² where scores are capped; dQ = dS k; dK = dSᵀ q.
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
  const { heads, kvHeads, headDim, softcap } = shape
  const rows = shape.batch * shape.seq
  dQ.fill(0, 0, rows * heads * headDim)
  for (const gradient of [dK, dV]) gradient.fill(0, 0, rows * kvHeads * headDim)
  const { scale = 1 / Math.sqrt(headDim) } = shape
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
      rowShift[i] = 0
      rowLogSum[i] = lse[(firstRow + i) * heads + head]
    }

    const qBlock = headRows(q, firstRow, head, heads, headDim)
    const dOutBlock = headRows(dOut, firstRow, head, heads, headDim)
    const dQBlock = headRows(dQ, firstRow, head, heads, headDim)
    const keysAt = (keyPosition: number) => {
      const keyRow = sequenceRow + keyPosition
      return {
        keys: Math.min(BLOCK, position + queries - keyPosition),
        kBlock: headRows(k, keyRow, kvHead, kvHeads, headDim),
        vBlock: headRows(v, keyRow, kvHead, kvHeads, headDim),
        dKBlock: headRows(dK, keyRow, kvHead, kvHeads, headDim),
        dVBlock: headRows(dV, keyRow, kvHead, kvHeads, headDim),
      }
    }
    const scoresOf = (keyPosition: number): number => {
      const { keys, kBlock, vBlock } = keysAt(keyPosition)
      blockScores(qBlock, kBlock, block, keyPosition, keys, shape)
      multiply(dOutBlock, transpose(vBlock), dScores, queries, keys, headDim, false)
      return keys
    }
    const isSaturated = (i: number) => !(Math.abs(lse[(firstRow + i) * heads + head]) <= LARGEST_LSE)
    if (Array.from({ length: queries }, (_, i) => isSaturated(i)).includes(true)) {
      retakeStatistics(block, isSaturated, scoresOf)
    }
    for (let keyPosition = 0; keyPosition < position + queries; keyPosition += BLOCK) {
      const { keys, kBlock, dKBlock, dVBlock } = keysAt(keyPosition)
      scoresOf(keyPosition)
      for (let i = 0; i < queries; i++) {
        // The first query sees one key: its probability is 1 whatever its score, whose gradient would be rounding alone.
        const seesOne = position + i === 0
        for (let j = i * BLOCK; j < i * BLOCK + keys; j++) {
          const score = scores[j]
          const probability = Math.exp(score - rowShift[i] - rowLogSum[i])
          const slope = softcap === undefined || probability === 0 ? 1 : 1 - (score / softcap) ** 2
          scores[j] = probability
          dProbabilities[j] = seesOne ? 0 : probability * (dProbabilities[j] - rowDot[i]) * scale * slope
        }
      }

      multiply(transpose(probabilities), dOutBlock, dVBlock, keys, headDim, queries, true)
      multiply(dScores, kBlock, dQBlock, queries, headDim, keys, true)
      multiply(transpose(dScores), qBlock, dKBlock, keys, headDim, queries, true)
    }
  }
}

// R-Sparse (Zhang et al. 2025, arXiv 2504.19449): the input channels with high scores exactly, and for the rest of the input the
// best approximation of W of low rank, from its singular vectors. How much of the budget each gets is chosen for each matrix.

import type { Kernels } from '../kernels/index.js'
import type { LowRank } from '../nn/cuts.js'
import { symmetricEigen } from './symmetric-eigen.js'

/** Shares of the budget that channels get; 1 has no low-rank term. The code of the paper searches between 0 and 1. */
export const SHARES = [1, 0.9, 0.8, 0.6, 0.4, 0.2] as const

/** A matrix by input channel: row j is what channel j adds, times x_j. */
export interface ChannelMatrix {
  readonly columns: number
  readonly rows: number
  /** (columns, rows). */
  readonly channels: Float32Array
}

/**
 * The rank that is left when channels get `share` of the (1 − level) · rows · columns weights; and the fraction of channels
 * that are cut.
 */
export function splitBudget(
  { columns, rows }: Pick<ChannelMatrix, 'columns' | 'rows'>,
  level: number,
  share: number,
): { readonly rank: number; readonly cut: number } {
  const cut = 1 - (1 - level) * share
  if (share === 1) return { rank: 0, cut }
  const kept = Math.max(1, Math.floor(columns * (1 - level) * share))
  const left = columns * rows * (1 - level) - kept * rows
  return { rank: Math.max(1, Math.floor(left / (columns + rows))), cut }
}

/** The largest rank that any share leaves at `level`. */
export function largestRank(shape: Pick<ChannelMatrix, 'columns' | 'rows'>, level: number): number {
  const ranks = SHARES.map(share => splitBudget(shape, level, share).rank)
  return Math.min(shape.columns, shape.rows, Math.max(...ranks))
}

/**
 * The first `rank` right singular vectors of W and W times each, the largest singular value first: W · x ≈ Σ out_c · (into_c · x).
 * From the eigenvectors of WᵀW.
 */
export function principalTerm(
  { columns, rows, channels }: ChannelMatrix,
  rank: number,
  kernels: Kernels,
): LowRank {
  const gram = new Float32Array(columns * columns)
  kernels.matmul(channels, channels, gram, columns, columns, rows, false, true, false)
  const { vectors } = symmetricEigen(Float64Array.from(gram), columns)
  const into = Float32Array.from(vectors.subarray(0, rank * columns))
  const out = new Float32Array(rank * rows)
  kernels.matmul(into, channels, out, rank, rows, columns, false, false, false)
  return { rank, into, out }
}

/** The first `rank` components of a term. */
export function truncated({ into, out, rank: all }: LowRank, rank: number): LowRank {
  return {
    rank,
    into: into.subarray(0, rank * (into.length / all)),
    out: out.subarray(0, rank * (out.length / all)),
  }
}

/**
 * The share of SHARES whose product differs least from W · x over sampled inputs: x (samples, columns). limitsFor: (columns) the
 * limits below which a fraction of all inputs' scores lies.
 */
export function bestShare(
  matrix: ChannelMatrix,
  term: LowRank,
  level: number,
  sample: { readonly x: Float32Array; readonly count: number },
  limitsFor: (cut: number) => Float32Array,
  kernels: Kernels,
): number {
  const { columns, rows, channels } = matrix
  const { x, count } = sample
  const exact = new Float32Array(count * rows)
  kernels.matmul(x, channels, exact, count, rows, columns, false, false, false)
  let best = { share: 1, error: Number.POSITIVE_INFINITY }
  for (const share of SHARES) {
    const { rank, cut } = splitBudget(matrix, level, share)
    if (rank > term.rank) continue
    const limits = limitsFor(cut)
    const [kept, rest] = [x.slice(), x.slice()]
    for (let i = 0; i < x.length; i++) {
      if (Math.abs(x[i]) < limits[i % columns]) kept[i] = 0
      else rest[i] = 0
    }
    const y = new Float32Array(count * rows)
    kernels.matmul(kept, channels, y, count, rows, columns, false, false, false)
    if (rank > 0) {
      const { into, out } = truncated(term, rank)
      const components = new Float32Array(count * rank)
      kernels.matmul(rest, into, components, count, rank, columns, false, true, false)
      kernels.matmul(components, out, y, count, rows, rank, false, false, true)
    }
    const error = y.reduce((sum, value, i) => sum + (value - exact[i]) ** 2, 0)
    if (error < best.error) best = { share, error }
  }
  return best.share
}

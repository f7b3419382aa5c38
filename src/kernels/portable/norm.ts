// RMSNorm, forward and backward. Zhang & Sennrich 2019, arXiv 1910.07467.

import type { Floats } from '../interface/training.js'
import { scratch } from './scratch.js'

const weightSums = scratch()

/** x (rows, width), weight (width) → out (rows, width) = x · rstd · weight; rstd (rows) = 1/√(mean(x²) + eps). */
export function rmsNorm(
  x: Floats,
  weight: Floats,
  out: Floats,
  rstd: Floats,
  rows: number,
  width: number,
  eps: number,
): void {
  for (let row = 0; row < rows; row++) {
    const start = row * width
    let squares = 0
    for (let i = 0; i < width; i++) squares += x[start + i] * x[start + i]
    const scale = 1 / Math.sqrt(squares / width + eps)
    rstd[row] = scale
    for (let i = 0; i < width; i++) out[start + i] = x[start + i] * scale * weight[i]
  }
}

/**
 * With x̂ = x · rstd and g = dOut · weight:
 * dX += rstd · (g − x̂ · mean(g · x̂)); dWeight += Σ over rows of dOut · x̂.
 */
export function rmsNormBackward(
  dOut: Floats,
  x: Floats,
  weight: Floats,
  rstd: Floats,
  dX: Floats,
  dWeight: Floats,
  rows: number,
  width: number,
): void {
  const dWeightSums = weightSums(width).fill(0, 0, width)
  for (let row = 0; row < rows; row++) {
    const start = row * width
    const scale = rstd[row]
    let projection = 0
    for (let i = 0; i < width; i++) {
      const normalized = x[start + i] * scale
      projection += dOut[start + i] * weight[i] * normalized
      dWeightSums[i] += dOut[start + i] * normalized
    }
    projection /= width
    for (let i = 0; i < width; i++) {
      const normalized = x[start + i] * scale
      dX[start + i] += scale * (dOut[start + i] * weight[i] - normalized * projection)
    }
  }
  for (let i = 0; i < width; i++) dWeight[i] += dWeightSums[i]
}

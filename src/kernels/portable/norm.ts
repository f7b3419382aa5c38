// RMSNorm (Zhang & Sennrich 2019, arXiv 1910.07467) and LayerNorm (Ba et al. 2016, arXiv 1607.06450), forward and backward.

import type { Floats } from '../interface/training.js'
import { scratch } from './scratch.js'

const weightSums = scratch()
const biasSums = scratch()

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

/**
 * x (rows, width), weight and bias (width) → out (rows, width) = (x − mean) · rstd · weight + bias; statistics (rows, 2): mean
 * and rstd = 1/√(mean((x − mean)²) + eps).
 */
export function layerNorm(
  x: Floats,
  weight: Floats,
  bias: Floats,
  out: Floats,
  statistics: Floats,
  rows: number,
  width: number,
  eps: number,
): void {
  for (let row = 0; row < rows; row++) {
    const start = row * width
    let mean = 0
    for (let i = 0; i < width; i++) mean += x[start + i]
    mean /= width
    let squares = 0
    for (let i = 0; i < width; i++) squares += (x[start + i] - mean) * (x[start + i] - mean)
    const scale = 1 / Math.sqrt(squares / width + eps)
    statistics[2 * row] = mean
    statistics[2 * row + 1] = scale
    for (let i = 0; i < width; i++) out[start + i] = (x[start + i] - mean) * scale * weight[i] + bias[i]
  }
}

/**
 * With x̂ = (x − mean) · rstd and g = dOut · weight:
 * dX += rstd · (g − mean(g) − x̂ · mean(g · x̂)); dWeight += Σ over rows of dOut · x̂; dBias += Σ over rows of dOut.
 */
export function layerNormBackward(
  dOut: Floats,
  x: Floats,
  weight: Floats,
  statistics: Floats,
  dX: Floats,
  dWeight: Floats,
  dBias: Floats,
  rows: number,
  width: number,
): void {
  const dWeightSums = weightSums(width).fill(0, 0, width)
  const dBiasSums = biasSums(width).fill(0, 0, width)
  for (let row = 0; row < rows; row++) {
    const start = row * width
    const mean = statistics[2 * row]
    const scale = statistics[2 * row + 1]
    let [sum, projection] = [0, 0]
    for (let i = 0; i < width; i++) {
      const normalized = (x[start + i] - mean) * scale
      const g = dOut[start + i] * weight[i]
      sum += g
      projection += g * normalized
      dWeightSums[i] += dOut[start + i] * normalized
      dBiasSums[i] += dOut[start + i]
    }
    sum /= width
    projection /= width
    for (let i = 0; i < width; i++) {
      const normalized = (x[start + i] - mean) * scale
      dX[start + i] += scale * (dOut[start + i] * weight[i] - sum - normalized * projection)
    }
  }
  for (let i = 0; i < width; i++) {
    dWeight[i] += dWeightSums[i]
    dBias[i] += dBiasSums[i]
  }
}

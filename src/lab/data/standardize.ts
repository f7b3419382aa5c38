// Standardization: mean 0 and standard deviation 1 on the samples that train; the others are shifted and scaled by
// the same numbers, so that nothing of the validation part leaks into training.

import { DatasetError } from '../../errors.js'
import type { Dataset } from './dataset.js'

/** What is taken off each feature, and what it is then divided by. */
export interface Scaling {
  readonly mean: Float64Array
  readonly deviation: Float64Array
}

/**
 * Mean and standard deviation (of the population) of each feature over `rows`, or of all features together when they
 * are alike. A feature that does not vary beyond rounding has deviation 1: it becomes 0 and stays there.
 */
export function fitScaling({ x, features, alike }: Dataset, rows: Int32Array): Scaling {
  const mean = columnSums(rows, features, (row, j) => x[row * features + j], alike)
  const count = rows.length * (alike ? features : 1)
  for (let j = 0; j < features; j++) mean[j] /= count
  const square = (row: number, j: number): number => (x[row * features + j] - mean[j]) ** 2
  const deviation = columnSums(rows, features, square, alike)
  for (let j = 0; j < features; j++) {
    const variance = deviation[j] / count
    // The bound of scikit-learn's StandardScaler on what rounding alone makes of a constant.
    const rounding = count * Number.EPSILON * variance + (count * mean[j] * Number.EPSILON) ** 2
    deviation[j] = variance <= rounding ? 1 : Math.sqrt(variance)
  }
  return { mean, deviation }
}

/** Sums over `rows` of each column, or in each column the sum over all of them. */
function columnSums(
  rows: Int32Array,
  features: number,
  value: (row: number, column: number) => number,
  together: boolean,
): Float64Array {
  const sums = new Float64Array(features)
  for (const row of rows) for (let j = 0; j < features; j++) sums[j] += value(row, j)
  return together ? sums.fill(sums.reduce((sum, part) => sum + part, 0)) : sums
}

/**
 * (rows × features), f32: the samples `rows`, scaled unless `scaling` is null. Throws DatasetError
 * (DATASET_OUT_OF_RANGE) when a value does not fit a 32-bit float.
 */
export function takeRows(dataset: Dataset, rows: Int32Array, scaling: Scaling | null): Float32Array {
  const { x, features } = dataset
  const out = new Float32Array(rows.length * features)
  let o = 0
  for (const row of rows) {
    for (let j = 0; j < features; j++, o++) {
      const value = x[row * features + j]
      out[o] = scaling === null ? value : (value - scaling.mean[j]) / scaling.deviation[j]
      if (!Number.isFinite(out[o])) throw outOfRange(dataset, j)
    }
  }
  return out
}

function outOfRange({ title, featureNames }: Dataset, column: number): DatasetError {
  return new DatasetError(
    'DATASET_OUT_OF_RANGE',
    `${title}: values of ${featureNames[column]} are too large for 32-bit numbers; use another unit`,
  )
}

// Products of training where most of a matrix (rows, neurons) is exactly 0.

import type { Floats } from '../interface/training.js'

/** See Kernels.sparseDots. */
export function sparseDots(
  mask: Floats,
  x: Floats,
  w: Floats,
  out: Floats,
  rows: number,
  neurons: number,
  width: number,
): void {
  for (let row = 0; row < rows; row++) {
    for (let neuron = 0; neuron < neurons; neuron++) {
      const at = row * neurons + neuron
      let sum = 0
      if (mask[at] !== 0) for (let k = 0; k < width; k++) sum += x[row * width + k] * w[neuron * width + k]
      out[at] = sum
    }
  }
}

/** See Kernels.sparseRows. */
export function sparseRows(
  s: Floats,
  w: Floats,
  y: Floats,
  rows: number,
  neurons: number,
  width: number,
  accumulate: boolean,
): void {
  const sums = new Float64Array(width)
  for (let row = 0; row < rows; row++) {
    const own = y.subarray(row * width, (row + 1) * width)
    sums.fill(0)
    for (let neuron = 0; neuron < neurons; neuron++) {
      const factor = s[row * neurons + neuron]
      if (factor !== 0) for (let k = 0; k < width; k++) sums[k] += factor * w[neuron * width + k]
    }
    for (let k = 0; k < width; k++) own[k] = accumulate ? own[k] + sums[k] : sums[k]
  }
}

/** See Kernels.sparseColumns. */
export function sparseColumns(
  s: Floats,
  x: Floats,
  out: Floats,
  rows: number,
  neurons: number,
  width: number,
  accumulate: boolean,
): void {
  const sums = new Float64Array(width)
  for (let neuron = 0; neuron < neurons; neuron++) {
    sums.fill(0)
    for (let row = 0; row < rows; row++) {
      const factor = s[row * neurons + neuron]
      if (factor !== 0) for (let k = 0; k < width; k++) sums[k] += factor * x[row * width + k]
    }
    const own = out.subarray(neuron * width, (neuron + 1) * width)
    for (let k = 0; k < width; k++) own[k] = accumulate ? own[k] + sums[k] : sums[k]
  }
}

/** See Kernels.transpose. */
export function transpose(x: Floats, out: Floats, rows: number, columns: number, accumulate: boolean): void {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [value, at] = [x[row * columns + column], column * rows + row]
      out[at] = accumulate ? out[at] + value : value
    }
  }
}

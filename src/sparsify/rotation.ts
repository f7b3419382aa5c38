// LaRoSa's rotation (Liu et al. 2025): the axes of the inputs of a matrix sorted by how much varies along them, the eigenvectors
// of Σ x xᵀ over calibration text. Along few axes lies most of each x, so that more of it can be left out.

import type { Kernels } from '../kernels/index.js'
import { symmetricEigen } from './symmetric-eigen.js'

/** Σ x xᵀ over the rows given, in f32. */
export class SecondMoments {
  readonly #kernels: Kernels
  readonly #sums: Float32Array
  readonly width: number

  constructor(width: number, kernels: Kernels) {
    this.width = width
    this.#kernels = kernels
    this.#sums = new Float32Array(width * width)
  }

  /** x: (rows, width). */
  add(x: Float32Array, rows: number): void {
    const { width } = this
    this.#kernels.matmul(x, x, this.#sums, width, width, rows, true, false, true)
  }

  /** (width, width): its rows are the orthonormal axes, the one with the most along it first. */
  rotation(): Float32Array {
    return Float32Array.from(symmetricEigen(Float64Array.from(this.#sums), this.width).vectors)
  }
}

// What cuts of the inputs of matrices dispatch: rotation, cut, and the low-rank product of what is cut away.

import {
  CUT_ACCESS,
  cutCode,
  type DeviceMatrix,
  type Dispatch,
  paddedColumns,
} from '../../kernels/webgpu/index.js'
import { MATRICES, matrixShape } from '../../nn/cuts.js'
import type { DeviceProducts } from './device-products.js'
import type { DeviceCut } from './layer-cuts.js'
import { MOST_ROWS } from './pass-buffers.js'

/** An input and what makes it. */
export interface MadeInput {
  readonly dispatches: readonly Dispatch[]
  readonly x: GPUBuffer
}

/** Where a product with a matrix was written: rows of `rows` values, those of the matrix from `start` on. */
export interface ProductPlace {
  readonly y: GPUBuffer
  readonly rows: number
  readonly start: number
}

export class DeviceCuts {
  readonly #products: DeviceProducts
  #scratch: Record<'kept' | 'rest' | 'rotated' | 'components', GPUBuffer> | null = null

  constructor(products: DeviceProducts) {
    this.#products = products
  }

  /** `x` (rows, d), rotated. */
  async rotated(x: GPUBuffer, rotation: DeviceMatrix | undefined): Promise<MadeInput> {
    if (rotation === undefined) return { dispatches: [], x }
    const { rotated } = this.#buffers
    return {
      dispatches: await this.#product(rotation, x, { y: rotated, rows: rotation.rows, start: 0 }, false),
      x: rotated,
    }
  }

  /** `x` (rows, columns), cut; valid until the next cut. */
  async kept(x: GPUBuffer, columns: number, cut: DeviceCut | undefined): Promise<MadeInput> {
    if (cut === undefined) return { dispatches: [], x }
    const { compiler, nothing, buffers } = this.#products
    const { kept, rest } = this.#buffers
    const keep = cut.cut.kind === 'top' ? Math.min(cut.cut.keep, columns) : null
    const numbers = (cut.cut.kind === 'top' ? cut.cut.scale : cut.cut.limits)?.length ?? 0
    const kernel = await compiler.compile(cutCode({ columns, keep, numbers }), CUT_ACCESS)
    const group = kernel.bind([x, cut.numbers ?? nothing, buffers.rows, kept, rest])
    return { dispatches: [{ kernel, group, workgroups: 1 }], x: kept }
  }

  /** Adds to the product with a matrix what stands for what its cut, the last one, has left out. */
  async lowRank(cut: DeviceCut | undefined, to: ProductPlace): Promise<Dispatch[]> {
    const { lowRank = null } = cut ?? {}
    if (lowRank === null) return []
    const { rank, into, out } = lowRank
    const { rest, components } = this.#buffers
    const first = await this.#product(into, rest, { y: components, rows: rank, start: 0 }, false)
    return [...first, ...(await this.#product(out, components, to, true))]
  }

  #product(matrix: DeviceMatrix, x: GPUBuffer, to: ProductPlace, accumulate: boolean): Promise<Dispatch[]> {
    const { nothing } = this.#products
    const { columns } = matrix
    const shape = { rows: to.rows, columns, normEps: null, bias: false, accumulate, gathers: false }
    return this.#products.matvec(matrix, [nothing, x, to.y], shape, to.start)
  }

  get #buffers() {
    const { config, memory } = this.#products
    const width = Math.max(...MATRICES.map(name => matrixShape(config, name).columns))
    const perRow = () => memory.buffer(4 * MOST_ROWS * paddedColumns(width))
    this.#scratch ??= { kept: perRow(), rest: perRow(), rotated: perRow(), components: perRow() }
    return this.#scratch
  }
}

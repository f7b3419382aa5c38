// A tensor: elements, a shape and, while a tape runs backward, a gradient.

import { ShapeError } from '../errors.js'
import type { Floats } from '../kernels/index.js'

export type Shape = readonly number[]

/** f32 for work, f64 (portable kernels only) for checking gradients. */
export type DType = 'f32' | 'f64'

export class Tensor {
  /** Gradient of the loss; its content counts only while `hasGrad` is true. */
  grad: Floats | null = null
  hasGrad = false

  constructor(
    readonly data: Floats,
    readonly shape: Shape,
    readonly requiresGrad: boolean,
  ) {
    if (data.length !== sizeOf(shape)) {
      throw new ShapeError(
        'SHAPE_SIZE',
        `a tensor of shape ${show(shape)} cannot hold ${data.length} numbers`,
      )
    }
  }

  /** Number of elements. */
  get size(): number {
    return this.data.length
  }

  /** Elements in the last dimension. */
  get width(): number {
    return this.shape[this.shape.length - 1]
  }

  /** Product of all dimensions but the last. */
  get rows(): number {
    return this.width === 0 ? 0 : this.size / this.width
  }
}

/** A leaf that is trained: its gradient buffer is its own and stays. */
export function parameter(data: Floats, shape: Shape): Tensor {
  const tensor = new Tensor(data, shape, true)
  tensor.grad = data instanceof Float64Array ? new Float64Array(data.length) : new Float32Array(data.length)
  return tensor
}

/** A leaf that is not trained. */
export function constant(data: Floats, shape: Shape): Tensor {
  return new Tensor(data, shape, false)
}

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, n) => product * n, 1)
}

/** `(16, 128, 384)`. */
export function show(shape: Shape): string {
  return `(${shape.join(', ')})`
}

// AdamW over a model's parameters, with clipping by the global norm.

import type { Floats, Kernels } from '../kernels/index.js'
import type { Tensor } from '../tensor/index.js'

export interface AdamWOptions {
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  /** Decoupled weight decay; not applied to norms and embeddings. */
  readonly weightDecay: number
  /** Largest global norm of the gradient; 0 leaves it as it is. */
  readonly clip: number
}

interface Moments {
  readonly m: Floats
  readonly v: Floats
}

export class AdamW {
  /** First and second moments by parameter name. */
  readonly moments: ReadonlyMap<string, Moments>
  /**
   * Updates of each parameter so far. One that an activation learns has no gradient before that activation is used:
   * its moments start then, and so does their bias correction.
   */
  readonly updates: Map<string, number>
  readonly #parameters: ReadonlyMap<string, Tensor>
  readonly #kernels: Kernels
  readonly #options: AdamWOptions

  /** Parameters that need no gradient stay as they are, and have no moments. */
  constructor(kernels: Kernels, all: ReadonlyMap<string, Tensor>, options: AdamWOptions) {
    const parameters = new Map([...all].filter(([, { requiresGrad }]) => requiresGrad))
    this.#kernels = kernels
    this.#parameters = parameters
    this.#options = options
    this.moments = new Map(
      [...parameters].map(([name, { size }]) => [
        name,
        { m: new Float32Array(size), v: new Float32Array(size) },
      ]),
    )
    this.updates = new Map([...parameters].map(([name]) => [name, 0]))
  }

  /**
   * Updates every parameter that has a gradient, with learning rate `lr`; gradients are multiplied by `gradScale` and
   * cleared. Returns the global norm of the gradient before clipping. When that is not finite nothing is changed.
   */
  update(lr: number, gradScale: number): number {
    const { beta1, beta2, eps, weightDecay, clip } = this.#options
    let squares = 0
    for (const { grad, hasGrad, size } of this.#parameters.values()) {
      if (hasGrad && grad !== null) squares += this.#kernels.sumOfSquares(grad, size)
    }
    const norm = Math.sqrt(squares) * gradScale
    if (!Number.isFinite(norm)) return norm
    const scale = clip > 0 && norm > clip ? (gradScale * clip) / norm : gradScale
    for (const [name, tensor] of this.#parameters) {
      const { m, v } = this.moments.get(name) as Moments
      if (!tensor.hasGrad || tensor.grad === null) continue
      const step = (this.updates.get(name) ?? 0) + 1
      this.updates.set(name, step)
      this.#kernels.adamW(tensor.data, tensor.grad, m, v, tensor.size, {
        lr,
        beta1,
        beta2,
        eps,
        weightDecay: decays(name, tensor) ? weightDecay : 0,
        step,
        gradScale: scale,
      })
      tensor.hasGrad = false
    }
    return norm
  }
}

/** Weight decay applies to matrices, not to norms and embeddings. */
function decays(name: string, tensor: Tensor): boolean {
  return tensor.shape.length > 1 && !name.includes('embed_tokens')
}

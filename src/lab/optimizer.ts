// The lab's optimizers, over the one buffer that holds all of a network's parameters.

import type { Floats, Kernels } from '../kernels/index.js'
import type { Network } from './network.js'

export interface OptimizerOptions {
  readonly optimizer: 'adam' | 'adamw' | 'sgd'
  readonly lr: number
  readonly weightDecay: number
  /** sgd alone. */
  readonly momentum: number
}

/**
 * A function that updates the network's parameters by its gradients; the updates are PyTorch's, with its defaults
 * (Adam: β 0.9 and 0.999, ε 1e-8). Weight decay: AdamW's is decoupled (Loshchilov & Hutter 2019); Adam and SGD add
 * weightDecay · parameter to the gradient. SGD: v = momentum · v + g, parameter −= lr · v.
 */
export function optimizer(kernels: Kernels, network: Network, options: OptimizerOptions): () => void {
  const { parameters, gradients } = network
  const { optimizer, lr, weightDecay, momentum } = options
  const n = parameters.length
  const first = zeros(parameters)
  const decay = (): void => {
    if (weightDecay !== 0) kernels.axpy(weightDecay, parameters, gradients, n)
  }
  if (optimizer === 'sgd') {
    return () => {
      decay()
      for (let i = 0; i < n; i++) {
        first[i] = momentum * first[i] + gradients[i]
        parameters[i] -= lr * first[i]
      }
    }
  }
  const second = zeros(parameters)
  let step = 0
  return () => {
    step++
    if (optimizer === 'adam') decay()
    kernels.adamW(parameters, gradients, first, second, n, {
      lr,
      beta1: 0.9,
      beta2: 0.999,
      eps: 1e-8,
      weightDecay: optimizer === 'adamw' ? weightDecay : 0,
      step,
      gradScale: 1,
    })
  }
}

function zeros(like: Floats): Floats {
  return like instanceof Float64Array ? new Float64Array(like.length) : new Float32Array(like.length)
}

// AdamW: Adam with decoupled weight decay. Loshchilov & Hutter 2019, arXiv 1711.05101; the order of the
// operations is PyTorch's.

import type { AdamWStep, Floats } from '../interface/training.js'

/**
 * One update of n parameters. With g = grad · gradScale and t = step:
 * p −= lr·weightDecay·p; m = β₁m + (1−β₁)g; v = β₂v + (1−β₂)g²; p −= lr · m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + eps).
 */
export function adamW(
  param: Floats,
  grad: Floats,
  m: Floats,
  v: Floats,
  n: number,
  options: AdamWStep,
): void {
  const { lr, beta1, beta2, eps, weightDecay, step, gradScale } = options
  const keep = 1 - lr * weightDecay
  const stepSize = lr / (1 - beta1 ** step)
  const correction2 = 1 / (1 - beta2 ** step)
  for (let i = 0; i < n; i++) {
    const g = grad[i] * gradScale
    const mean = beta1 * m[i] + (1 - beta1) * g
    const square = beta2 * v[i] + (1 - beta2) * g * g
    m[i] = mean
    v[i] = square
    param[i] = param[i] * keep - (stepSize * mean) / (Math.sqrt(square * correction2) + eps)
  }
}

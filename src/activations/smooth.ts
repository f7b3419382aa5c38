// Smooth activations: they let the gradient through for x < 0, and are exactly zero nowhere but at 0.

import { FusedKernel } from './activation.js'
import { family } from './family.js'

/** x · σ(x) with σ(x) = 1 / (1 + exp(−x)). Minimum −0.278465 at x = −1.278465. */
export function silu(x: number): number {
  return x / (1 + Math.exp(-x))
}

/** σ(x) · (1 + x · (1 − σ(x))). */
export function siluDerivative(x: number): number {
  const sigmoid = 1 / (1 + Math.exp(-x))
  return sigmoid * (1 + x * (1 - sigmoid))
}

export const siluFamily = family({
  name: 'silu',
  parameters: {},
  source: 'Elfwing et al. 2018, arXiv 1702.03118; Ramachandran et al. 2017, arXiv 1710.05941 (Swish)',
  character: 'smooth, non-monotonic, bounded below',
  bind: () => ({
    forward: silu,
    derivative: siluDerivative,
    draws: false,
    exactZeros: false,
    fused: { kernel: FusedKernel.silu, p: 0 },
  }),
})

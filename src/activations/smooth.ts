// Smooth activations: they let the gradient through for x < 0, and are exactly zero nowhere but at 0.

import { FusedKernel } from './activation.js'
import { mul, sigmoid, x } from './expression.js'
import { family } from './family.js'

/** x·σ(x). Minimum −0.278465 at x = −1.278465. */
export const silu = mul(x, sigmoid(x))

export const siluFamily = family({
  name: 'silu',
  settings: {},
  source: 'Elfwing et al. 2018, arXiv 1702.03118; Ramachandran et al. 2017, arXiv 1710.05941 (Swish)',
  character: 'smooth, non-monotonic, bounded below',
  define: () => ({ value: silu }),
  traits: () => ({ exactZeros: false, fused: { kernel: FusedKernel.silu, p: 0 } }),
})

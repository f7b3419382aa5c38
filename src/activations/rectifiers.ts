// Rectifiers: piecewise linear, exactly zero on one side; what makes the hidden vector sparse.

import { FusedKernel } from './activation.js'
import { max, x } from './expression.js'
import { family } from './family.js'

/** max(x, 0): +0, never −0, for what is not positive, and NaN for NaN, so that a broken run is noticed. */
export const relu = max(x, 0)

export const reluFamily = family({
  name: 'relu',
  settings: {},
  source: 'Nair & Hinton 2010',
  character: 'piecewise linear, monotonic, exactly 0 for x ≤ 0',
  define: () => ({ value: relu }),
  traits: () => ({ exactZeros: true, zeroBelow: 0, fused: { kernel: FusedKernel.relu, p: 0 } }),
})

// Rectifiers: piecewise linear, exactly zero on one side; what makes the hidden vector sparse.

import { FusedKernel } from './activation.js'
import { family } from './family.js'

/** max(x, 0), with +0 (never −0) for what is not positive, and NaN for NaN so that a broken run is noticed. */
export function relu(x: number): number {
  return Math.max(x, 0)
}

/** 1 for x > 0, else 0, also at the kink. */
export function reluDerivative(x: number): number {
  return x > 0 ? 1 : 0
}

export const reluFamily = family({
  name: 'relu',
  parameters: {},
  source: 'Nair & Hinton 2010',
  character: 'piecewise linear, monotonic, exactly 0 for x ≤ 0',
  bind: () => ({
    forward: relu,
    derivative: reluDerivative,
    draws: false,
    exactZeros: true,
    fused: { kernel: FusedKernel.relu, p: 0 },
  }),
})

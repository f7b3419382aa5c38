// The narrow gate: a copy of the gate matrix in one byte per weight, with bounds that prove most inactive neurons
// inactive, so that their full rows are never read. The result after the activation is the same bits as without it.
// The argument, with the rounding of every sum accounted for, is in docs/narrow-gate.md.

import type { NarrowIndex } from '../weights/narrow-index.js'
import type { Weights } from '../weights/types.js'
import type { Draw } from './training.js'

export interface NarrowGateOptions {
  /** Positions. */
  readonly batch: number
  /** The activation is exactly 0 for everything below. */
  readonly threshold: number
  /** (rows), added to the products before they are compared with the threshold. Default: none. */
  readonly bias?: Float32Array | null
  /**
   * Of a stochastic activation: where the draw is below p it is not 0 below the threshold, and the row is computed in
   * full. Position b draws as the first row of draws[b].
   */
  readonly drawn?: { readonly p: number; readonly draws: readonly Draw[] }
}

export interface NarrowGateKernels {
  readonly backend: 'native' | 'wasm' | 'portable'
  readonly isa: string
  /** The index of `w` (rows, columns), f32 or bf16. Throws OptionError NARROW_GATE_DTYPE for other weights. */
  buildNarrowIndex(w: Weights, rows: number, columns: number): NarrowIndex
  /**
   * y (batch, rows) = x (batch, columns) · wᵀ + bias with the same bits as `matvec`, except that elements proven to be below
   * the threshold are some finite number below it. Returns how many rows of `w` were read.
   */
  narrowGate(
    w: Weights,
    index: NarrowIndex,
    x: Float32Array,
    y: Float32Array,
    options: NarrowGateOptions,
  ): number
}

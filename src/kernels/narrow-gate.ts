// The narrow gate: a copy of the gate matrix in one byte per weight, with bounds that prove most inactive neurons
// inactive, so that their full rows are never read. The result after the activation is the same bits as without it.
// The argument, with the rounding of every sum accounted for, is in docs/narrow-gate.md.

import { type DecodeKernels, stored, type Weights } from './decode.js'
import type { Draw } from './kernels.js'
import { emptyNarrowIndex, type NarrowIndex, roundedDown } from './narrow-index.js'
import { alignedBuffer, nativeFunction } from './native.js'
import { portableNarrowGateKernels } from './portable/narrow-gate.js'

export { NARROW_BLOCK, type NarrowIndex, narrowable, narrowIndexBytes } from './narrow-index.js'

export interface NarrowGateOptions {
  /** Positions. */
  readonly batch: number
  /** The activation is exactly 0 for everything below. */
  readonly threshold: number
  /**
   * Of a stochastic activation: where the draw is below p it is not 0 below the threshold, and the row is computed in
   * full. Position b draws as the first row of draws[b].
   */
  readonly drawn?: { readonly p: number; readonly draws: readonly Draw[] }
}

export interface NarrowGateKernels {
  readonly backend: 'native' | 'portable'
  readonly isa: string
  /** The index of `w` (rows, columns), f32 or bf16. Throws OptionError NARROW_GATE_DTYPE for other weights. */
  buildNarrowIndex(w: Weights, rows: number, columns: number): NarrowIndex
  /**
   * y (batch, rows) = x (batch, columns) · wᵀ with the same bits as `matvec`, except that elements proven to be below
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

/** The narrow-gate kernels of the same backend as `decode`. */
export function narrowGateKernelsOf(decode: Pick<DecodeKernels, 'backend' | 'isa'>): NarrowGateKernels {
  return decode.backend === 'native' ? nativeNarrowGateKernels(decode.isa) : portableNarrowGateKernels()
}

function nativeNarrowGateKernels(isa: string): NarrowGateKernels {
  const narrowIndex = nativeFunction(isa, 'narrowIndex')
  const narrowGate = nativeFunction(isa, 'narrowGate')
  return {
    backend: 'native',
    isa,
    buildNarrowIndex(w, rows, columns) {
      const index = emptyNarrowIndex(w, rows, columns, alignedBuffer)
      narrowIndex(...stored(w), index.codes, index.scales, index.bounds, rows, columns)
      return index
    },
    narrowGate(w, index, x, y, { batch, threshold, drawn }) {
      const { codes, scales, bounds, rows, columns } = index
      const draws = drawn === undefined ? NO_DRAWS : new Int32Array(drawn.draws.flatMap(words))
      const options = [rows, columns, batch, roundedDown(threshold), drawn?.p ?? 0, draws]
      return narrowGate(...stored(w), codes, scales, bounds, x, y, ...options) as number
    },
  }
}

const NO_DRAWS = new Int32Array(0)

function words({ seedLow, seedHigh, purpose, layer, step, firstRow }: Draw): number[] {
  return [seedLow, seedHigh, (purpose << 16) | layer, step, firstRow]
}

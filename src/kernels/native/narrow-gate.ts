// The native kernels of the narrow gate.

import type { NarrowGateKernels } from '../interface/narrow-gate.js'
import { emptyNarrowIndex, roundedDown } from '../weights/narrow-index.js'
import { alignedBytes, backendOf, nativeFunctions } from './addon.js'
import { drawWords, stored } from './arguments.js'

/** The native narrow-gate kernels of one instruction set. Throws when they are not there. */
export function nativeNarrowGateKernels(isa: string): NarrowGateKernels {
  const native = nativeFunctions(isa)
  return {
    backend: backendOf(isa),
    isa,
    buildNarrowIndex(w, rows, columns) {
      const index = emptyNarrowIndex(w, rows, columns, alignedBytes)
      native.narrowIndex(...stored(w), index.codes, index.scales, index.bounds, rows, columns)
      return index
    },
    narrowGate(w, index, x, y, { batch, threshold, bias = null, drawn }) {
      const { codes, scales, bounds, rows, columns } = index
      const draws = drawn === undefined ? NO_DRAWS : new Int32Array(drawn.draws.flatMap(drawWords))
      const below = roundedDown(threshold)
      const p = drawn?.p ?? 0
      return native.narrowGate(
        ...stored(w),
        codes,
        scales,
        bounds,
        x,
        y,
        rows,
        columns,
        batch,
        below,
        bias,
        p,
        draws,
      )
    },
  }
}

const NO_DRAWS = new Int32Array(0)

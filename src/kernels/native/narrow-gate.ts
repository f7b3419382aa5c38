// The native kernels of the narrow gate.

import type { NarrowGateKernels } from '../interface/narrow-gate.js'
import { emptyNarrowIndex, roundedDown } from '../weights/narrow-index.js'
import { alignedBuffer, nativeFunction } from './addon.js'
import { drawWords, stored } from './arguments.js'

/** The native narrow-gate kernels of one instruction set. Throws when they are not there. */
export function nativeNarrowGateKernels(isa: string): NarrowGateKernels {
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
      const draws = drawn === undefined ? NO_DRAWS : new Int32Array(drawn.draws.flatMap(drawWords))
      const options = [rows, columns, batch, roundedDown(threshold), drawn?.p ?? 0, draws]
      return narrowGate(...stored(w), codes, scales, bounds, x, y, ...options) as number
    },
  }
}

const NO_DRAWS = new Int32Array(0)

// The native kernels of decoding.

import { type ActivationType, cacheTypes, type DecodeKernels } from '../interface/decoding.js'
import { isQuantized, type Weights } from '../weights/types.js'
import { backendOf, nativeFunctions } from './addon.js'
import { stored } from './arguments.js'

/** The native decoding kernels of one instruction set. Throws when they are not there. */
export function nativeDecodeKernels(isa: string, activations: ActivationType = 'f32'): DecodeKernels {
  const native = nativeFunctions(isa)
  const asIntegers = (w: Weights) => activations === 'int16' && isQuantized(w)
  return {
    backend: backendOf(isa),
    isa,
    activations,
    matvec: (w, x, y, rows, columns, batch, accumulate, bias = null) => {
      if (asIntegers(w))
        native.integerMatvec(...stored(w), null, x, y, rows, columns, batch, accumulate, bias)
      else native.matvec(...stored(w), x, y, rows, columns, batch, accumulate, bias)
    },
    selectedRows: (w, chosen, x, y, rows, columns, batch) => {
      if (asIntegers(w)) native.integerMatvec(...stored(w), chosen, x, y, rows, columns, batch, false, null)
      else native.selectedRows(...stored(w), chosen, x, y, rows, columns, batch)
    },
    ffnNeurons: (w, activated, x, y, active, s) => {
      return (asIntegers(w) ? native.integerNeurons : native.ffnNeurons)(
        ...stored(w),
        activated,
        x,
        y,
        active,
        s.neurons,
        s.width,
        s.upWidth ?? s.width,
        s.batch,
        s.gated,
        s.maxActive,
        s.rowOf ?? null,
      )
    },
    attention: (qkv, cos, sin, cache, sequences, out, heads) => {
      const buffers: Uint8Array[] = []
      const numbers: number[] = []
      let batch = 0
      for (const { count, position, segments } of sequences) {
        batch += count
        numbers.push(count, position, segments.length)
        for (const { keys, values, capacity, start } of segments) {
          buffers.push(keys, values)
          numbers.push(start, capacity)
        }
      }
      const cacheType = cacheTypes.indexOf(cache)
      native.cachedAttention(
        qkv,
        cos,
        sin,
        buffers,
        out,
        batch,
        sequences.length,
        heads.heads,
        heads.kvHeads,
        heads.headDim,
        cacheType,
        heads.scale ?? 0,
        heads.softcap ?? 0,
        heads.window ?? 0,
        Int32Array.from(numbers),
      )
    },
  }
}

// The native kernels of decoding.

import type { CacheType, DecodeKernels } from '../interface/decoding.js'
import { nativeFunction } from './addon.js'
import { stored } from './arguments.js'

/** The native decoding kernels of one instruction set. Throws when they are not there. */
export function nativeDecodeKernels(isa: string): DecodeKernels {
  const matvec = nativeFunction(isa, 'matvec')
  const selectedRows = nativeFunction(isa, 'selectedRows')
  const ffnNeurons = nativeFunction(isa, 'ffnNeurons')
  const cachedAttention = nativeFunction(isa, 'cachedAttention')
  return {
    backend: 'native',
    isa,
    matvec: (w, x, y, rows, columns, batch, accumulate, bias = null) => {
      matvec(...stored(w), x, y, rows, columns, batch, accumulate, bias)
    },
    selectedRows: (w, chosen, x, y, rows, columns, batch) => {
      selectedRows(...stored(w), chosen, x, y, rows, columns, batch)
    },
    ffnNeurons: (w, activated, x, y, active, s) => {
      const sizes = [s.neurons, s.width, s.upWidth ?? s.width, s.batch]
      const rest = [s.gated, s.maxActive, s.rowOf ?? null]
      return ffnNeurons(...stored(w), activated, x, y, active, ...sizes, ...rest) as number
    },
    attention: (qkv, cos, sin, cache, sequences, out, { heads, kvHeads, headDim }) => {
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
      const sizes = [batch, sequences.length, heads, kvHeads, headDim, CACHE_TYPES.indexOf(cache)]
      cachedAttention(qkv, cos, sin, buffers, out, ...sizes, Int32Array.from(numbers))
    },
  }
}

/** In the order of native/kernels.h. */
const CACHE_TYPES: CacheType[] = ['f32', 'f16', 'q8']

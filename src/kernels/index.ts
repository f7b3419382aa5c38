// Chooses the backend: native where it was built, else portable; FLICKER_BACKEND and FLICKER_ISA force one.

import { FlickerError } from '../errors.js'
import { type DecodeKernels, decodeKernelsOf } from './decode.js'
import type { Kernels } from './kernels.js'
import { nativeInstructionSets, nativeKernels } from './native.js'
import { portableKernels } from './portable/index.js'

export type {
  AttentionHeads,
  CachedSequence,
  CacheSegment,
  CacheType,
  DecodeKernels,
  FfnShape,
  PlainWeights,
  Weights,
} from './decode.js'
export { cacheRowBytes, decodeKernelsOf } from './decode.js'
export type { AdamWStep, AttentionShape, Draw, Floats, Kernels } from './kernels.js'
export { alignedBuffer, defaultThreads, measureMachine, setThreads, streamingReader } from './native.js'
export { portableKernels } from './portable/index.js'
export {
  allocateWeights,
  bytesOf,
  isQuantized,
  type QuantizedWeights,
  readBlocks,
  readRow,
  storeBlocks,
  storeRow,
  type WeightType,
  weightBytes,
  weightTypeOf,
} from './quantized.js'

let chosen: Kernels | undefined

/** The kernels that this process uses, chosen once. */
export function kernels(): Kernels {
  chosen ??= choose()
  return chosen
}

let chosenDecode: DecodeKernels | undefined

/** The decoding kernels of the same backend. */
export function decodeKernels(): DecodeKernels {
  chosenDecode ??= decodeKernelsOf(kernels())
  return chosenDecode
}

function choose(): Kernels {
  const { FLICKER_BACKEND: backend = '', FLICKER_ISA: isa = '' } = process.env
  if (!['', 'native', 'portable'].includes(backend)) {
    throw new FlickerError('BAD_BACKEND', `FLICKER_BACKEND is "${backend}"; give native or portable.`)
  }
  const sets = nativeInstructionSets()
  // "all" is an order to the build script, which may stand in the environment of the program too.
  const forced = isa !== '' && isa !== 'all' && backend !== 'portable'
  if (forced && !sets.includes(isa)) {
    throw new FlickerError(
      'BAD_ISA',
      `FLICKER_ISA is "${isa}", but the kernels that this processor can run here are: ${sets.join(', ') || 'none'}. ` +
        'The build compiles the best instruction set of its machine alone; FLICKER_ISA=all npm run build:native ' +
        'compiles all of them.',
    )
  }
  if (backend === 'portable' || (backend === '' && sets.length === 0)) return portableKernels()
  return nativeKernels(forced ? isa : sets[0])
}

/** Every backend that runs here, for tests that hold them together: portable, then each instruction set. */
export function availableKernels(): Kernels[] {
  return [portableKernels(), ...nativeInstructionSets().map(nativeKernels)]
}

/** Every backend's decoding kernels, in the order of availableKernels(). */
export function availableDecodeKernels(): DecodeKernels[] {
  return availableKernels().map(decodeKernelsOf)
}

// Chooses the backend: native where it was built, else portable; FLICKER_BACKEND and FLICKER_ISA force one, and
// WebAssembly is used where it is asked for. Nothing else chooses between backends, and no backend imports this file.

import { FlickerError } from '../errors.js'
import type { ActivationType, DecodeKernels } from './interface/decoding.js'
import type { MlpStack } from './interface/mlp.js'
import type { NarrowGateKernels } from './interface/narrow-gate.js'
import type { CallRecorder } from './interface/recorder.js'
import type { Kernels } from './interface/training.js'
import { defaultThreads, nativeInstructionSets, setThreads, threadCount } from './native/addon.js'
import { nativeDecodeKernels } from './native/decoding.js'
import { explainMissingAddon } from './native/find-addon.js'
import { nativeMlpStack } from './native/mlp.js'
import { nativeNarrowGateKernels } from './native/narrow-gate.js'
import { nativeCallRecorder } from './native/recorder.js'
import { nativeStores, type WeightStores } from './native/store-weights.js'
import { nativeKernels } from './native/training.js'
import { portableDecodeKernels } from './portable/decoding.js'
import { portableNarrowGateKernels } from './portable/narrow-gate.js'
import { portableKernels } from './portable/training.js'
import { allocateInWasm, hasWasm, WASM_ISA } from './wasm/instance.js'

export { chooseExperts } from './choose-experts.js'
export type {
  ActivationType,
  AttentionHeads,
  CachedSequence,
  CacheSegment,
  CacheType,
  DecodeKernels,
  FfnShape,
} from './interface/decoding.js'
export { activationTypes, cacheRowBytes } from './interface/decoding.js'
export type { MlpMoment, MlpStack } from './interface/mlp.js'
export { mlpSupports } from './interface/mlp.js'
export type { NarrowGateKernels, NarrowGateOptions } from './interface/narrow-gate.js'
export type { CallRecorder } from './interface/recorder.js'
export type {
  AdamWStep,
  AttentionScores,
  AttentionShape,
  Draw,
  Floats,
  Kernels,
} from './interface/training.js'
export { upSideDraw } from './interface/training.js'
export {
  alignedBytes,
  collectedBytes,
  collectedFloats,
  defaultThreads,
  nativeInstructionSets,
  pagedFloats,
  setThreads,
} from './native/addon.js'
export { warnWithoutAddon } from './native/find-addon.js'
export { measureMachine, streamingReader } from './native/machine.js'
export type { WeightStores } from './native/store-weights.js'
export { drawRow } from './portable/draws.js'
export { portableKernels } from './portable/training.js'
export { NARROW_BLOCK, type NarrowIndex, narrowable, narrowIndexBytes } from './weights/narrow-index.js'
export {
  allocateWeights,
  readBlocks,
  readRow,
  scaleBytes,
  storeBlocks,
  storeRow,
  weightBytes,
} from './weights/quantized.js'
export { allocateRows, rowsFrom } from './weights/rows.js'
export {
  bytesOf,
  isKQuant,
  isQuantized,
  isQuantizedType,
  type PlainWeights,
  type QuantizedType,
  type QuantizedWeights,
  type Weights,
  type WeightType,
  weightTypeOf,
} from './weights/types.js'

/** What names a backend: `Kernels` and the kernels of decoding do. */
export type Backend = Pick<Kernels, 'backend' | 'isa'>

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

/** The decoding kernels of one backend. */
export function decodeKernelsOf(
  { backend, isa }: Backend,
  activations: ActivationType = 'f32',
): DecodeKernels {
  return backend === 'portable' ? portableDecodeKernels(activations) : nativeDecodeKernels(isa, activations)
}

/** The narrow-gate kernels of one backend. */
export function narrowGateKernelsOf({ backend, isa }: Backend): NarrowGateKernels {
  return backend === 'portable' ? portableNarrowGateKernels() : nativeNarrowGateKernels(isa)
}

/** A recorder of one backend's kernel calls; null where the backend has none. */
export function callRecorderOf({ backend }: Backend): CallRecorder | null {
  return backend === 'native' ? nativeCallRecorder() : null
}

/** Native conversion of tensors into rows, of one backend; null where there is none. */
export function weightStoresOf({ backend, isa }: Backend): WeightStores | null {
  return backend === 'portable' ? null : nativeStores(isa)
}

/** The lab's network for layers of these widths (inputs first), where the backend has it as one kernel; else null. */
export function mlpStack({ backend, isa }: Backend, widths: readonly number[]): MlpStack | null {
  return backend === 'portable' ? null : nativeMlpStack(isa, widths)
}

function choose(): Kernels {
  const { FLICKER_BACKEND: backend = '', FLICKER_ISA: isa = '' } = process.env
  if (!['', 'native', 'wasm', 'portable'].includes(backend)) {
    throw new FlickerError('BAD_BACKEND', `FLICKER_BACKEND is "${backend}"; give native, wasm or portable.`)
  }
  if (backend === 'wasm') {
    const using = nativeKernels(WASM_ISA)
    if (threadCount() === 0) setThreads(defaultThreads())
    allocateInWasm()
    return using
  }
  const sets = nativeInstructionSets()
  // "all" and "runnable" are orders to the build script, which may stand in the environment of the program too.
  const forced = !['', 'all', 'runnable'].includes(isa) && backend !== 'portable'
  if (forced && !sets.includes(isa)) {
    throw new FlickerError(
      'BAD_ISA',
      `FLICKER_ISA is "${isa}", but the kernels that this processor can run here are: ${sets.join(', ') || 'none'}. ` +
        'The build compiles the best instruction set of its machine alone; FLICKER_ISA=all npm run build:native ' +
        'compiles all of them.',
    )
  }
  if (backend === 'native' && sets.length === 0) {
    throw new FlickerError('NO_NATIVE_KERNELS', `FLICKER_BACKEND is "native": ${explainMissingAddon()}`)
  }
  if (backend === 'portable' || sets.length === 0) return portableKernels()
  return nativeKernels(forced ? isa : sets[0])
}

/**
 * Every backend that runs here, for tests that hold them together: portable, then each instruction set, then WebAssembly
 * where it was built.
 */
export function availableKernels(): Kernels[] {
  const wasm = hasWasm() ? [nativeKernels(WASM_ISA)] : []
  return [portableKernels(), ...nativeInstructionSets().map(nativeKernels), ...wasm]
}

/** Every backend's decoding kernels, in the order of availableKernels(). */
export function availableDecodeKernels(activations: ActivationType = 'f32'): DecodeKernels[] {
  return availableKernels().map(kernels => decodeKernelsOf(kernels, activations))
}

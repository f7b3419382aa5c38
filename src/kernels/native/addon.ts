// The compiled kernels: of the native addon its instruction set, its threads, and its functions by name; of the WebAssembly
// module, which is one more instruction set, its functions and its memory.

import { availableParallelism } from 'node:os'
import { FlickerError } from '../../errors.js'
import { setWasmThreads, WASM_ISA, wasmKernels, wasmMemory } from '../wasm/instance.js'
import { loadAddon, repairCommand } from './find-addon.js'
import { keepArguments } from './recorder.js'
import type { NativeFunctions } from './signatures.js'

let selected = ''
let threads = 0

/** Threads that the native kernels use now; 0 before the first of them is asked for. */
export function threadCount(): number {
  return threads
}

/** Names of the instruction sets that can be used here, best first; empty without the addon. */
export function nativeInstructionSets(): string[] {
  return (loadAddon()?.instructionSets() as string[] | undefined) ?? []
}

/**
 * Zeroed memory that starts on a cache line (and in huge pages where the system gives them), where the kernels in use read
 * it without a copy. WebAssembly's memory is never given back.
 */
export function alignedBytes(bytes: number): Uint8Array {
  const wasm = wasmMemory()
  return wasm === null ? new Uint8Array(alignedBuffer(bytes)) : wasm.allocate(bytes)
}

/** As alignedBytes, but given back when nothing refers to the array itself any more: its `subarray`s do not keep it. */
export function collectedBytes(bytes: number): Uint8Array {
  const allocated = alignedBytes(bytes)
  wasmMemory()?.releaseWith(allocated, allocated)
  return allocated
}

/** As collectedBytes: zeros. */
export function collectedFloats(count: number): Float32Array {
  const allocated = alignedBytes(4 * count)
  const floats = new Float32Array(allocated.buffer, allocated.byteOffset, count)
  wasmMemory()?.releaseWith(floats, allocated)
  return floats
}

/** Zeros that the native kernels read best: as alignedBytes, but ordinary memory where those are not in use. */
export function pagedFloats(count: number): Float32Array {
  return wasmMemory() === null ? new Float32Array(alignedBuffer(4 * count)) : new Float32Array(count)
}

function alignedBuffer(bytes: number): ArrayBuffer {
  return (loadAddon()?.aligned(bytes) as ArrayBuffer | undefined) ?? new ArrayBuffer(bytes)
}

/** What names the backend of an instruction set. */
export function backendOf(isa: string): 'native' | 'wasm' {
  return isa === WASM_ISA ? 'wasm' : 'native'
}

/** Threads the native kernels and those of WebAssembly use; 1 ≤ n ≤ 256. Results do not depend on it. */
export function setThreads(n: number): void {
  loadAddon()?.setThreads(n)
  setWasmThreads(n)
  threads = n
}

/** Threads asked for by FLICKER_THREADS, else all cores. */
export function defaultThreads(): number {
  const asked = process.env.FLICKER_THREADS
  if (asked === undefined || asked === '') return availableParallelism()
  const n = Number(asked)
  if (!Number.isInteger(n) || n < 1 || n > 256) {
    throw new FlickerError('BAD_THREADS', `FLICKER_THREADS is "${asked}"; give an integer from 1 to 256.`)
  }
  return n
}

const byInstructionSet = new Map<string, NativeFunctions>()

/** The functions, run with the given instruction set's kernels. Throws FlickerError when they are not there. */
export function nativeFunctions(isa: string): NativeFunctions {
  if (isa === WASM_ISA) return wasmKernels().functions
  let functions = byInstructionSet.get(isa)
  if (functions === undefined) {
    functions = functionsFor(isa)
    byInstructionSet.set(isa, functions)
  }
  if (threads === 0) setThreads(defaultThreads())
  return functions
}

function functionsFor(isa: string): NativeFunctions {
  const native = loadAddon()
  if (native === null || !nativeInstructionSets().includes(isa)) {
    throw new FlickerError(
      'NO_NATIVE_KERNELS',
      `No native kernels for "${isa}" here; run ${repairCommand()}.`,
    )
  }
  const select = (f: (...args: unknown[]) => unknown) => {
    return (...args: unknown[]) => {
      if (selected !== isa) {
        native.select(isa)
        selected = isa
      }
      keepArguments(args)
      return f(...args)
    }
  }
  const functions = Object.entries(native).map(([name, f]) => [name, select(f)])
  return Object.fromEntries(functions) as NativeFunctions
}

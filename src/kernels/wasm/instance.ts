// The native kernels as a WebAssembly module: in a browser given by its caller, in Node read from the package
// (FLICKER_BACKEND=wasm). One instance serves the whole process or worker.

import { FlickerError } from '../../errors.js'
import { contract } from '../native/contract.js'
import { contractDigest, type NativeFunctions } from '../native/signatures.js'
import { WasmCalls } from './arguments.js'
import { reserveMemory, type WasmExports, WasmMemory } from './memory.js'
import { hasModuleFile, readModuleFile } from './module-file.js'
import { WasmThreads } from './threads.js'

/** The name among the instruction sets. */
export const WASM_ISA = 'wasm'

export interface WasmKernels {
  readonly functions: NativeFunctions
  readonly memory: WasmMemory
  readonly threads: WasmThreads
}

let given: WebAssembly.Module | null = null
let instance: WasmKernels | null = null
let usesMemory = false
let threadsAsked = 1

/** The module to use, where it cannot be read from the package. */
export function provideWasm(module: WebAssembly.Module): void {
  given = module
}

/** Whether there is a module to run. */
export function hasWasm(): boolean {
  return given !== null || instance !== null || hasModuleFile()
}

/** Throws FlickerError NO_WASM_KERNELS, WASM_UNSUPPORTED. */
export function wasmKernels(): WasmKernels {
  if (instance === null) {
    instance = instantiate()
    if (threadsAsked > 1) instance.threads.use(threadsAsked)
  }
  return instance
}

/** Threads of the kernels; those of a module that does not run yet are started with it. */
export function setWasmThreads(n: number): void {
  threadsAsked = n
  instance?.threads.use(n)
}

/** Threads in use: 1 without a module that runs. */
export function wasmThreadCount(): number {
  return instance?.threads.count ?? 1
}

/** From now on the weights and caches that are allocated lie in the module's memory. */
export function allocateInWasm(): void {
  usesMemory = true
}

/** The module's memory, where arrays are to be allocated in it; else null. */
export function wasmMemory(): WasmMemory | null {
  return usesMemory ? wasmKernels().memory : null
}

function instantiate(): WasmKernels {
  const { memory, mostBytes } = reserveMemory()
  const imports = { env: { memory }, flicker: { now: () => performance.now() / 1000 } }
  let module: WebAssembly.Module
  let exports: WasmExports
  try {
    module = given ?? readModule()
    exports = new WebAssembly.Instance(module, imports).exports as unknown as WasmExports
  } catch (cause) {
    if (cause instanceof FlickerError) throw cause
    const reason = (cause as Error).message
    throw new FlickerError('WASM_UNSUPPORTED', `the WebAssembly kernels do not run here: ${reason}`, {
      cause,
    })
  }
  const views = new WasmMemory(memory, mostBytes, exports)
  const digest = new TextDecoder().decode(
    views.views.Uint8Array.slice(exports.digest(), exports.digest() + contractDigest.length),
  )
  if (digest !== contractDigest) {
    throw new FlickerError(
      'NO_WASM_KERNELS',
      'the WebAssembly kernels were compiled from other sources than this code; run npm run build:wasm',
    )
  }
  const calls = new WasmCalls(views, exports)
  const functions = Object.entries(contract).map(([name, entry], i) => [name, calls.function(i, entry)])
  return {
    functions: Object.fromEntries(functions) as NativeFunctions,
    memory: views,
    threads: new WasmThreads(module, views, exports),
  }
}

function readModule(): WebAssembly.Module {
  const bytes = readModuleFile()
  if (bytes !== null) return new WebAssembly.Module(bytes)
  throw new FlickerError(
    'NO_WASM_KERNELS',
    'there are no WebAssembly kernels here; run npm run build:wasm, which needs clang and lld',
  )
}

// The addon build/flicker.node: loading it, choosing its instruction set and threads, and its functions by name.

import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { FlickerError } from '../../errors.js'

/** What build/flicker.node exports: the kernels by name, and instructionSets, select, setThreads, aligned. */
type Addon = Readonly<Record<string, (...args: unknown[]) => unknown>>

let addon: Addon | null | undefined
let selected = ''
let threads = 0

/** Threads that the native kernels use now; 0 before the first of them is asked for. */
export function threadCount(): number {
  return threads
}

/** The addon, or null when it was not built or does not load here. */
function load(): Addon | null {
  if (addon !== undefined) return addon
  const file = process.env.FLICKER_NATIVE ?? '../../../build/flicker.node'
  try {
    addon = createRequire(import.meta.url)(file) as Addon
  } catch {
    addon = null
  }
  return addon
}

/** Names of the instruction sets that can be used here, best first; empty without the addon. */
export function nativeInstructionSets(): string[] {
  return (load()?.instructionSets() as string[] | undefined) ?? []
}

/** A zeroed buffer that starts on a cache line (and in huge pages where the system gives them). */
export function alignedBuffer(bytes: number): ArrayBuffer {
  return (load()?.aligned(bytes) as ArrayBuffer | undefined) ?? new ArrayBuffer(bytes)
}

/** Threads the native kernels use; 1 ≤ n ≤ 256. Results do not depend on it. */
export function setThreads(n: number): void {
  load()?.setThreads(n)
  threads = n
}

/** Threads asked for by FLICKER_THREADS, else all cores. */
export function defaultThreads(): number {
  const asked = process.env.FLICKER_THREADS
  if (asked === undefined || asked === '') return availableParallelism()
  const n = Number(asked)
  if (!Number.isInteger(n) || n < 1 || n > 256) {
    throw new FlickerError('BAD_THREADS', `FLICKER_THREADS is "${asked}"; give a whole number from 1 to 256.`)
  }
  return n
}

/** One function of the addon, run with the given instruction set's kernels. Throws when it is not there. */
export function nativeFunction(isa: string, name: string): (...args: unknown[]) => unknown {
  const native = load()
  if (native === null || !nativeInstructionSets().includes(isa)) {
    throw new FlickerError(
      'NO_NATIVE_KERNELS',
      `No native kernels for "${isa}" here; run npm run build:native.`,
    )
  }
  if (threads === 0) setThreads(defaultThreads())
  const f = native[name]
  return (...args) => {
    if (selected !== isa) {
      native.select(isa)
      selected = isa
    }
    return f(...args)
  }
}

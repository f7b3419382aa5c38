// Threads of the WebAssembly kernels: workers that instantiate the module over the same memory, each with a stack and
// thread-local variables of its own, and stay in native/wasm/parallel.cc, where they wait for jobs. They are never ended: with
// fewer threads the others sleep. A browser lets only a cross-origin isolated page share memory with a worker.

import type { WasmMemory } from './memory.js'
import { startThread } from './start-thread.js'

/** What a thread needs of the module's exports. */
interface ThreadExports {
  readonly __stack_pointer: { value: number }
  readonly __tls_size: { readonly value: number }
  __wasm_init_tls(address: number): void
  setThreads(n: number): void
  jobsOfOthers(): number
  work(index: number): void
}

interface ThreadStart {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  /** Addresses: the end of the stack, which grows downward, and the thread-local variables. */
  readonly stack: number
  readonly variables: number
  readonly index: number
}

/** As of the first thread: scripts/build-wasm.mjs. */
const STACK_BYTES = 2 ** 20
/** How long starting threads is waited for; one that is later takes jobs from then on. */
const PATIENCE_MS = 5000

/** What a thread does. Its text alone is the worker's program: it uses nothing of this module. */
export function runThread({ module, memory, stack, variables, index }: ThreadStart, ready: () => void): void {
  const imports = { env: { memory }, flicker: { now: () => performance.now() / 1000 } }
  const exports = new WebAssembly.Instance(module, imports).exports as unknown as ThreadExports
  exports.__stack_pointer.value = stack
  exports.__wasm_init_tls(variables)
  ready()
  exports.work(index)
}

/** The threads of one instance. */
export class WasmThreads {
  readonly #module: WebAssembly.Module
  readonly #memory: WasmMemory
  readonly #exports: ThreadExports
  /** Of each thread but the first, whether it has started. */
  readonly #starting: Promise<boolean>[] = []
  #count = 1

  constructor(module: WebAssembly.Module, memory: WasmMemory, exports: unknown) {
    this.#module = module
    this.#memory = memory
    this.#exports = exports as ThreadExports
  }

  /** Threads in use, the caller's included. */
  get count(): number {
    return this.#count
  }

  /** Jobs that threads other than the caller's have done. */
  get jobsOfOthers(): number {
    return this.#exports.jobsOfOthers()
  }

  /** Uses `n` threads: those that have to be started take part when they are ready. */
  use(n: number): void {
    while (this.#starting.length < n - 1) this.#starting.push(this.#start(this.#starting.length + 1))
    this.#count = n
    this.#exports.setThreads(n)
  }

  /** Waits for the threads in use to start, and does without those that cannot. */
  async ready(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined
    const patience = new Promise<boolean>(resolve => {
      timer = setTimeout(resolve, PATIENCE_MS, true)
    })
    const started = await Promise.all(
      this.#starting.slice(0, this.#count - 1).map(one => Promise.race([one, patience])),
    )
    clearTimeout(timer)
    this.use(1 + started.filter(Boolean).length)
  }

  #start(index: number): Promise<boolean> {
    const variables = this.#memory.allocate(this.#exports.__tls_size.value).byteOffset
    const stack = this.#memory.allocate(STACK_BYTES).byteOffset + STACK_BYTES
    const start: ThreadStart = {
      module: this.#module,
      memory: this.#memory.shared,
      stack,
      variables,
      index,
    }
    return startThread(String(runThread), start)
  }
}

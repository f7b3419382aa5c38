// The memory of the WebAssembly kernels. Weights and caches lie in it, so that a call reads them where they are. It is
// shared memory, whose views stay valid when it grows.

import { FlickerError } from '../../errors.js'

/** What the module exports (native/wasm/binding.cc); addresses are unsigned once `>>> 0` has made them so. */
export interface WasmExports {
  run(entry: number, call: number): void
  digest(): number
  allocate(bytes: number): number
  release(address: number): void
}

const PAGE = 65_536
/** 4 GiB is what WebAssembly addresses; where so much cannot be reserved, less is tried. */
const MOST_PAGES = [65_536, 32_768, 16_384, 8192]
/** What the module itself asks for. */
const FIRST_PAGES = 64

/** Throws FlickerError WASM_UNSUPPORTED. */
export function reserveMemory(): { memory: WebAssembly.Memory; mostBytes: number } {
  let cause: unknown
  for (const maximum of MOST_PAGES) {
    try {
      const memory = new WebAssembly.Memory({ initial: FIRST_PAGES, maximum, shared: true })
      return { memory, mostBytes: maximum * PAGE }
    } catch (error) {
      cause = error
    }
  }
  const reason = cause instanceof Error ? cause.message : String(cause)
  throw new FlickerError('WASM_UNSUPPORTED', `no shared WebAssembly memory here: ${reason}`, { cause })
}

/** Views of all memory. */
interface Views {
  readonly buffer: SharedArrayBuffer
  readonly Float32Array: Float32Array
  readonly Int32Array: Int32Array
  readonly Int8Array: Int8Array
  readonly Uint8Array: Uint8Array
  readonly Uint16Array: Uint16Array
  readonly data: DataView
}

export class WasmMemory {
  readonly #memory: WebAssembly.Memory
  readonly #exports: WasmExports
  readonly #mostBytes: number
  #views: Views
  #allocated = 0
  /** Every buffer that the memory has had. */
  readonly #buffers = new WeakSet<ArrayBufferLike>()
  /** Returns what was allocated for arrays that nothing refers to any more. */
  readonly #collected = new FinalizationRegistry<{ address: number; bytes: number }>(({ address, bytes }) => {
    this.#exports.release(address)
    this.#allocated -= bytes
  })

  constructor(memory: WebAssembly.Memory, mostBytes: number, exports: WasmExports) {
    this.#memory = memory
    this.#mostBytes = mostBytes
    this.#exports = exports
    this.#views = this.#viewsOf(memory.buffer)
  }

  /** Bytes that can still be allocated, about: those of the kernels' own buffers are not counted. */
  get available(): number {
    return this.#mostBytes - this.#allocated
  }

  /** To be given to another thread. */
  get shared(): WebAssembly.Memory {
    return this.#memory
  }

  get views(): Views {
    const { buffer } = this.#memory
    if (buffer !== this.#views.buffer) this.#views = this.#viewsOf(buffer)
    return this.#views
  }

  /** Zeroed memory at a multiple of 64 bytes, kept until it is released. Throws FlickerError WASM_MEMORY. */
  allocate(bytes: number): Uint8Array {
    const address = bytes < this.#mostBytes ? this.#exports.allocate(bytes) >>> 0 : 0
    if (address === 0) {
      throw new FlickerError(
        'WASM_MEMORY',
        `WebAssembly's memory, ${this.#mostBytes / 2 ** 30} GiB at most, has no room for ${bytes} bytes more: ` +
          'take a smaller model, a smaller type of weights or a shorter context',
        { exitCode: 1 },
      )
    }
    this.#allocated += bytes
    // Another thread may have made the memory grow.
    if (address + bytes > this.#memory.buffer.byteLength) this.#memory.grow(0)
    return new Uint8Array(this.views.buffer, address, bytes)
  }

  /** Gives back what was allocated as `bytes` when nothing refers to `holder` any more: an array over it, for example. */
  releaseWith(holder: object, { byteOffset, byteLength }: Uint8Array): void {
    this.#collected.register(holder, { address: byteOffset, bytes: byteLength })
  }

  /** Gives back what `allocate` has returned, at this address. */
  release({ byteOffset, byteLength }: Uint8Array): void {
    this.#exports.release(byteOffset)
    this.#allocated -= byteLength
  }

  /** Whether an array lies in this memory. */
  holds({ buffer }: ArrayBufferView): boolean {
    return this.#buffers.has(buffer)
  }

  #viewsOf(buffer: SharedArrayBuffer): Views {
    this.#buffers.add(buffer)
    return {
      buffer,
      Float32Array: new Float32Array(buffer),
      Int32Array: new Int32Array(buffer),
      Int8Array: new Int8Array(buffer),
      Uint8Array: new Uint8Array(buffer),
      Uint16Array: new Uint16Array(buffer),
      data: new DataView(buffer),
    }
  }
}

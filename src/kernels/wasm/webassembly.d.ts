// The part of WebAssembly's JavaScript interface that is used here; neither the language's library nor Node's types have it.
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array)
  }
  class Memory {
    constructor(limits: { initial: number; maximum: number; shared: boolean })
    /** Shared memory that has grown has a new buffer; views of the old one stay valid. */
    readonly buffer: SharedArrayBuffer
    /** By so many pages; by 0, `buffer` shows what other threads have added. */
    grow(pages: number): number
  }
  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>)
    readonly exports: Record<string, unknown>
  }
}

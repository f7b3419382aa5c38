// Numbers of the WebGPU specification, whose global objects Node does not have, and the layouts of bind groups.

const MAP_READ = 1
const COPY_SRC = 4
const COPY_DST = 8
const STORAGE = 128
const QUERY_RESOLVE = 512
const COMPUTE_STAGE = 4

/** How buffers are used. */
export const buffers = {
  storage: STORAGE | COPY_SRC | COPY_DST,
  /** Read by the CPU. */
  staging: MAP_READ | COPY_DST,
  /** Takes results of queries. */
  queries: QUERY_RESOLVE | COPY_SRC,
} as const

/** The mode of `mapAsync`. */
export const MAP_FOR_READING = MAP_READ

/** What a kernel does with a buffer. */
export type Access = 'read' | 'write'

/** The layout of a bind group: binding i is a storage buffer that is read, or read and written. */
export function bindings(accesses: readonly Access[]): GPUBindGroupLayoutEntry[] {
  return accesses.map((access, binding) => ({
    binding,
    visibility: COMPUTE_STAGE,
    buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
  }))
}

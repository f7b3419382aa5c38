// node:os for the worker. Memory is limited by WebAssembly's address space (platform/process.ts).

/** Decoding waits for memory: more threads than this take it from the rest of the page. */
const MOST_THREADS = 8

export const freemem = () => Number.POSITIVE_INFINITY
export const cpus = () => [{ model: 'browser' }]
/** Threads without being told how many: a page that is not cross-origin isolated cannot share memory with them. */
export const availableParallelism = () => {
  const { crossOriginIsolated, navigator } = globalThis as unknown as {
    crossOriginIsolated?: boolean
    navigator?: { hardwareConcurrency?: number }
  }
  return crossOriginIsolated === true ? Math.min(navigator?.hardwareConcurrency ?? 1, MOST_THREADS) : 1
}

export default { constants: { errno: {} }, freemem, cpus, availableParallelism }

// node:os for the worker. Memory is limited by WebAssembly's address space (platform/process.ts).

export const freemem = () => Number.POSITIVE_INFINITY
export const cpus = () => [{ model: 'browser' }]
export const availableParallelism = () => 1

export default { constants: { errno: {} }, freemem, cpus, availableParallelism }

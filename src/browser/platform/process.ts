// What the engine uses of Node's global objects, for the worker, whose globals are nobody else's.

import { wasmMemory } from '../../kernels/wasm/instance.js'

const channel = new MessageChannel()
const waiting: (() => void)[] = []
const port = channel.port1 as unknown as { onmessage: () => void }
port.onmessage = () => waiting.shift()?.()

/** Runs after the messages that have arrived: `setTimeout` waits four milliseconds when it is nested. */
function setImmediate(task: () => void): void {
  waiting.push(task)
  channel.port2.postMessage(null)
}

Object.assign(globalThis, {
  setImmediate,
  process: {
    env: {},
    platform: 'browser',
    pid: 0,
    version: '',
    availableMemory: () => wasmMemory()?.available ?? 2 ** 31,
  },
})

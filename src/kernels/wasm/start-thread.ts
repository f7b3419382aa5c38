// A worker of Node for one thread of the WebAssembly kernels.

import { Worker } from 'node:worker_threads'

/**
 * Runs `program`, the text of a function of (start, ready), in a worker of its own. Resolves to whether it has called
 * `ready`. The worker does not keep the process alive.
 */
export function startThread(program: string, start: object): Promise<boolean> {
  const code =
    "const { workerData, parentPort } = require('node:worker_threads');" +
    `(${program})(workerData, () => parentPort.postMessage(true))`
  return new Promise(resolve => {
    const worker = new Worker(code, { eval: true, workerData: start, execArgv: [], stderr: true })
    worker.once('message', () => resolve(true))
    worker.once('error', () => resolve(false))
    worker.unref()
  })
}

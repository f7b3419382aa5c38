// In place of src/kernels/wasm/start-thread.ts: a worker of this worker. A program of its own takes no time to read; but
// where this worker is a file, because the page's policy refuses `blob:`, the thread is started from that file.

import type { ToWorker } from '../protocol.js'

interface Surroundings {
  readonly location: { readonly href: string; readonly protocol: string }
  readonly Worker: new (url: string) => BrowserWorker
}

let programs = new Map<string, string>()

export function startThread(program: string, start: object): Promise<boolean> {
  const { location, Worker } = globalThis as unknown as Surroundings
  const isFile = location.protocol !== 'blob:'
  let url = isFile ? location.href : programs.get(program)
  if (url === undefined) {
    const code = `onmessage = ({ data }) => (${program})(data.thread, () => postMessage(true))`
    url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }))
    programs = new Map([[program, url]])
  }
  return new Promise(resolve => {
    const worker = new Worker(url)
    worker.addEventListener('message', () => resolve(true))
    worker.addEventListener('error', () => resolve(false))
    worker.postMessage({ thread: start } satisfies ToWorker)
  })
}

// The page's end of a worker: requests and their answers, tokens as they come, and the end.

import type { GeneratedToken } from '../engine/generation/continuation.js'
import { FlickerError } from '../errors.js'
import type { DownloadProgress } from './download.js'
import { errorOf, type FromWorker, type Request } from './protocol.js'

interface Listener {
  readonly token?: (token: GeneratedToken) => void
  readonly progress?: (progress: DownloadProgress) => void
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
}

export interface RequestOptions {
  readonly signal?: AbortSignal
  readonly onToken?: (token: GeneratedToken) => void
  readonly onProgress?: (progress: DownloadProgress) => void
}

export class Connection {
  readonly #worker: BrowserWorker
  readonly #close: () => void
  readonly #waiting = new Map<number, Listener>()
  #requests = 0
  #failure: FlickerError | null = null

  /** `close`: called when the worker has been ended. */
  constructor(worker: BrowserWorker, close: () => void = () => {}) {
    this.#worker = worker
    this.#close = close
    worker.addEventListener('message', ({ data }) => this.#received(data as FromWorker))
    worker.addEventListener('error', ({ message }) => {
      this.#end(
        new FlickerError('WORKER_FAILED', `the worker failed: ${message ?? 'it could not be started'}`, {
          exitCode: 1,
        }),
      )
    })
  }

  /** Rejects with what the worker has thrown; FlickerError MODEL_DISPOSED after `end`. */
  ask<Result>(request: Request, { signal, onToken, onProgress }: RequestOptions = {}): Promise<Result> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    const id = ++this.#requests
    return new Promise<unknown>((resolve, reject) => {
      const abort = () => this.#worker.postMessage({ id, abort: true })
      const done = () => {
        this.#waiting.delete(id)
        signal?.removeEventListener('abort', abort)
      }
      this.#waiting.set(id, {
        token: onToken,
        progress: onProgress,
        resolve: result => {
          done()
          resolve(result)
        },
        reject: error => {
          done()
          reject(error)
        },
      })
      this.#worker.postMessage({ id, request })
      if (signal?.aborted) abort()
      else signal?.addEventListener('abort', abort)
    }) as Promise<Result>
  }

  /** Ends the worker, whose memory is freed. */
  end(): void {
    this.#end(
      new FlickerError('MODEL_DISPOSED', 'the model has been disposed of; load it again', { exitCode: 1 }),
    )
  }

  #received(message: FromWorker): void {
    const listener = this.#waiting.get(message.id)
    if (listener === undefined) return
    if ('token' in message) listener.token?.(message.token)
    else if ('progress' in message) listener.progress?.(message.progress)
    else if ('error' in message) listener.reject(errorOf(message.error))
    else listener.resolve(message.result)
  }

  #end(reason: FlickerError): void {
    if (this.#failure !== null) return
    this.#failure = reason
    this.#worker.terminate()
    this.#close()
    for (const { reject } of [...this.#waiting.values()]) reject(reason)
  }
}

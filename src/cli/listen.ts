// Opening a port, with errors that say what to do.

import { serve } from '@hono/node-server'
import { StorageError } from '../errors.js'

type Http = ReturnType<typeof serve>

/** Throws StorageError PORT_IN_USE, LISTEN_REFUSED. */
export function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  hostname: string,
  port: number,
): Promise<Http> {
  return new Promise((resolve, reject) => {
    const http: Http = serve({ fetch, hostname, port }, () => resolve(http))
    http.once('error', (cause: NodeJS.ErrnoException) => {
      const used = cause.code === 'EADDRINUSE'
      reject(
        new StorageError(
          used ? 'PORT_IN_USE' : 'LISTEN_REFUSED',
          used
            ? `port ${port} of ${hostname} is in use; choose another with --port, or --port 0 for a free one`
            : `cannot listen on ${hostname}, port ${port} (${cause.code})`,
          { cause },
        ),
      )
    })
  })
}

/** `http://127.0.0.1:8080` of an open port. */
export function addressOf(http: Http, hostname: string, port: number): string {
  const address = http.address()
  const actual = typeof address === 'object' && address !== null ? address.port : port
  return `http://${hostname.includes(':') ? `[${hostname}]` : hostname}:${actual}`
}

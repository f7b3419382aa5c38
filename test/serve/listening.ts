// A server on a port of its own, for the time of one test.

import { serve } from '@hono/node-server'
import { onTestFinished } from 'vitest'
import type { Server } from '../../src/serve/index.js'

export async function listening(app: Server): Promise<number> {
  return new Promise(resolve => {
    const http = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) => resolve(port))
    onTestFinished(async () => {
      await app.close()
      http.close()
    })
  })
}

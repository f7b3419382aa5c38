// The playground, for a server of models: its page at /playground, and the files that the page loads.

import { boardAssets } from './assets.js'
import { pageFile } from './page-files.js'

/** The page may compile WebAssembly, start its worker, and read models from anywhere. */
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:; style-src 'self' 'unsafe-inline'; " +
  "connect-src *; img-src 'self' data: blob:"

/** Makes the page cross-origin isolated, so that its engine may use several threads. */
const ISOLATION = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
}

/** Answers a request for the playground; null for any other. Throws FlickerError BOARD_NOT_BUILT. */
export async function playgroundFile(request: Request): Promise<Response | null> {
  const { pathname } = new URL(request.url)
  const isPage = pathname === '/playground' || pathname === '/playground/'
  if (request.method !== 'GET' || !(isPage || pathname.startsWith('/assets/'))) return null
  if (pathname === '/playground/') {
    return new Response(null, { status: 308, headers: { location: '/playground' } })
  }
  const file = pageFile(await boardAssets(), isPage ? '/playground.html' : pathname, POLICY)
  for (const [name, value] of Object.entries(ISOLATION)) file.headers.set(name, value)
  return file
}

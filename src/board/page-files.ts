// Files of the built pages as answers.

import fs from 'node:fs'
import path from 'node:path'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** The file at `requested`, a path that begins with a slash; 404 for what is none. policy: its Content-Security-Policy. */
export function pageFile(assets: string, requested: string, policy: string): Response {
  const name = requested.slice(1)
  const known = /^[\w.-]+(\/[\w.-]+)?$/.test(name) && !name.includes('..')
  const file = path.join(assets, name)
  if (!known || !fs.existsSync(file) || !fs.statSync(file).isFile())
    return new Response('not found', { status: 404 })
  const headers = {
    'content-type': TYPES[path.extname(file)] ?? 'application/octet-stream',
    'content-security-policy': policy,
    'cache-control': 'no-cache',
  }
  return new Response(fs.readFileSync(file), { headers })
}

// Chromium for tests of what runs in a browser, and a server that gives it the built package, the page and models. Where no
// Chromium is, these tests are skipped and say so; with FLICKER_BROWSER=required that is a failure.

import { existsSync, readFileSync, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, resolve } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { describe } from 'vitest'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
const named = process.env.FLICKER_CHROMIUM
const executable = (named ? [named] : PLACES).find(existsSync)
const built = existsSync(resolve('dist/browser/worker-source.js'))

export function describeInBrowser(name: string, suite: () => void): void {
  if (executable !== undefined && built) describe(name, suite)
  else if (process.env.FLICKER_BROWSER === 'required') {
    throw new Error(`FLICKER_BROWSER is required, but there is no ${built ? 'Chromium' : 'dist/browser'}`)
  } else describe.skip(`${name} (skipped: there is no Chromium here)`, suite)
}

/** `webgpu`: with SwiftShader as its GPU, which comes with Chromium. */
export function startChromium({ webgpu = false } = {}): Promise<Browser> {
  const gpu = webgpu ? ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'] : ['--disable-gpu']
  return chromium.launch({
    executablePath: executable,
    args: ['--no-sandbox', '--disable-dev-shm-usage', ...gpu],
  })
}

/** What a test server does with a file, besides giving it. */
export interface Faults {
  /** Answer requests for ranges with the whole file. */
  ranges?: boolean
  /** Let other sites read it. */
  cors?: boolean
  /** End the connection after so many bytes of an answer. */
  cutAfter?: number
  /** Refuse it. */
  status?: number
  /** Milliseconds between pieces of 16 KB. */
  slow?: number
}

export interface TestServer {
  readonly origin: string
  /** Paths that were asked for, with their ranges, since it was last emptied. */
  readonly requests: string[]
  /** Of every file under /models/. */
  faults: Faults
  close(): Promise<void>
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
}

/** `/page.html` and `/isolated.html` are empty; `/dist/` is the built package, `/models/` the directory of models. */
export async function serveFiles(models: string): Promise<TestServer> {
  const requests: string[] = []
  const http = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    // With these a page is cross-origin isolated.
    if (pathname === '/isolated.html') {
      response.setHeader('cross-origin-opener-policy', 'same-origin')
      response.setHeader('cross-origin-embedder-policy', 'require-corp')
    }
    if (pathname === '/page.html' || pathname === '/isolated.html') {
      response.setHeader('content-type', TYPES['.html']).end('<!doctype html><title>test</title>')
      return
    }
    const isModel = pathname.startsWith('/models/')
    const file = isModel
      ? join(models, decodeURIComponent(pathname.slice('/models/'.length)))
      : pathname.startsWith('/dist/')
        ? resolve(`.${pathname}`)
        : ''
    if (isModel) requests.push([pathname, request.headers.range ?? ''].join(' ').trim())
    give(request, response, file, isModel ? server.faults : { cors: true })
  })
  await new Promise<void>(done => http.listen(0, '127.0.0.1', done))
  const server: TestServer = {
    origin: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    requests,
    faults: {},
    close: () =>
      new Promise(done => {
        http.closeAllConnections()
        http.close(() => done())
      }),
  }
  return server
}

function give(request: IncomingMessage, response: ServerResponse, file: string, faults: Faults): void {
  const { ranges = true, cors = true, cutAfter, status, slow } = faults
  // As little as a server can do: no answer to a preflight, no headers beyond those that every site may see.
  if (cors) response.setHeader('access-control-allow-origin', '*')
  if (request.method !== 'GET') {
    response.writeHead(405).end()
    return
  }
  if (status !== undefined || file === '' || !statSync(file, { throwIfNoEntry: false })?.isFile()) {
    response.writeHead(status ?? 404).end()
    return
  }
  const bytes = readFileSync(file)
  response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream')
  response.setHeader('last-modified', statSync(file).mtime.toUTCString())
  const range = ranges ? /^bytes=(\d+)-$/.exec(request.headers.range ?? '') : null
  const from = range === null ? 0 : Number(range[1])
  if (ranges) response.setHeader('accept-ranges', 'bytes')
  if (range !== null) response.setHeader('content-range', `bytes ${from}-${bytes.length - 1}/${bytes.length}`)
  const rest = bytes.subarray(from)
  response.setHeader('content-length', rest.length)
  response.writeHead(range === null ? 200 : 206)
  const end = cutAfter === undefined ? rest.length : Math.min(cutAfter, rest.length)
  const piece = slow === undefined ? Math.max(1, end) : 16_384
  let at = 0
  const next = () => {
    if (response.destroyed) return
    const part = rest.subarray(at, Math.min(end, at + piece))
    at += part.length
    response.write(part, () => {
      if (at < end) setTimeout(next, slow ?? 0)
      else if (end < rest.length) setTimeout(() => response.destroy(), 20)
      else response.end()
    })
  }
  next()
}

/** A page of `server` in which `inPage` can use the package as `flicker`. */
export async function openPage(browser: Browser, server: TestServer, name = 'page'): Promise<Page> {
  const page = await (await browser.newContext()).newPage()
  await page.goto(`${server.origin}/${name}.html`)
  await page.evaluate(`import('/dist/browser/index.js').then(module => { globalThis.flicker = module })`)
  return page
}

/** What the body of an async function gives in the page. */
export function inPage<T>(page: Page, body: string): Promise<T> {
  return page.evaluate(`(async () => { ${body} })()`) as Promise<T>
}

// A Hub on localhost: the paths that @huggingface/hub asks for, files on a second host behind redirects, ranges, and faults on
// request.

import { createHash } from 'node:crypto'
import http from 'node:http'
import type { AddressInfo } from 'node:net'

export const COMMIT = '0123456789abcdef0123456789abcdef01234567'

export interface Faults {
  /** Status for every request to the API. */
  apiStatus?: number
  /** Token without which everything is 401. */
  token?: string
  /** Bodies of files are cut after so many bytes, as many times as there are numbers. */
  cuts?: number[]
  /** Statuses of the next requests for a file's bytes. */
  fileStatuses?: number[]
  /** Bytes that every large file has by the list. */
  listedSize?: number
  /** Bytes that are sent instead of a file's. */
  instead?: Map<string, Buffer>
}

export interface HubServer {
  readonly endpoint: string
  readonly faults: Faults
  /** `GET path` with the Range, for each request to the host of the files. */
  readonly fileRequests: { readonly path: string; readonly range: string; readonly authorized: boolean }[]
  readonly apiRequests: string[]
  close(): Promise<void>
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const gitHash = (bytes: Buffer) =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')

/**
 * files: of the one model, `owner/name`, and of every data set, on the branch of its tables. Those that end in .gguf,
 * .safetensors or .parquet are large files.
 */
export async function startHub(files: ReadonlyMap<string, Buffer>): Promise<HubServer> {
  const faults: Faults = {}
  const fileRequests: HubServer['fileRequests'] = []
  const apiRequests: string[] = []
  const isLarge = (path: string) => /\.(gguf|safetensors|parquet)$/.test(path)

  const content = http.createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '').slice(1)
    const range = request.headers.range ?? ''
    fileRequests.push({ path, range, authorized: request.headers.authorization !== undefined })
    sendFile(path, range, response)
  })
  const sendFile = (path: string, range: string, response: http.ServerResponse) => {
    const probe = range === 'bytes=0-0'
    const status = probe ? undefined : faults.fileStatuses?.shift()
    const bytes = files.get(path)
    if (status !== undefined || bytes === undefined) {
      response.writeHead(status ?? 404, { 'X-Error-Code': 'EntryNotFound' }).end()
      return
    }
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? []
    const start = Number(from ?? 0)
    const end = to === undefined || to === '' ? bytes.length : Math.min(bytes.length, Number(to) + 1)
    const sent = (faults.instead?.get(path) ?? bytes).subarray(start, end)
    response.writeHead(from === undefined ? 200 : 206, {
      ETag: `"${isLarge(path) ? sha256(bytes) : gitHash(bytes)}"`,
      'Content-Length': sent.length,
      ...(from === undefined ? {} : { 'Content-Range': `bytes ${start}-${end - 1}/${bytes.length}` }),
    })
    const cut = probe ? undefined : faults.cuts?.shift()
    if (cut === undefined) response.end(sent)
    else response.write(sent.subarray(0, cut), () => response.destroy())
  }
  const contentHost = await listen(content)

  const api = http.createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://hub')
    apiRequests.push(url.pathname)
    const json = (status: number, value: object) => {
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value))
    }
    if (faults.token !== undefined && request.headers.authorization !== `Bearer ${faults.token}`) {
      return json(401, { error: 'Invalid credentials' })
    }
    if (faults.apiStatus !== undefined) return json(faults.apiStatus, { error: 'no' })
    if (
      /^\/api\/models\/owner\/name\/revision\/(main|v1|[0-9a-f]{40})$/.test(url.pathname) ||
      /^\/api\/datasets\/[\w.-]+\/[\w.-]+\/revision\/refs%2Fconvert%2Fparquet$/.test(url.pathname)
    ) {
      return json(200, {
        _id: '1',
        id: 'owner/name',
        sha: COMMIT,
        private: false,
        lastModified: '2026-01-01',
      })
    }
    if (
      new RegExp(`^/api/(models/owner/name|datasets/[\\w.-]+/[\\w.-]+)/tree/${COMMIT}$`).test(url.pathname)
    ) {
      const entries = [...files].map(([path, bytes]) => ({
        type: 'file',
        path,
        size: (isLarge(path) ? faults.listedSize : undefined) ?? bytes.length,
        oid: gitHash(bytes),
        ...(isLarge(path) && {
          lfs: { oid: sha256(bytes), size: faults.listedSize ?? bytes.length, pointerSize: 130 },
        }),
      }))
      return json(200, entries)
    }
    const resolved = /^\/(?:owner\/name|datasets\/[\w.-]+\/[\w.-]+)\/resolve\/[^/]+\/(.+)$/.exec(url.pathname)
    if (resolved === null) return json(404, { error: 'Repository not found' })
    const path = decodeURIComponent(resolved[1])
    // Large files are on another host, small ones here, both behind a redirect as on the Hub.
    if (isLarge(path)) return response.writeHead(302, { Location: `${contentHost}/${path}` }).end()
    if (!url.searchParams.has('direct')) {
      return response.writeHead(307, { Location: `${url.pathname}?direct=1` }).end()
    }
    sendFile(path, request.headers.range ?? '', response)
  })
  const endpoint = await listen(api)
  return {
    endpoint,
    faults,
    fileRequests,
    apiRequests,
    async close() {
      for (const server of [api, content]) {
        server.closeAllConnections()
        await new Promise(resolve => server.close(resolve))
      }
    },
  }
}

async function listen(server: http.Server): Promise<string> {
  // A slow machine must not meet a connection that was closed for being idle.
  server.keepAliveTimeout = 60_000
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

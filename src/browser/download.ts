// A file by URL: into the cache, from where it was interrupted; or into memory where there is no cache. The bytes are
// checked against what the server announces and, where the caller gives one, a SHA-256.

import { CheckpointError, FlickerError, StorageError } from '../errors.js'
import { CacheEntry, NoCache, writeAll } from './cache.js'
import { Sha256 } from './sha256.js'

export interface DownloadProgress {
  /** The file's name. */
  readonly file: string
  /** Bytes that are there, those of an earlier visit included. */
  readonly received: number
  /** Bytes of the whole file; null where the server does not say. */
  readonly total: number | null
  /** Whether nothing needs to be downloaded. */
  readonly cached: boolean
}

export interface DownloadRequest {
  readonly url: string
  readonly cache: boolean
  /** Of the whole file, in hexadecimal. */
  readonly sha256?: string
  readonly signal: AbortSignal
  readonly onProgress: (progress: DownloadProgress) => void
}

/** How often a broken connection is taken up again before it is an error, and how long is waited before. */
const RETRIES = 3
const WAIT_MS = 500
/** The record is written so often. */
const FLUSH_BYTES = 32 * 2 ** 20

/** Where bytes go. */
interface Target {
  readonly length: number
  write(bytes: Uint8Array): void
  restart(): void
}

/** The connection ended before the file did. */
class Interrupted extends Error {}

export const fileName = (url: string) => decodeURIComponent(new URL(url).pathname.split('/').at(-1) ?? '')

/**
 * The whole file. Throws FlickerError DOWNLOAD_REFUSED (no answer: offline, or the server does not allow other sites),
 * DOWNLOAD_STATUS, DOWNLOAD_INTERRUPTED, DOWNLOAD_ABORTED, StorageError CACHE_FULL, CACHE_BUSY, CheckpointError
 * CHECKSUM_MISMATCH. Null for a file that the server does not have, with `optional`.
 */
export async function download(request: DownloadRequest, optional = false): Promise<Blob | null> {
  const entry = request.cache ? await cacheEntry(request.url) : null
  if (entry === null) return downloadIntoMemory(request, optional)
  const record = await entry.record()
  if (record?.complete === true) {
    const blob = await entry.blob()
    if (blob !== null && (record.size === null || blob.size === record.size)) {
      request.onProgress({
        file: fileName(request.url),
        received: blob.size,
        total: blob.size,
        cached: true,
      })
      await requireChecksum(request, blob, entry)
      return blob
    }
  }
  const handle = await entry.open()
  let found: boolean
  try {
    let length = record === null ? 0 : handle.getSize()
    const target: Target = {
      get length() {
        return length
      },
      write(bytes) {
        writeAll(handle, bytes, length, request.url)
        length += bytes.length
      },
      restart() {
        handle.truncate(0)
        length = 0
      },
    }
    let noted = length
    const note = async (state: { size: number | null; validator: string | null }, complete: boolean) => {
      if (!complete && length - noted < FLUSH_BYTES && noted > 0) return
      noted = Math.max(1, length)
      handle.flush()
      await entry.write({ ...state, complete })
    }
    found = await fetchInto(request, target, record?.validator ?? null, optional, note)
    handle.flush()
  } finally {
    handle.close()
  }
  if (!found) {
    await entry.remove()
    return null
  }
  const blob = await entry.blob()
  if (blob === null)
    throw new StorageError('CACHE_LOST', `${request.url} has vanished from the cache; load it again`)
  await requireChecksum(request, blob, entry)
  return blob
}

async function cacheEntry(url: string): Promise<CacheEntry | null> {
  try {
    return await CacheEntry.of(url)
  } catch (error) {
    if (error instanceof NoCache) return null
    throw error
  }
}

async function downloadIntoMemory(request: DownloadRequest, optional: boolean): Promise<Blob | null> {
  let pieces: Uint8Array<ArrayBuffer>[] = []
  let length = 0
  const target: Target = {
    get length() {
      return length
    },
    write(bytes) {
      pieces.push(bytes.slice())
      length += bytes.length
    },
    restart() {
      pieces = []
      length = 0
    },
  }
  if (!(await fetchInto(request, target, null, optional, async () => {}))) return null
  const blob = new Blob(pieces)
  await requireChecksum(request, blob, null)
  return blob
}

/** Throws CheckpointError CHECKSUM_MISMATCH, after removing the file. */
async function requireChecksum(
  { url, sha256 }: DownloadRequest,
  blob: Blob,
  entry: CacheEntry | null,
): Promise<void> {
  if (sha256 === undefined) return
  const hash = new Sha256()
  const reader = blob.stream().getReader()
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) hash.update(piece.value)
  const found = hash.hex()
  if (found === sha256.toLowerCase()) return
  await entry?.remove()
  throw new CheckpointError(
    'CHECKSUM_MISMATCH',
    `${url} is corrupt: its SHA-256 is ${found}, not ${sha256}; it was removed from the cache, load it again`,
  )
}

/** False for a file that the server does not have, with `optional`. */
async function fetchInto(
  request: DownloadRequest,
  target: Target,
  knownValidator: string | null,
  optional: boolean,
  note: (state: { size: number | null; validator: string | null }, complete: boolean) => Promise<void>,
): Promise<boolean> {
  let validator = knownValidator
  let givesRanges = true
  for (let attempt = 0; ; attempt++) {
    if (target.length > 0 && validator === null) target.restart()
    const before = target.length
    try {
      const response = await ask(request, before)
      if (response.status === 404 && optional) {
        await response.body?.cancel()
        return false
      }
      const found = response.headers.get('etag') ?? response.headers.get('last-modified')
      const isOther = response.status === 206 && found !== validator
      if (isOther || (response.status === 416 && before > 0)) {
        // What is there is of another version of the file.
        await response.body?.cancel()
        validator = null
        continue
      }
      if (!response.ok) {
        throw new FlickerError(
          'DOWNLOAD_STATUS',
          `${request.url} was refused: ${response.status} ${response.statusText}`.trimEnd(),
        )
      }
      if (response.status !== 206 && before > 0) {
        givesRanges = false
        target.restart()
      }
      const total = totalOf(response, target.length)
      validator = found
      await note({ size: total, validator }, false)
      await receive(request, response, target, total, () => note({ size: total, validator }, false))
      await note({ size: target.length, validator }, true)
      return true
    } catch (error) {
      if (request.signal.aborted) throw aborted(request.url)
      if (!(error instanceof Interrupted)) throw error
      if (target.length > before && givesRanges && validator !== null) attempt = 0
      if (attempt < RETRIES) {
        await new Promise(resolve => setTimeout(resolve, WAIT_MS * 2 ** attempt))
        continue
      }
      throw new FlickerError(
        'DOWNLOAD_INTERRUPTED',
        `the download of ${request.url} was interrupted after ${target.length} bytes; ` +
          (givesRanges && validator !== null
            ? 'load it again to continue from there'
            : 'the server does not support range requests, so it starts from the beginning when it is loaded again'),
        { exitCode: 1, cause: error },
      )
    }
  }
}

/** Throws Interrupted where nothing answers while a download is under way; FlickerError DOWNLOAD_REFUSED. */
async function ask({ url, signal }: DownloadRequest, from: number): Promise<Response> {
  // Nothing but a plain range, which needs no leave of another site's server: what it answers says whether the file is the
  // same.
  const headers: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` }
  try {
    return await fetch(url, { signal, headers })
  } catch (cause) {
    if (from > 0) {
      if (signal.aborted) throw cause
      throw new Interrupted('no answer', { cause })
    }
    if (signal.aborted) throw cause
    throw new FlickerError(
      'DOWNLOAD_REFUSED',
      `${url} cannot be read: the server is not reachable, or does not allow other sites to read it (CORS: it must answer ` +
        'with Access-Control-Allow-Origin); download the file and choose it instead',
      { exitCode: 1, cause },
    )
  }
}

function totalOf(response: Response, from: number): number | null {
  const range = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')
  if (range !== null) return Number(range[1])
  // Of a compressed answer the length is that of the compressed bytes.
  const length =
    response.headers.get('content-encoding') === null ? response.headers.get('content-length') : null
  return length === null ? null : Number(length) + (response.status === 206 ? from : 0)
}

/** Throws Interrupted when the connection ends too early. */
async function receive(
  { url, signal, onProgress }: DownloadRequest,
  response: Response,
  target: Target,
  total: number | null,
  note: () => Promise<void>,
): Promise<void> {
  const reader = response.body?.getReader()
  const tell = () => onProgress({ file: fileName(url), received: target.length, total, cached: false })
  tell()
  try {
    for (;;) {
      const piece = await reader?.read().catch((cause: unknown) => {
        throw new Interrupted('the connection broke', { cause })
      })
      if (signal.aborted) throw aborted(url)
      if (piece === undefined || piece.done) break
      target.write(piece.value)
      tell()
      await note()
    }
  } catch (error) {
    await reader?.cancel().catch(() => {})
    throw error
  }
  if (total !== null && target.length < total) throw new Interrupted('the connection ended')
}

function aborted(url: string): FlickerError {
  return new FlickerError('DOWNLOAD_ABORTED', `the download of ${url} was stopped`, { exitCode: 1 })
}

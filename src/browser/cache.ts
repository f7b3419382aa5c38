// Downloaded files in the origin private file system, one directory for all models: the bytes of each beside a record of
// where they are from. An interrupted download leaves its bytes, and the record says that they are not all.

import { StorageError } from '../errors.js'
import { Sha256 } from './sha256.js'

const DIRECTORY = 'flicker-models'

/** What is known of a file in the cache. */
export interface CacheRecord {
  readonly url: string
  /** Of the whole file, in bytes; null where the server has not said. */
  readonly size: number | null
  /** `ETag` or `Last-Modified`: by which the server recognizes the same file; null without. */
  readonly validator: string | null
  readonly complete: boolean
}

export interface CachedFile extends CacheRecord {
  /** Bytes that are there. */
  readonly bytes: number
}

/** Without an origin private file system: private windows of some browsers, or a page that is not secure. */
export class NoCache extends Error {}

/** Throws NoCache. */
async function directory(): Promise<FileSystemDirectoryHandle> {
  const storage = (globalThis as { navigator?: { storage?: BrowserStorage } }).navigator?.storage
  try {
    if (storage?.getDirectory === undefined) throw new Error('there is none')
    const root = await storage.getDirectory()
    return await root.getDirectoryHandle(DIRECTORY, { create: true })
  } catch (cause) {
    throw new NoCache(`no storage for models: ${(cause as Error).message}`, { cause })
  }
}

const nameOf = (url: string) => new Sha256().update(new TextEncoder().encode(url)).hex().slice(0, 32)

async function existing(
  folder: FileSystemDirectoryHandle,
  name: string,
): Promise<FileSystemFileHandle | null> {
  try {
    return await folder.getFileHandle(name)
  } catch {
    return null
  }
}

/** One URL's place in the cache. */
export class CacheEntry {
  readonly #folder: FileSystemDirectoryHandle
  readonly #url: string
  readonly #name: string

  private constructor(folder: FileSystemDirectoryHandle, url: string) {
    this.#folder = folder
    this.#url = url
    this.#name = nameOf(url)
  }

  /** Throws NoCache. */
  static async of(url: string): Promise<CacheEntry> {
    return new CacheEntry(await directory(), url)
  }

  /** Null for a URL that is not in the cache. */
  async record(): Promise<CacheRecord | null> {
    const file = await existing(this.#folder, `${this.#name}.json`)
    if (file === null) return null
    try {
      const record = JSON.parse(await (await file.getFile()).text()) as CacheRecord
      return record.url === this.#url ? record : null
    } catch {
      return null
    }
  }

  /** The bytes that are there; null without any. */
  async blob(): Promise<Blob | null> {
    const file = await existing(this.#folder, `${this.#name}.data`)
    return file === null ? null : file.getFile()
  }

  /** Throws StorageError CACHE_FULL, CACHE_BUSY. */
  async write(record: Omit<CacheRecord, 'url'>): Promise<void> {
    const handle = await this.open('json')
    try {
      const bytes = new TextEncoder().encode(JSON.stringify({ url: this.#url, ...record }))
      handle.truncate(0)
      writeAll(handle, bytes, 0, this.#url)
    } finally {
      handle.close()
    }
  }

  /** Exclusive; to be closed. Throws StorageError CACHE_BUSY. */
  async open(kind: 'data' | 'json' = 'data'): Promise<FileSystemSyncAccessHandle> {
    const file = await this.#folder.getFileHandle(`${this.#name}.${kind}`, { create: true })
    try {
      return await file.createSyncAccessHandle()
    } catch (cause) {
      throw new StorageError(
        'CACHE_BUSY',
        `another page is downloading ${this.#url}; wait until it is done, or close it`,
        { exitCode: 1, cause },
      )
    }
  }

  async remove(): Promise<void> {
    for (const kind of ['json', 'data']) {
      await this.#folder.removeEntry(`${this.#name}.${kind}`).catch(() => {})
    }
  }
}

/** Throws StorageError CACHE_FULL. */
export function writeAll(
  handle: FileSystemSyncAccessHandle,
  bytes: Uint8Array,
  at: number,
  url: string,
): void {
  let written = 0
  let cause: unknown
  try {
    written = handle.write(bytes, { at })
  } catch (error) {
    cause = error
  }
  if (written === bytes.length) return
  throw new StorageError(
    'CACHE_FULL',
    `the browser's storage for this site is full: ${url} does not fit in; remove other models from the cache, or load it ` +
      'with cache: false',
    { exitCode: 1, cause },
  )
}

/** What the cache holds; empty where there is none. */
export async function cachedFiles(): Promise<CachedFile[]> {
  const found: CachedFile[] = []
  let folder: FileSystemDirectoryHandle
  try {
    folder = await directory()
  } catch (error) {
    if (error instanceof NoCache) return []
    throw error
  }
  for await (const file of folder.values()) {
    if (file.kind !== 'file' || !file.name.endsWith('.json')) continue
    try {
      const record = JSON.parse(await (await file.getFile()).text()) as CacheRecord
      const data = await existing(folder, file.name.replace(/json$/, 'data'))
      found.push({ ...record, bytes: data === null ? 0 : (await data.getFile()).size })
    } catch {
      // Not a record, or removed meanwhile.
    }
  }
  return found.sort((a, b) => (a.url < b.url ? -1 : 1))
}

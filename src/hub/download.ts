// Downloads files of a model or a data set into the Hub's cache: resumed where a download broke off, and checked by size and hash before
// they count as there.

import { createHash, type Hash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { CheckpointError, StorageError } from '../errors.js'
import { createDirectory, storageError } from '../formats/storage.js'
import { RepositoryCache } from './cache.js'
import type { HubReference } from './reference.js'
import { type HubModule, hubError, hubFetch, isTransient } from './requests.js'
import { type HubFile, selectFiles } from './select-files.js'
import type { HubSettings } from './settings.js'

export interface DownloadProgress {
  /** Of all files of the model, and how many were there before. */
  readonly bytes: number
  readonly total: number
  readonly file: string
  /** Of what this call has fetched; null at the start. */
  readonly bytesPerSecond: number | null
  readonly secondsLeft: number | null
}

export interface DownloadOptions {
  readonly onProgress?: (progress: DownloadProgress) => void
  /** Told before anything is fetched: how much will be, and of how much. May throw to refuse it. */
  readonly onStart?: (plan: DownloadPlan) => void
  readonly signal?: AbortSignal
  /** Between attempts after a broken connection, in milliseconds; doubles each time. Default 1000. */
  readonly retryDelay?: number
}

export interface DownloadPlan {
  readonly repo: string
  readonly commit: string
  readonly files: readonly { readonly path: string; readonly size: number }[]
  readonly total: number
  /** What is not in the cache yet. */
  readonly missing: number
}

/** Attempts that may fail in a row without a byte received. */
const ATTEMPTS = 5
const LIST_ATTEMPTS = 3
const RETRY_DELAY = 1000
const READ_BLOCK = 1 << 20

/**
 * The path of the model in the cache, a GGUF file or a directory, after everything that it needs has been fetched. Offline,
 * or when the Hub cannot be reached: what the cache has of that revision. Throws CheckpointError: HUB_UNREACHABLE,
 * HUB_UNAUTHORIZED, HUB_NOT_FOUND, HUB_FAILED, HUB_FILE_MISSING, HUB_NO_MODEL, HUB_HASH, HUB_OFFLINE; StorageError.
 */
export async function downloadModel(
  reference: HubReference,
  settings: HubSettings,
  options: DownloadOptions = {},
): Promise<string> {
  const select = (files: readonly HubFile[]) => selectFiles(reference, files)
  const { snapshot, selection } = await downloadFiles(reference, select, settings, options)
  return selection.open === null ? snapshot : path.join(snapshot, ...selection.open.split('/'))
}

/** Files of one commit in the cache. */
export interface DownloadedFiles<S extends SelectedFiles> {
  readonly commit: string
  /** The directory in which they lie under their own paths. */
  readonly snapshot: string
  readonly selection: S
}

export interface SelectedFiles {
  readonly files: readonly HubFile[]
}

/** Fetches what `select` takes of a repository's files. Throws what downloadModel throws, and what `select` throws. */
export async function downloadFiles<S extends SelectedFiles>(
  reference: HubReference,
  select: (files: readonly HubFile[]) => S,
  settings: HubSettings,
  options: DownloadOptions = {},
): Promise<DownloadedFiles<S>> {
  const cache = new RepositoryCache(settings.cache, reference.repo, reference.kind)
  if (settings.offline) return fromCache(cache, reference, select, 'offline (HF_HUB_OFFLINE)')
  const hub: HubModule = await import('@huggingface/hub')
  let listed: { commit: string; files: HubFile[] }
  try {
    const list = () => listRepository(hub, reference, settings)
    listed = await withRetries(list, LIST_ATTEMPTS, options)
  } catch (cause) {
    const error = hubError(cause, reference, settings)
    if (!(error instanceof CheckpointError) || error.code !== 'HUB_UNREACHABLE') throw error
    // Who has the model and no network wants to use it.
    if (cache.commitOf(reference.revision) === null) throw error
    return fromCache(cache, reference, select, 'the Hub cannot be reached')
  }
  const { commit, files } = listed
  const selection = select(files)
  const missing = selection.files.reduce((sum, file) => sum + file.size - cache.bytesOf(file), 0)
  const total = selection.files.reduce((sum, { size }) => sum + size, 0)
  if (missing > 0) {
    options.onStart?.({ repo: reference.repo, commit, files: selection.files, total, missing })
    requireSpace(settings.cache, missing)
  }
  const meter = new Meter(total, total - missing, options.onProgress)
  for (const file of selection.files) {
    meter.file = file.path
    await fetchBlob(hub, cache, file, { reference, settings, commit, meter, options })
    cache.link(file, commit)
  }
  cache.remember(reference.revision, commit)
  return { commit, snapshot: cache.snapshot(commit), selection }
}

/** What `request` gives, tried again where its failure may be a matter of the moment. */
async function withRetries<T>(
  request: () => Promise<T>,
  attempts: number,
  { retryDelay = RETRY_DELAY, signal }: DownloadOptions,
): Promise<T> {
  for (let failures = 0; ; ) {
    try {
      return await request()
    } catch (cause) {
      failures++
      if (!isTransient(cause) || failures >= attempts || signal?.aborted === true) throw cause
      await wait(retryDelay * 2 ** (failures - 1), undefined, { signal })
    }
  }
}

/** What the cache has. Throws CheckpointError HUB_OFFLINE, and what `select` throws. */
function fromCache<S extends SelectedFiles>(
  cache: RepositoryCache,
  reference: HubReference,
  select: (files: readonly HubFile[]) => S,
  why: string,
): DownloadedFiles<S> {
  const commit = cache.commitOf(reference.revision)
  const files = commit === null ? [] : cache.filesOf(commit)
  if (commit === null || files.length === 0) {
    throw new CheckpointError(
      'HUB_OFFLINE',
      `${reference.repo}@${reference.revision} is not in ${cache.directory}, and ${why}; ` +
        'download it with a connection first',
    )
  }
  const hash = { algorithm: 'sha256', hex: '' } as const
  const selection = select(files.map(file => ({ ...file, hash })))
  return { commit, snapshot: cache.snapshot(commit), selection }
}

async function listRepository(hub: HubModule, reference: HubReference, settings: HubSettings) {
  const { kind, repo, revision } = reference
  const request = { hubUrl: settings.endpoint, fetch: hubFetch(settings) }
  const about = { name: repo, revision, ...request }
  const { sha } = await (kind === 'model'
    ? hub.modelInfo({ ...about, additionalFields: ['sha'] })
    : hub.datasetInfo({ ...about, additionalFields: ['sha'] }))
  if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha)) {
    throw new CheckpointError('HUB_FAILED', `${settings.endpoint} gave no commit for ${repo}@${revision}`)
  }
  const files: HubFile[] = []
  for await (const entry of hub.listFiles({
    repo: { type: kind, name: repo },
    revision: sha,
    recursive: true,
    ...request,
  })) {
    const { path: name, size, lfs, oid } = entry
    // A path from outside must stay in the snapshot.
    if (
      entry.type !== 'file' ||
      !/^[^\\:\0]+$/.test(name) ||
      name.split('/').some(part => /^\.{0,2}$/.test(part))
    ) {
      continue
    }
    const hex = lfs?.oid ?? oid ?? ''
    const algorithm = lfs === undefined ? 'git-sha1' : 'sha256'
    if (!(algorithm === 'sha256' ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/).test(hex)) continue
    files.push({ path: name, size: lfs?.size ?? size, hash: { algorithm, hex } })
  }
  return { commit: sha, files }
}

interface Fetching {
  readonly reference: HubReference
  readonly settings: HubSettings
  readonly commit: string
  readonly meter: Meter
  readonly options: DownloadOptions
}

/** Makes the blob of `file` complete. */
async function fetchBlob(
  hub: HubModule,
  cache: RepositoryCache,
  file: HubFile,
  { reference, settings, commit, meter, options }: Fetching,
): Promise<void> {
  const blob = cache.blob(file)
  if (fs.existsSync(blob)) return
  const incomplete = `${blob}.incomplete`
  const out = openIncomplete(incomplete, file.size)
  try {
    const hash = hashOf(file)
    let done = hashBytes(out.fd, out.size, hash)
    let failures = 0
    while (done < file.size) {
      try {
        for await (const chunk of chunksFrom(hub, file, done, { reference, settings, commit })) {
          options.signal?.throwIfAborted()
          if (done + chunk.length > file.size) throw sizeError(file, reference)
          write(out.fd, chunk, done, incomplete, file.size)
          hash.update(chunk)
          done += chunk.length
          failures = 0
          meter.add(chunk.length)
        }
        if (done < file.size) throw new TypeError('the connection was closed before the end')
      } catch (cause) {
        if (options.signal?.aborted === true) throw cause
        failures++
        if (!isTransient(cause) || failures >= ATTEMPTS) throw hubError(cause, reference, settings, file.path)
        await wait((options.retryDelay ?? RETRY_DELAY) * 2 ** (failures - 1), undefined, {
          signal: options.signal,
        })
      }
    }
    const hex = hash.digest('hex')
    if (hex !== file.hash.hex) {
      fs.rmSync(incomplete, { force: true })
      throw new CheckpointError(
        'HUB_HASH',
        `${file.path} of ${reference.repo} was not received as the Hub describes it: its hash is ${hex}, not ` +
          `${file.hash.hex}; what was received is deleted, so download it again`,
        { exitCode: 1 },
      )
    }
  } finally {
    fs.closeSync(out.fd)
  }
  try {
    fs.renameSync(incomplete, blob)
  } catch (cause) {
    // Another process was faster.
    if (!fs.existsSync(blob)) throw storageError(cause, blob, file.size)
  }
}

async function* chunksFrom(
  hub: HubModule,
  file: HubFile,
  start: number,
  { reference, settings, commit }: Pick<Fetching, 'reference' | 'settings' | 'commit'>,
): AsyncGenerator<Uint8Array> {
  const blob = await hub.downloadFile({
    repo: { type: reference.kind, name: reference.repo },
    path: file.path,
    revision: commit,
    hubUrl: settings.endpoint,
    fetch: hubFetch(settings),
    xet: false,
  })
  if (blob === null) {
    throw new CheckpointError('HUB_NOT_FOUND', `${reference.repo} has no ${file.path} any more`)
  }
  if (blob.size !== file.size) throw sizeError(file, reference)
  yield* blob.slice(start, file.size).stream() as unknown as AsyncIterable<Uint8Array>
}

function sizeError(file: HubFile, { repo }: HubReference): CheckpointError {
  return new CheckpointError(
    'HUB_SIZE',
    `${file.path} of ${repo} has ${file.size} bytes by the Hub's list, and another number by the server that has it`,
    { exitCode: 1 },
  )
}

function openIncomplete(file: string, bytes: number): { fd: number; size: number } {
  try {
    createDirectory(path.dirname(file))
    const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644)
    const { size } = fs.fstatSync(fd)
    // More than there can be is not the start of this file.
    if (size > bytes) fs.ftruncateSync(fd, 0)
    return { fd, size: size > bytes ? 0 : size }
  } catch (cause) {
    throw storageError(cause, file, bytes)
  }
}

function write(fd: number, chunk: Uint8Array, at: number, file: string, bytes: number): void {
  try {
    for (let done = 0; done < chunk.length; ) {
      done += fs.writeSync(fd, chunk, done, chunk.length - done, at + done)
    }
  } catch (cause) {
    throw storageError(cause, file, bytes)
  }
}

function hashOf({ hash, size }: HubFile): Hash {
  if (hash.algorithm === 'sha256') return createHash('sha256')
  return createHash('sha1').update(`blob ${size}\0`)
}

/** Hashes what an interrupted download has left; returns how much that is. */
function hashBytes(fd: number, size: number, hash: Hash): number {
  const block = Buffer.alloc(Math.min(READ_BLOCK, size))
  for (let done = 0; done < size; ) {
    const got = fs.readSync(fd, block, 0, Math.min(block.length, size - done), done)
    if (got === 0) return done
    hash.update(block.subarray(0, got))
    done += got
  }
  return size
}

/** Throws StorageError DISK_FULL, before anything is fetched. */
function requireSpace(cache: string, bytes: number): void {
  let directory = path.resolve(cache)
  while (!fs.existsSync(directory) && directory !== path.dirname(directory))
    directory = path.dirname(directory)
  const { bavail, bsize } = fs.statfsSync(directory)
  if (bavail * bsize >= bytes) return
  const gigabytes = (n: number) => `${(n / 1e9).toFixed(2)} GB`
  throw new StorageError(
    'DISK_FULL',
    `${gigabytes(bytes)} are to be downloaded to ${cache}, where ${gigabytes(bavail * bsize)} are free; free some space, ` +
      'or set HF_HOME to another disk',
    { exitCode: 1 },
  )
}

/** Counts bytes and tells the rate. */
class Meter {
  file = ''
  readonly #total: number
  readonly #before: number
  readonly #tell: ((progress: DownloadProgress) => void) | undefined
  readonly #start = performance.now()
  #bytes: number

  constructor(total: number, before: number, tell: ((progress: DownloadProgress) => void) | undefined) {
    this.#total = total
    this.#before = before
    this.#bytes = before
    this.#tell = tell
  }

  add(bytes: number): void {
    this.#bytes += bytes
    const seconds = (performance.now() - this.#start) / 1000
    const rate = seconds > 0 ? (this.#bytes - this.#before) / seconds : null
    this.#tell?.({
      bytes: this.#bytes,
      total: this.#total,
      file: this.file,
      bytesPerSecond: rate,
      secondsLeft: rate === null || rate === 0 ? null : (this.#total - this.#bytes) / rate,
    })
  }
}

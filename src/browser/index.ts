// flicker-lm/web: models in a browser, without a server. The engine runs in a worker, which is started from a script that
// this module holds, so that no bundler needs to know about it.

import { OptionError } from '../errors.js'
import type { CachedFile } from './cache.js'
import { Connection } from './connection.js'
import type { DownloadProgress } from './download.js'
import type { ModelLocation, NamedFile } from './model-files.js'
import type { ModelSummary, WebEngineOptions } from './protocol.js'
import { WebModel } from './web-model.js'

export type { ChatMessage, ChatOptions, ChatPrompt } from '../engine/chat/chat.js'
export type { FinishReason, GeneratedToken as WebToken } from '../engine/generation/continuation.js'
export type { Completion, CompletionStats } from '../engine/generation/generation.js'
export type { TokenLogprob } from '../engine/generation/logprobs.js'
export type { Prompt } from '../engine/language-model.js'
export { FlickerError } from '../errors.js'
export type { CachedFile } from './cache.js'
export type { DownloadProgress } from './download.js'
export type { WebEngineOptions, WebGenerateOptions } from './protocol.js'
export type { WebModel } from './web-model.js'

/**
 * Where a model is: the URL of a .gguf file, of llama2.c's model.bin, or of a directory with config.json; `hf:owner/name`,
 * `hf:owner/name:file.gguf`; a file that the user has chosen; or all files of a directory.
 */
export type ModelInput = string | URL | Blob | readonly Blob[]

export interface WebLoadOptions extends WebEngineOptions {
  /** A tokenizer instead of the model's own: its URL or file. */
  readonly tokenizer?: string | URL | Blob
  /** Keep what is downloaded in the browser's storage for this site. Default true. */
  readonly cache?: boolean
  /** SHA-256 of the model's file, or of its files by name, in hexadecimal: they are checked. */
  readonly sha256?: string | Readonly<Record<string, string>>
  /** Called as bytes arrive. */
  readonly onProgress?: (progress: DownloadProgress) => void
  /** Stops the download. */
  readonly signal?: AbortSignal
  /**
   * A worker to use instead of the one that is made of this module's script: for pages whose Content-Security-Policy refuses
   * `blob:`. Its script is `flicker-lm/web/worker`.
   */
  readonly worker?: () => unknown
}

/**
 * Loads a model into a worker of its own. Throws OptionError, CheckpointError, TokenizerError, StorageError and FlickerError
 * as `load` in Node does, and DOWNLOAD_REFUSED, DOWNLOAD_STATUS, DOWNLOAD_INTERRUPTED, DOWNLOAD_ABORTED, CACHE_FULL,
 * CACHE_BUSY, CHECKSUM_MISMATCH.
 */
export async function load(model: ModelInput, options: WebLoadOptions = {}): Promise<WebModel> {
  const { tokenizer, cache = true, sha256, onProgress, signal, worker, ...engine } = options
  const base = typeof tokenizer === 'string' || tokenizer instanceof URL ? absolute(tokenizer) : tokenizer
  const location = locationOf(model, base)
  const connection = await connect(worker)
  try {
    const { default: wasm } =
      engine.backend === 'portable' || engine.backend === 'webgpu'
        ? { default: '' }
        : await import('./kernels-source.js')
    const summary = await connection.ask<ModelSummary>(
      {
        kind: 'load',
        location,
        engine,
        cache,
        sha256: typeof sha256 === 'string' ? { [mainFile(location)]: sha256 } : (sha256 ?? {}),
        wasm,
      },
      { signal, onProgress },
    )
    return new WebModel(connection, summary)
  } catch (error) {
    connection.end()
    throw error
  }
}

/** What the browser's storage for this site holds of models, unfinished downloads included. */
export async function cachedModels(): Promise<CachedFile[]> {
  return once(connection => connection.ask<CachedFile[]>({ kind: 'cachedFiles' }))
}

/** Removes a file from the browser's storage, by the URL that `cachedModels` gives. */
export async function removeCachedModel(url: string): Promise<void> {
  await once(connection => connection.ask({ kind: 'removeCached', url }))
}

async function once<T>(use: (connection: Connection) => Promise<T>): Promise<T> {
  const connection = await connect()
  try {
    return await use(connection)
  } finally {
    connection.end()
  }
}

async function connect(given?: () => unknown): Promise<Connection> {
  if (given !== undefined) return new Connection(given() as BrowserWorker)
  const { default: source } = await import('./worker-source.js')
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
  const { Worker } = globalThis as unknown as { Worker: new (url: string) => BrowserWorker }
  return new Connection(new Worker(url), () => URL.revokeObjectURL(url))
}

/** A URL that a worker made of a blob, which has no address of its own, can use. */
function absolute(url: string | URL): string {
  const { href } = (globalThis as unknown as { location?: { href: string } }).location ?? {}
  return String(url).startsWith('hf:') ? String(url) : new URL(url, href).href
}

/** Throws OptionError MODEL_URL, MODEL_FILES. */
function locationOf(model: ModelInput, tokenizer: string | Blob | undefined): ModelLocation {
  const beside = tokenizer === undefined ? {} : { tokenizer }
  if (typeof model === 'string' || model instanceof URL) {
    try {
      return { kind: 'url', url: absolute(model), ...beside }
    } catch {
      throw new OptionError('MODEL_URL', `${JSON.stringify(model)} is no URL of a model`)
    }
  }
  const blobs = model instanceof Blob ? [model] : [...model]
  if (blobs.length === 0 || !blobs.every(blob => blob instanceof Blob)) {
    throw new OptionError('MODEL_FILES', 'give a URL, a file, or the files of a directory')
  }
  const files: NamedFile[] = blobs.map(blob => ({ name: nameOf(blob), blob }))
  return { kind: 'files', files, ...beside }
}

function nameOf(blob: Blob): string {
  const { name } = blob as Blob & { readonly name?: unknown }
  return typeof name === 'string' ? name : 'model.gguf'
}

function mainFile(location: ModelLocation): string {
  if (location.kind === 'files') return location.files[0].name
  return decodeURIComponent(location.url.split(/[?#]/)[0].split(/[/:]/).at(-1) ?? '')
}

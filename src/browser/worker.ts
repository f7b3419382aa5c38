// The worker: loads one model and generates text with it. Requests are answered in the order in which they are done;
// generating gives way to messages between tokens.

import './platform/process.js'
import type { ChatMessage } from '../engine/chat/chat.js'
import { EngineModel } from '../engine/engine-model.js'
import type { LanguageModel } from '../engine/language-model.js'
import { modelOf } from '../engine/model-of.js'
import { FlickerError, OptionError } from '../errors.js'
import { openModel } from '../formats/open-model.js'
import { defaultThreads, setThreads } from '../kernels/index.js'
import { hasWasm, provideWasm, wasmKernels, wasmThreadCount } from '../kernels/wasm/instance.js'
import { runThread } from '../kernels/wasm/threads.js'
import { CacheEntry, cachedFiles } from './cache.js'
import { mountModel } from './model-files.js'
import {
  type FromWorker,
  type LoadRequest,
  type ModelSummary,
  plainError,
  type Request,
  type ToWorker,
  type WebEngineOptions,
} from './protocol.js'

const page = globalThis as unknown as BrowserPort
const running = new Map<number, AbortController>()
let loaded: LanguageModel | null = null

const say = (message: FromWorker) => page.postMessage(message)

page.addEventListener('message', ({ data }) => {
  const message = data as ToWorker
  if ('thread' in message)
    runThread(message.thread as Parameters<typeof runThread>[0], () => page.postMessage(true))
  else if ('abort' in message) running.get(message.id)?.abort()
  else void answer(message.id, message.request)
})

async function answer(id: number, request: Request): Promise<void> {
  const controller = new AbortController()
  running.set(id, controller)
  try {
    say({ id, result: await run(id, request, controller.signal) })
  } catch (error) {
    say({ id, error: plainError(error) })
  } finally {
    running.delete(id)
  }
}

async function run(id: number, request: Request, signal: AbortSignal): Promise<unknown> {
  switch (request.kind) {
    case 'load':
      return load(id, request, signal)
    case 'generate':
    case 'complete': {
      const { prompt, many, options } = request
      if (request.kind === 'complete') return model().completeMany(prompt, { ...options, signal })
      const generating = many
        ? model().generateMany(prompt, { ...options, signal })
        : model().generate(prompt, { ...options, signal })
      for await (const token of generating) say({ id, token })
      return null
    }
    case 'renderChat':
      return model().renderChat(request.messages as readonly ChatMessage[], request.options)
    case 'encode':
      return Array.from(model().tokenizer.encode(request.text))
    case 'decode':
      return model().tokenizer.decode(request.tokens)
    case 'cachedFiles':
      return cachedFiles()
    case 'removeCached':
      return (await CacheEntry.of(request.url)).remove()
  }
}

function model(): LanguageModel {
  if (loaded !== null) return loaded
  throw new FlickerError('MODEL_DISPOSED', 'no model is loaded', { exitCode: 1 })
}

async function load(id: number, request: LoadRequest, signal: AbortSignal): Promise<ModelSummary> {
  const { backend, threads, ...engine } = request.engine
  const used = chooseBackend(backend, request.wasm)
  const [mounted] = await Promise.all([
    mountModel(request.location, {
      cache: request.cache,
      sha256: request.sha256,
      signal,
      onProgress: progress => say({ id, progress }),
    }),
    used === 'wasm' ? startThreads(threads) : null,
  ])
  const source = openModel(mounted.path, { tokenizer: mounted.tokenizer })
  try {
    const device = used === 'webgpu' ? 'webgpu' : 'cpu'
    loaded = (await modelOf(source, { ...engine, backend: device })) as LanguageModel
    const { config, notes, approximation, chatTemplates, endOfText } = loaded
    const { activation } = loaded.engine
    return {
      config,
      activation: activation.spec,
      exactZeros: activation.exactZeros && loaded.engine instanceof EngineModel,
      backend: used,
      threads: used === 'wasm' ? wasmThreadCount() : 1,
      format: source.format,
      notes,
      approximation,
      chatTemplates: [...chatTemplates.templates.keys()],
      endOfText,
    }
  } finally {
    source.close()
  }
}

/** Throws OptionError BACKEND_UNKNOWN, FlickerError WASM_UNSUPPORTED, NO_WASM_KERNELS where wasm was asked for. */
function chooseBackend(asked: WebEngineOptions['backend'], wasm: string): ModelSummary['backend'] {
  if (asked !== undefined && !['wasm', 'webgpu', 'portable'].includes(asked)) {
    throw new OptionError('BACKEND_UNKNOWN', `backend must be wasm, webgpu or portable, not ${String(asked)}`)
  }
  const environment = (globalThis as { process?: { env: Record<string, string> } }).process?.env ?? {}
  if (asked === 'webgpu' || asked === 'portable') {
    environment.FLICKER_BACKEND = 'portable'
    return asked
  }
  const supported = canShareMemory()
  if (wasm !== '' && supported) {
    if (!hasWasm()) {
      const text = atob(wasm)
      const bytes = new Uint8Array(text.length)
      for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i)
      provideWasm(new WebAssembly.Module(bytes))
    }
    environment.FLICKER_BACKEND = 'wasm'
    return 'wasm'
  }
  if (asked === 'wasm') {
    throw supported
      ? new FlickerError('NO_WASM_KERNELS', 'this build of flicker-lm/web has no WebAssembly kernels')
      : new FlickerError('WASM_UNSUPPORTED', 'this browser has no shared WebAssembly memory; update it')
  }
  environment.FLICKER_BACKEND = 'portable'
  return 'portable'
}

/** Throws OptionError THREADS_INVALID, THREADS_UNAVAILABLE. */
async function startThreads(asked: number | undefined): Promise<void> {
  if (asked !== undefined && !(Number.isInteger(asked) && asked >= 1 && asked <= 64)) {
    throw new OptionError('THREADS_INVALID', `threads must be an integer from 1 to 64, not ${String(asked)}`)
  }
  const { crossOriginIsolated } = globalThis as { crossOriginIsolated?: boolean }
  if (asked !== undefined && asked > 1 && crossOriginIsolated !== true) {
    throw new OptionError(
      'THREADS_UNAVAILABLE',
      `threads: ${asked} needs a page that is cross-origin isolated; serve it with the headers Cross-Origin-Opener-Policy: ` +
        'same-origin and Cross-Origin-Embedder-Policy: require-corp, or leave threads out',
    )
  }
  setThreads(asked ?? defaultThreads())
  await wasmKernels().threads.ready()
}

/** A page need not be cross-origin isolated for it: only sharing the memory with another thread needs that. */
function canShareMemory(): boolean {
  try {
    return new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer.byteLength > 0
  } catch {
    return false
  }
}

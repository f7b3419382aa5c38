// What a page and its worker say to each other. Every request has a number; answers, tokens and progress carry it.

import type { GeneratedToken } from '../engine/generation/continuation.js'
import type { GenerateManyOptions } from '../engine/generation/generate-options.js'
import type { Prompt } from '../engine/language-model.js'
import {
  ActivationError,
  CheckpointError,
  FlickerError,
  OptionError,
  ShapeError,
  StorageError,
  TokenizerError,
} from '../errors.js'
import type { ModelConfig } from '../nn/config.js'
import type { DownloadProgress } from './download.js'
import type { ModelLocation } from './model-files.js'

/** Options of generating, but the grammar, which needs a server. */
export type WebGenerateOptions = Omit<GenerateManyOptions, 'grammar' | 'ignoreEndOfText'>

/** Options of the engine that a browser has: those of `load`, but files and code. */
export interface WebEngineOptions {
  /**
   * `wasm`: the SIMD kernels; `webgpu`: the GPU; `portable`: TypeScript. Default: wasm, or portable in a browser without
   * shared WebAssembly memory.
   */
  readonly backend?: 'wasm' | 'webgpu' | 'portable'
  /** How matrices are stored in memory. Default `auto`: as in the file. */
  readonly dtype?: 'auto' | 'f32' | 'bf16' | 'f16' | 'q8_0' | 'q6_k' | 'q5_k' | 'q4_k' | 'q4_0'
  /** How keys and values are stored. Default f32. */
  readonly kv?: 'f32' | 'f16' | 'q8'
  /** Arithmetic of quantized weights: `int16` is faster and rounds hidden states. Default f32. */
  readonly activations?: 'f32' | 'int16'
  /** Skip neurons that are exactly 0; the result is the same. Default `auto`: where it is faster. */
  readonly ffn?: 'auto' | 'dense' | 'sparse'
  /**
   * Threads of `wasm`, from 1 to 64. More than one needs a page that is cross-origin isolated. Default: in such a page as many
   * as the browser says that there are, at most 8; else 1.
   */
  readonly threads?: number
  /** Default `auto`. */
  readonly narrowGate?: 'auto' | 'on' | 'off'
  /** Instead of the config's, e.g. `stocha:p=0.3`. */
  readonly activation?: string
  /** Run a model that `flicker sparsify` wrote without its cuts. Default false. */
  readonly exact?: boolean
}

export interface LoadRequest {
  readonly kind: 'load'
  readonly location: ModelLocation
  readonly engine: WebEngineOptions
  readonly cache: boolean
  readonly sha256: Readonly<Record<string, string>>
  /** The WebAssembly kernels in base64; '' without. */
  readonly wasm: string
}

export type Request =
  | LoadRequest
  | {
      readonly kind: 'generate' | 'complete'
      readonly many: boolean
      readonly prompt: Prompt
      readonly options: Omit<WebGenerateOptions, 'signal'>
    }
  | { readonly kind: 'renderChat'; readonly messages: readonly object[]; readonly options: object }
  | { readonly kind: 'encode'; readonly text: string }
  | { readonly kind: 'decode'; readonly tokens: readonly number[] }
  | { readonly kind: 'cachedFiles' }
  | { readonly kind: 'removeCached'; readonly url: string }

/** The third one makes a thread of the kernels of a worker. */
export type ToWorker =
  | { readonly id: number; readonly request: Request }
  | { readonly id: number; readonly abort: true }
  | { readonly thread: object }

export type FromWorker =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly token: GeneratedToken }
  | { readonly id: number; readonly progress: DownloadProgress }
  | { readonly id: number; readonly error: PlainError }

/** What the page knows of a loaded model. */
export interface ModelSummary {
  readonly config: ModelConfig
  /** What it runs with, unless an option says otherwise. */
  readonly activation: string
  /** Whether that activation is exactly 0 somewhere, so that neurons are skipped. */
  readonly exactZeros: boolean
  readonly backend: 'wasm' | 'webgpu' | 'portable'
  /** Threads that compute on the processor. */
  readonly threads: number
  readonly format: 'hf' | 'gguf' | 'llama2c'
  readonly notes: readonly string[]
  readonly approximation: string | null
  readonly chatTemplates: readonly string[]
  readonly endOfText: readonly number[]
}

/** An error as a message holds it. */
export interface PlainError {
  readonly name: string
  readonly message: string
  readonly code: string | null
  readonly exitCode: number
}

export function plainError(error: unknown): PlainError {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  const known = error instanceof FlickerError ? error : null
  return { name, message, code: known?.code ?? null, exitCode: known?.exitCode ?? 1 }
}

const KNOWN = { ActivationError, CheckpointError, OptionError, ShapeError, StorageError, TokenizerError }

export function errorOf({ name, message, code, exitCode }: PlainError): Error {
  if (code === null) return Object.assign(new Error(message), { name })
  const Kind = KNOWN[name as keyof typeof KNOWN] ?? FlickerError
  return new Kind(code, message, { exitCode })
}

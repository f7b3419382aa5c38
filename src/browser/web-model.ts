// A model in a worker: the functions of LanguageModel, each a question to the worker.

import type { ChatMessage, ChatOptions } from '../engine/chat/chat.js'
import type { GeneratedToken } from '../engine/generation/continuation.js'
import type { Completion } from '../engine/generation/generation.js'
import type { Prompt } from '../engine/language-model.js'
import type { ModelConfig } from '../nn/config.js'
import type { Connection } from './connection.js'
import type { ModelSummary, WebGenerateOptions } from './protocol.js'

export class WebModel {
  readonly config: ModelConfig
  /** What it runs with, unless an option of generating says otherwise. */
  readonly activation: string
  /** Whether neurons that are exactly 0 are skipped. */
  readonly exactZeros: boolean
  readonly backend: 'wasm' | 'webgpu' | 'portable'
  /** Threads that compute on the processor: more than one in a page that is cross-origin isolated. */
  readonly threads: number
  readonly format: 'hf' | 'gguf' | 'llama2c'
  readonly notes: readonly string[]
  /** Says that the results are not those of the weights, and why; null where they are. */
  readonly approximation: string | null
  /** Names of the model's chat templates. */
  readonly chatTemplates: readonly string[]
  /** Tokens that end a text. */
  readonly endOfText: readonly number[]
  readonly #connection: Connection

  /** @internal */
  constructor(connection: Connection, summary: ModelSummary) {
    this.#connection = connection
    this.config = summary.config
    this.activation = summary.activation
    this.exactZeros = summary.exactZeros
    this.backend = summary.backend
    this.threads = summary.threads
    this.format = summary.format
    this.notes = summary.notes
    this.approximation = summary.approximation
    this.chatTemplates = summary.chatTemplates
    this.endOfText = summary.endOfText
  }

  /** As LanguageModel.generate: the tokens one by one. Leaving the loop stops the worker. */
  generate(
    prompt: Prompt,
    options: WebGenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    return this.#tokens(prompt, options, false)
  }

  /** As LanguageModel.generateMany: `n` continuations, decoded together. */
  generateMany(
    prompt: Prompt,
    options: WebGenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    return this.#tokens(prompt, options, true)
  }

  /** `generate` for a conversation. */
  chat(
    messages: readonly ChatMessage[],
    options: WebGenerateOptions & ChatOptions = {},
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    const { template, addGenerationPrompt, tools, documents, variables, ...generate } = options
    const chat = { template, addGenerationPrompt, tools, documents, variables }
    const given = Object.fromEntries(Object.entries(chat).filter(([, value]) => value !== undefined))
    return this.#tokens({ messages, ...given }, generate, false)
  }

  /** The whole text, with statistics; what there is of it when the signal is aborted. */
  async complete(prompt: Prompt, options: WebGenerateOptions = {}): Promise<Completion> {
    return (await this.completeMany(prompt, options))[0]
  }

  /** The whole continuations that `generateMany` gives in pieces. */
  completeMany(prompt: Prompt, { signal, ...options }: WebGenerateOptions = {}): Promise<Completion[]> {
    return this.#connection.ask({ kind: 'complete', many: true, prompt, options }, { signal })
  }

  /** The text that a conversation becomes by the model's chat template. */
  renderChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<string> {
    return this.#connection.ask({ kind: 'renderChat', messages, options })
  }

  /** Token ids of a text, without those that begin a document. */
  encode(text: string): Promise<number[]> {
    return this.#connection.ask({ kind: 'encode', text })
  }

  decode(tokens: ArrayLike<number>): Promise<string> {
    return this.#connection.ask({ kind: 'decode', tokens: Array.from(tokens) })
  }

  /** Ends the worker and frees its memory; every later use fails with MODEL_DISPOSED. */
  dispose(): void {
    this.#connection.end()
  }

  async *#tokens(
    prompt: Prompt,
    { signal, ...options }: WebGenerateOptions,
    many: boolean,
  ): AsyncGenerator<GeneratedToken, void, undefined> {
    const left = new AbortController()
    const arrived: GeneratedToken[] = []
    let wake = () => {}
    let isDone = false
    let failure: unknown = null
    const onToken = (token: GeneratedToken) => {
      arrived.push(token)
      wake()
    }
    const abort = () => left.abort()
    if (signal?.aborted) abort()
    else signal?.addEventListener('abort', abort)
    const asked = this.#connection
      .ask({ kind: 'generate', many, prompt, options }, { signal: left.signal, onToken })
      .catch((error: unknown) => {
        failure = error
      })
      .finally(() => {
        isDone = true
        wake()
      })
    try {
      for (;;) {
        const token = arrived.shift()
        if (token !== undefined) yield token
        else if (isDone) break
        else {
          await new Promise<void>(resolve => {
            wake = resolve
          })
        }
      }
      if (failure !== null) throw failure
    } finally {
      signal?.removeEventListener('abort', abort)
      if (!isDone) {
        left.abort()
        await asked
      }
    }
  }
}

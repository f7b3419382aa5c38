// /v1/chat/completions: a conversation in, the assistant's next message out.

import { randomUUID } from 'node:crypto'
import type { GeneratedToken, LanguageModel } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { finishOf } from './completions.js'
import type { Job } from './job.js'
import { type ChatBody, conversationOf, generateOptions, wholeContext } from './requests.js'
import type { Scheduler } from './scheduler.js'
import { tokenEntry } from './token-text.js'
import { type Usage, usageOf } from './usage.js'

interface ChatLogprobs {
  content: (ReturnType<typeof tokenEntry> & { top_logprobs: ReturnType<typeof tokenEntry>[] })[]
}

interface Head {
  readonly id: string
  readonly created: number
  readonly model: string
  readonly system_fingerprint: string
  /** Of the draws: the same request with it has the same text. */
  readonly seed: number
}

export interface ChatResponse extends Head {
  readonly object: 'chat.completion'
  readonly choices: {
    index: number
    message: { role: 'assistant'; content: string; refusal: null }
    logprobs: ChatLogprobs | null
    finish_reason: 'stop' | 'length' | null
  }[]
  readonly usage: Usage
}

/** A part of a streamed response. */
export interface ChatChunk extends Head {
  readonly object: 'chat.completion.chunk'
  readonly choices: {
    readonly index: number
    readonly delta: { readonly role?: 'assistant'; readonly content?: string }
    readonly logprobs: ChatLogprobs | null
    readonly finish_reason: 'stop' | 'length' | null
  }[]
  readonly usage?: Usage | null
}

/** A request for a message that is in line; its parts, and the whole. */
export class ChatRequest {
  readonly #model: LanguageModel
  readonly #body: ChatBody
  readonly #job: Job
  readonly #head: Head

  private constructor(model: LanguageModel, body: ChatBody, job: Job, head: Head) {
    this.#model = model
    this.#body = body
    this.#job = job
    this.#head = head
  }

  /** Throws OptionError for what the library refuses, and what Scheduler.submit throws. */
  static async submit(
    scheduler: Scheduler,
    body: ChatBody,
    { name, fingerprint, signal }: { name: string; fingerprint: string; signal: AbortSignal },
  ): Promise<ChatRequest> {
    const { model } = scheduler
    const { max_tokens, max_completion_tokens, logprobs, top_logprobs } = body
    if (top_logprobs != null && top_logprobs > 0 && logprobs !== true) {
      throw new OptionError('REQUEST_INVALID', 'top_logprobs needs logprobs: true')
    }
    const options = {
      ...generateOptions(body, max_completion_tokens ?? max_tokens ?? wholeContext(model)),
      topLogprobs: logprobs === true ? (top_logprobs ?? 0) : 0,
    }
    const prepared = await model.prepare(conversationOf(body), options)
    return new ChatRequest(model, body, scheduler.submit({ prepared, signal }), {
      id: `chatcmpl-${randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: name,
      system_fingerprint: fingerprint,
      seed: options.seed,
    })
  }

  /** Resolves once the prompt is read: until then an error is a response of its own. */
  async started(): Promise<void> {
    await this.#job.started()
  }

  /** Parts of the response: for each choice one with the role, then one per token. */
  async *parts(): AsyncGenerator<ChatChunk> {
    const withUsage = this.#body.stream_options?.include_usage === true
    const { sequences } = this.#job.request.prepared.options
    const part = (choice: ChatChunk['choices'][number]): ChatChunk => ({
      ...this.#head,
      object: 'chat.completion.chunk',
      choices: [choice],
      ...(withUsage && { usage: null }),
    })
    for (const index of sequences.keys()) {
      yield part({ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null })
    }
    for await (const token of this.#job.tokens()) {
      const index = sequences.indexOf(token.sequence)
      yield part({
        index,
        delta: { content: token.text },
        logprobs: this.#logprobs(token),
        finish_reason: finishOf(token.finishReason),
      })
    }
    if (withUsage) {
      yield {
        ...this.#head,
        object: 'chat.completion.chunk',
        choices: [],
        usage: usageOf([this.#job]),
      }
    }
  }

  /** The whole response. */
  async whole(): Promise<ChatResponse> {
    const choices: ChatResponse['choices'] = this.#job.request.prepared.options.sequences.map((_, index) => ({
      index,
      message: { role: 'assistant', content: '', refusal: null },
      logprobs: this.#body.logprobs === true ? { content: [] } : null,
      finish_reason: null,
    }))
    for await (const { choices: parts } of this.parts()) {
      for (const { index, delta, logprobs, finish_reason } of parts) {
        const choice = choices[index]
        choice.message.content += delta.content ?? ''
        if (logprobs !== null) choice.logprobs?.content.push(...logprobs.content)
        choice.finish_reason = finish_reason ?? choice.finish_reason
      }
    }
    return { ...this.#head, object: 'chat.completion', choices, usage: usageOf([this.#job]) }
  }

  #logprobs({ id, logprob, topLogprobs = [] }: GeneratedToken): ChatLogprobs | null {
    if (this.#body.logprobs !== true) return null
    const { tokenizer } = this.#model
    const top_logprobs = topLogprobs.map(top => tokenEntry(tokenizer, top.id, top.logprob))
    return { content: [{ ...tokenEntry(tokenizer, id, logprob), top_logprobs }] }
  }
}

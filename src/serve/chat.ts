// /v1/chat/completions: a conversation in, the assistant's next message out, as text or as calls of tools.

import { randomInt, randomUUID } from 'node:crypto'
import { type AnswerPart, type GeneratedToken, type LanguageModel, ToolCallParser } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { finishOf } from './completions.js'
import { conversationOf, generateOptions, type ToolUse, toolRules, wholeContext } from './generate-options.js'
import type { Job } from './job.js'
import { type NeuronMasks, neuronMasks, requireNeurons } from './neurons.js'
import type { ChatBody } from './requests.js'
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

type ChatFinish = 'stop' | 'length' | 'tool_calls' | null

interface ToolCall {
  id: string
  type: 'function'
  /** `arguments` is JSON. */
  function: { name: string; arguments: string }
}

export interface ChatResponse extends Head {
  readonly object: 'chat.completion'
  readonly choices: {
    index: number
    message: { role: 'assistant'; content: string | null; refusal: null; tool_calls?: ToolCall[] }
    logprobs: ChatLogprobs | null
    finish_reason: ChatFinish
  }[]
  readonly usage: Usage
}

interface Delta {
  readonly role?: 'assistant'
  readonly content?: string
  readonly tool_calls?: readonly ({ readonly index: number } & {
    readonly id?: string
    readonly type?: 'function'
    readonly function: { readonly name?: string; readonly arguments: string }
  })[]
}

/** A part of a streamed response. */
export interface ChatChunk extends Head {
  readonly object: 'chat.completion.chunk'
  readonly choices: {
    readonly index: number
    readonly delta: Delta
    readonly logprobs: ChatLogprobs | null
    readonly finish_reason: ChatFinish
    /** With `neurons`. */
    readonly neurons?: NeuronMasks
  }[]
  readonly usage?: Usage | null
}

/** A request for a message that is in line; its parts, and the whole. */
export class ChatRequest {
  readonly #model: LanguageModel
  readonly #body: ChatBody
  readonly #job: Job
  readonly #head: Head
  readonly #tools: ToolUse | null

  private constructor(
    model: LanguageModel,
    body: ChatBody,
    job: Job,
    { head, tools }: { head: Head; tools: ToolUse | null },
  ) {
    this.#model = model
    this.#body = body
    this.#job = job
    this.#head = head
    this.#tools = tools
  }

  /** Throws OptionError for what the library refuses, and what Scheduler.submit throws. */
  static async submit(
    scheduler: Scheduler,
    body: ChatBody,
    {
      name,
      fingerprint,
      signal,
      template,
    }: { name: string; fingerprint: string; signal: AbortSignal; template?: string },
  ): Promise<ChatRequest> {
    const { model } = scheduler
    const { max_tokens, max_completion_tokens, logprobs, top_logprobs } = body
    if (top_logprobs != null && top_logprobs > 0 && logprobs !== true) {
      throw new OptionError('REQUEST_INVALID', 'top_logprobs needs logprobs: true')
    }
    requireNeurons(body, model)
    const maxTokens = max_completion_tokens ?? max_tokens ?? wholeContext(model)
    const tools = await toolRules(model, body, template)
    const options = {
      ...generateOptions(body, maxTokens),
      topLogprobs: logprobs === true ? (top_logprobs ?? 0) : 0,
      ...(tools !== null && { grammar: tools.grammar }),
    }
    const prepared = await model.prepare(await conversationOf(model, body, template), options)
    const head = {
      id: `chatcmpl-${randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: name,
      system_fingerprint: fingerprint,
      seed: options.seed,
    }
    return new ChatRequest(model, body, scheduler.submit({ prepared, signal }), {
      head,
      tools,
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
    const answers = sequences.map(() => new Answer(this.#tools))
    for (const index of sequences.keys()) {
      yield part({ index, delta: { role: 'assistant', content: '' }, logprobs: null, finish_reason: null })
    }
    for await (const token of this.#job.tokens()) {
      const index = sequences.indexOf(token.sequence)
      const { delta, finish } = answers[index].push(token)
      const neurons = neuronMasks(token)
      const logprobs = this.#logprobs(token)
      yield part({ index, delta, logprobs, finish_reason: finish, ...(neurons !== undefined && { neurons }) })
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
        appendDelta(choice.message, delta)
        if (logprobs !== null) choice.logprobs?.content.push(...logprobs.content)
        choice.finish_reason = finish_reason ?? choice.finish_reason
      }
    }
    for (const { message } of choices) {
      if (message.tool_calls !== undefined && message.content === '') message.content = null
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

/** One answer as it comes: what each token adds to it. */
class Answer {
  readonly #parser: ToolCallParser | null

  constructor(tools: ToolUse | null) {
    this.#parser = tools === null ? null : new ToolCallParser(tools.format, tools.tools)
  }

  push({ text, finishReason }: GeneratedToken): { delta: Delta; finish: ChatFinish } {
    const finish = finishOf(finishReason)
    if (this.#parser === null) return { delta: { content: text }, finish }
    const parts = [...this.#parser.push(text), ...(finish === null ? [] : this.#parser.end())]
    const called = finish === 'stop' && this.#parser.calls > 0
    return { delta: deltaOf(parts), finish: called ? 'tool_calls' : finish }
  }
}

function deltaOf(parts: readonly AnswerPart[]): Delta {
  const content = parts.flatMap(part => (part.type === 'text' ? [part.text] : [])).join('')
  const tool_calls = parts.flatMap((part): NonNullable<Delta['tool_calls']>[number][] => {
    if (part.type === 'text') return []
    const { index } = part
    if (part.type === 'arguments') return [{ index, function: { arguments: part.text } }]
    return [{ index, id: callId(), type: 'function', function: { name: part.name, arguments: '' } }]
  })
  return { ...(content !== '' && { content }), ...(tool_calls.length > 0 && { tool_calls }) }
}

/** Nine letters and digits: some templates take no other ids when the conversation goes on. */
function callId(): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'
  return Array.from({ length: 9 }, () => letters[randomInt(letters.length)]).join('')
}

function appendDelta(message: ChatResponse['choices'][number]['message'], delta: Delta): void {
  message.content += delta.content ?? ''
  for (const { index, id, function: called } of delta.tool_calls ?? []) {
    message.tool_calls ??= []
    if (id !== undefined) {
      message.tool_calls[index] = {
        id,
        type: 'function',
        function: { name: called.name ?? '', arguments: '' },
      }
    }
    message.tool_calls[index].function.arguments += called.arguments
  }
}

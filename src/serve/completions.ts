// /v1/completions: text in, text out; with `echo` and `logprobs` also how likely the prompt was.

import { randomUUID } from 'node:crypto'
import type { FinishReason, GeneratedToken, LanguageModel, Prompt } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { generateOptions, promptsOf } from './generate-options.js'
import type { Job } from './job.js'
import { type NeuronMasks, neuronMasks, requireNeurons } from './neurons.js'
import type { CompletionBody } from './requests.js'
import type { Scheduler } from './scheduler.js'
import { tokenText } from './token-text.js'
import { type Usage, usageOf } from './usage.js'

/** OpenAI's. */
const DEFAULT_MAX_TOKENS = 16
const MOST_PROMPTS = 256

interface Logprobs {
  tokens: string[]
  token_logprobs: (number | null)[]
  top_logprobs: (Record<string, number> | null)[]
  text_offset: number[]
}

interface Choice {
  index: number
  text: string
  logprobs: Logprobs | null
  finish_reason: 'stop' | 'length' | null
  /** With `neurons`, which are streamed alone. */
  neurons?: NeuronMasks
}

/** A response, or with `stream` a part of one. */
export interface CompletionResponse {
  id: string
  object: 'text_completion'
  created: number
  model: string
  system_fingerprint: string
  /** Of the draws: the same request with it has the same text. */
  seed: number
  choices: Choice[]
  usage?: Usage | null
}

/** `stop` and `length` as the API has them. */
export function finishOf(reason: FinishReason | null): 'stop' | 'length' | null {
  return reason === null ? null : reason === 'stop' ? 'stop' : 'length'
}

/** A request for completions that is in line; its parts, and the whole. */
export class CompletionRequest {
  readonly #model: LanguageModel
  readonly #body: CompletionBody
  readonly #jobs: readonly Job[]
  readonly #n: number
  readonly #head: Omit<CompletionResponse, 'choices'>

  private constructor(
    model: LanguageModel,
    body: CompletionBody,
    jobs: readonly Job[],
    head: Omit<CompletionResponse, 'choices'>,
  ) {
    this.#model = model
    this.#body = body
    this.#jobs = jobs
    this.#n = body.n ?? 1
    this.#head = head
  }

  /** Throws OptionError for what the library refuses, and what Scheduler.submit throws. */
  static async submit(
    scheduler: Scheduler,
    body: CompletionBody,
    { name, fingerprint, signal }: { name: string; fingerprint: string; signal: AbortSignal },
  ): Promise<CompletionRequest> {
    const { model } = scheduler
    const prompts = promptsOf(body.prompt)
    const { n, best_of, echo, logprobs } = body
    if (best_of != null && best_of !== (n ?? 1)) {
      throw new OptionError('REQUEST_INVALID', `best_of is ${best_of}; it must be n, or be left out`)
    }
    if (prompts.length > MOST_PROMPTS) {
      throw new OptionError(
        'REQUEST_INVALID',
        `prompt has ${prompts.length} prompts; at most ${MOST_PROMPTS} are taken`,
      )
    }
    const maxTokens = body.max_tokens ?? DEFAULT_MAX_TOKENS
    requireNeurons(body, model)
    const promptOnly = maxTokens === 0
    if (promptOnly && echo !== true) {
      throw new OptionError('REQUEST_INVALID', 'max_tokens 0 returns nothing without echo')
    }
    const options = {
      ...generateOptions(body, Math.max(1, maxTokens)),
      topLogprobs: logprobs ?? 0,
    }
    const prepared = await Promise.all(prompts.map(prompt => model.prepare(prompt, options)))
    const scored = echo === true && logprobs != null
    const jobs: Job[] = []
    // All prompts or none: what is in line already goes with the signal when a later one is refused.
    const controller = new AbortController()
    const both = AbortSignal.any([signal, controller.signal])
    try {
      for (const one of prepared) {
        jobs.push(
          scheduler.submit({
            prepared: one,
            signal: both,
            promptOnly,
            ...(scored && { promptLogprobs: logprobs }),
          }),
        )
      }
    } catch (error) {
      controller.abort()
      throw error
    }
    return new CompletionRequest(model, body, jobs, {
      id: `cmpl-${randomUUID()}`,
      object: 'text_completion',
      created: Math.floor(Date.now() / 1000),
      model: name,
      system_fingerprint: fingerprint,
      seed: options.seed,
    })
  }

  /** Resolves once the first prompt is read: until then an error is a response of its own. */
  async started(): Promise<void> {
    await this.#jobs[0].started()
  }

  /** Parts of the response as the tokens come, the prompts one after another. */
  async *parts(): AsyncGenerator<CompletionResponse> {
    const withUsage = this.#body.stream_options?.include_usage === true
    const prompts = promptsOf(this.#body.prompt)
    for (const [p, job] of this.#jobs.entries()) {
      const offsets = new Map<number, number>()
      let echoed = false
      for await (const token of job.tokens()) {
        const { sequences } = job.request.prepared.options
        if (!echoed) {
          echoed = true
          for (const [i, sequence] of sequences.entries()) {
            const echo = this.#echo(job, prompts[p])
            offsets.set(sequence, echo?.text.length ?? 0)
            if (echo !== null) yield this.#part(this.#choice(p, i, echo.text, echo.logprobs, null), withUsage)
          }
        }
        const i = sequences.indexOf(token.sequence)
        const offset = offsets.get(token.sequence) ?? 0
        offsets.set(token.sequence, offset + token.text.length)
        const logprobs = this.#logprobs([token], offset)
        const choice = this.#choice(p, i, token.text, logprobs, finishOf(token.finishReason))
        const neurons = neuronMasks(token)
        yield this.#part(neurons === undefined ? choice : { ...choice, neurons }, withUsage)
      }
      if (!echoed) {
        const echo = this.#echo(job, prompts[p])
        if (echo !== null) yield this.#part(this.#choice(p, 0, echo.text, echo.logprobs, 'length'), withUsage)
      }
    }
    if (withUsage) yield { ...this.#head, choices: [], usage: usageOf(this.#jobs) }
  }

  /** The whole response. */
  async whole(): Promise<CompletionResponse> {
    const choices = new Map<number, Choice>()
    for await (const { choices: parts } of this.parts()) {
      for (const part of parts) {
        const so = choices.get(part.index)
        if (so === undefined) choices.set(part.index, part)
        else append(so, part)
      }
    }
    return {
      ...this.#head,
      choices: [...choices.values()].sort((a, b) => a.index - b.index),
      usage: usageOf(this.#jobs),
    }
  }

  #part(choice: Choice, withUsage: boolean): CompletionResponse {
    return { ...this.#head, choices: [choice], ...(withUsage && { usage: null }) }
  }

  #choice(
    prompt: number,
    i: number,
    text: string,
    logprobs: Logprobs | null,
    finish_reason: Choice['finish_reason'],
  ): Choice {
    return { index: prompt * this.#n + i, text, logprobs, finish_reason }
  }

  /** The prompt as the response repeats it. */
  #echo(job: Job, given: Prompt): { text: string; logprobs: Logprobs | null } | null {
    if (this.#body.echo !== true) return null
    const { tokenizer } = this.#model
    const decoded = tokenizer.decode([...job.prompt])
    // As it was given: without a beginning that the tokenizer adds.
    const text = typeof given === 'string' ? given : decoded
    if (this.#body.logprobs == null) return { text, logprobs: null }
    const logprobs = emptyLogprobs()
    let offset = decoded.endsWith(text) ? text.length - decoded.length : 0
    for (const [i, id] of job.prompt.entries()) {
      const scored = i === 0 ? undefined : job.promptLogprobs[i - 1]
      const shown = tokenText(tokenizer, id)
      logprobs.tokens.push(shown)
      logprobs.token_logprobs.push(scored?.logprob ?? null)
      logprobs.top_logprobs.push(
        scored === undefined ? null : this.#tops(scored.id, scored.logprob, scored.top),
      )
      logprobs.text_offset.push(Math.max(0, offset))
      offset += shown.length
    }
    return { text, logprobs }
  }

  #logprobs(tokens: readonly GeneratedToken[], offset: number): Logprobs | null {
    if (this.#body.logprobs == null) return null
    const logprobs = emptyLogprobs()
    for (const { id, logprob, topLogprobs = [] } of tokens) {
      logprobs.tokens.push(tokenText(this.#model.tokenizer, id))
      logprobs.token_logprobs.push(logprob)
      logprobs.top_logprobs.push(this.#tops(id, logprob, topLogprobs))
      logprobs.text_offset.push(offset)
    }
    return logprobs
  }

  /** The most likely tokens by their text, and as OpenAI does it the token itself. */
  #tops(
    id: number,
    logprob: number,
    top: readonly { id: number; logprob: number }[],
  ): Record<string, number> {
    const { tokenizer } = this.#model
    const entries = top.map(token => [tokenText(tokenizer, token.id), token.logprob] as const)
    return Object.fromEntries([...entries, [tokenText(tokenizer, id), logprob] as const])
  }
}

function emptyLogprobs(): Logprobs {
  return { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] }
}

function append(to: Choice, part: Choice): void {
  to.text += part.text
  to.finish_reason = part.finish_reason ?? to.finish_reason
  if (to.logprobs === null || part.logprobs === null) return
  to.logprobs.tokens.push(...part.logprobs.tokens)
  to.logprobs.token_logprobs.push(...part.logprobs.token_logprobs)
  to.logprobs.top_logprobs.push(...part.logprobs.top_logprobs)
  to.logprobs.text_offset.push(...part.logprobs.text_offset)
}

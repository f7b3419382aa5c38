// The AI SDK's interfaces over a model in this process: a call becomes a request as the server has it, and the parts of the
// response become the SDK's. Calls at the same time decode together.

import type { EmbeddingModelV3, LanguageModelV3, LanguageModelV3CallOptions } from '@ai-sdk/provider'
import { type LanguageModel, load } from '../engine/index.js'
import { ChatRequest } from '../serve/chat.js'
import { embeddings } from '../serve/embeddings.js'
import { checkBody, embeddingSchema } from '../serve/requests.js'
import { Scheduler, type SchedulerOptions } from '../serve/scheduler.js'
import { bodyOf, unsupported } from './call.js'
import { generateResult, streamParts } from './parts.js'

export interface FlickerSettings extends SchedulerOptions {
  /** How the model is called in results. Default: its path, or `flicker`. */
  readonly name?: string
  /** A chat template (Jinja), for a model that has none. */
  readonly chatTemplate?: string
}

/** One scheduler for all that use a model. */
const schedulers = new WeakMap<LanguageModel, Scheduler>()

function schedulerOf(model: LanguageModel, settings: SchedulerOptions): Scheduler {
  const known = schedulers.get(model)
  if (known !== undefined) return known
  const scheduler = new Scheduler(model, settings)
  schedulers.set(model, scheduler)
  return scheduler
}

/** The model itself, or what `load` takes; loaded with the first call. */
type ModelOrPath = LanguageModel | string

function lazily(model: ModelOrPath, settings: SchedulerOptions): () => Promise<Scheduler> {
  let loading: Promise<Scheduler> | null = null
  return () => {
    loading ??=
      typeof model === 'string'
        ? load(model).then(loaded => schedulerOf(loaded, settings))
        : Promise.resolve(schedulerOf(model, settings))
    return loading
  }
}

/**
 * A language model for generateText, streamText and what builds on them: text, tools, objects by a schema. Options of
 * Flicker's own are given as `providerOptions: { flicker: { min_p: 0.1, activation: 'stocha:p=0.3' } }`, by the names that the
 * server has. Errors are FlickerErrors, with their codes.
 */
export function flicker(model: ModelOrPath, settings: FlickerSettings = {}): LanguageModelV3 {
  const { name = typeof model === 'string' ? model : 'flicker', chatTemplate, ...options } = settings
  const ready = lazily(model, options)
  const submit = async (call: LanguageModelV3CallOptions, gone = new AbortController()) => {
    const scheduler = await ready()
    call.abortSignal?.throwIfAborted()
    const signal = AbortSignal.any([
      gone.signal,
      ...(call.abortSignal === undefined ? [] : [call.abortSignal]),
    ])
    return ChatRequest.submit(
      scheduler,
      { ...bodyOf(call), stream_options: { include_usage: true } },
      { name, fingerprint: 'local', signal, template: chatTemplate },
    )
  }
  return {
    specificationVersion: 'v3',
    provider: 'flicker',
    modelId: name,
    supportedUrls: {},
    async doGenerate(call) {
      const request = await submit(call)
      const response = await request.whole()
      call.abortSignal?.throwIfAborted()
      return { ...generateResult(response), warnings: unsupported(call) }
    },
    async doStream(call) {
      const gone = new AbortController()
      const request = await submit(call, gone)
      await request.started()
      const stream = streamParts(request.parts(), {
        warnings: unsupported(call),
        signal: call.abortSignal,
        onCancel: () => gone.abort(),
      })
      return { stream }
    },
  }
}

/** Embeddings for embed and embedMany: the mean of a text's last hidden states, scaled to length 1. */
export function flickerEmbedding(
  model: ModelOrPath,
  settings: Omit<FlickerSettings, 'chatTemplate'> = {},
): EmbeddingModelV3 {
  const { name = typeof model === 'string' ? model : 'flicker', ...options } = settings
  const ready = lazily(model, options)
  return {
    specificationVersion: 'v3',
    provider: 'flicker',
    modelId: name,
    maxEmbeddingsPerCall: 2048,
    supportsParallelCalls: true,
    async doEmbed({ values, abortSignal }) {
      const signal = abortSignal ?? new AbortController().signal
      signal.throwIfAborted()
      const body = checkBody(embeddingSchema, { input: values })
      const { data, usage } = await embeddings(await ready(), body, { name, signal })
      signal.throwIfAborted()
      return {
        embeddings: data.map(({ embedding }) => [...(embedding as readonly number[])]),
        usage: { tokens: usage.total_tokens },
        warnings: [],
      }
    },
  }
}

// The server: an OpenAI-compatible API over models in this process, as a `fetch` handler that any server can mount.

import { createHash } from 'node:crypto'
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { cors } from 'hono/cors'
import type { z } from 'zod'
import type { LanguageModel } from '../engine/index.js'
import { parameterShapes } from '../nn/parameters.js'
import { version } from '../version.js'
import { ChatRequest } from './chat.js'
import { CompletionRequest } from './completions.js'
import { embeddings } from './embeddings.js'
import { errorBody, HttpError, httpError } from './errors.js'
import { eventStream } from './event-stream.js'
import { isAuthorized } from './keys.js'
import { Metrics } from './metrics.js'
import { openApiDocument, ROUTES } from './openapi.js'
import {
  chatSchema,
  checkBody,
  completionSchema,
  detokenizeSchema,
  embeddingSchema,
  tokenizeSchema,
  unknownFields,
} from './requests.js'
import { Scheduler, type SchedulerOptions } from './scheduler.js'

export interface ServerOptions extends SchedulerOptions {
  /** The models by the names that clients use; those that are still loading are answered with 503. */
  readonly models: Readonly<Record<string, LanguageModel | Promise<LanguageModel>>>
  /** A chat template (Jinja), or the name of one of a model's, instead of its own. */
  readonly chatTemplate?: string
  /** Without any, everyone may use the server. */
  readonly apiKeys?: readonly string[]
  /** The origin whose pages may use the server from a browser, or `*`. Default: none. */
  readonly cors?: string
  /** Refuse bodies with fields that nothing reads; otherwise they are ignored, and `onNotice` is told once. */
  readonly strict?: boolean
  /** Bytes of a body at most. Default 4 MiB. */
  readonly maxBodyBytes?: number
  /** Told what the owner of the server should know, one line each: faults, with their stack, and ignored fields. */
  readonly onNotice?: (notice: string) => void
}

export interface Server {
  /** Answers one request. */
  readonly fetch: (request: globalThis.Request) => Response | Promise<Response>
  /** Takes no more requests; resolves when those that run are finished, or ended after `grace` seconds. Default 0. */
  close(grace?: number): Promise<void>
}

const MAX_BODY_BYTES = 4 * 2 ** 20

/** A server of OpenAI's API over `models`. It listens nowhere by itself: mount its `fetch`. */
export function createServer(options: ServerOptions): Server {
  const { apiKeys = [], strict = false, maxBodyBytes = MAX_BODY_BYTES } = options
  const { onNotice = notice => process.emitWarning(notice, 'FlickerWarning') } = options
  const models = new Models(options)
  const metrics = new Metrics(models.schedulers)
  const ignored = new Set<string>()
  const app = new Hono()

  app.use(async (context, next) => {
    const started = performance.now()
    await next()
    const path = routeOf(context.req.path)?.path ?? 'other'
    metrics.observe(path, context.res.status, (performance.now() - started) / 1000)
  })
  if (options.cors !== undefined) {
    app.use(
      cors({
        origin: options.cors,
        allowHeaders: ['authorization', 'content-type', 'x-api-key'],
        allowMethods: ['GET', 'POST', 'OPTIONS'],
      }),
    )
  }
  app.use(async ({ req }, next) => {
    if (req.path === '/health' || isAuthorized(req.raw.headers, apiKeys)) return next()
    throw new HttpError(
      401,
      'invalid_api_key',
      'give one of the keys of this server: Authorization: Bearer KEY',
      {
        'www-authenticate': 'Bearer',
      },
    )
  })
  app.use(
    bodyLimit({
      maxSize: maxBodyBytes,
      onError: () => {
        throw new HttpError(413, 'body_too_large', `the body is larger than ${maxBodyBytes} bytes`)
      },
    }),
  )

  /** The body, checked; fields that nothing reads are refused or noted. */
  const bodyOf = async <T extends z.ZodObject>(context: Context, schema: T): Promise<z.output<T>> => {
    const body = checkBody(schema, await jsonOf(context.req.raw))
    const unknown = unknownFields(body, schema)
    if (unknown.length > 0 && strict) {
      throw new HttpError(400, 'unknown_field', `nothing here reads ${unknown.join(', ')}`)
    }
    for (const name of unknown) {
      if (ignored.has(name) || ignored.size >= MOST_NOTED) continue
      ignored.add(name)
      onNotice(`requests have the field ${JSON.stringify(name.slice(0, 80))}, which nothing here reads`)
    }
    return body
  }

  /** Parts as events, or the whole as JSON. */
  const respond = async (
    context: Context,
    stream: boolean,
    submit: (signal: AbortSignal) => Promise<CompletionRequest | ChatRequest>,
  ) => {
    const gone = new AbortController()
    const signal = AbortSignal.any([context.req.raw.signal, gone.signal])
    const request = await submit(signal)
    if (!stream) {
      const whole = await request.whole()
      return context.json(whole)
    }
    await request.started()
    const failed = (error: unknown) => {
      const known = httpError(error)
      if (known === null) onNotice(faultNotice(context.req.path, error))
      return errorBody(known)
    }
    return new Response(
      eventStream(request.parts(), failed, () => gone.abort()),
      {
        headers: { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' },
      },
    )
  }

  app.get('/health', context =>
    models.ready ? context.json({ status: 'ok' }) : context.json({ status: 'loading' }, 503),
  )
  app.get('/v1/models', context => context.json({ object: 'list', data: models.list() }))
  app.get('/v1/models/:name', context => context.json(models.describe(context.req.param('name'))))
  app.post('/v1/completions', async context => {
    const body = await bodyOf(context, completionSchema)
    const { scheduler, ...served } = models.named(body.model)
    return respond(context, body.stream === true, signal =>
      CompletionRequest.submit(scheduler, body, { ...served, signal }),
    )
  })
  app.post('/v1/chat/completions', async context => {
    const body = await bodyOf(context, chatSchema)
    const { scheduler, ...served } = models.named(body.model)
    return respond(context, body.stream === true, signal =>
      ChatRequest.submit(scheduler, body, { ...served, signal, template: options.chatTemplate }),
    )
  })
  app.post('/v1/embeddings', async context => {
    const body = await bodyOf(context, embeddingSchema)
    const { scheduler, name } = models.named(body.model)
    return context.json(await embeddings(scheduler, body, { name, signal: context.req.raw.signal }))
  })
  app.get('/openapi.json', context => context.json(openApiDocument()))
  app.post('/tokenize', async context => {
    const body = await bodyOf(context, tokenizeSchema)
    return context.json({
      tokens: Array.from(models.named(body.model).scheduler.model.tokenizer.encode(body.content)),
    })
  })
  app.post('/detokenize', async context => {
    const body = await bodyOf(context, detokenizeSchema)
    const { tokenizer } = models.named(body.model).scheduler.model
    const outside = body.tokens.find(id => id >= tokenizer.vocabSize)
    if (outside !== undefined) {
      throw new HttpError(400, 'token_out_of_vocabulary', `the vocabulary has no token ${outside}`)
    }
    return context.json({ content: tokenizer.decode(body.tokens) })
  })
  app.get('/metrics', async context =>
    context.body(await metrics.text(), 200, { 'content-type': metrics.contentType }),
  )
  app.notFound(({ req }) => {
    const route = routeOf(req.path)
    if (route !== undefined) {
      const allow = route.method.toUpperCase()
      const message = `${req.method} is not for ${route.path}; use ${allow}`
      throw new HttpError(405, 'method_not_allowed', message, { allow })
    }
    throw new HttpError(404, 'not_found', `there is no ${req.method} ${req.path.slice(0, 200)} here`)
  })
  app.onError((error, context) => {
    const known = httpError(error)
    if (known === null) onNotice(faultNotice(context.req.path, error))
    return context.json(
      errorBody(known),
      (known?.status ?? 500) as 400,
      known?.headers as Record<string, string>,
    )
  })
  return { fetch: request => app.fetch(request), close: grace => models.close(grace) }
}

function routeOf(path: string): (typeof ROUTES)[number] | undefined {
  return ROUTES.find(route => route.path === path || (route.path === MODEL_PATH && MODEL_OF_PATH.test(path)))
}

const MODEL_PATH = '/v1/models/{model}'
const MODEL_OF_PATH = /^\/v1\/models\/[^/]+$/
const MOST_NOTED = 100

function faultNotice(path: string, error: unknown): string {
  return `${path} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
}

/** No schema or conversation is this deep; what reads a body may recurse over it. */
const DEEPEST_JSON = 128

async function jsonOf(request: globalThis.Request): Promise<unknown> {
  let body: unknown
  try {
    body = JSON.parse(await request.text())
  } catch (error) {
    if (error instanceof HttpError) throw error
    throw new HttpError(400, 'invalid_json', 'the body is not JSON')
  }
  if (isDeeper(body, DEEPEST_JSON)) {
    throw new HttpError(
      400,
      'invalid_json',
      `the JSON of the body is nested deeper than ${DEEPEST_JSON} levels`,
    )
  }
  return body
}

function isDeeper(value: unknown, levels: number): boolean {
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > levels) return true
    level = level.flatMap(one => (typeof one === 'object' && one !== null ? Object.values(one) : []))
  }
  return false
}

interface Served {
  readonly name: string
  readonly scheduler: Scheduler
  /** Changes with whatever may change texts: the version and the weights' type. */
  readonly fingerprint: string
}

/** The models of a server, as they become ready. */
class Models {
  readonly schedulers = new Map<string, Scheduler>()
  readonly #names: readonly string[]
  readonly #failed = new Set<string>()
  readonly #created = Math.floor(Date.now() / 1000)

  constructor({ models, ...options }: ServerOptions) {
    this.#names = Object.keys(models)
    for (const [name, model] of Object.entries(models)) {
      const serve = (ready: LanguageModel) => this.schedulers.set(name, new Scheduler(ready, options))
      if (model instanceof Promise) model.then(serve, () => this.#failed.add(name))
      else serve(model)
    }
  }

  get ready(): boolean {
    return this.schedulers.size === this.#names.length
  }

  /** Throws HttpError: model_not_found, model_loading. */
  named(asked: string | null | undefined): Served {
    // Whoever serves one model is usually asked for it by another name, or by none.
    const name = asked ?? (this.#names.length === 1 ? this.#names[0] : undefined)
    if (name === undefined) {
      throw new HttpError(400, 'model_missing', `name one of the models: ${this.#names.join(', ')}`)
    }
    const scheduler = this.schedulers.get(name)
    if (scheduler !== undefined) return { name, scheduler, fingerprint: fingerprintOf(scheduler.model) }
    if (this.#names.includes(name) && !this.#failed.has(name)) {
      throw new HttpError(503, 'model_loading', `${name} is still loading`, { 'retry-after': '2' })
    }
    const known = this.#names.join(', ')
    throw new HttpError(
      404,
      'model_not_found',
      `there is no model ${JSON.stringify(name.slice(0, 200))}; there is ${known}`,
    )
  }

  list() {
    return this.#names.filter(name => this.schedulers.has(name)).map(name => this.describe(name))
  }

  describe(name: string) {
    const { scheduler } = this.named(name)
    const { config, engine } = scheduler.model
    const { counts } = scheduler
    const neurons = counts.generatedTokens * config.numHiddenLayers * config.intermediateSize
    return {
      id: name,
      object: 'model',
      created: this.#created,
      owned_by: 'flicker',
      max_model_len: config.maxPositionEmbeddings,
      meta: {
        n_ctx_train: config.maxPositionEmbeddings,
        n_vocab: config.vocabSize,
        n_embd: config.hiddenSize,
        n_layers: config.numHiddenLayers,
        /** Of a layer; with `neurons` a streamed token tells of each. Null of a mixture of experts. */
        n_neurons: config.experts === undefined ? config.intermediateSize : null,
        n_params: parameterShapes(config).reduce(
          (sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1),
          0,
        ),
        dtype: engine.dtype,
        activation: engine.activation.spec,
        exact_zeros: engine.activation.exactZeros,
        /** Fraction of the neurons that were exactly 0 over the tokens generated so far. */
        zeros: neurons === 0 ? null : 1 - counts.activeNeurons / neurons,
      },
    }
  }

  async close(grace = 0): Promise<void> {
    await Promise.all([...this.schedulers.values()].map(scheduler => scheduler.close(grace)))
  }
}

function fingerprintOf({ engine, config }: LanguageModel): string {
  const key = JSON.stringify([version, engine.dtype, engine.kv, config])
  return `fp_${createHash('sha256').update(key).digest('hex').slice(0, 12)}`
}

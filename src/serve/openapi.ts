// The description of the API for programs (OpenAPI 3.1): bodies are described by the schemas that check them.

import { z } from 'zod'
import { version } from '../version.js'
import {
  chatSchema,
  completionSchema,
  detokenizeSchema,
  embeddingSchema,
  tokenizeSchema,
} from './requests.js'

interface Route {
  readonly path: string
  readonly method: 'get' | 'post'
  readonly id: string
  readonly summary: string
  readonly body?: z.ZodObject
  /** Of the response. Default: application/json. */
  readonly content?: readonly string[]
}

const JSON_TYPE = 'application/json'
const EVENTS = 'text/event-stream'

export const ROUTES: readonly Route[] = [
  { path: '/health', method: 'get', id: 'health', summary: 'Whether the models are loaded' },
  {
    path: '/metrics',
    method: 'get',
    id: 'metrics',
    summary: 'Metrics for Prometheus',
    content: ['text/plain'],
  },
  { path: '/openapi.json', method: 'get', id: 'openapi', summary: 'This document' },
  { path: '/v1/models', method: 'get', id: 'listModels', summary: 'The models' },
  { path: '/v1/models/{model}', method: 'get', id: 'retrieveModel', summary: 'One model' },
  {
    path: '/v1/completions',
    method: 'post',
    id: 'createCompletion',
    summary: 'Text that follows a prompt',
    body: completionSchema,
    content: [JSON_TYPE, EVENTS],
  },
  {
    path: '/v1/chat/completions',
    method: 'post',
    id: 'createChatCompletion',
    summary: 'The next message of a conversation, or calls of tools',
    body: chatSchema,
    content: [JSON_TYPE, EVENTS],
  },
  {
    path: '/v1/embeddings',
    method: 'post',
    id: 'createEmbedding',
    summary: "The mean of a text's last hidden states, scaled to length 1",
    body: embeddingSchema,
  },
  { path: '/tokenize', method: 'post', id: 'tokenize', summary: 'Text to token ids', body: tokenizeSchema },
  {
    path: '/detokenize',
    method: 'post',
    id: 'detokenize',
    summary: 'Token ids to text',
    body: detokenizeSchema,
  },
]

/** A JSON value. */
export function openApiDocument(): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of ROUTES) paths[route.path] = { ...paths[route.path], [route.method]: operation(route) }
  return {
    openapi: '3.1.0',
    info: { title: 'Flicker', version, description: "OpenAI's API over models of flicker serve" },
    paths,
    components: {
      securitySchemes: { key: { type: 'http', scheme: 'bearer' } },
      schemas: { Error: errorSchema },
    },
    security: [{}, { key: [] }],
  }
}

function operation({ id, path, summary, body, content = [JSON_TYPE] }: Route) {
  const parameters = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }))
  return {
    operationId: id,
    summary,
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: { required: true, content: { [JSON_TYPE]: { schema: bodySchema(body) } } },
    }),
    responses: {
      200: { description: summary, content: Object.fromEntries(content.map(type => [type, {}])) },
      default: {
        description: 'What was wrong',
        content: { [JSON_TYPE]: { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  }
}

function bodySchema(body: z.ZodObject): unknown {
  const { $schema: _, ...schema } = z.toJSONSchema(body, { io: 'input' })
  return schema
}

const errorSchema = z.toJSONSchema(
  z.object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string(),
    }),
  }),
)

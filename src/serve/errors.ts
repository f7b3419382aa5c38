// Errors in the shape of OpenAI's API. What a client did wrong is said in full; of what went wrong in here it learns that
// it did, never paths or stacks.

import { FlickerError } from '../errors.js'

/** An error with its HTTP status. */
export class HttpError extends Error {
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message)
    this.status = status
    this.code = code
    this.headers = headers
  }
}

/** Codes of the library that have another status than 400, and what OpenAI calls them where clients look for it. */
const STATUS: Readonly<Record<string, { status: number; code?: string; headers?: Record<string, string> }>> =
  {
    QUEUE_FULL: { status: 429, code: 'rate_limit_exceeded', headers: { 'retry-after': '1' } },
    SERVER_CLOSING: { status: 503, code: 'server_closing', headers: { 'retry-after': '5' } },
    CONTEXT_OVERFLOW: { status: 400, code: 'context_length_exceeded' },
  }

/** Options of the library by the names that they have in a body. */
const FIELDS: Readonly<Record<string, string>> = {
  ...{ maxTokens: 'max_tokens', topP: 'top_p', topK: 'top_k', minP: 'min_p', ignoreEos: 'ignore_eos' },
  ...{ presencePenalty: 'presence_penalty', frequencyPenalty: 'frequency_penalty' },
  ...{ repetitionPenalty: 'repetition_penalty', logitBias: 'logit_bias', topLogprobs: 'top_logprobs' },
}
const OPTION = new RegExp(`\\b(?:${Object.keys(FIELDS).join('|')})\\b`, 'g')

/** The HTTP error for anything thrown; null for what is a fault of the server. */
export function httpError(error: unknown): HttpError | null {
  if (error instanceof HttpError) return error
  if (!(error instanceof FlickerError)) return null
  const known = STATUS[error.code]
  if (known === undefined && error.exitCode !== 2) return null
  const { status = 400, code = error.code.toLowerCase(), headers = {} } = known ?? {}
  const message = error.message.replace(OPTION, name => FIELDS[name])
  return new HttpError(status, code, message, headers)
}

/** Fields whose values the library checks. */
const NAMED = new Set([...Object.values(FIELDS), 'stop', 'seed', 'sequence', 'temperature', 'n'])

export interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: 'invalid_request_error' | 'authentication_error' | 'rate_limit_error' | 'server_error'
    /** The field of the body that is wrong, as `messages[0].role`. */
    readonly param: string | null
    readonly code: string
  }
}

/** What a client is told. */
export function errorBody(error: HttpError | null): ErrorBody {
  if (error === null) {
    const message = 'the server failed at this request; its log says why'
    return { error: { message, type: 'server_error', param: null, code: 'internal_error' } }
  }
  const { status, message, code } = error
  const type =
    status === 401
      ? 'authentication_error'
      : status === 429
        ? 'rate_limit_error'
        : status >= 500
          ? 'server_error'
          : 'invalid_request_error'
  // Messages about one field begin with its name.
  const named = /^([\w.[\]]+)(:| must | ")/.exec(message)
  const isField = named !== null && (code === 'request_invalid' ? named[2] === ':' : NAMED.has(named[1]))
  const field = isField ? named[1] : undefined
  return { error: { message, type, param: field ?? null, code } }
}

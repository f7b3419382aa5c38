// A server with a small model, requests to it, and what their answers hold.

import { expect } from 'vitest'
import { createServer, type Server, type ServerOptions } from '../../src/serve/index.js'
import { servedModel } from './served-model.js'

export const model = servedModel()

export function server(options: Partial<ServerOptions> = {}): Server {
  return createServer({ models: { tiny: model }, onNotice: () => {}, ...options })
}

export function post(to: Server, path: string, body: unknown, headers: Record<string, string> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return to.fetch(
    new Request(`http://localhost${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: text,
    }),
  )
}

interface Body {
  readonly seed: number
  readonly choices: {
    readonly index: number
    readonly text: string
    readonly logprobs: {
      readonly tokens: string[]
      readonly token_logprobs: (number | null)[]
      readonly top_logprobs: Record<string, number>[]
      readonly text_offset: number[]
      readonly content: { readonly logprob: number; readonly top_logprobs: { readonly logprob: number }[] }[]
    }
  }[]
  readonly error: { readonly code: string; readonly message: string; readonly param: string | null }
  readonly data: unknown
  readonly tokens: unknown
}

/** The body of a response, of whatever kind the test has asked for. */
export async function bodyOf(response: Response | Promise<Response>): Promise<Body> {
  return (await (await response).json()) as Body
}

/** The events of a stream. */
export async function events(response: Response): Promise<unknown[]> {
  expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/)
  const lines = (await response.text()).trim().split('\n\n')
  expect(lines.pop()).toBe('data: [DONE]')
  return lines.map(line => JSON.parse(line.replace(/^data: /, '')))
}

export const greedy = { temperature: 0, max_tokens: 8, ignore_eos: true }

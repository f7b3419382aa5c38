// Requests to the Hub, and what their failures mean.

import { CheckpointError, FlickerError } from '../errors.js'
import type { HubReference } from './reference.js'
import type { HubSettings } from './settings.js'

/** @huggingface/hub, which is loaded when a model is to be downloaded, not before. */
export type HubModule = typeof import('@huggingface/hub')

/** fetch with the token, which is sent to the endpoint alone: files come from other hosts. */
export function hubFetch({ endpoint, token }: HubSettings): typeof fetch {
  const { origin } = new URL(endpoint)
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input)
    const headers = new Headers(init?.headers)
    if (token !== null && url.origin === origin) headers.set('Authorization', `Bearer ${token}`)
    return fetch(input, { ...init, headers })
  }
}

/** Whether trying again may help: a broken connection, a server that is overloaded or restarting. */
export function isTransient(error: unknown): boolean {
  if (error instanceof FlickerError) return false
  const status = statusOf(error)
  return status === null || status === 408 || status === 429 || status >= 500
}

function statusOf(error: unknown): number | null {
  return error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number'
    ? error.statusCode
    : null
}

/** The error for a request that failed; errors of ours as they are. */
export function hubError(
  cause: unknown,
  { kind, repo, revision }: HubReference,
  { endpoint, token }: HubSettings,
  file?: string,
): unknown {
  if (cause instanceof FlickerError || !(cause instanceof Error)) return cause
  const whole = `${kind === 'dataset' ? 'data set ' : ''}${repo}@${revision}`
  const what = file === undefined ? whole : `${file} of ${repo}`
  const status = statusOf(cause)
  const error = (code: string, message: string) => new CheckpointError(code, message, { exitCode: 1, cause })
  if (status === 401 || status === 403) {
    const how =
      token === null
        ? 'if it is private or gated, set HF_TOKEN to a token that may read it; else check the name'
        : `the token in use may not read it: accept its terms at ${endpoint}/${kind === 'dataset' ? 'datasets/' : ''}${repo}, or check the name`
    return error('HUB_UNAUTHORIZED', `${endpoint} refuses ${what} (${status}): ${how}`)
  }
  if (status === 404) {
    return error('HUB_NOT_FOUND', `${endpoint} has no ${what}; check owner, name and revision`)
  }
  if (status !== null)
    return error('HUB_FAILED', `${endpoint} answered ${status} for ${what}; try again later`)
  if (cause.name === 'AbortError') return cause
  const reason = cause.cause instanceof Error ? cause.cause.message : cause.message
  return error(
    'HUB_UNREACHABLE',
    `${what}: the connection to ${endpoint} failed (${reason}); what was received is kept, so the same command resumes`,
  )
}

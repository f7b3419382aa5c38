// What a request has taken, in tokens.

import type { Job } from './job.js'

export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  /** Of the prompt's tokens those that earlier requests had read. */
  readonly prompt_tokens_details: { readonly cached_tokens: number }
}

export function usageOf(jobs: readonly Job[]): Usage {
  const sum = (of: (job: Job) => number) => jobs.reduce((total, job) => total + of(job), 0)
  const prompt = sum(job => job.prompt.length)
  const completion = sum(job => job.generatedTokens)
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: sum(job => job.cachedTokens) },
  }
}

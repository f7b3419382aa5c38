// /v1/embeddings: the mean of a text's last hidden states (after the final norm, over all its tokens), scaled to length 1.
// A language model is not trained to make them good: they serve to compare texts under one model.

import type { LanguageModel } from '../engine/index.js'
import { OptionError } from '../errors.js'
import { promptsOf } from './generate-options.js'
import type { Job } from './job.js'
import type { EmbeddingBody } from './requests.js'
import type { Scheduler } from './scheduler.js'

const MOST_INPUTS = 2048

export interface EmbeddingResponse {
  readonly object: 'list'
  readonly model: string
  readonly data: readonly {
    readonly object: 'embedding'
    readonly index: number
    /** (d): numbers, or with base64 their bytes as little-endian f32. */
    readonly embedding: readonly number[] | string
  }[]
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number }
}

/** Throws OptionError for what the library refuses, and what Scheduler.submit throws. */
export async function embeddings(
  scheduler: Scheduler,
  body: EmbeddingBody,
  { name, signal }: { name: string; signal: AbortSignal },
): Promise<EmbeddingResponse> {
  const { model } = scheduler
  const inputs = promptsOf(body.input)
  requireDimensions(model, body.dimensions)
  if (inputs.length > MOST_INPUTS) {
    throw new OptionError(
      'REQUEST_INVALID',
      `input has ${inputs.length} texts; at most ${MOST_INPUTS} are taken`,
    )
  }
  const prepared = await Promise.all(inputs.map(input => model.prepare(input, { maxTokens: 1 })))
  const data: EmbeddingResponse['data'][number][] = []
  // One after another: so a request takes one place in line, however many texts it has.
  for (const [index, one] of prepared.entries()) {
    const job = scheduler.submit({ prepared: one, embedding: true, signal })
    await job.started()
    const vector = unitMean(job)
    const embedding =
      body.encoding_format === 'base64' ? Buffer.from(vector.buffer).toString('base64') : Array.from(vector)
    data.push({ object: 'embedding', index, embedding })
  }
  const tokens = prepared.reduce((sum, { tokens }) => sum + tokens.length, 0)
  return { object: 'list', model: name, data, usage: { prompt_tokens: tokens, total_tokens: tokens } }
}

function requireDimensions({ config }: LanguageModel, dimensions: number | null | undefined): void {
  if (dimensions == null || dimensions === config.hiddenSize) return
  throw new OptionError(
    'DIMENSIONS_FIXED',
    `dimensions is ${dimensions}, but embeddings of this model have ${config.hiddenSize}`,
  )
}

/** (d), of length 1; of an aborted request zeros, which nobody reads. */
function unitMean({ hiddenSum }: Job): Float32Array {
  const length = Math.hypot(...hiddenSum)
  return Float32Array.from(hiddenSum, value => (length === 0 ? 0 : value / length))
}

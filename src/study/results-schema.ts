// Reading results.json back: every field is checked before a report is made from it.

import { z } from 'zod'
import { FlickerError } from '../errors.js'
import type { StudyResults } from './results.js'

const count = z.number().int().nonnegative()
const positive = z.number().positive()
const share = z.number().min(0).max(1)

const evaluation = z.object({
  step: count,
  loss: z.number(),
  perplexity: positive,
  bitsPerByte: z.number(),
  sparsity: z.array(share),
  activation: z.string(),
  tokens: count,
})

const run = z.object({
  name: z.string(),
  label: z.string(),
  description: z.string(),
  seed: z.number(),
  switchStep: count.nullable(),
  steps: count,
  curve: z.array(z.object({ step: count, loss: z.number() })),
  evaluations: z.array(evaluation),
  final: evaluation,
  speed: z.array(
    z.object({
      dtype: z.enum(['f32', 'bf16']),
      dense: z.number().nonnegative(),
      sparse: z.number().nonnegative().nullable(),
    }),
  ),
  samples: z.array(
    z.object({
      kind: z.enum(['greedy', 'stochastic']),
      activation: z.string(),
      temperature: z.number().nonnegative(),
      seed: z.number(),
      prompt: z.string(),
      text: z.string(),
    }),
  ),
  trainSeconds: z.number().nonnegative(),
  trainTokensPerSecond: z.number().nonnegative(),
})

const results: z.ZodType<StudyResults> = z.object({
  formatVersion: z.literal(1),
  name: z.string(),
  title: z.string(),
  finishedAt: z.string(),
  version: z.string(),
  machine: z.object({
    cpu: z.string(),
    cores: count,
    threads: count,
    backend: z.string(),
    isa: z.string(),
    node: z.string(),
  }),
  corpus: z.object({
    description: z.string(),
    trainBytes: count,
    validationBytes: count,
    trainTokens: count,
    validationTokens: count,
    tokenizer: z.string(),
  }),
  model: z.object({
    vocabSize: count,
    hiddenSize: count,
    intermediateSize: count,
    numHiddenLayers: count,
    numAttentionHeads: count,
    numKeyValueHeads: count,
    maxPositionEmbeddings: count,
    rmsNormEps: z.number(),
    ropeTheta: z.number(),
    tieWordEmbeddings: z.boolean(),
    ffn: z.enum(['gated', 'plain']),
    activation: z.string(),
    parameters: count,
  }),
  training: z.object({
    steps: count,
    batchSize: count,
    context: count,
    tokensPerRun: count,
    learningRate: z.number(),
  }),
  runs: z.array(run),
  recipe: z.string().optional(),
})

/**
 * The content of a results.json; `where` names it in messages. Throws FlickerError RESULTS_INVALID that names the
 * first field that does not fit.
 */
export function parseResults(json: string, where = 'results.json'): StudyResults {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new FlickerError('RESULTS_INVALID', `${where} is not valid JSON: ${(cause as Error).message}`, {
      cause,
    })
  }
  const parsed = results.safeParse(value)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    const field = issue.path.length === 0 ? 'the file' : issue.path.join('.')
    const problem = issue.message.replace(/^Invalid input: /, '')
    throw new FlickerError(
      'RESULTS_INVALID',
      `${where}: ${field}: ${problem}; run the study again to write it anew`,
      { cause: parsed.error },
    )
  }
  return parsed.data
}

// The options of a training run. The schemas alone define names, defaults and ranges: recipes, the command line and
// the library all use them.

import { z } from 'zod'
import { activationSchema } from '../activations/schema.js'
import { FFN_FORMS, sparkProblem } from '../nn/config.js'
import type { StrategyOptions } from './strategies.js'

const count = z.int().min(1)
const seed = z.int().min(0)

/** Forms of the FFN, as `ModelConfig.ffn` defines them. */
export const ffnForm = z.enum(FFN_FORMS)

/** Shape of the model; the vocabulary comes from the tokenizer. Names as in Hugging Face configs, in camel case. */
export const modelSchema = z
  .strictObject({
    hiddenSize: count.default(128),
    intermediateSize: count.default(384),
    numHiddenLayers: count.default(4),
    numAttentionHeads: count.default(4),
    /** Defaults to numAttentionHeads. */
    numKeyValueHeads: count.optional(),
    ffn: ffnForm.default('gated'),
    /** Spark: how many values of its input the gate of the FFN reads; `up` reads the others. Default: half. */
    sparkPredictorWidth: count.optional(),
    tieWordEmbeddings: z.boolean().default(true),
    rmsNormEps: z.number().positive().default(1e-5),
    ropeTheta: z.number().positive().default(10_000),
  })
  .superRefine((model, context) => {
    const { hiddenSize, numAttentionHeads, numKeyValueHeads = numAttentionHeads } = model
    const issue = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (hiddenSize % (2 * numAttentionHeads) !== 0) {
      issue(
        'hiddenSize',
        `must be an even multiple of numAttentionHeads (${numAttentionHeads}), not ${hiddenSize}`,
      )
    }
    if (numAttentionHeads % numKeyValueHeads !== 0) {
      issue(
        'numKeyValueHeads',
        `must divide numAttentionHeads (${numAttentionHeads}), not ${numKeyValueHeads}`,
      )
    }
    const spark = sparkProblem(model)
    if (spark !== null) issue('sparkPredictorWidth', spark)
  })
export type ModelOptions = z.infer<typeof modelSchema>

export const trainingSchema = z.strictObject({
  /** Optimizer steps, all phases together. */
  steps: count.default(1000),
  /** Sequences per micro-batch. */
  batchSize: count.default(16),
  /** Tokens per sequence. */
  context: count.default(128),
  /** Micro-batches per step. */
  accumulate: count.default(1),
  learningRate: z.number().positive().default(2e-3),
  minLearningRate: z.number().min(0).default(1e-4),
  warmupSteps: z.int().min(0).default(50),
  weightDecay: z.number().min(0).default(0.1),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.95),
  eps: z.number().positive().default(1e-8),
  /** Largest global norm of the gradient; 0 does not clip. */
  clip: z.number().min(0).default(1),
  /** Steps between measurements on held-out text. */
  evalEvery: count.default(100),
  /** Tokens of each such measurement, a sample of the held-out text; all of it when that has fewer. */
  evalTokens: count.default(16_384),
  /** Steps between checkpoints; one is also written on Ctrl-C and at the end. */
  checkpointEvery: count.default(500),
  seed: seed.default(1),
})
export type TrainingOptions = z.infer<typeof trainingSchema>

const alpha = z.number().refine(value => value > 0 && value <= 1, {
  error: issue =>
    `must lie in (0, 1], the fraction of the steps after the switch; it is ${String(issue.input)}`,
})

const scratchSchema = z.strictObject({ strategy: z.literal('scratch'), activation: activationSchema })
const swiftSchema = z.strictObject({
  strategy: z.literal('swift'),
  from: activationSchema.default('silu'),
  to: activationSchema.default('relu'),
  alpha: alpha.default(0.1),
})
const stochaSchema = z.strictObject({
  strategy: z.literal('stocha'),
  p: z.number().min(0).max(1).default(0.7),
  positive: z.enum(['identity', 'silu', 'drawn']).default('identity'),
  to: activationSchema.default('relu'),
  alpha: alpha.default(0.1),
})

/** The fields of every strategy, for schemas that add their own (a run of a recipe has a name too). */
export const strategySchemas = [scratchSchema, swiftSchema, stochaSchema] as const
export const strategySchema = z.discriminatedUnion(
  'strategy',
  strategySchemas,
) satisfies z.ZodType<StrategyOptions>

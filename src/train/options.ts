// The options of a training run. The schemas alone define names, defaults and ranges: recipes, the command line and
// the library all use them.

import { z } from 'zod'
import { activationSchema } from '../activations/schema.js'
import { FFN_FORMS, sparkProblem } from '../nn/config.js'
import { precisions } from './precision.js'
import type { RegularizerOptions } from './regularizers.js'
import { annealSchedules, type StrategyOptions } from './strategies.js'
import { trainableParts } from './trainable.js'

const count = z.int().min(1)
const seed = z.int().min(0)

/** Forms of the FFN, as `ModelConfig.ffn` defines them. */
export const ffnForm = z.enum(FFN_FORMS)

/** Shape of the model; the vocabulary comes from the tokenizer. Names as in Hugging Face configs, in camel case. */
export const modelSchema = z
  .strictObject({
    /** Width of the residual stream, d; an even multiple of numAttentionHeads. */
    hiddenSize: count.default(128),
    /** Neurons of each feed-forward layer, h. */
    intermediateSize: count.default(384),
    /** Layers, L. */
    numHiddenLayers: count.default(4),
    /** Attention heads of a layer. */
    numAttentionHeads: count.default(4),
    /** Defaults to numAttentionHeads. */
    numKeyValueHeads: count.optional(),
    /** Form of the feed-forward layer: `gated`, `plain`, `drelu` or `spark`. */
    ffn: ffnForm.default('gated'),
    /** Spark: how many values of its input the gate of the FFN reads; `up` reads the others. Default: half. */
    sparkPredictorWidth: count.optional(),
    /** Whether the output layer is the embedding table. */
    tieWordEmbeddings: z.boolean().default(true),
    /** Added to the mean square before the root. */
    rmsNormEps: z.number().positive().default(1e-5),
    /** Base of the rotary frequencies. */
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
export type ModelOptions = z.output<typeof modelSchema>
/** As a caller gives them: defaults may be left out. */
export type ModelInput = z.input<typeof modelSchema>

export const trainingSchema = z.strictObject({
  /** Optimizer steps, all phases together; 0 only with `from`: the checkpoint as it is. */
  steps: z.int().min(0).default(1000),
  /** Sequences per micro-batch. */
  batchSize: count.default(16),
  /** Tokens per sequence. */
  context: count.default(128),
  /** Micro-batches per step. */
  accumulate: count.default(1),
  /** Largest learning rate, reached after the warm-up. */
  learningRate: z.number().positive().default(2e-3),
  /** Learning rate of the last step; a cosine leads to it. */
  minLearningRate: z.number().min(0).default(1e-4),
  /** Steps over which the learning rate rises from 0. */
  warmupSteps: z.int().min(0).default(50),
  /** AdamW's decoupled weight decay. */
  weightDecay: z.number().min(0).default(0.1),
  /** AdamW's decay of the gradient's mean. */
  beta1: z.number().min(0).lt(1).default(0.9),
  /** AdamW's decay of the squared gradient's mean. */
  beta2: z.number().min(0).lt(1).default(0.95),
  /** AdamW's ε. */
  eps: z.number().positive().default(1e-8),
  /** Largest global norm of the gradient; 0 does not clip. */
  clip: z.number().min(0).default(1),
  /** Steps between measurements on held-out text. */
  evalEvery: count.default(100),
  /** Tokens of each such measurement, a sample of the held-out text; all of it when that has fewer. */
  evalTokens: count.default(16_384),
  /** Steps between checkpoints; one is also written on Ctrl-C and at the end. */
  checkpointEvery: count.default(500),
  /** Checkpoints that stay, the newest ones. */
  keepCheckpoints: count.default(1),
  /** What is trained: everything, the FFNs (gate, up, down and what activations learn), or their gates alone. */
  trainable: z.enum(trainableParts).default('all'),
  /** What linear layers multiply: f32, or bf16 with sums in f32; see precision.ts. */
  precision: z.enum(precisions).default('f32'),
  /** Of the weights, the batches and the draws. */
  seed: seed.default(1),
})
export type TrainingOptions = z.output<typeof trainingSchema>
/** As a caller gives them: defaults may be left out. */
export type TrainingInput = z.input<typeof trainingSchema>

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

const annealSchema = z.strictObject({
  strategy: z.literal('anneal'),
  before: activationSchema.default('silu'),
  to: activationSchema.default('relu'),
  schedule: z.enum(annealSchedules).default('cosine'),
  sineStages: count.default(4),
  alpha: z.number().min(0).lt(1).default(0.1),
})
const relufySchema = z.strictObject({
  strategy: z.literal('relufy'),
  to: activationSchema.default('relu'),
  sides: z.enum(['gate', 'both']).default('gate'),
  stage: z.union([z.literal(1), z.literal(2)]).default(1),
  shiftQuantile: z.number().gt(0).lt(1).optional(),
})

/** The fields of every strategy, for schemas that add their own (a run of a recipe has a name too). */
export const strategySchemas = [scratchSchema, swiftSchema, stochaSchema, annealSchema, relufySchema] as const
export const strategySchema = z.discriminatedUnion(
  'strategy',
  strategySchemas,
) satisfies z.ZodType<StrategyOptions>
/** As a caller gives it: defaults may be left out. */
export type StrategyInput = z.input<typeof strategySchema>

const fraction = z.number().min(0).max(1)
/** What both regularizers have; the names are explained in regularizers.ts. */
const commonRegularizer = {
  revive: fraction.default(0),
  deadAfter: count.default(100),
}

export const regularizerSchema = z
  .discriminatedUnion('name', [
    z.strictObject({
      name: z.literal('l1'),
      coefficient: z.number().min(0).optional(),
      coefficientWarmup: fraction.default(0.5),
      targetActive: z.number().gt(0).lt(1).optional(),
      thresholdLoss: z.number().min(0).default(0),
      ...commonRegularizer,
    }),
    z.strictObject({
      name: z.literal('prosparse'),
      factors: z.array(z.number().min(0)).min(1).default([1e-4, 1e-3, 3e-3]),
      stages: z.array(z.number().gt(0).max(1)).min(1).default([0.1, 0.5, 0.8]),
      thresholdLoss: z.number().min(0).default(0.005),
      ...commonRegularizer,
    }),
  ])
  .superRefine((regularizer, context) => {
    if (regularizer.name !== 'prosparse') return
    const { factors, stages } = regularizer
    const issue = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (factors.length !== stages.length) {
      issue('stages', `must be as many as factors: ${stages.length} ends for ${factors.length} factors`)
    }
    const early = stages.findIndex((end, i) => i > 0 && end <= stages[i - 1])
    if (early > 0) issue('stages', `must rise: ${stages[early]} comes after ${stages[early - 1]}`)
    const low = factors.findIndex((factor, i) => i > 0 && factor < factors[i - 1])
    if (low > 0) issue('factors', `must not fall: ${factors[low]} comes after ${factors[low - 1]}`)
  }) satisfies z.ZodType<RegularizerOptions>
/** As a caller gives it: defaults may be left out. */
export type RegularizerInput = z.input<typeof regularizerSchema>

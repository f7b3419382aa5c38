// What a study measured, as it stands in results.json. The report and the table are made from this alone. A run's part
// is a schema, since it is read back from the files of earlier sessions.

import { z } from 'zod'
import type { Evaluation } from '../eval/evaluate.js'
import type { MachineInfo } from '../kernels/machine-info.js'
import type { ModelConfig } from '../nn/config.js'

export type { Evaluation } from '../eval/evaluate.js'

/** Where something was trained or measured: timings belong to it. */
const machineSchema = z.object({
  cpu: z.string(),
  cores: z.number(),
  threads: z.number(),
  backend: z.string(),
  isa: z.string(),
  node: z.string(),
  /** Flicker's. */
  version: z.string(),
})
export type Machine = z.infer<typeof machineSchema>

/** The part of what runs here that timings depend on. */
export function machineOf(info: MachineInfo): Machine {
  return machineSchema.parse(info)
}

/** Machines as they were written into a run's directory; null of anything else. */
export function parseMachines(content: unknown): Machine[] | null {
  return z.array(machineSchema).safeParse(content).data ?? null
}

/** An evaluation as it was stored; fields that are not checked here stay. */
const evaluationSchema = z.looseObject({
  step: z.number(),
  loss: z.number(),
  perplexity: z.number(),
  bitsPerByte: z.number(),
  sparsity: z.array(z.number()),
  activation: z.string(),
  tokens: z.number(),
}) as unknown as z.ZodType<Evaluation>

const intervalSchema = z.object({
  median: z.number(),
  low: z.number(),
  high: z.number(),
  confidence: z.number(),
})

/** Decoding speed of one checkpoint in one weight type: the same prompt and length, medians of alternating passes. */
const speedSchema = z.object({
  dtype: z.enum(['f32', 'bf16']),
  /** Tokens per second with every neuron computed. */
  dense: z.number(),
  /** Tokens per second when inactive neurons are skipped; null for an activation without exact zeros. */
  sparse: z.number().nullable(),
  /** sparse : dense within pairs of passes that ran one after the other; null where `sparse` is. */
  ratio: intervalSchema.nullable(),
  /** Passes, or pairs of them. */
  passes: z.number(),
  /** Bytes of weights and cache that a token reads, mean: with every neuron computed, and with inactive ones skipped. */
  denseBytes: z.number().optional(),
  sparseBytes: z.number().nullable().optional(),
})
export type DecodeSpeed = z.infer<typeof speedSchema>

const sampleSchema = z.object({
  /** `sampled`: at a temperature; `greedy`: the largest logit; `stochastic`: greedy with the activation drawn. */
  kind: z.enum(['sampled', 'greedy', 'stochastic']),
  /** Activation at decoding time, e.g. `stocha:p=0.3`. */
  activation: z.string(),
  temperature: z.number(),
  seed: z.number(),
  prompt: z.string(),
  /** What the model wrote after the prompt. */
  text: z.string(),
})
export type Sample = z.infer<typeof sampleSchema>

const boundsSchema = z.object({ low: z.number(), high: z.number() })

/** One metric of a benchmark task, or of a group of tasks. */
const taskScoreSchema = z.object({
  task: z.string(),
  version: z.number(),
  /** Few-shot examples; null for a group whose tasks differ in them. */
  shots: z.number().nullable(),
  questions: z.number(),
  /** Whether it is a task of a group that is listed too. */
  inGroup: z.boolean(),
  /** `acc,none`: metric and filter, as lm-evaluation-harness names them. */
  metric: z.string(),
  value: z.number(),
  standardError: z.number().nullable(),
  /** 95 %, from resampled questions. */
  interval: boundsSchema.nullable(),
  /** To the baseline's value, on the same questions: paired, so that what makes a question hard for both cancels. */
  difference: z
    .object({ value: z.number(), standardError: z.number().nullable(), interval: boundsSchema.nullable() })
    .optional(),
  /** The value for each resampling of the questions; with the run alone, for differences. */
  resampled: z.array(z.number()).optional(),
})
export type TaskScore = z.infer<typeof taskScoreSchema>

/** One seed of a run that was repeated over several. */
const seedSchema = z.object({
  seed: z.number(),
  final: evaluationSchema,
  /** Step and loss of the measurements during training. */
  evaluations: z.array(evaluationSchema),
})

export const runResultSchema = z.object({
  /** Directory name, e.g. `swift`. */
  name: z.string(),
  /** For people, e.g. `Swi+FT (SiLU → ReLU)`. */
  label: z.string(),
  /** One line: what the strategy did, with its numbers. */
  description: z.string(),
  seed: z.number(),
  /** Last step of the first activation; null when the activation never changes. */
  switchStep: z.number().nullable(),
  steps: z.number(),
  /** Of the model: runs may differ in the width of their FFN. */
  parameters: z.number().optional(),
  /** Training curve, thinned to at most a few hundred points: step and mean loss since the point before. */
  curve: z.array(z.object({ step: z.number(), loss: z.number() })),
  evaluations: z.array(evaluationSchema),
  /** Measured at the end with the activation that inference uses. */
  final: evaluationSchema,
  speed: z.array(speedSchema),
  samples: z.array(sampleSchema),
  /** Of the recipe's benchmarks, in its order; groups before their tasks. */
  tasks: z.array(taskScoreSchema).optional(),
  trainSeconds: z.number(),
  trainTokensPerSecond: z.number(),
  /** Where it was trained (several when sessions ran on different machines), and where `speed` was measured. */
  machines: z.object({ training: z.array(machineSchema), measuring: machineSchema }),
  /** Of a run that was repeated over seeds: each one's measurements; what stands above are then means over them. */
  perSeed: z.array(seedSchema).optional(),
})
export type RunResult = z.infer<typeof runResultSchema>

/** Index of the run that others are compared with: the one trained and used with SiLU, or else the first. */
export function baselineOf(runs: readonly Pick<RunResult, 'final' | 'switchStep'>[]): number {
  return Math.max(
    0,
    runs.findIndex(run => run.final.activation === 'silu' && run.switchStep === null),
  )
}

export interface StudyResults {
  /** Bumped when a field changes its meaning. */
  formatVersion: 1
  name: string
  title: string
  /** ISO 8601. */
  finishedAt: string
  /** Flicker's, and the machine, of the session that wrote this; those of each run's timings stand with the run. */
  version: string
  machine: Omit<Machine, 'version'>
  corpus: {
    description: string
    trainBytes: number
    validationBytes: number
    trainTokens: number
    validationTokens: number
    tokenizer: string
  }
  model: ModelConfig & { parameters: number }
  training: { steps: number; batchSize: number; context: number; tokensPerRun: number; learningRate: number }
  runs: RunResult[]
  /** The recipe as it ran, YAML: with it the report alone is enough to run the study again. */
  recipe?: string
}

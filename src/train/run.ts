// What `train` is told and what it gives back: the options of a run, checked before anything is written, and the model
// that follows from them.

import { z } from 'zod'
import { type Activation, parseActivation } from '../activations/index.js'
import type { TrainingData } from '../data/prepare.js'
import { requireOneContext, requireTokensFit } from '../data/tokens.js'
import { OptionError } from '../errors.js'
import type { Evaluation } from '../eval/evaluate.js'
import type { Kernels } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import type { Llama } from '../nn/llama.js'
import type { BranchPoint } from './branch.js'
import { METRICS_EXPORTS, type MetricsExport } from './metrics-export.js'
import {
  type ModelInput,
  type ModelOptions,
  modelSchema,
  type RegularizerInput,
  regularizerSchema,
  type StrategyInput,
  strategySchema,
  type TrainingInput,
  trainingSchema,
} from './options.js'
import type { CheckedRun, UsedKernels } from './run-directory.js'
import { checkStart, type StartingPoint } from './starting-point.js'
import { makeStrategy, type Strategy } from './strategies.js'

export interface TrainRun {
  /** Where the run is kept; created when it does not exist. */
  readonly directory: string
  /**
   * Path of a checkpoint to start from, of any kind that `load` opens. The model's shape and tokenizer are its own, so
   * `model` may not be given; `scratch`, `swift` and `anneal` begin with its activation unless another is given.
   */
  readonly from?: string
  /** Shape of the model; what is left out has its default. */
  readonly model?: ModelInput
  /** How the activation changes: `scratch` (one activation), `swift` (Swi+FT), `stocha` (StochA). */
  readonly strategy: StrategyInput
  /** A penalty that makes the model sparse: `l1` or `prosparse`. Default: none. */
  readonly regularizer?: RegularizerInput
  /** What is left out has its default. */
  readonly training?: TrainingInput
  /** The text, as `prepareData` returns it. */
  readonly data: TrainingData
  /** Start over: removes the checkpoints and the record of the run that the directory holds. */
  readonly fresh?: boolean
  /**
   * Let `training.steps` be more than the run in the directory has. It continues with the learning rates and the switch
   * of a run of so many steps; a switch that has happened is not taken back. Its bits are not those of a run that
   * had so many steps from the start.
   */
  readonly extend?: boolean
  /** Steps after which the state of the run is kept in DIRECTORY/branch-STEP, for `beginFrom` of other runs. */
  readonly keepAfter?: readonly number[]
  /**
   * Begin with the state of another run, whose steps until then are those of this one; without effect where this run
   * has a checkpoint. Throws OptionError BRANCH_DIFFERS, BRANCH_MISSING.
   */
  readonly beginFrom?: BranchPoint
  /** Stops after the current step, once a checkpoint is saved; `train` then throws INTERRUPTED. */
  readonly signal?: AbortSignal
  /** Called once, before the first step. */
  readonly onStart?: (start: TrainStart) => void
  /** Called after every step. */
  readonly onProgress?: (progress: TrainProgress) => void
  /** Told what a user should know and what is no error, in one sentence; by default a warning of the process. */
  readonly onNotice?: (notice: string) => void
  /** Write the metrics for other programs too: `tensorboard` (an event file), `csv` (metrics.csv). */
  readonly log?: readonly MetricsExport[]
  /** At each measurement continue the held-out text by so many tokens, in samples.jsonl. Default 0. */
  readonly sampleTokens?: number
  /** The backend to compute with (default: the fastest that is here). */
  readonly kernels?: Kernels
  /** Activations of the strategy may be paths of files, whose code then runs (default false). */
  readonly allowCode?: boolean
}

export interface TrainStart {
  /** Steps that an earlier session took. */
  readonly step: number
  readonly steps: number
}

export interface TrainProgress {
  readonly step: number
  readonly steps: number
  /** Exponential mean of the training loss. */
  readonly loss: number
  readonly tokensPerSecond: number
  readonly secondsLeft: number
  readonly activation: string
  /** The measurement on held-out text, when this step had one. */
  readonly evaluation?: Evaluation
}

export interface TrainedRun {
  readonly model: Llama
  readonly strategy: Strategy
  /** What the model is run with: the strategy's last activation, or that with the threshold that was found. */
  readonly inference: Activation
  /** The final checkpoint. */
  readonly checkpoint: string
  readonly evaluations: Evaluation[]
  readonly curve: { step: number; loss: number }[]
  /** Seconds of training, over all sessions, without measurements and checkpoints. */
  readonly trainSeconds: number
  /** Which kernels computed which steps: more than one entry when the run was resumed on other ones. */
  readonly kernels: readonly UsedKernels[]
}

const isTokens = (value: unknown) => value instanceof Uint16Array || value instanceof Int32Array
const callback = z.custom<(value: never) => void>(value => typeof value === 'function', 'must be a function')
export const runSchema = z.strictObject({
  directory: z.string().min(1),
  from: z.string().min(1).optional(),
  model: modelSchema.prefault({}),
  strategy: strategySchema,
  regularizer: regularizerSchema.optional(),
  training: trainingSchema.prefault({}),
  data: z.custom<TrainingData>(value => {
    const { tokenizer, train, validation }: Partial<TrainingData> = Object(value)
    return isTokens(train) && isTokens(validation) && typeof tokenizer?.vocabSize === 'number'
  }, 'must have a tokenizer, and token ids (Uint16Array or Int32Array) in train and validation, as prepareData returns them'),
  fresh: z.boolean().optional(),
  extend: z.boolean().optional(),
  keepAfter: z.array(z.int().min(1)).optional(),
  beginFrom: z.strictObject({ directory: z.string().min(1), step: z.int().min(1) }).optional(),
  signal: z.instanceof(AbortSignal).optional(),
  onStart: callback.optional(),
  onProgress: callback.optional(),
  onNotice: callback.optional(),
  log: z.array(z.enum(METRICS_EXPORTS)).optional(),
  sampleTokens: z.int().min(0).optional(),
  kernels: z.custom<Kernels>(value => typeof value === 'object' && value !== null).optional(),
  allowCode: z.boolean().optional(),
})

/** A checked run with the checkpoint that it starts from still open. */
export type Run = CheckedRun & { readonly model: ModelOptions; readonly start?: StartingPoint }

/** Throws OptionError for options that need a checkpoint to start from, or exclude one. */
export function checkStarts(options: TrainRun, run: Run): void {
  const { start, strategy, training, data } = run
  if (start !== undefined) {
    const [shape] = Object.keys(options.model ?? {})
    if (shape !== undefined) {
      throw new OptionError(
        'FROM_MODEL',
        `${shape} cannot be given with from: the model is that of ${start.path}`,
      )
    }
    checkStart(start, run, data)
    return
  }
  const needs =
    (strategy.strategy === 'relufy' && 'strategy relufy continues a checkpoint') ||
    (training.trainable !== 'all' &&
      `trainable ${training.trainable} leaves the rest of a checkpoint as it is`) ||
    (training.steps === 0 && '0 steps give a checkpoint as it is')
  if (needs !== false) throw new OptionError('FROM_MISSING', `${needs}: give its path with from`)
}

/** The model that a run trains: a new one, or that of the checkpoint that it starts from. */
export function modelOf(run: Run): ModelConfig {
  const { start, training, data } = run
  return start === undefined
    ? newModelConfig(run, training.context, data.tokenizer.vocabSize)
    : withActivations(start.config, run, start.activation)
}

function newModelConfig(
  { model, strategy: options, training }: CheckedRun & { readonly model: ModelOptions },
  context: number,
  vocabSize: number,
): ModelConfig {
  const shape = {
    ...model,
    numKeyValueHeads: model.numKeyValueHeads ?? model.numAttentionHeads,
    vocabSize,
    maxPositionEmbeddings: context,
  }
  return withActivations(shape, { strategy: options, training })
}

/**
 * `shape` with the activation that the strategy ends with, and the others of the run, or of the checkpoint that it
 * starts from (`own`), whose learned parameters the model keeps.
 */
function withActivations(
  shape: Omit<ModelConfig, 'activation'>,
  { strategy: options, training }: Pick<CheckedRun, 'strategy' | 'training'>,
  own?: string,
): ModelConfig {
  const strategy = makeStrategy(options, training.steps)
  const { spec } = strategy.inference
  const earlier = [...(own === undefined ? [] : [own]), ...(shape.trainedActivations ?? [])]
  const learned = [...earlier.map(each => parseActivation(each)), ...strategy.activations].filter(
    act => act.learned.length > 0 && act.spec !== spec,
  )
  const others = [...new Set(learned.map(act => act.spec))]
  const { trainedActivations: _, ...rest } = shape
  return {
    ...rest,
    ...(options.strategy === 'relufy' && options.sides === 'both' && { ffn: 'drelu' as const }),
    ...(options.strategy === 'relufy' && options.stage === 2 && { normActivation: 'relu' as const }),
    activation: spec,
    ...(others.length > 0 && { trainedActivations: others }),
  }
}

export function checkData(data: TrainingData, training: CheckedRun['training'], config: ModelConfig): void {
  requireOneContext(data.train, training.context, 'training', data.split)
  requireOneContext(data.validation, training.context, 'validation', data.split)
  requireTokensFit(data.train, config.vocabSize)
  requireTokensFit(data.validation, config.vocabSize)
}

// A run's directory: options.json (what decides the bits of the run), metrics.jsonl, and the latest checkpoint-STEP/.
// Weights that exist are never replaced by weights of fewer steps, unless the run is told to start over.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import type { TrainingData } from '../data/prepare.js'
import type { TokenIds } from '../data/tokens.js'
import { CheckpointError, OptionError } from '../errors.js'
import type { Evaluation } from '../eval/evaluate.js'
import {
  clearRunCheckpoints,
  incompleteRunCheckpoints,
  latestRunCheckpoint,
  type RunCheckpointContent,
  readCheckpoint,
  readTrainingState,
  saveRunCheckpoint,
  storageError,
  writeFileAtomic,
} from '../formats/index.js'
import { readJsonFile } from '../formats/json.js'
import type { ModelConfig } from '../nn/config.js'
import { Llama } from '../nn/llama.js'
import { parameterShapes } from '../nn/parameters.js'
import { removeBranches } from './branch-directory.js'
import type { LastFired } from './dead-neurons.js'
import { firstDifference } from './first-difference.js'
import { evaluationsIn } from './metrics.js'
import { regularizerSchema, strategySchema, type TrainingOptions, trainingSchema } from './options.js'
import type { RegularizerOptions, RegularizerState } from './regularizers.js'
import type { TrainingStep } from './step.js'
import { makeStrategy, type Strategy, type StrategyOptions } from './strategies.js'
import { isTrained, type TrainablePart } from './trainable.js'

const OPTIONS_FILE = 'options.json'
export const METRICS_FILE = 'metrics.jsonl'

/** A run whose number of steps was raised: after step `atStep`, from `steps` to what `training.steps` says then. */
const extensionSchema = z.object({ atStep: z.int().min(0), steps: z.int().min(0) })
export type Extension = z.infer<typeof extensionSchema>

const sourceSchema = z.object({
  corpus: z.string(),
  tokenizer: z.string(),
  corpusBytes: z.int().min(0).optional(),
})
const optionsSchema = z.object({
  model: z.looseObject({}),
  strategy: z.looseObject({}),
  regularizer: z.looseObject({}).optional(),
  training: z.looseObject({ steps: z.int().min(0) }),
  /** The checkpoint that the run started from, and its activation. */
  from: z.object({ path: z.string(), activation: z.string() }).optional(),
  data: z.object({ train: z.string(), validation: z.string() }),
  /** Options of the training that do not change its bits. */
  intervals: z.looseObject({}).optional(),
  /** Where the data came from, when it came from prepareData. */
  source: sourceSchema.optional(),
  extensions: z.array(extensionSchema).optional(),
})
/** What options.json holds. `model` is the model's config. */
export type RunOptions = z.infer<typeof optionsSchema>

/** Which kernels computed the steps from `fromStep` on: their bits differ from those of other instruction sets. */
const kernelsSchema = z.object({ fromStep: z.int().min(1), backend: z.string(), isa: z.string() })
export type UsedKernels = z.infer<typeof kernelsSchema>

const stateSchema = z.object({
  step: z.int().min(0),
  trainSeconds: z.number().min(0),
  /** Updates of the parameters that had fewer than `step`: those that an activation learns. */
  updates: z.record(z.string(), z.int().min(0)).optional(),
  kernels: z.array(kernelsSchema).optional(),
  /** Where the regularizer's coefficient stands. */
  regularizer: z
    .object({ coefficient: z.number(), firstActive: z.number().nullable(), error: z.number() })
    .optional(),
  /** The last step in which each neuron of each layer fired. */
  lastFired: z.array(z.array(z.int())).optional(),
})

/** What a run takes from the checkpoint that it starts from. */
export interface RunStart {
  /** The path that was given. */
  readonly path: string
  /** The activation that the checkpoint was trained with. */
  readonly activation: string
  /** What of the checkpoint a new one keeps beside weights and config. */
  readonly kept: Pick<RunCheckpointContent, 'chatTemplates' | 'endOfText' | 'specialTokens'>
  /** The model of the checkpoint with parameters for `config`; those that the checkpoint lacks are at their start. */
  load(config: ModelConfig, part: TrainablePart): Llama
}

/** The options of a training run, checked and complete. */
export interface CheckedRun {
  readonly directory: string
  readonly strategy: StrategyOptions
  readonly regularizer?: RegularizerOptions
  readonly training: TrainingOptions
  readonly data: TrainingData
  /** What it starts from, where that is a checkpoint. */
  readonly start?: RunStart
  readonly fresh?: boolean
  readonly extend?: boolean
}

/**
 * The options of the run in `directory`, or null when there is none: another run with them resumes it. Throws
 * CheckpointError RUN_OPTIONS_INVALID, StorageError.
 */
export function readRunOptions(directory: string): RunOptions | null {
  const file = path.join(directory, OPTIONS_FILE)
  try {
    if (fs.statSync(file, { throwIfNoEntry: false }) === undefined) return null
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOTDIR') return null
    throw storageError(cause, file, 0)
  }
  try {
    return readJsonFile(file, optionsSchema, 'RUN_OPTIONS_INVALID')
  } catch (error) {
    if (!(error instanceof CheckpointError) || error.code !== 'RUN_OPTIONS_INVALID') throw error
    throw new CheckpointError(
      error.code,
      `${error.message}; restore the file, choose another directory, or start over with --fresh`,
      { cause: error },
    )
  }
}

/** The measurements on held-out text that a run has recorded, in order. Throws StorageError. */
export function readEvaluations(directory: string): Evaluation[] {
  return evaluationsIn(path.join(directory, METRICS_FILE))
}

/** What decides the bits of a run: two runs with the same of it may continue each other in one directory. */
export function bitOptions(
  run: CheckedRun,
  config: ModelConfig,
): Pick<RunOptions, 'model' | 'strategy' | 'regularizer' | 'training' | 'from' | 'data'> {
  const {
    evalEvery: _,
    evalTokens: __,
    checkpointEvery: ___,
    keepCheckpoints: ____,
    trainable,
    ...training
  } = run.training
  const data = { train: digest(run.data.train), validation: digest(run.data.validation) }
  // As JSON has it: without what is undefined.
  const written = JSON.stringify({
    model: config,
    strategy: run.strategy,
    regularizer: run.regularizer,
    training: { ...training, ...(trainable !== 'all' && { trainable }) },
    ...(run.start !== undefined && {
      from: { path: path.resolve(run.start.path), activation: run.start.activation },
    }),
    data,
  })
  return optionsSchema.parse(JSON.parse(written))
}

/**
 * Starts a run in its directory, which must exist, or checks that the run in it is this one; returns how often and
 * when its number of steps was raised. Throws OptionError RUN_DIFFERS; CheckpointError CHECKPOINT_DAMAGED,
 * RUN_OPTIONS_MISSING, RUN_OPTIONS_INVALID; StorageError.
 */
export function openRun(run: CheckedRun, config: ModelConfig): readonly Extension[] {
  const { directory } = run
  if (run.fresh === true) startOver(directory)
  const latest = latestRunCheckpoint(directory)
  const damaged = incompleteRunCheckpoints(directory).find(({ step }) => step > (latest?.step ?? -1))
  if (damaged !== undefined) {
    throw new CheckpointError(
      'CHECKPOINT_DAMAGED',
      `${damaged.dir} lacks ${damaged.missing.join(', ')}: training cannot resume from it, and is not started from an ` +
        'earlier step, which would replace it; restore what is missing, choose another directory, or start over with --fresh',
    )
  }
  const stored = readRunOptions(directory)
  if (stored === null && latest !== null) {
    throw new CheckpointError(
      'RUN_OPTIONS_MISSING',
      `${directory} has a checkpoint of step ${latest.step} but no ${OPTIONS_FILE}, so nothing says how it was trained; ` +
        'restore the file, choose another directory, or start over with --fresh',
    )
  }
  const options = bitOptions(run, config)
  const extensions = [...(stored?.extensions ?? [])]
  if (stored !== null) {
    const stepsBefore = stored.training.steps
    const longer = run.extend === true && options.training.steps > stepsBefore
    const comparable = longer
      ? { ...options, training: { ...options.training, steps: stepsBefore } }
      : options
    const { model, from, data } = stored
    const strategy = withDefaults(stored.strategy, strategySchema, options.strategy)
    const regularizer =
      stored.regularizer && withDefaults(stored.regularizer, regularizerSchema, options.regularizer)
    const training = withDefaults(stored.training, trainingSchema, options.training)
    const difference = firstDifference({ model, strategy, regularizer, training, from, data }, comparable)
    if (difference !== null) {
      throw new OptionError(
        'RUN_DIFFERS',
        `${directory} holds a run with other options (${difference}); choose another directory, or start over with --fresh`,
      )
    }
    if (longer) extensions.push({ atStep: latest?.step ?? 0, steps: stepsBefore })
  }
  const { evalEvery, evalTokens, checkpointEvery, keepCheckpoints } = run.training
  const complete: RunOptions = {
    ...options,
    intervals: { evalEvery, evalTokens, checkpointEvery, ...(keepCheckpoints > 1 && { keepCheckpoints }) },
    ...(run.data.source !== undefined && { source: run.data.source }),
    ...(run.data.source === undefined && stored?.source !== undefined && { source: stored.source }),
    ...(extensions.length > 0 && { extensions }),
  }
  const text = JSON.stringify(complete, null, 2)
  if (stored === null || JSON.stringify(stored) !== JSON.stringify(optionsSchema.parse(complete))) {
    writeFileAtomic(path.join(directory, OPTIONS_FILE), text)
  }
  return extensions
}

/** What an earlier version has stored, with the defaults of options that it did not know: it computed the same. */
function withDefaults(stored: object, schema: z.ZodType, now: object = {}): object {
  const { success, data } = schema.safeParse(stored)
  if (!success) return stored
  const known = (name: string) => Object.hasOwn(stored, name) || Object.hasOwn(now, name)
  return Object.fromEntries(Object.entries(data as object).filter(([name]) => known(name)))
}

function startOver(directory: string): void {
  clearRunCheckpoints(directory)
  removeBranches(directory)
  for (const name of [OPTIONS_FILE, METRICS_FILE]) {
    const file = path.join(directory, name)
    try {
      fs.rmSync(file, { force: true })
    } catch (cause) {
      throw storageError(cause, file, 0)
    }
  }
}

/**
 * The strategy of a run whose number of steps may have been raised: that of a run with the present number of steps,
 * except that a switch which has happened is not taken back.
 */
export function strategyOf(run: CheckedRun, extensions: readonly Extension[]): Strategy {
  let switched: number | undefined
  for (const { atStep, steps } of extensions) {
    const { switchStep } = makeStrategy(run.strategy, steps)
    if (switchStep !== null && switchStep < atStep) switched ??= switchStep
  }
  return makeStrategy(run.strategy, run.training.steps, switched)
}

export interface RestoredRun {
  readonly model: Llama
  readonly step: number
  readonly trainSeconds: number
  readonly kernels: readonly UsedKernels[]
  readonly regularizer?: RegularizerState
  readonly lastFired?: LastFired
  /** What the checkpoint's config says inference runs: a threshold may have been found. */
  readonly activation?: string
  readonly loadMoments?: (step: TrainingStep) => void
}

/**
 * The model of the latest checkpoint, of the one that the run starts from, or a new one. Throws CheckpointError: TRAINER_STATE_INVALID, and what reading
 * weights and moments throws.
 */
export function restoreRun(run: CheckedRun, config: ModelConfig): RestoredRun {
  const { directory, training, start } = run
  const latest = latestRunCheckpoint(directory)
  if (latest !== null) return restoreCheckpoint(latest, config, training.trainable)
  const model = start?.load(config, training.trainable) ?? Llama.initialize(config, training.seed)
  return { model, step: 0, trainSeconds: 0, kernels: [] }
}

/** Weights, moments and state of one training checkpoint. Throws what restoreRun throws. */
export function restoreCheckpoint(
  latest: { readonly dir: string; readonly step: number },
  config: ModelConfig,
  part: TrainablePart,
): RestoredRun {
  const checkpoint = readCheckpoint(latest.dir)
  const model = Llama.from(
    config,
    name => checkpoint.tensor(name),
    name => isTrained(part, name),
  )
  const { activation } = checkpoint.config
  checkpoint.close()
  const stored = readTrainingState(
    latest.dir,
    stateSchema,
    parameterShapes(config).filter(({ name }) => isTrained(part, name)),
  )
  const { step, trainSeconds, updates = {}, kernels = [], regularizer, lastFired } = stored.state
  if (step !== latest.step) {
    stored.close()
    throw new CheckpointError(
      'TRAINER_STATE_INVALID',
      `${latest.dir}: its trainer_state.json is of step ${step}; restore it, choose another directory, or start over with --fresh`,
    )
  }
  return {
    model,
    step,
    trainSeconds,
    kernels,
    activation,
    ...(regularizer !== undefined && { regularizer }),
    ...(lastFired !== undefined && { lastFired }),
    loadMoments: ({ optimizer }) => {
      for (const [name, { m, v }] of optimizer.moments) {
        const { first, second } = stored.moments(name)
        m.set(first)
        v.set(second)
        optimizer.updates.set(name, updates[name] ?? step)
      }
      stored.close()
    },
  }
}

/** The kernels of all steps so far, with those of the steps after `step`. */
export function withKernels(
  before: readonly UsedKernels[],
  step: number,
  { backend, isa }: { readonly backend: string; readonly isa: string },
): readonly UsedKernels[] {
  const last = before[before.length - 1]
  if (last !== undefined && last.backend === backend && last.isa === isa) return before
  return [...before.filter(({ fromStep }) => fromStep <= step), { fromStep: step + 1, backend, isa }]
}

/** How far a run is: what its checkpoints hold beside weights and moments. */
export interface RunState {
  readonly step: number
  readonly trainSeconds: number
  readonly kernels: readonly UsedKernels[]
  readonly regularizer?: RegularizerState
  readonly lastFired?: LastFired
}

/** Saves weights, moments and state of one step together, then removes checkpoints that are not to be kept. */
export function saveRun(run: CheckedRun, config: ModelConfig, stepper: TrainingStep, state: RunState): void {
  const keep = run.training.keepCheckpoints
  saveRunCheckpoint(run.directory, state.step, runCheckpoint(run, config, stepper, state), { keep })
}

/** What a training checkpoint of a run consists of. */
export function runCheckpoint(
  run: CheckedRun,
  config: ModelConfig,
  stepper: TrainingStep,
  state: RunState,
): RunCheckpointContent {
  const { parameters } = stepper.model
  const { moments, updates } = stepper.optimizer
  const late = [...updates].filter(([, count]) => count !== state.step)
  return {
    config,
    tensors: [...parameters].map(([name, { shape, data }]) => ({ name, shape, data: data as Float32Array })),
    tokenizer: run.data.tokenizer.toJSON(),
    ...run.start?.kept,
    flicker: {
      ...(run.start !== undefined && { from: run.start.path }),
      strategy: run.strategy,
      ...(run.regularizer !== undefined && { regularizer: run.regularizer }),
      training: run.training,
      step: state.step,
    },
    optimizer: [...moments].map(([name, { m, v }]) => ({
      name,
      shape: parameters.get(name)?.shape ?? [],
      first: m as Float32Array,
      second: v as Float32Array,
    })),
    state: { ...state, ...(late.length > 0 && { updates: Object.fromEntries(late) }) },
  }
}

function digest(tokens: TokenIds): string {
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength)
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16)
}

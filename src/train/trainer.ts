// A training run: steps, measurements, checkpoints. Interrupted at any moment it can be resumed, and ends with the same
// bits. The run's directory holds options.json, metrics.jsonl and the latest checkpoint-STEP/, an ordinary Hugging Face
// directory.

import path from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { z } from 'zod'
import { type Activation, loadActivationFiles, parseActivation } from '../activations/index.js'
import type { TrainingData } from '../data/prepare.js'
import { requireOneContext, requireTokensFit, tokenByteLengths, trainingBatch } from '../data/tokens.js'
import { OptionError, TrainingError } from '../errors.js'
import { type Evaluation, Evaluator } from '../eval/evaluate.js'
import { latestRunCheckpoint, writeTrainingCheckpoint } from '../formats/index.js'
import { kernels as defaultKernels, type Kernels, warnWithoutAddon } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import type { Llama } from '../nn/llama.js'
import { checkOptions } from '../schema-issues.js'
import { type BranchPoint, beginFromBranch } from './branch.js'
import { branchDirectory } from './branch-directory.js'
import { DeadNeurons } from './dead-neurons.js'
import { MetricsLog } from './metrics.js'
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
import { checkRegularizer, Regularizer } from './regularizers.js'
import {
  type CheckedRun,
  METRICS_FILE,
  openRun,
  type RunState,
  restoreRun,
  runCheckpoint,
  saveRun,
  strategyOf,
  type UsedKernels,
  withKernels,
} from './run-directory.js'
import { RunLock } from './run-lock.js'
import { cosineSchedule } from './schedule.js'
import {
  checkStart,
  openStartingPoint,
  requireMemory,
  type StartingPoint,
  withOwnActivation,
} from './starting-point.js'
import { TrainingStep } from './step.js'
import { makeStrategy, type Strategy } from './strategies.js'
import { largestThreshold } from './threshold.js'

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
const runSchema = z.strictObject({
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
  kernels: z.custom<Kernels>(value => typeof value === 'object' && value !== null).optional(),
  allowCode: z.boolean().optional(),
})

/**
 * Trains one model, or resumes its training. Throws CorpusError, TokenizerError, OptionError (RUN_DIFFERS: the directory
 * holds a run with other options; FROM_MISSING, MEMORY_SHORT, …: see starting-point.ts), TrainingError (LOSS_NOT_FINITE, INTERRUPTED), CheckpointError (CHECKPOINT_DAMAGED:
 * a newer checkpoint lacks files), StorageError (RUN_LOCKED: another process trains there); the last good checkpoint
 * then is in the directory.
 */
export async function train(options: TrainRun): Promise<TrainedRun> {
  const { strategy, allowCode, from, directory, fresh }: Partial<TrainRun> = Object(options)
  loadActivationFiles(strategy, allowCode)
  if (from === undefined) return await trainFrom(options, undefined)
  // A wrong directory is named when the options are checked.
  const start = openStartingPoint(String(from), typeof directory === 'string' ? directory : '', fresh)
  try {
    return await trainFrom(
      { ...options, strategy: withOwnActivation(strategy, start) as StrategyInput },
      start,
    )
  } finally {
    start.close()
  }
}

async function trainFrom(options: TrainRun, start: StartingPoint | undefined): Promise<TrainedRun> {
  const checked = checkOptions(runSchema, options, 'train')
  const run: Run = { ...checked, ...(start !== undefined && { start }) }
  const { directory, training, data } = run
  const { onNotice = warn } = options
  const kernels = options.kernels ?? defaultKernels()
  if (options.kernels === undefined) warnWithoutAddon()
  checkStarts(options, run)
  const config =
    start === undefined
      ? modelConfig(run, training.context, data.tokenizer.vocabSize)
      : withActivations(start.config, run, start.activation)
  checkData(data, training, config)
  if (run.regularizer !== undefined) {
    checkRegularizer(run.regularizer, makeStrategy(run.strategy, training.steps))
  }
  if (start !== undefined) {
    for (const note of start.notes) onNotice(note)
    onNotice(requireMemory(start, config, training))
  }
  const lock = RunLock.acquire(directory)
  try {
    return await trainLocked(options, run, config, kernels, lock)
  } finally {
    lock.release()
  }
}

/** A checked run with the checkpoint that it starts from still open. */
type Run = CheckedRun & { readonly model: ModelOptions; readonly start?: StartingPoint }

/** Throws OptionError for options that need a checkpoint to start from, or exclude one. */
function checkStarts(options: TrainRun, run: Run): void {
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

function warn(notice: string): void {
  process.emitWarning(notice, 'FlickerWarning')
}

/** Trains in a directory that this process has locked. */
async function trainLocked(
  { signal, onStart, onProgress, onNotice = warn, keepAfter = [], beginFrom }: TrainRun,
  run: Run,
  config: ModelConfig,
  kernels: Kernels,
  lock: RunLock,
): Promise<TrainedRun> {
  const { directory, training, data } = run
  const strategy = strategyOf(run, openRun(run, config))
  const branch = latestRunCheckpoint(directory) === null ? beginFrom : undefined
  const {
    model,
    step: firstStep,
    ...resumed
  } = branch === undefined ? restoreRun(run, config) : beginFromBranch(run, config, branch)
  const regularizer = run.regularizer && new Regularizer(run.regularizer, strategy, training.steps)
  if (resumed.regularizer !== undefined) regularizer?.restore(resumed.regularizer)
  const neurons = run.regularizer && new DeadNeurons(model, firstStep, resumed.lastFired)
  const usedKernels = withKernels(resumed.kernels, firstStep, kernels)
  const computedBy = resumed.kernels[resumed.kernels.length - 1]
  if (computedBy !== undefined && firstStep < training.steps && usedKernels !== resumed.kernels) {
    onNotice(otherKernels(directory, firstStep, computedBy, kernels))
  }
  const stepper = new TrainingStep(kernels, model, training)
  resumed.loadMoments?.(stepper)
  let { trainSeconds } = resumed
  const stateAfter = (step: number): RunState => ({
    step,
    trainSeconds,
    kernels: usedKernels,
    ...(regularizer !== undefined && { regularizer: regularizer.state }),
    ...(neurons !== undefined && { lastFired: neurons.lastFired }),
  })
  if (branch !== undefined) saveRun(run, config, stepper, stateAfter(firstStep))
  const log = MetricsLog.open(path.join(directory, METRICS_FILE), firstStep, onNotice)
  const evaluator = new Evaluator(kernels)
  const heldOut = { tokens: data.validation, byteLengths: tokenByteLengths(data.tokenizer) }
  onStart?.({ step: firstStep, steps: training.steps })

  const evaluate = (step: number, activation = strategy.activationAt(step)): Evaluation =>
    evaluator.run(model, heldOut, {
      activation,
      step,
      context: training.context,
      batchSize: training.batchSize,
      maxTokens: training.evalTokens,
      seed: training.seed,
    })
  /** Moves dead neurons where the regularizer asks for it; returns how many. */
  const revive = (step: number): number => {
    const { revive: lambda = 0, deadAfter: after = 0 } = run.regularizer ?? {}
    if (neurons === undefined || lambda === 0 || step < after) return 0
    return neurons.revive(model, step, { after, lambda, seed: training.seed })
  }
  /** The activation of inference after the last step: with the threshold that the regularizer allows. */
  const shiftThreshold = (step: number): Activation => {
    const allowed = run.regularizer?.thresholdLoss ?? 0
    if (allowed === 0) return strategy.inference
    const at = (t: number) => (t === 0 ? strategy.inference : parseActivation(`fatrelu:t=${t}`))
    const limit = evaluate(step).loss + allowed
    const found = at(largestThreshold(t => evaluate(step, at(t)).loss, limit))
    log.append({ kind: 'evaluation', ...evaluate(step, found) })
    return found
  }
  let inference =
    firstStep === training.steps && resumed.activation !== undefined
      ? parseActivation(resumed.activation)
      : strategy.inference
  if (run.start?.isFirst === true && !log.evaluations.some(({ step }) => step === 0)) {
    log.append({ kind: 'evaluation', ...evaluate(0, parseActivation(run.start.activation)) })
  }
  const tokensPerStep = training.batchSize * training.context * training.accumulate
  let meanLoss = Number.NaN
  let saved = firstStep
  for (let step = firstStep + 1; step <= training.steps; step++) {
    const started = performance.now()
    const batches = Array.from({ length: training.accumulate }, (_, micro) => ({
      ...trainingBatch(data.train, { ...training, step, micro }),
      seq: training.context,
    }))
    const activation = strategy.activationAt(step)
    const learningRate = cosineSchedule(step, training)
    const { loss, gradNorm, penalty } = stepper.run(step, learningRate, activation, batches, {
      factor: rows => regularizer?.factor(step, rows, config.numHiddenLayers) ?? 0,
      ...(neurons !== undefined && { onHidden: (layer, hidden) => neurons.observe(step, layer, hidden) }),
    })
    if (!Number.isFinite(loss)) throw diverged(step, `the loss (${loss})`, saved, directory)
    if (!Number.isFinite(gradNorm)) throw diverged(step, 'the gradient', saved, directory)
    const coefficient = regularizer?.coefficient(step)
    if (penalty !== undefined) regularizer?.observe(step, penalty.active)
    const revived = revive(step)
    const seconds = (performance.now() - started) / 1000
    trainSeconds += seconds
    lock.renew()
    log.append({
      kind: 'step',
      step,
      loss,
      learningRate,
      gradNorm,
      activation: activation.spec,
      seconds,
      ...(penalty !== undefined && { penalty: penalty.value, active: penalty.active, coefficient }),
      ...(revived > 0 && { revived }),
    })

    let evaluation: Evaluation | undefined
    const kept = keepAfter.includes(step)
    if (step % training.evalEvery === 0 || step === training.steps || step === strategy.switchStep || kept) {
      evaluation = evaluate(step)
      if (!Number.isFinite(evaluation.loss)) {
        throw diverged(step, `the loss on held-out text (${evaluation.loss})`, saved, directory)
      }
      log.append({ kind: 'evaluation', ...evaluation })
    }
    const interrupted = signal?.aborted === true && step < training.steps
    if (step % training.checkpointEvery === 0 || step === training.steps || interrupted) {
      const broken = stepper.nonFinite()
      if (broken !== null) throw diverged(step, broken, saved, directory)
      lock.confirm()
      if (step === training.steps) inference = shiftThreshold(step)
      saveRun(run, { ...config, activation: inference.spec }, stepper, stateAfter(step))
      saved = step
    }
    if (kept) {
      const content = runCheckpoint(run, config, stepper, stateAfter(step))
      writeTrainingCheckpoint(branchDirectory(directory, step), content)
    }
    if (interrupted) throw interruption(step, directory, signal)

    meanLoss = Number.isNaN(meanLoss) ? loss : 0.95 * meanLoss + 0.05 * loss
    onProgress?.({
      step,
      steps: training.steps,
      loss: meanLoss,
      tokensPerSecond: tokensPerStep / seconds,
      secondsLeft: (trainSeconds / step) * (training.steps - step),
      activation: activation.spec,
      ...(evaluation !== undefined && { evaluation }),
    })
    // Lets signals and timers in: the kernels run on this thread.
    await nextTurn()
  }
  if (training.steps === 0 && latestRunCheckpoint(directory) === null) {
    saveRun(run, { ...config, activation: inference.spec }, stepper, stateAfter(0))
  }
  return {
    model,
    strategy,
    inference,
    checkpoint: path.join(directory, `checkpoint-${training.steps}`),
    evaluations: log.evaluations,
    curve: log.curve(),
    trainSeconds,
    kernels: usedKernels,
  }
}

function modelConfig(
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
    activation: spec,
    ...(others.length > 0 && { trainedActivations: others }),
  }
}

function checkData(data: TrainingData, training: CheckedRun['training'], config: ModelConfig): void {
  requireOneContext(data.train, training.context, 'training', data.split)
  requireOneContext(data.validation, training.context, 'validation', data.split)
  requireTokensFit(data.train, config.vocabSize)
  requireTokensFit(data.validation, config.vocabSize)
}

function otherKernels(directory: string, step: number, before: UsedKernels, now: Kernels): string {
  const named = ({ backend, isa }: { readonly backend: string; readonly isa: string }) =>
    `${backend} kernels (${isa})`
  return (
    `${directory}: its ${step} steps so far were computed by ${named(before)}, the next ones are computed by ` +
    `${named(now)}: the weights will differ, by rounding, from those of a run on one of them alone`
  )
}

function diverged(step: number, what: string, saved: number, directory: string): TrainingError {
  const kept =
    saved === 0
      ? 'no checkpoint had been saved yet'
      : `the checkpoint of step ${saved} is kept in ${directory}`
  return new TrainingError(
    'LOSS_NOT_FINITE',
    `training stopped at step ${step}: ${what} is not a finite number; ${kept}. Try a lower learning rate, more warm-up or clipping.`,
    { exitCode: 1 },
  )
}

/** What a command line aborts with: the exit code of the signal that ended it. */
export interface InterruptReason {
  readonly exitCode: number
}

function interruption(step: number, directory: string, signal: AbortSignal | undefined): TrainingError {
  const { exitCode }: Partial<InterruptReason> = Object(signal?.reason)
  return new TrainingError(
    'INTERRUPTED',
    `interrupted after step ${step}; saved in ${directory}. Run the same command again to resume.`,
    { exitCode: typeof exitCode === 'number' ? exitCode : 130 },
  )
}

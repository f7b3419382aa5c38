// A training run: steps, measurements, checkpoints. Interrupted at any moment it can be resumed, and ends with the same
// bits. The run's directory holds options.json, metrics.jsonl and the latest checkpoint-STEP/, an ordinary Hugging Face
// directory.

import path from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Activation, loadActivationFiles, parseActivation } from '../activations/index.js'
import { tokenByteLengths, trainingBatch } from '../data/tokens.js'
import { TrainingError } from '../errors.js'
import { type Evaluation, Evaluator } from '../eval/evaluate.js'
import { latestRunCheckpoint, writeTrainingCheckpoint } from '../formats/index.js'
import { kernels as defaultKernels, type Kernels, warnWithoutAddon } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import { checkOptions } from '../schema-issues.js'
import { beginFromBranch } from './branch.js'
import { branchDirectory } from './branch-directory.js'
import { DeadNeurons } from './dead-neurons.js'
import { MetricsLog } from './metrics.js'
import { exportMetrics } from './metrics-export.js'
import type { StrategyInput } from './options.js'
import { withPrecision } from './precision.js'
import { checkRegularizer, Regularizer } from './regularizers.js'
import {
  checkData,
  checkStarts,
  modelOf,
  type Run,
  runSchema,
  type TrainedRun,
  type TrainRun,
} from './run.js'
import {
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
import { TrainingSamples } from './samples.js'
import { cosineSchedule } from './schedule.js'
import { measuredShift, measuresShift } from './shift.js'
import { openStartingPoint, requireMemory, type StartingPoint, withOwnActivation } from './starting-point.js'
import { TrainingStep } from './step.js'
import { makeStrategy } from './strategies.js'
import { largestThreshold } from './threshold.js'

/**
 * Trains one model, or resumes its training. Throws CorpusError, TokenizerError, OptionError (RUN_DIFFERS: the directory
 * holds a run with other options; FROM_MISSING, MEMORY_SHORT, …: see starting-point.ts), TrainingError
 * (LOSS_NOT_FINITE, INTERRUPTED), CheckpointError (CHECKPOINT_DAMAGED: a newer checkpoint lacks files), StorageError
 * (RUN_LOCKED: another process trains there); the last good checkpoint then is in the directory.
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
  const given: Run = { ...checked, ...(start !== undefined && { start }) }
  const { directory, training, data } = given
  const { onNotice = warn } = options
  const kernels = options.kernels ?? defaultKernels()
  if (options.kernels === undefined) warnWithoutAddon()
  checkStarts(options, given)
  // Refused before anything is read.
  withPrecision(kernels, training.precision)
  const asGiven = modelOf(given)
  checkData(data, training, asGiven)
  if (given.regularizer !== undefined) {
    checkRegularizer(given.regularizer, makeStrategy(given.strategy, training.steps))
  }
  if (start !== undefined) {
    for (const note of start.notes) onNotice(note)
    onNotice(requireMemory(start, asGiven, training))
  }
  const run = withShift(given, kernels)
  const config = modelOf(run)
  const lock = RunLock.acquire(directory)
  try {
    return await trainLocked(options, run, config, kernels, lock)
  } finally {
    lock.release()
  }
}

/** The run with the shift of its shifted ReLU, measured on the checkpoint; once the run has a checkpoint, the one there. */
function withShift(run: Run, kernels: Kernels): Run {
  const { strategy, start, training, data } = run
  if (start === undefined || !measuresShift(strategy)) return run
  const { shiftQuantile: quantile } = strategy
  const { context } = training
  const to = start.isFirst
    ? `shifted-relu:b=${measuredShift(start.load(start.config, 'all'), kernels, data.train, { quantile, context })}`
    : start.config.activation
  return { ...run, strategy: { ...strategy, to: parseActivation(to).spec } }
}

function warn(notice: string): void {
  process.emitWarning(notice, 'FlickerWarning')
}

/** Trains in a directory that this process has locked. */
async function trainLocked(
  { signal, onStart, onProgress, onNotice = warn, keepAfter = [], beginFrom, ...others }: TrainRun,
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
  const stepper = new TrainingStep(withPrecision(kernels, training.precision), model, training)
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
  for (const kind of others.log ?? []) log.follow(exportMetrics(kind, directory, log.lines))
  const { sampleTokens = 0 } = others
  const { context, seed } = training
  const samples =
    sampleTokens > 0
      ? new TrainingSamples(kernels, data, { directory, tokens: sampleTokens, context, seed }, firstStep)
      : null
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
      ...(neurons !== undefined && {
        onHidden: (layer, hidden, of) => neurons.observe(step, layer, hidden, of?.expert),
      }),
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
      samples?.write(model, step, activation)
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

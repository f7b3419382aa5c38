// A training run: steps, measurements, checkpoints; interrupted at any moment it goes on later bit for bit. The run's
// directory holds options.json, metrics.jsonl and the latest checkpoint-STEP/, an ordinary Hugging Face directory.

import path from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { loadActivationFiles } from '../activations/index.js'
import type { Tokenizer } from '../data/tokenizers/tokenizer.js'
import {
  requireOneContext,
  requireTokensFit,
  type TokenIds,
  tokenByteLengths,
  trainingBatch,
} from '../data/tokens.js'
import { TrainingError } from '../errors.js'
import { type Evaluation, Evaluator } from '../eval/evaluate.js'
import { kernels as defaultKernels, type Kernels, warnWithoutAddon } from '../kernels/index.js'
import type { ModelConfig } from '../nn/config.js'
import type { Llama } from '../nn/llama.js'
import { MetricsLog } from './metrics.js'
import type { ModelOptions, TrainingOptions } from './options.js'
import { openRun, restoreRun, saveRun } from './run-directory.js'
import { cosineSchedule } from './schedule.js'
import { TrainingStep } from './step.js'
import { makeStrategy, type Strategy, type StrategyOptions } from './strategies.js'

export interface TrainingData {
  readonly tokenizer: Tokenizer
  readonly train: TokenIds
  readonly validation: TokenIds
}

export interface TrainRun {
  /** Where the run lives; made when it does not exist. */
  readonly directory: string
  readonly model: ModelOptions
  readonly strategy: StrategyOptions
  readonly training: TrainingOptions
  readonly data: TrainingData
  /** Start again even when the directory holds a run. */
  readonly fresh?: boolean
  /** Stops after the step at work, once a checkpoint is saved; `train` then throws INTERRUPTED. */
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: TrainProgress) => void
  readonly kernels?: Kernels
  /** Activations of the strategy may be paths of files, whose code then runs (default false). */
  readonly allowCode?: boolean
}

export interface TrainProgress {
  readonly step: number
  readonly steps: number
  /** Exponential mean of the training loss. */
  readonly loss: number
  readonly tokensPerSecond: number
  readonly secondsLeft: number
  readonly activation: string
}

export interface TrainedRun {
  readonly model: Llama
  readonly strategy: Strategy
  /** The final checkpoint. */
  readonly checkpoint: string
  readonly evaluations: Evaluation[]
  readonly curve: { step: number; loss: number }[]
  /** Seconds of training, over all sessions, measurements and checkpoints not counted. */
  readonly trainSeconds: number
}

/**
 * Trains, or goes on with, one model. Throws CorpusError, TokenizerError, OptionError (RUN_DIFFERS: the directory
 * holds a run with other options), TrainingError (LOSS_NOT_FINITE, INTERRUPTED), CheckpointError, StorageError; the
 * last good checkpoint then stands in the directory.
 */
export async function train(run: TrainRun): Promise<TrainedRun> {
  const { directory, training, data } = run
  loadActivationFiles(run.strategy, run.allowCode)
  const kernels = run.kernels ?? defaultKernels()
  if (run.kernels === undefined) warnWithoutAddon()
  const strategy = makeStrategy(run.strategy, training.steps)
  const config = modelConfig(run.model, training.context, data.tokenizer.vocabSize, strategy)
  checkData(data, training, config)
  openRun(run, config)

  const { model, step: firstStep, ...resumed } = restoreRun(directory, config, training.seed)
  const stepper = new TrainingStep(kernels, model, training)
  resumed.loadMoments?.(stepper)
  let { trainSeconds } = resumed
  const log = new MetricsLog(path.join(directory, 'metrics.jsonl'), firstStep)
  const evaluator = new Evaluator(kernels)
  const heldOut = { tokens: data.validation, byteLengths: tokenByteLengths(data.tokenizer) }

  const evaluate = (step: number): void => {
    const evaluation = evaluator.run(model, heldOut, {
      activation: strategy.activationAt(step),
      step,
      context: training.context,
      batchSize: training.batchSize,
      maxTokens: training.evalTokens,
      seed: training.seed,
    })
    log.append({ kind: 'evaluation', ...evaluation })
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
    const { loss, gradNorm } = stepper.run(step, learningRate, activation, batches)
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) throw diverged(step, loss, saved, directory)
    const seconds = (performance.now() - started) / 1000
    trainSeconds += seconds
    log.append({ kind: 'step', step, loss, learningRate, gradNorm, activation: activation.spec, seconds })

    if (step % training.evalEvery === 0 || step === training.steps || step === strategy.switchStep)
      evaluate(step)
    const interrupted = run.signal?.aborted === true && step < training.steps
    if (step % training.checkpointEvery === 0 || step === training.steps || interrupted) {
      saveRun(run, config, stepper, { step, trainSeconds })
      saved = step
    }
    if (interrupted) throw interruption(step, directory)

    meanLoss = Number.isNaN(meanLoss) ? loss : 0.95 * meanLoss + 0.05 * loss
    run.onProgress?.({
      step,
      steps: training.steps,
      loss: meanLoss,
      tokensPerSecond: tokensPerStep / seconds,
      secondsLeft: (trainSeconds / step) * (training.steps - step),
      activation: activation.spec,
    })
    // Lets signals and timers in: the kernels run on this thread.
    await nextTurn()
  }
  return {
    model,
    strategy,
    checkpoint: path.join(directory, `checkpoint-${training.steps}`),
    evaluations: log.evaluations,
    curve: log.curve(),
    trainSeconds,
  }
}

function modelConfig(
  model: ModelOptions,
  context: number,
  vocabSize: number,
  strategy: Strategy,
): ModelConfig {
  const { spec } = strategy.inference
  const others = strategy.activations.filter(act => act.learned.length > 0 && act.spec !== spec)
  return {
    ...model,
    numKeyValueHeads: model.numKeyValueHeads ?? model.numAttentionHeads,
    vocabSize,
    maxPositionEmbeddings: context,
    activation: spec,
    ...(others.length > 0 && { trainedActivations: others.map(act => act.spec) }),
  }
}

function checkData(data: TrainingData, training: TrainingOptions, config: ModelConfig): void {
  requireOneContext(data.train, training.context, 'training')
  requireOneContext(data.validation, training.context, 'validation')
  requireTokensFit(data.train, config.vocabSize)
  requireTokensFit(data.validation, config.vocabSize)
}

function diverged(step: number, loss: number, saved: number, directory: string): TrainingError {
  const what = Number.isFinite(loss) ? 'the gradient' : `the loss (${loss})`
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

function interruption(step: number, directory: string): TrainingError {
  return new TrainingError(
    'INTERRUPTED',
    `interrupted after step ${step}; saved in ${directory}. Run the same command again to go on.`,
    { exitCode: 130 },
  )
}

// A run's directory: options.json (what decides its bits), metrics.jsonl, and the latest checkpoint-STEP/.

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import type { TokenIds } from '../data/tokens.js'
import { OptionError } from '../errors.js'
import {
  clearRunCheckpoints,
  latestRunCheckpoint,
  readCheckpoint,
  readTrainingState,
  saveRunCheckpoint,
  writeFileAtomic,
} from '../formats/index.js'
import type { ModelConfig } from '../nn/config.js'
import { Llama } from '../nn/llama.js'
import { parameterShapes } from '../nn/parameters.js'
import type { TrainingStep } from './step.js'
import type { TrainRun } from './trainer.js'

const stateSchema = z.object({ step: z.int().min(0), trainSeconds: z.number().min(0) })
export type TrainerState = z.infer<typeof stateSchema>

/** What decides the bits of a run: two runs with the same fingerprint may follow each other in one directory. */
function fingerprint(run: TrainRun, config: ModelConfig): object {
  const { evalEvery, evalTokens, checkpointEvery, ...training } = run.training
  return {
    model: config,
    strategy: run.strategy,
    training,
    data: { train: digest(run.data.train), validation: digest(run.data.validation) },
  }
}

/** Makes the run's directory, or checks that the run in it is this one. */
export function openRun(run: TrainRun, config: ModelConfig): void {
  const file = path.join(run.directory, 'options.json')
  const options = JSON.stringify(fingerprint(run, config), null, 2)
  if (run.fresh === true && fs.existsSync(run.directory)) {
    clearRunCheckpoints(run.directory)
    for (const name of ['options.json', 'metrics.jsonl'])
      fs.rmSync(path.join(run.directory, name), { force: true })
  }
  if (fs.existsSync(file)) {
    const difference = firstDifference(JSON.parse(fs.readFileSync(file, 'utf8')), JSON.parse(options))
    if (difference === null) return
    throw new OptionError(
      'RUN_DIFFERS',
      `${run.directory} holds a run with other options (${difference}); choose another directory, or start over with --fresh`,
    )
  }
  fs.mkdirSync(run.directory, { recursive: true })
  writeFileAtomic(file, options)
}

/** `training.steps: 100 there, 200 now`, or null when both are equal. */
function firstDifference(before: unknown, now: unknown, at = ''): string | null {
  if (isObject(before) && isObject(now)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(now)])) {
      const difference = firstDifference(before[key], now[key], at === '' ? key : `${at}.${key}`)
      if (difference !== null) return difference
    }
    return null
  }
  return before === now ? null : `${at}: ${JSON.stringify(before)} there, ${JSON.stringify(now)} now`
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

export interface RestoredRun {
  readonly model: Llama
  readonly step: number
  readonly trainSeconds: number
  readonly loadMoments?: (step: TrainingStep) => void
}

/** The model as the latest checkpoint has it, or a new one. */
export function restoreRun(directory: string, config: ModelConfig, seed: number): RestoredRun {
  const latest = latestRunCheckpoint(directory)
  if (latest === null) return { model: Llama.initialize(config, seed), step: 0, trainSeconds: 0 }
  const checkpoint = readCheckpoint(latest.dir)
  const model = Llama.from(config, name => checkpoint.tensor(name))
  checkpoint.close()
  const stored = readTrainingState(latest.dir, stateSchema, parameterShapes(config))
  return {
    model,
    ...stored.state,
    loadMoments: step => {
      for (const [name, { m, v }] of step.optimizer.moments) {
        const { first, second } = stored.moments(name)
        m.set(first)
        v.set(second)
      }
      stored.close()
    },
  }
}

/** Saves weights, moments and state of one step together, then removes the checkpoint before. */
export function saveRun(
  run: TrainRun,
  config: ModelConfig,
  stepper: TrainingStep,
  state: TrainerState,
): void {
  const { parameters } = stepper.model
  saveRunCheckpoint(run.directory, state.step, {
    config,
    tensors: [...parameters].map(([name, { shape, data }]) => ({ name, shape, data: data as Float32Array })),
    tokenizer: run.data.tokenizer.toJSON(),
    flicker: { strategy: run.strategy, training: run.training, step: state.step },
    optimizer: [...stepper.optimizer.moments].map(([name, { m, v }]) => ({
      name,
      shape: parameters.get(name)?.shape ?? [],
      first: m as Float32Array,
      second: v as Float32Array,
    })),
    state,
  })
}

function digest(tokens: TokenIds): string {
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength)
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16)
}

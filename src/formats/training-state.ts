// Training checkpoints: a Hugging Face directory with the optimizer's moments (optimizer.safetensors) and the
// trainer's own state (trainer_state.json) beside the weights, renamed into place together, so that the three are
// always of one step. A run keeps them as `RUN/checkpoint-STEP/`.

import fs from 'node:fs'
import path from 'node:path'
import type { z } from 'zod'
import { CheckpointError, StorageError } from '../errors.js'
import { completeDirectories, removeDirectoryAtomic, resolveDirectory } from './atomic.js'
import {
  type CheckpointContent,
  jsonText,
  OPTIMIZER_FILE,
  TRAINER_STATE_FILE,
  WEIGHTS_FILE,
  writeCheckpoint,
} from './huggingface/index.js'
import { readJsonFile } from './json.js'
import { checkShape, type NamedTensor, openSafetensors, quoted, type TensorSpec } from './safetensors.js'
import { statOrNull, storageError } from './storage.js'

/** What a checkpoint of a run consists of; a tokenizer beside it is another matter. */
const RUN_FILES = ['config.json', WEIGHTS_FILE, OPTIMIZER_FILE, TRAINER_STATE_FILE]
const CHECKPOINT_NAME = /^checkpoint-(0|[1-9]\d*)$/

/** The first and second moments that Adam keeps for one parameter, of the parameter's shape. */
export interface Moments extends TensorSpec {
  readonly first: Float32Array
  readonly second: Float32Array
}

export interface RunCheckpointContent extends CheckpointContent {
  optimizer: Iterable<Moments>
  /** Whatever the trainer needs to resume; must survive JSON (no NaN, no undefined). */
  state: object
}

export interface TrainingState<State> {
  readonly state: State
  /** Moments of one parameter. Throws CheckpointError. */
  moments(name: string): { first: Float32Array; second: Float32Array }
  close(): void
}

/**
 * Saves `runDirectory`/checkpoint-STEP, then removes older ones until `keep` are left. A kill at any moment leaves
 * a complete latest one. Throws StorageError, CHECKPOINT_AHEAD when the run already has a later step (start over
 * with clearRunCheckpoints), and what writeCheckpoint throws.
 */
export function saveRunCheckpoint(
  runDirectory: string,
  step: number,
  content: RunCheckpointContent,
  options: { keep?: number } = {},
): void {
  const latest = latestRunCheckpoint(runDirectory)
  if (latest !== null && latest.step > step) {
    throw new StorageError(
      'CHECKPOINT_AHEAD',
      `${runDirectory} already has step ${latest.step}, so step ${step} would never be resumed from; ` +
        'resume from it, or remove it to start over',
    )
  }
  writeTrainingCheckpoint(path.join(runDirectory, `checkpoint-${step}`), content)
  for (const { dir } of runCheckpoints(runDirectory).slice(options.keep ?? 1)) {
    removeDirectoryAtomic(dir)
  }
}

/**
 * Writes one training checkpoint to `directory`, whole or not at all. Throws StorageError, and what writeCheckpoint
 * throws.
 */
export function writeTrainingCheckpoint(directory: string, content: RunCheckpointContent): void {
  const { optimizer, state, files, ...checkpoint } = content
  const moments: NamedTensor[] = []
  for (const { name, shape, first, second } of optimizer) {
    const [firstName, secondName] = momentNames(name)
    moments.push({ name: firstName, shape, data: first }, { name: secondName, shape, data: second })
  }
  writeCheckpoint(directory, {
    ...checkpoint,
    files: { ...files, [OPTIMIZER_FILE]: moments, [TRAINER_STATE_FILE]: jsonText(state) },
  })
}

/** The newest complete checkpoint of a run, or null when it has none. */
export function latestRunCheckpoint(runDirectory: string): { dir: string; step: number } | null {
  return runCheckpoints(runDirectory)[0] ?? null
}

export interface IncompleteCheckpoint {
  readonly dir: string
  readonly step: number
  /** Names of the files that are not there, e.g. `optimizer.safetensors`. */
  readonly missing: readonly string[]
}

/**
 * Checkpoints of a run that have some of their files and lack others, newest first: the run cannot resume from them,
 * but they may hold its weights.
 */
export function incompleteRunCheckpoints(runDirectory: string): IncompleteCheckpoint[] {
  return checkpointDirectories(runDirectory).filter(
    ({ missing }) => missing.length > 0 && missing.length < RUN_FILES.length,
  )
}

/** Removes all checkpoints of a run, incomplete ones too, the oldest first: for starting over. */
export function clearRunCheckpoints(runDirectory: string): void {
  for (const { dir, missing } of checkpointDirectories(runDirectory).reverse()) {
    if (missing.length < RUN_FILES.length) removeDirectoryAtomic(dir)
  }
}

/**
 * The trainer's side of a checkpoint: its state, checked by `schema`, and the moments of `parameters`, each present
 * with the right shape. Close it when done. Throws CheckpointError: CHECKPOINT_MISSING, TRAINER_STATE_INVALID,
 * TENSOR_MISSING, TENSOR_SHAPE, and what openSafetensors throws.
 */
export function readTrainingState<State>(
  directory: string,
  schema: z.ZodType<State>,
  parameters: readonly TensorSpec[],
): TrainingState<State> {
  const resolved = resolveDirectory(directory)
  if (resolved === null) {
    throw new CheckpointError('CHECKPOINT_MISSING', `there is no checkpoint directory ${directory}`)
  }
  const state = readJsonFile(path.join(resolved, TRAINER_STATE_FILE), schema, 'TRAINER_STATE_INVALID')
  const file = path.join(resolved, OPTIMIZER_FILE)
  const source = openSafetensors(file)
  try {
    for (const { name, shape } of parameters) {
      for (const momentName of momentNames(name)) {
        checkShape(momentName, shape, source.info(momentName).shape, `in ${file} it`)
      }
    }
    if (source.names.length !== 2 * parameters.length) {
      const expected = new Set(parameters.flatMap(({ name }) => momentNames(name)))
      const unknown = source.names.find(name => !expected.has(name))
      throw new CheckpointError(
        'TENSOR_UNKNOWN',
        `${file}: ${quoted(unknown ?? '')} belongs to no parameter of this model`,
      )
    }
  } catch (error) {
    source.close()
    throw error
  }
  return {
    state,
    moments(name) {
      const [first, second] = momentNames(name)
      return { first: source.readFloat32(first), second: source.readFloat32(second) }
    },
    close() {
      source.close()
    },
  }
}

/** The complete checkpoints of a run, newest first: a copy from elsewhere may have stopped half-way. */
export function runCheckpoints(runDirectory: string): { dir: string; step: number }[] {
  return checkpointDirectories(runDirectory).flatMap(({ dir, step, missing }) =>
    missing.length === 0 ? [{ dir, step }] : [],
  )
}

/** Every `checkpoint-STEP` of a run, newest first. */
function checkpointDirectories(runDirectory: string): IncompleteCheckpoint[] {
  if (statOrNull(runDirectory)?.isDirectory() !== true) return []
  let names: string[]
  try {
    names = completeDirectories(runDirectory)
  } catch (cause) {
    throw storageError(cause, runDirectory, 0)
  }
  return names
    .flatMap(name => {
      const match = CHECKPOINT_NAME.exec(name)
      const dir = match === null ? null : resolveDirectory(path.join(runDirectory, name))
      if (match === null || dir === null) return []
      const missing = RUN_FILES.filter(file => !fs.existsSync(path.join(dir, file)))
      return [{ dir, step: Number(match[1]), missing }]
    })
    .sort((a, b) => b.step - a.step)
}

/** What PyTorch's Adam calls the two moments of a parameter. */
function momentNames(parameter: string): [first: string, second: string] {
  return [`${parameter}.exp_avg`, `${parameter}.exp_avg_sq`]
}

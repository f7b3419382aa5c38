// The smallest real model, its tensors filled so that they tell which save they are from.

import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { z } from 'zod'
import type { CheckpointContent, NamedTensor, RunCheckpointContent } from '../../src/formats/index.js'
import { readCheckpoint, readTrainingState } from '../../src/formats/index.js'
import type { ModelConfig } from '../../src/nn/config.js'
import { parameterShapes } from '../../src/nn/parameters.js'

export const tinyConfig: ModelConfig = {
  vocabSize: 11,
  hiddenSize: 8,
  intermediateSize: 12,
  numHiddenLayers: 1,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  maxPositionEmbeddings: 32,
  rmsNormEps: 1e-5,
  ropeTheta: 10_000,
  tieWordEmbeddings: true,
  ffn: 'gated',
  activation: 'silu',
}

/** So many parameters have moments in a training checkpoint; the rest are frozen. */
export const trainedTensors = 3

const stateSchema = z.object({ step: z.number() })

export function product(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1)
}

/** Tensors of `config` whose every value is `value`. */
export function filledTensors(config: ModelConfig, value: number): NamedTensor[] {
  return parameterShapes(config).map(({ name, shape }) => ({
    name,
    shape,
    data: new Float32Array(product(shape)).fill(value),
  }))
}

/** Tensors of `config` with values in [-1, 1) that differ from tensor to tensor. */
export function variedTensors(config: ModelConfig): NamedTensor[] {
  return parameterShapes(config).map(({ name, shape }, t) => ({
    name,
    shape,
    data: Float32Array.from({ length: product(shape) }, (_, i) => Math.sin(1 + 31 * t + i)),
  }))
}

export function contentOf(config: ModelConfig, more: Partial<CheckpointContent> = {}): CheckpointContent {
  return { config, tensors: variedTensors(config), ...more }
}

/** A training checkpoint in which weights, both moments and the state all carry the number `step`. */
export function contentOfStep(step: number, config = tinyConfig): RunCheckpointContent {
  return {
    config,
    tensors: filledTensors(config, step),
    optimizer: filledTensors(config, step)
      .slice(0, trainedTensors)
      .map(({ name, shape, data }) => ({
        name,
        shape,
        first: data,
        second: data,
      })),
    state: { step },
  }
}

/** The step that a training checkpoint is of; throws unless every number in it agrees. */
export function stepOf(dir: string, config = tinyConfig): number {
  const shapes = parameterShapes(config)
  const checkpoint = readCheckpoint(dir)
  const training = readTrainingState(dir, stateSchema, shapes.slice(0, trainedTensors))
  const { step } = training.state
  const tensors = shapes.map(({ name }) => checkpoint.tensor(name))
  for (const { name } of shapes.slice(0, trainedTensors)) {
    const { first, second } = training.moments(name)
    tensors.push(first, second)
  }
  for (const values of tensors) {
    if (!values.every(value => value === step)) throw new Error(`a tensor is not of step ${step}`)
  }
  checkpoint.close()
  training.close()
  return step
}

export function temporaryDirectory(): string {
  return fs.mkdtempSync(path.join(os.tmpdir(), 'flicker-formats-'))
}

// `flicker bench train`: one optimizer step (forward, backward, AdamW) of two small models, against the arithmetic
// that it needs, and beside the same step in PyTorch when python3 has it.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseActivation } from '../activations/index.js'
import { type Kernels, kernels, measureMachine } from '../kernels/index.js'
import { type MachineInfo, machineInfo } from '../kernels/machine-info.js'
import type { ModelConfig } from '../nn/config.js'
import { Llama } from '../nn/llama.js'
import { median } from '../statistics.js'
import { type Batch, TrainingStep } from '../train/step.js'
import { type KernelTime, WatchedKernels } from './kernel-times.js'

export interface TrainShape {
  hiddenSize: number
  numHiddenLayers: number
  numAttentionHeads: number
  intermediateSize: number
  vocabSize: number
  batchSize: number
  context: number
}

export const TRAIN_SHAPES: readonly TrainShape[] = [
  {
    hiddenSize: 128,
    numHiddenLayers: 4,
    numAttentionHeads: 4,
    intermediateSize: 384,
    vocabSize: 256,
    batchSize: 16,
    context: 128,
  },
  {
    hiddenSize: 256,
    numHiddenLayers: 6,
    numAttentionHeads: 8,
    intermediateSize: 768,
    vocabSize: 512,
    batchSize: 8,
    context: 256,
  },
]

export interface TrainRow {
  shape: TrainShape
  /** Median milliseconds of one step. */
  milliseconds: number
  tokensPerSecond: number
  /** Multiply-adds × 2 of the matrix products and the attention of one step. */
  gigaflops: number
  /** Milliseconds that this arithmetic takes at the measured peak. */
  limitMilliseconds: number
  /** The same step in PyTorch; null when python3 has none. */
  torchMilliseconds: number | null
}

export interface TrainResult {
  machine: MachineInfo
  peakGflops: number
  torch: string | null
  rows: TrainRow[]
}

export interface BenchTrainOptions {
  readonly steps?: number
  readonly activation?: string
  /** Run PyTorch too (default true). */
  readonly peers?: boolean
}

export function benchTrain({
  steps = 30,
  activation = 'silu',
  peers = true,
}: BenchTrainOptions = {}): TrainResult {
  const { backend, isa } = kernels()
  const peak = backend === 'native' ? measureMachine(isa).flops : Number.NaN
  const torch = peers ? findTorch() : null
  const rows = TRAIN_SHAPES.map(shape => {
    const milliseconds = stepMilliseconds(shape, activation, steps)
    const flops = stepFlops(shape)
    return {
      shape,
      milliseconds,
      tokensPerSecond: (shape.batchSize * shape.context * 1000) / milliseconds,
      gigaflops: flops / 1e9,
      limitMilliseconds: (flops / peak) * 1000,
      torchMilliseconds: torch === null ? null : torchMilliseconds(torch.python, shape),
    }
  })
  return { machine: machineInfo(), peakGflops: peak / 1e9, torch: torch?.version ?? null, rows }
}

/** A step of a new model on random tokens, ready to be run. */
export function trainingStepFor(
  shape: TrainShape,
  activation: string,
  using: Kernels = kernels(),
): (step: number) => number {
  const { batchSize, context, vocabSize } = shape
  const config: ModelConfig = {
    ...shape,
    numKeyValueHeads: shape.numAttentionHeads,
    maxPositionEmbeddings: context,
    rmsNormEps: 1e-5,
    ropeTheta: 10_000,
    tieWordEmbeddings: true,
    ffn: 'gated',
    activation,
  }
  const stepper = new TrainingStep(using, Llama.initialize(config, 1), {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weightDecay: 0.1,
    clip: 1,
    seed: 1,
  })
  const act = parseActivation(activation)
  const tokens = Int32Array.from(
    { length: batchSize * context + 1 },
    (_, i) => (i * 7919 + (i >> 3)) % vocabSize,
  )
  const batch: Batch = { inputs: tokens.slice(0, -1), targets: tokens.slice(1), seq: context }
  return step => stepper.run(step, 1e-3, act, [batch]).loss
}

/** Time per kernel of one step of every shape, the mean of `steps`. */
export function profileTrain({ steps = 20, activation = 'silu' }: BenchTrainOptions = {}): {
  machine: MachineInfo
  rows: { shape: TrainShape; millisecondsPerStep: number; kernels: KernelTime[] }[]
} {
  const rows = TRAIN_SHAPES.map(shape => {
    const watched = new WatchedKernels(kernels())
    const run = trainingStepFor(shape, activation, watched.kernels)
    for (let step = 1; step <= 5; step++) run(step)
    watched.reset()
    const started = performance.now()
    for (let i = 0; i < steps; i++) run(6 + i)
    return {
      shape,
      millisecondsPerStep: (performance.now() - started) / steps,
      kernels: watched.times(steps),
    }
  })
  return { machine: machineInfo(), rows }
}

function stepMilliseconds(shape: TrainShape, activation: string, steps: number): number {
  const run = trainingStepFor(shape, activation)
  for (let step = 1; step <= 5; step++) run(step)
  return median(
    Array.from({ length: steps }, (_, i) => {
      const start = performance.now()
      run(6 + i)
      return performance.now() - start
    }),
  )
}

/** 6 per weight and token for the linear layers; attention's four products forward, ten backward, half of them causal. */
export function stepFlops(shape: TrainShape): number {
  const { hiddenSize: d, intermediateSize: h, numHiddenLayers: layers, vocabSize, batchSize, context } = shape
  const tokens = batchSize * context
  const weights = layers * (4 * d * d + 3 * d * h) + vocabSize * d
  const attention = layers * batchSize * context * context * d * (2 + 5)
  return 6 * weights * tokens + attention
}

const script = fileURLToPath(new URL('../../bench/peers/torch_step.py', import.meta.url))
// Debian's OpenBLAS picks a slow core for some processors unless told.
const environment = { ...process.env, OPENBLAS_CORETYPE: process.env.OPENBLAS_CORETYPE ?? 'SkylakeX' }

/** The first Python that has PyTorch: FLICKER_PYTHON, python3, or the system's own behind a version manager. */
function findTorch(): { python: string; version: string } | null {
  if (!existsSync(script)) return null
  for (const python of [process.env.FLICKER_PYTHON, 'python3', '/usr/bin/python3']) {
    if (python === undefined) continue
    const { status, stdout } = spawnSync(python, ['-c', 'import torch; print(torch.__version__)'], {
      env: environment,
    })
    if (status === 0) return { python, version: stdout.toString().trim() }
  }
  return null
}

function torchMilliseconds(python: string, shape: TrainShape): number {
  const { status, stdout, stderr } = spawnSync(python, [script, JSON.stringify(shape)], {
    env: environment,
  })
  if (status !== 0) throw new Error(`bench/peers/torch_step.py failed: ${stderr.toString().slice(-500)}`)
  return (JSON.parse(stdout.toString()) as { milliseconds: number }).milliseconds
}

// `flicker bench train`: one optimizer step (forward, backward, AdamW) of two small models, against the arithmetic
// that it needs, and beside the same step in PyTorch when python3 has it: both alternately, compared by the ratio within
// each pair (paired-measurement.ts).

import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseActivation } from '../activations/index.js'
import { type Kernels, kernels, measureMachine } from '../kernels/index.js'
import { type MachineInfo, machineInfo } from '../kernels/machine-info.js'
import type { ModelConfig } from '../nn/config.js'
import { Llama } from '../nn/llama.js'
import {
  alternatingOrder,
  comparePaired,
  type MedianInterval,
  medianInterval,
} from '../paired-measurement.js'
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
  /** Milliseconds of one step: the median, and the interval of that. */
  milliseconds: MedianInterval
  tokensPerSecond: number
  /** Multiply-adds × 2 of the matrix products and the attention of one step. */
  gigaflops: number
  /** Milliseconds that this arithmetic takes at the measured peak. */
  limitMilliseconds: number
  /** The same step in PyTorch, and our rate over its, pair by pair; null when python3 has none. */
  torch: { milliseconds: number; ratio: MedianInterval } | null
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

/** Steps of one side before the other runs: what the other left in the caches counts little. */
const STEPS_AT_ONCE = 5

export async function benchTrain({
  steps = 30,
  activation = 'silu',
  peers = true,
}: BenchTrainOptions = {}): Promise<TrainResult> {
  const { backend, isa } = kernels()
  const peak = backend === 'native' ? measureMachine(isa).flops : Number.NaN
  const torch = peers ? findTorch() : null
  const rows: TrainRow[] = []
  for (const shape of TRAIN_SHAPES) {
    const times: number[] = []
    const timedStep = timedStepOf(shape, activation)
    let beside: TrainRow['torch'] = null
    if (torch === null) for (let i = 0; i < steps; i++) times.push(timedStep())
    else {
      beside = await besidePeer([torch.python, script], shape, Math.ceil(steps / STEPS_AT_ONCE), () => {
        const some = Array.from({ length: STEPS_AT_ONCE }, timedStep)
        times.push(...some)
        return median(some)
      })
    }
    const milliseconds = medianInterval(times)
    const flops = stepFlops(shape)
    rows.push({
      shape,
      milliseconds,
      tokensPerSecond: (shape.batchSize * shape.context * 1000) / milliseconds.median,
      gigaflops: flops / 1e9,
      limitMilliseconds: (flops / peak) * 1000,
      torch: beside,
    })
  }
  return { machine: machineInfo(), peakGflops: peak / 1e9, torch: torch?.version ?? null, rows }
}

/** A step of a new model on random tokens, ready to be run. */
export function trainingStepFor(
  shape: TrainShape,
  activation: string,
  using: Kernels = kernels(),
  { sparseProductsBelow, lr = 1e-3 }: { sparseProductsBelow?: number; lr?: number } = {},
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
    sparseProductsBelow,
  })
  const act = parseActivation(activation)
  const tokens = Int32Array.from(
    { length: batchSize * context + 1 },
    (_, i) => (i * 7919 + (i >> 3)) % vocabSize,
  )
  const batch: Batch = { inputs: tokens.slice(0, -1), targets: tokens.slice(1), seq: context }
  return step => stepper.run(step, lr, act, [batch]).loss
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

/** Steps of each, alternately, after `warmUp` that are not counted: their milliseconds, and the loss of the last. */
export function stepAlternately(
  runs: readonly ((step: number) => number)[],
  steps: number,
  warmUp: number,
): { milliseconds: number[]; loss: number }[] {
  const results = runs.map(() => ({ milliseconds: [] as number[], loss: Number.NaN }))
  for (let i = 0; i < warmUp + steps; i++) {
    for (const which of alternatingOrder(runs.length, i)) {
      const started = performance.now()
      results[which].loss = runs[which](1 + i)
      if (i >= warmUp) results[which].milliseconds.push(performance.now() - started)
    }
  }
  return results
}

/** Runs one step and returns its milliseconds; the first five, which are not counted, are behind it. */
function timedStepOf(shape: TrainShape, activation: string): () => number {
  const run = trainingStepFor(shape, activation)
  let step = 0
  while (step < 5) run(++step)
  return () => {
    const start = performance.now()
    run(++step)
    return performance.now() - start
  }
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

/**
 * Our steps and another program's alternately, each pair in the opposite order of the one before. The program is told the
 * shape as JSON in its last argument; for every line on stdin it answers a line {"milliseconds": median of some steps}.
 */
export async function besidePeer(
  [command, ...args]: readonly string[],
  shape: TrainShape,
  pairs: number,
  ours: () => number,
): Promise<{ milliseconds: number; ratio: MedianInterval }> {
  const stdio = ['pipe', 'pipe', 'inherit'] as const
  const peer = spawn(command, [...args, JSON.stringify(shape)], { env: environment, stdio: [...stdio] })
  const closed = new Promise<never>((_, reject) => {
    peer.on('error', reject)
    peer.on('close', code =>
      reject(new Error(`${[command, ...args].join(' ')} ended with exit code ${code}`)),
    )
  })
  closed.catch(() => {})
  // Writing to a program that has ended: `closed` says so.
  peer.stdin.on('error', () => {})
  const answers = createInterface(peer.stdout)[Symbol.asyncIterator]()
  const theirs = async () => {
    peer.stdin.write('\n')
    const answer = await Promise.race([answers.next(), closed])
    // The end of its output comes before the news of its end.
    if (answer.done === true) return closed
    return 1 / (JSON.parse(answer.value) as { milliseconds: number }).milliseconds
  }
  try {
    const compared = await comparePaired(theirs, async () => 1 / ours(), { warmUp: 1, pairs })
    return { milliseconds: 1 / compared.first, ratio: compared.ratio }
  } finally {
    peer.stdin.end()
    peer.kill()
  }
}

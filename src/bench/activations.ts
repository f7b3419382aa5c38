// `flicker bench activations`: every activation over arrays beyond the caches against a plain copy of the same run, and
// a training step with it against the same step with SiLU.

import { listActivations, parseActivation, startParameters } from '../activations/index.js'
import { collectedFloats, kernels, setThreads } from '../kernels/index.js'
import { type MachineInfo, machineInfo } from '../kernels/machine-info.js'
import { Purpose, seedWords } from '../kernels/philox.js'
import { median } from '../statistics.js'
import { type TrainShape, trainingStepFor } from './train.js'

export interface ActivationRow {
  activation: string
  fused: boolean
  /** Bytes read and written per second by y = f(x), threads = 1. */
  forwardGigabytesPerSecond: number
  /** Against the copy of the same round. */
  fractionOfCopy: number
  /** Bytes of x, dY and dX per second in the backward pass. */
  backwardGigabytesPerSecond: number
  /** Median over steps that alternate with SiLU's; null when `steps` is 0. */
  stepAgainstSilu: number | null
}

export interface ActivationsResult {
  machine: MachineInfo
  /** Megabytes of one array. */
  megabytes: number
  /** y = x by the runtime's own copy of memory, one thread; the median of all rounds. */
  copyGigabytesPerSecond: number
  rows: ActivationRow[]
}

export interface BenchActivationsOptions {
  /** Entries as typed; the whole catalog by default. */
  readonly activations?: readonly string[]
  /** Numbers per array, in millions. */
  readonly millions?: number
  readonly rounds?: number
  /** Steps of a small model per entry; 0 leaves them out. */
  readonly steps?: number
}

const WIDTH = 4096
const STEP_SHAPE: TrainShape = {
  hiddenSize: 128,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  intermediateSize: 384,
  vocabSize: 256,
  batchSize: 16,
  context: 128,
}

export function benchActivations(options: BenchActivationsOptions = {}): ActivationsResult {
  const { millions = 16, rounds = 9, steps = 0 } = options
  const specs = options.activations ?? listActivations().map(({ spec }) => spec)
  const rows = Math.max(1, Math.round((millions * 1e6) / WIDTH))
  const size = rows * WIDTH
  const [x, y, dY] = [0, 1, 2].map(() => collectedFloats(size))
  for (let i = 0; i < size; i++) {
    x[i] = (((i * 2654435761) >>> 8) / 2 ** 24) * 8 - 4
    dY[i] = 1
  }
  const machine = machineInfo()
  const using = kernels()
  if (using.backend === 'native') setThreads(1)
  const [seedLow, seedHigh] = seedWords(1)
  const draw = { seedLow, seedHigh, purpose: Purpose.activation, step: 1, layer: 0, firstRow: 0 }
  const copies: number[] = []
  const measured = specs.map(spec => {
    const act = parseActivation(spec)
    const parameters = Float32Array.from(startParameters(act, WIDTH))
    const gradients = new Float32Array(parameters.length)
    const forward = () => using.activation(act, x, y, rows, WIDTH, draw, parameters)
    const backward = () => using.activationBackward(act, dY, x, y, rows, WIDTH, draw, parameters, gradients)
    const times = { copy: [] as number[], forward: [] as number[], backward: [] as number[] }
    forward()
    for (let round = 0; round < rounds; round++) {
      times.copy.push(seconds(() => y.set(x)))
      times.forward.push(seconds(forward))
      times.backward.push(seconds(backward))
    }
    copies.push(...times.copy)
    const rate = (bytes: number, taken: readonly number[]) => bytes / median(taken) / 1e9
    return {
      activation: act.spec,
      fused: (act.fused ?? act.fusedRows) !== undefined,
      forwardGigabytesPerSecond: rate(8 * size, times.forward),
      fractionOfCopy: median(times.copy) / median(times.forward),
      backwardGigabytesPerSecond: rate(12 * size, times.backward),
    }
  })
  if (using.backend === 'native') setThreads(machine.threads)
  return {
    machine,
    megabytes: (size * 4) / 1e6,
    copyGigabytesPerSecond: (8 * size) / median(copies) / 1e9,
    rows: measured.map(row => ({
      ...row,
      stepAgainstSilu: steps === 0 ? null : stepRatio(row.activation, steps),
    })),
  }
}

/** Milliseconds of a step with `activation` over those of a step with SiLU, taken in turn. */
function stepRatio(activation: string, steps: number): number {
  const [mine, silu] = [trainingStepFor(STEP_SHAPE, activation), trainingStepFor(STEP_SHAPE, 'silu')]
  const ratios: number[] = []
  for (let step = 1; step <= steps + 2; step++) {
    const ours = seconds(() => mine(step))
    const theirs = seconds(() => silu(step))
    if (step > 2) ratios.push(ours / theirs)
  }
  return median(ratios)
}

function seconds(work: () => void): number {
  const start = performance.now()
  work()
  return (performance.now() - start) / 1000
}

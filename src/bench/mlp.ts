// `flicker bench mlp`: the lab's speed. Training steps per second of the blog's network on one thread, its whole
// experiment, and the made-up data beside scikit-learn's when python3 has it.

import { spawnSync } from 'node:child_process'
import { parseActivation } from '../activations/index.js'
import { kernels, measureMachine, setThreads } from '../kernels/index.js'
import { type MachineInfo, machineInfo } from '../kernels/machine-info.js'
import { Purpose } from '../kernels/philox.js'
import { createNetwork } from '../lab/create-network.js'
import { makeClassification } from '../lab/data/index.js'
import { initialParameters, networkLayout, shuffleForEpoch, stackWidths } from '../lab/layout.js'
import { optimizer } from '../lab/optimizer.js'
import { BLOG_ACTIVATIONS } from '../lab/options.js'
import { runLab } from '../lab/run-lab.js'
import { median } from '../statistics.js'
import { medianSeconds } from './measure.js'

/** What the lab is held to: steps with SiLU, and the whole experiment on two cores. */
export const MLP_TARGETS = { stepsPerSecond: 18_000, experimentSeconds: 25 } as const

const SHAPE = { features: 30, classes: 2, nLayers: 4, bottleneck: 4 }
const BATCH = 128
const SAMPLES = 4000

export interface MlpStepRow {
  activation: string
  stepsPerSecond: number
  microseconds: number
  /** Microseconds that the multiply-adds of the linear layers take at the measured peak of one thread. */
  limitMicroseconds: number
}

export interface MlpResult {
  machine: MachineInfo
  network: string
  batchSize: number
  targets: typeof MLP_TARGETS
  steps: MlpStepRow[]
  /** 5 activations × 10 runs × 100 epochs; null when left out. */
  experiment: { seconds: number; workers: number } | null
  makeClassification: {
    samples: number
    features: number
    milliseconds: number
    /** The same in scikit-learn; null when python3 has none. */
    sklearnMilliseconds: number | null
  }
}

export interface BenchMlpOptions {
  /** Epochs of 31 steps per timing. */
  readonly epochs?: number
  /** Run the whole experiment too (default true). */
  readonly experiment?: boolean
  /** Run scikit-learn too (default true). */
  readonly peers?: boolean
}

export async function benchMlp({
  epochs = 60,
  experiment = true,
  peers = true,
}: BenchMlpOptions = {}): Promise<MlpResult> {
  const machine = machineInfo()
  const { backend, isa } = kernels()
  setThreads(1)
  const peak = backend === 'native' ? measureMachine(isa).flops : Number.NaN
  const steps = BLOG_ACTIVATIONS.map(activation => stepRow(activation, epochs, peak))
  setThreads(machine.threads)
  const widths = stackWidths(SHAPE)
  return {
    machine,
    network: widths.join('→'),
    batchSize: BATCH,
    targets: MLP_TARGETS,
    steps,
    experiment: experiment ? await timeExperiment(machine.cores) : null,
    makeClassification: timeMakeClassification(peers),
  }
}

/** Whole epochs as the lab does them: shuffle, then gradients and an update of Adam for every batch. */
function stepRow(spec: string, epochs: number, peak: number): MlpStepRow {
  const activation = parseActivation(spec)
  const widths = stackWidths(SHAPE)
  const layout = networkLayout(widths, activation)
  const network = createNetwork(layout, activation, initialParameters(layout, activation, 1))
  const update = optimizer(kernels(), network, { optimizer: 'adam', lr: 0.001, weightDecay: 0, momentum: 0 })
  const made = makeClassification({ nSamples: SAMPLES, nFeatures: SHAPE.features, randomState: 42 })
  const data = { x: Float32Array.from(made.x), y: made.y, samples: SAMPLES }
  const order = new Int32Array(SAMPLES)
  const batches = Math.floor(SAMPLES / BATCH)
  let step = 0
  const epoch = () => {
    shuffleForEpoch(order, 1, step)
    for (let batch = 0; batch < batches; batch++) {
      const moment = { activation, seed: 1, purpose: Purpose.activation, step: ++step, dropout: 0 }
      network.learn(data, order, batch * BATCH, BATCH, moment)
      update()
    }
  }
  for (let i = 0; i < 20; i++) epoch()
  const seconds = median(
    Array.from({ length: 7 }, () => {
      const start = performance.now()
      for (let i = 0; i < epochs; i++) epoch()
      return (performance.now() - start) / 1000 / (epochs * batches)
    }),
  )
  const weights = widths.slice(1).reduce((sum, width, i) => sum + width * widths[i], 0)
  return {
    activation: spec,
    stepsPerSecond: 1 / seconds,
    microseconds: seconds * 1e6,
    limitMicroseconds: ((6 * weights * BATCH) / peak) * 1e6,
  }
}

async function timeExperiment(workers: number): Promise<{ seconds: number; workers: number }> {
  const start = performance.now()
  await runLab({ epochs: 100, nRuns: 10, nWorkers: workers })
  return { seconds: (performance.now() - start) / 1000, workers }
}

const SKLEARN = `
import time
from sklearn.datasets import make_classification
times = []
for _ in range(5):
    start = time.perf_counter()
    make_classification(n_samples=100000, n_features=30, random_state=42)
    times.append(time.perf_counter() - start)
print(sorted(times)[2] * 1000)
`

function timeMakeClassification(peers: boolean): MlpResult['makeClassification'] {
  const [nSamples, nFeatures] = [100_000, 30]
  const seconds = medianSeconds(5, () => makeClassification({ nSamples, nFeatures, randomState: 42 }))
  return {
    samples: nSamples,
    features: nFeatures,
    milliseconds: seconds * 1000,
    sklearnMilliseconds: peers ? sklearnMilliseconds() : null,
  }
}

function sklearnMilliseconds(): number | null {
  for (const python of [process.env.FLICKER_PYTHON, 'python3', '/usr/bin/python3']) {
    if (python === undefined) continue
    const { status, stdout } = spawnSync(python, ['-c', SKLEARN])
    if (status === 0) return Number(stdout.toString())
  }
  return null
}

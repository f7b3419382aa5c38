// `flicker bench decode --backend webgpu`: tokens per second of a random model of a given shape on a GPU, dense and sparse
// alternately on the same weights, beside what the device's memory would allow.

import { DeviceModel } from '../engine/device/device-model.js'
import type { DeviceWeights } from '../engine/device/device-weights.js'
import { bytesRead } from '../engine/pass-stats.js'
import type { WeightType } from '../kernels/index.js'
import { Purpose, RandomStream } from '../kernels/philox.js'
import {
  type Bandwidth,
  type DeviceMemory,
  fillRandom,
  type Gpu,
  type GpuOptions,
  type MatrixLayout,
  measureBandwidth,
  openGpu,
  padded,
  type RowRange,
  rangesOf,
} from '../kernels/webgpu/index.js'
import { headDimOf, type ModelConfig } from '../nn/config.js'
import { type MedianInterval, medianInterval } from '../paired-measurement.js'
import { median } from '../statistics.js'
import { normalTable, quantile } from './calibrate-sparsity.js'
import { type KernelTime, profileKernels } from './device-profile.js'
import { type DecodeShape, randomConfig, WEIGHT_STD } from './random-model.js'

export interface DeviceBenchOptions {
  readonly shape: DecodeShape
  readonly dtype: WeightType
  /** Fraction of the neurons that is exactly zero, from 0 to 1. */
  readonly sparsity: number
  /** Tokens measured with each variant. */
  readonly tokens: number
  /** Also measure each kernel alone. */
  readonly profile: boolean
  /** How the device is opened. */
  readonly gpu?: GpuOptions
}

export interface DeviceRow {
  readonly way: 'dense' | 'sparse'
  readonly millisecondsPerToken: number
  readonly tokensPerSecond: number
  readonly bytesPerToken: number
  /** Tokens per second if the weights were read at the rate of a copy and nothing else took time. */
  readonly limitTokensPerSecond: number
  readonly fractionOfLimit: number
}

export interface DeviceBenchResult {
  readonly gpu: string
  readonly subgroups: boolean
  readonly shape: DecodeShape
  readonly dtype: WeightType
  readonly weightBytes: number
  readonly bandwidth: Bandwidth
  readonly zeros: { readonly measured: number; readonly least: number; readonly most: number }
  readonly tokens: number
  readonly rows: readonly DeviceRow[]
  /** Tokens per second sparse over dense, over the pairs. */
  readonly ratio: MedianInterval
  /** Bytes of dense over bytes of sparse. */
  readonly ratioLimit: number
  readonly identical: boolean
  readonly profile: readonly KernelTime[]
}

const START = 16
const WARM_UP = 8
/** Rounds over which layers are brought to the fraction of zeros, and tokens in each. */
const [ROUNDS, ROUND_TOKENS] = [3, 12]

/** Throws what openGpu and DeviceModel throw. */
export async function benchDeviceDecode(options: DeviceBenchOptions): Promise<DeviceBenchResult> {
  const { shape, dtype, tokens, sparsity } = options
  const gpu = await openGpu(options.gpu)
  try {
    const context = START + WARM_UP + tokens + ROUNDS * ROUND_TOKENS + 64
    const threshold = thresholdOf(shape, sparsity)
    const config = randomConfig(shape, threshold, context)
    let weights: DeviceWeights | undefined
    const dense = await DeviceModel.of(config, { ffn: 'dense', gpu }, async memory => {
      weights = await randomDeviceWeights(gpu, memory, config, dtype)
      return weights
    })
    if (weights === undefined) throw new Error('the model has weights')
    const made = weights
    const sparse = await DeviceModel.of(config, { ffn: 'sparse', gpu }, () => made)
    await calibrate(sparse, made, gpu, sparsity)
    const bandwidth = await measureBandwidth(gpu)
    const decoded = await decodeByTurns(dense, sparse, options)
    const limitOf = (bytes: number) => bandwidth.copy / bytes
    const rows = (['dense', 'sparse'] as const).map((way, i): DeviceRow => {
      const [seconds, bytes] = [median(decoded.seconds[i]), median(decoded.bytes[i])]
      return {
        way,
        millisecondsPerToken: 1000 * seconds,
        tokensPerSecond: 1 / seconds,
        bytesPerToken: bytes,
        limitTokensPerSecond: limitOf(bytes),
        fractionOfLimit: 1 / seconds / limitOf(bytes),
      }
    })
    return {
      gpu: gpu.info.name,
      subgroups: gpu.info.subgroups,
      shape,
      dtype,
      weightBytes: weightBytesOf(made),
      bandwidth,
      zeros: decoded.zeros,
      tokens,
      rows,
      ratio: medianInterval(decoded.seconds[0].map((seconds, i) => seconds / decoded.seconds[1][i])),
      ratioLimit: rows[0].bytesPerToken / rows[1].bytesPerToken,
      identical: decoded.identical,
      profile: options.profile ? await profileKernels(gpu, dense, sparse) : [],
    }
  } finally {
    gpu.destroy()
  }
}

/** The threshold of a ReLU that makes this fraction of normally distributed pre-activations 0. */
function thresholdOf({ hiddenSize }: DecodeShape, sparsity: number): number {
  if (sparsity <= 0) return -1000
  if (sparsity >= 1) return 1000
  return Number((quantile(normalTable(), sparsity) * WEIGHT_STD * Math.sqrt(hiddenSize)).toPrecision(6))
}

async function randomDeviceWeights(
  gpu: Gpu,
  memory: DeviceMemory,
  config: ModelConfig,
  type: WeightType,
): Promise<DeviceWeights> {
  const { hiddenSize: d, intermediateSize: h, vocabSize, numAttentionHeads, numKeyValueHeads } = config
  const q = headDimOf(config) * numAttentionHeads
  const all = q + 2 * headDimOf(config) * numKeyValueHeads
  let seed = 1
  const matrix = async (
    rows: number,
    columns: number,
    layout: MatrixLayout = 'rows',
    ranges?: readonly RowRange[],
  ) => {
    const made = memory.allocate(type, { rows, columns }, layout, ranges)
    await fillRandom(gpu, made, columns, seed++)
    return made
  }
  const ones = () => memory.numbers(padded(new Float32Array(d).fill(1)))
  const ranges = rangesOf(h, Math.min(memory.rowsPerPart(type, d), memory.rowsPerPart(type, d, 'tiles')))
  const layers: DeviceWeights['layers'][number][] = []
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    layers.push({
      qkv: [{ matrix: await matrix(all, d), first: 0 }],
      fusesInputNorm: true,
      qkvExtra: ones(),
      output: await matrix(d, q),
      outputExtra: memory.buffer(16),
      norms: { input: null, q: null, k: null, attention: null, ffn: ones(), ffnOutput: null },
      gate: await matrix(h, d, 'rows', ranges),
      router: null,
      up: await matrix(h, d, 'rows', ranges),
      down: await matrix(h, d, 'tiles', ranges),
      gateBias: null,
      downBias: null,
      learned: null,
      dense: false,
      cuts: null,
    })
  }
  const embedding = await matrix(vocabSize, d)
  return {
    embedding,
    layers,
    positions: null,
    norm: ones(),
    layerNorm: null,
    head: config.tieWordEmbeddings ? embedding : await matrix(vocabSize, d),
  }
}

/** Scales the norm before each FFN until its layer has the fraction of zeros. */
async function calibrate(
  model: DeviceModel,
  { layers }: DeviceWeights,
  { device }: Gpu,
  sparsity: number,
): Promise<void> {
  if (sparsity <= 0 || sparsity >= 1) return
  const normal = normalTable()
  const { hiddenSize, intermediateSize, vocabSize } = model.config
  const factors = new Float64Array(layers.length).fill(1)
  const random = new RandomStream({ seed: 2, purpose: Purpose.sampler, stream: 0 })
  const session = model.session()
  for (let round = 0; round < ROUNDS; round++) {
    const active = new Float64Array(layers.length)
    for (let i = 0; i < ROUND_TOKENS; i++) {
      await session.step(random.below(vocabSize))
      for (const [layer, count] of session.activeNeurons.entries()) {
        active[layer] += count / (ROUND_TOKENS * intermediateSize)
      }
    }
    for (const [layer, { norms }] of layers.entries()) {
      if (norms.ffn === null) throw new Error('made with a norm')
      const factor = quantile(normal, 1 - active[layer]) / quantile(normal, sparsity)
      // At a half the threshold is 0, which no spread moves; far off, one step does not reach.
      if (factor > 0 && Number.isFinite(factor)) factors[layer] *= Math.max(0.5, Math.min(2, factor))
      device.queue.writeBuffer(
        norms.ffn,
        0,
        padded(new Float32Array(hiddenSize).fill(factors[layer])).buffer as ArrayBuffer,
      )
    }
  }
  session.dispose()
}

/** Both ways decode the same tokens, each pair in the opposite order of the one before. */
async function decodeByTurns(dense: DeviceModel, sparse: DeviceModel, { tokens, shape }: DeviceBenchOptions) {
  const random = new RandomStream({ seed: 3, purpose: Purpose.sampler, stream: 0 })
  const start = Array.from({ length: START }, () => random.below(shape.vocabSize))
  const sessions = [dense.session(), sparse.session()]
  for (const session of sessions) await session.prefill(start)
  const seconds: number[][] = [[], []]
  const bytes: number[][] = [[], []]
  const active: number[] = []
  let identical = true
  for (let i = 0; i < WARM_UP + tokens; i++) {
    const token = random.below(shape.vocabSize)
    for (const which of i % 2 === 0 ? [0, 1] : [1, 0]) {
      const begin = performance.now()
      await sessions[which].step(token)
      if (i < WARM_UP) continue
      seconds[which].push((performance.now() - begin) / 1000)
      bytes[which].push(bytesRead(sessions[which].stats.pass))
    }
    const [first, second] = sessions.map(({ logits }) => Buffer.from(logits.buffer))
    identical &&= first.equals(second)
    if (i >= WARM_UP)
      for (const count of sessions[1].activeNeurons) active.push(count / shape.intermediateSize)
  }
  const mean = active.reduce((sum, share) => sum + share, 0) / active.length
  return {
    seconds,
    bytes,
    identical,
    zeros: { measured: 1 - mean, least: 1 - Math.max(...active), most: 1 - Math.min(...active) },
  }
}

function weightBytesOf({ embedding, head, layers }: DeviceWeights): number {
  const matrices = layers.flatMap(({ qkv, output, gate, up, down }) => [
    ...qkv.map(({ matrix }) => matrix),
    output,
    gate,
    ...(up === null ? [] : [up]),
    down,
  ])
  return [embedding, ...(head === embedding ? [] : [head]), ...matrices].reduce(
    (sum, { bytes }) => sum + bytes,
    0,
  )
}

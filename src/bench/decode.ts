// `flicker bench decode`: tokens per second of a random model of a given shape, dense and sparse alternately on the same
// weights, each beside what the memory's bandwidth, measured in the same run, would allow. Variants are compared by the
// ratio within each round (paired-measurement.ts).

import { EngineModel } from '../engine/engine-model.js'
import type { EngineOptions } from '../engine/engine-options.js'
import type { NarrowGateMode } from '../engine/ffn/policy.js'
import { Session } from '../engine/generation/session.js'
import type { EngineWeights } from '../engine/model/weights.js'
import { bytesRead, bytesSkipped } from '../engine/pass-stats.js'
import { OptionError } from '../errors.js'
import {
  type ActivationType,
  bytesOf,
  type CacheType,
  defaultThreads,
  isQuantizedType,
  kernels,
  narrowable,
  setThreads,
  streamingReader,
  type WeightType,
} from '../kernels/index.js'
import { machineInfo } from '../kernels/machine-info.js'
import { Purpose, RandomStream } from '../kernels/philox.js'
import type { ModelConfig } from '../nn/config.js'
import { alternatingOrder, type MedianInterval, ratioInterval } from '../paired-measurement.js'
import { median } from '../statistics.js'
import { calibrate, sparsityOfLayers } from './calibrate-sparsity.js'
import { type BenchMethod, cutWeights } from './cut-model.js'
import { measurePrefill } from './prefill.js'
import { type DecodeShape, matricesOfFfn, randomConfig, randomWeights } from './random-model.js'

export interface DecodeBenchOptions {
  readonly shape: DecodeShape
  readonly dtype: WeightType
  readonly kv: CacheType
  /** Of quantized weights: with int16, dense decoding in f32 is measured beside. */
  readonly activations: ActivationType
  /** Fraction of the neurons that is exactly zero, from 0 to 1; a list is spread over the layers. */
  readonly sparsity: number | readonly number[]
  /** Which sparse variants are measured: `on` with the narrow gate, `off` without, `auto` both. */
  readonly narrowGate: NarrowGateMode
  /** Tokens measured with each variant. */
  readonly tokens: number
  /** Sequences decoded together; 0 leaves that out. */
  readonly samples: number
  /** Tokens of a prompt; 0 leaves that out. */
  readonly prefill: number
  readonly threads: number
  /** Measure a model cut by this method at `sparsity`, which is approximate, instead of one with exact zeros. */
  readonly method?: BenchMethod
}

/** One variant of computing the same tokens. */
export interface DecodeRow {
  readonly variant:
    | 'dense'
    | 'dense, call by call'
    | 'dense, f32'
    | 'sparse, f32'
    | 'sparse'
    | 'sparse, narrow gate'
    | 'auto'
    | BenchMethod
  readonly millisecondsPerToken: number
  readonly tokensPerSecond: number
  /** Tokens per second over those of `dense`, token by token. */
  readonly ratio: MedianInterval
  readonly bytesPerToken: number
  /** Bytes of the FFN's weights that `dense` reads over those that this one reads. */
  readonly ffnRatioLimit: number
  /** Bytes of `dense` over bytes: the ratio if only reading took time. */
  readonly ratioLimit: number
  /** Tokens per second if memory were read at full bandwidth and nothing else took time. */
  readonly limitTokensPerSecond: number
  /** tokensPerSecond / limitTokensPerSecond: the fraction of the memory's bandwidth that is used. */
  readonly fractionOfLimit: number
}

/** The variants that the options choose, `dense` first. */
function variants({ dtype, narrowGate, activations }: DecodeBenchOptions) {
  const integers = isQuantizedType(dtype) && activations === 'int16'
  const all: { variant: DecodeRow['variant']; options: EngineOptions; wanted: boolean }[] = [
    { variant: 'dense', options: { ffn: 'dense', narrowGate: 'off' }, wanted: true },
    // Without repeated calls: what the way through TypeScript costs.
    {
      variant: 'dense, call by call',
      options: { ffn: 'dense', narrowGate: 'off', replay: false },
      wanted: true,
    },
    {
      variant: 'dense, f32',
      options: { ffn: 'dense', narrowGate: 'off', activations: 'f32' },
      wanted: integers,
    },
    {
      variant: 'sparse, f32',
      options: { ffn: 'sparse', narrowGate: 'off', activations: 'f32' },
      wanted: integers,
    },
    { variant: 'sparse', options: { ffn: 'sparse', narrowGate: 'off' }, wanted: narrowGate !== 'on' },
    {
      variant: 'sparse, narrow gate',
      options: { ffn: 'sparse', narrowGate: 'on' },
      wanted: narrowGate !== 'off' && narrowable(dtype),
    },
    {
      variant: 'auto',
      options: { ffn: 'auto', narrowGate: narrowGate === 'off' ? 'off' : 'auto' },
      wanted: true,
    },
  ]
  return all.filter(({ wanted }) => wanted)
}

/** Tokens that each sequence starts with before anything is timed. */
const START = 16
/** Tokens before the timed ones: the crossover is measured in them, and narrow gates are made. */
const WARM_UP = 4
/** Weights of fewer bytes are taken to stay in caches from token to token. */
const CACHE_BYTES = 16 * 2 ** 20
/** Rounds of decoding together and one after another, and of prompts: the fewest whose interval has 95 % confidence. */
const SAMPLE_ROUNDS = 6

/** Throws OptionError NARROW_GATE_DTYPE, NO_NATIVE_KERNELS, and what EngineModel throws. */
export function benchDecode(options: DecodeBenchOptions) {
  const { shape, dtype, kv, activations, sparsity, tokens, samples, prefill, threads } = options
  const { backend, isa } = kernels()
  if (backend === 'portable') {
    throw new OptionError(
      'NO_NATIVE_KERNELS',
      'bench decode needs the native kernels; run npm run build:native',
    )
  }
  if (options.narrowGate === 'on' && !narrowable(dtype)) {
    throw new OptionError(
      'NARROW_GATE_DTYPE',
      `the narrow gate stands beside f32, bf16 or f16 weights, not ${dtype}; leave --narrow-gate out`,
    )
  }
  setThreads(threads)
  try {
    const started = performance.now()
    const { config, weights, zeros } = sparseModel(options)
    const buildSeconds = (performance.now() - started) / 1000
    const engine = (other: EngineOptions) =>
      new EngineModel(config, weights, { dtype, kv, activations, ...other })
    const random = new RandomStream({ seed: 3, purpose: Purpose.sampler, stream: 0 })
    const randomTokens = (n: number) => Int32Array.from({ length: n }, () => random.below(shape.vocabSize))

    const measured =
      options.method === undefined
        ? variants(options).map(({ variant, options: own }) => ({ variant, model: engine(own) }))
        : cutVariants(options, options.method, { config, weights }, randomTokens)
    const inCaches = weightBytesOf(weights) < CACHE_BYTES
    const decoded = decodeAlternately(options, measured, randomTokens, streamingReader(isa), inCaches)
    const { bytesPerSecond } = decoded
    const [dense] = decoded.rows
    const rows = decoded.rows.map(({ variant, seconds, bytes, ffnBytes, ratio }): DecodeRow => {
      const limit = bytesPerSecond / bytes
      return {
        variant,
        millisecondsPerToken: 1000 * seconds,
        tokensPerSecond: 1 / seconds,
        ratio,
        bytesPerToken: bytes,
        ffnRatioLimit: dense.ffnBytes / ffnBytes,
        ratioLimit: dense.bytes / bytes,
        limitTokensPerSecond: limit,
        fractionOfLimit: 1 / seconds / limit,
      }
    })
    return {
      machine: machineInfo(),
      shape,
      dtype,
      kv,
      activations,
      parameters: parameterCount(config),
      weightBytes: weightBytesOf(weights),
      buildSeconds,
      gigabytesPerSecond: bytesPerSecond / 1e9,
      sparsity: { asked: sparsity, calibrated: zeros, ...decoded.zeros },
      bytesSkipped: decoded.skipped,
      tokens,
      rows,
      identical: decoded.identical,
      method: options.method ?? null,
      prefill:
        prefill === 0 || options.method !== undefined ? null : measurePrefill(options, engine, randomTokens),
      samples:
        samples === 0 || options.method !== undefined ? null : measureSamples(options, engine, randomTokens),
    }
  } finally {
    setThreads(defaultThreads())
  }
}

export type DecodeBenchResult = ReturnType<typeof benchDecode>

type Engine = (options: EngineOptions) => EngineModel
type RandomTokens = (n: number) => Int32Array

/** Weights whose layers each have the chosen fraction of zeros, and the activation that makes them. */
function sparseModel({ shape, dtype, sparsity, tokens, samples, prefill, method }: DecodeBenchOptions) {
  const context = Math.max(START + WARM_UP + tokens + SAMPLE_ROUNDS * 2 + samples, prefill, 1) + 64
  const weights = randomWeights(randomConfig(shape, 0, context), dtype)
  if (method !== undefined) {
    return { config: { ...randomConfig(shape, 0, context), activation: 'silu' }, weights, zeros: 0 }
  }
  const perLayer = sparsityOfLayers(sparsity, shape.numHiddenLayers)
  const { threshold, zeros } = calibrate(shape, weights, perLayer, dtype)
  return { config: randomConfig(shape, threshold, context), weights, zeros }
}

/** Beside integers: variants that compute in f32, and have bits of their own. */
const isF32 = (variant: DecodeRow['variant']) => variant.endsWith(', f32')

interface Variant {
  readonly variant: DecodeRow['variant']
  readonly model: EngineModel
  /** Has the same bits as this one; null: as `dense`. */
  readonly masked?: EngineModel
}

/** Tokens that thresholds are taken from. */
const CALIBRATION_TOKENS = 48

/** The dense model and the cut one; the masks without skipping are the check of its bits. */
function cutVariants(
  { sparsity, dtype, kv, activations }: DecodeBenchOptions,
  method: BenchMethod,
  { config, weights }: { readonly config: ModelConfig; readonly weights: EngineWeights },
  randomTokens: RandomTokens,
): Variant[] {
  if (typeof sparsity !== 'number') {
    throw new OptionError('SPARSITY_LAYERS', `method ${method} takes one sparsity for the model, not a list`)
  }
  const cut = cutWeights(config, weights, method, sparsity, randomTokens(CALIBRATION_TOKENS))
  const model = (own: EngineWeights, ffn: 'dense' | 'auto') =>
    new EngineModel(config, own, { dtype, kv, activations, ffn, narrowGate: 'off' })
  return [
    { variant: 'dense', model: model(weights, 'dense') },
    { variant: method, model: model(cut, 'auto'), masked: model(cut, 'dense') },
  ]
}

/**
 * All variants decode the same tokens alternately, one token each, every other token in the opposite order, with a plain
 * read of memory, the limit, between; before them alone where the model lies in caches.
 */
function decodeAlternately(
  options: DecodeBenchOptions,
  measured: readonly Variant[],
  randomTokens: RandomTokens,
  readMemory: () => number,
  inCaches: boolean,
) {
  const { tokens, shape } = options
  const start = randomTokens(START)
  const runs = measured.map(({ variant, model, masked }) => {
    const session = model.session()
    session.prefill(start)
    return {
      variant,
      session,
      masked,
      seconds: [] as number[],
      bytes: [] as number[],
      ffnBytes: [] as number[],
      skipped: [] as number[],
    }
  })
  const active: number[] = []
  const bandwidths: number[] = []
  let identical = true
  const decoded = randomTokens(WARM_UP + tokens)
  for (const [i, token] of decoded.entries()) {
    // Reading memory empties the caches that a small model is read from.
    if (i < WARM_UP || !inCaches) bandwidths.push(readMemory())
    for (const position of alternatingOrder(runs.length, i)) {
      const { session, seconds, bytes, ffnBytes, skipped } = runs[position]
      const begin = performance.now()
      session.step(token)
      if (i < WARM_UP) continue
      seconds.push((performance.now() - begin) / 1000)
      bytes.push(bytesRead(session.stats.pass))
      ffnBytes.push(session.stats.pass.ffnBytesRead.reduce((sum, layer) => sum + layer, 0))
      skipped.push(bytesSkipped(session.stats.pass))
    }
    const [{ session: dense }, ...others] = runs
    identical &&= others.every(({ session, masked, variant }) => {
      const like = runs.find(run => run.variant === (isF32(variant) ? 'dense, f32' : 'dense')) ?? runs[0]
      return masked !== undefined || sameBits(session.logits, like.session.logits)
    })
    if (i >= WARM_UP) for (const count of dense.activeNeurons) active.push(count / shape.intermediateSize)
  }
  for (const { session, masked } of runs) {
    if (masked === undefined) continue
    identical &&= sameBits(masked.session().prefill([...start, ...decoded]), session.logits)
  }
  const { skipped: cutBytes, bytes: readBytes } = runs[runs.length - 1]
  const mean = active.reduce((sum, fraction) => sum + fraction, 0) / active.length
  return {
    rows: runs.map(({ variant, seconds, bytes, ffnBytes }) => ({
      variant,
      seconds: median(seconds),
      bytes: median(bytes),
      ffnBytes: median(ffnBytes),
      ratio: ratioInterval(runs[0].seconds, seconds),
    })),
    bytesPerSecond: median(bandwidths),
    identical,
    /** Bytes that the last variant skipped, over all of them. */
    skipped: median(cutBytes) / (median(cutBytes) + median(readBytes)),
    zeros: { measured: 1 - mean, least: 1 - Math.max(...active), most: 1 - Math.min(...active) },
  }
}

/** Several sequences of one prompt: a step of all together against a step of each. */
function measureSamples(options: DecodeBenchOptions, engine: Engine, randomTokens: RandomTokens) {
  const { samples } = options
  const prompt = randomTokens(START)
  const sequences = Array.from({ length: samples }, (_, sequence) => ({ sequence }))
  const rows = (['dense', 'auto'] as const).map(ffn => {
    const parent = engine({ ffn, narrowGate: ffn === 'dense' ? 'off' : options.narrowGate }).session()
    parent.prefill(prompt)
    const [together, apart] = [parent.fork(sequences), parent.fork(sequences)]
    const times: { together: number[]; apart: number[] } = { together: [], apart: [] }
    let identical = true
    for (let round = 0; round <= SAMPLE_ROUNDS; round++) {
      const tokens = randomTokens(samples)
      const steps = [
        () => Session.stepTogether(together, tokens),
        () => {
          for (const [i, session] of apart.entries()) session.step(tokens[i])
        },
      ]
      const seconds = [0, 0]
      for (const position of alternatingOrder(steps.length, round)) {
        const begin = performance.now()
        steps[position]()
        seconds[position] = (performance.now() - begin) / 1000
      }
      identical &&= together.every((session, i) => sameBits(session.logits, apart[i].logits))
      if (round === 0) continue
      times.together.push(seconds[0])
      times.apart.push(seconds[1])
    }
    return {
      ffn,
      tokensPerSecond: samples / median(times.together),
      oneAfterAnother: samples / median(times.apart),
      ratio: ratioInterval(times.apart, times.together),
      identical,
    }
  })
  return { count: samples, rows }
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  const bits = ({ buffer, byteOffset, byteLength }: Float32Array) =>
    Buffer.from(buffer, byteOffset, byteLength)
  return bits(a).equals(bits(b))
}

function parameterCount({ hiddenSize: d, intermediateSize: h, vocabSize, ...config }: ModelConfig): number {
  const kv = (d / config.numAttentionHeads) * config.numKeyValueHeads
  const layer = 2 * d * d + 2 * d * kv + matricesOfFfn(config) * d * h + 2 * d
  return config.numHiddenLayers * layer + d + d * vocabSize * (config.tieWordEmbeddings ? 1 : 2)
}

function weightBytesOf({ embedding, head, layers }: EngineWeights): number {
  const matrices = layers.flatMap(({ qkv, output, gate, neurons }) => {
    const others = [...qkv.map(({ weights }) => weights), output, gate]
    return neurons === null || 'rowOf' in neurons ? others : [...others, neurons]
  })
  const vocabulary = head === embedding ? [embedding] : [embedding, head]
  return [...vocabulary, ...matrices].reduce((sum, w) => sum + bytesOf(w).byteLength, 0)
}

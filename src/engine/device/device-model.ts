// A model on a GPU. Its parts are those of EngineModel, but what reads tokens is awaited, since a device answers when it
// is done; that is why it is a model of its own and no backend of `Kernels`, whose calls return with the result.

import { type Activation, parseActivation } from '../../activations/index.js'
import { CheckpointError, FlickerError, OptionError } from '../../errors.js'
import { decodeKernelsOf, kernels } from '../../kernels/index.js'
import type { GpuInfo } from '../../kernels/webgpu/gpu-info.js'
import {
  type DeviceMatrix,
  DeviceMemory,
  type Gpu,
  MOST_BEST,
  openGpu,
  requirePrograms,
} from '../../kernels/webgpu/index.js'
import { type ModelConfig, modelConfigProblem, neuronsPerLayer, neuronsPerToken } from '../../nn/config.js'
import type { LayerCuts } from '../../nn/cuts.js'
import { parameterShapes } from '../../nn/parameters.js'
import { shortTextOf } from '../../nn/rope.js'
import { requireContext, type SparsePrompt } from '../engine-options.js'
import type { FfnMode } from '../ffn/policy.js'
import type { BestWanted } from '../generation/best-logits.js'
import { requireReadable } from '../generation/readable-tokens.js'
import type { SessionOptions } from '../generation/session.js'
import { rotatedSource } from '../model/cut-weights.js'
import { cacheBytesPerPosition, gigabytes } from '../model/memory.js'
import { type EngineDtype, sourceOf, type TensorSource, WeightLayout } from '../model/weight-layout.js'
import { isDense } from '../model/weight-plans.js'
import { emptyStats, type PassStats } from '../pass-stats.js'
import { DeviceCache } from './device-cache.js'
import { requireKnownConfig } from './device-config.js'
import { DeviceKernels } from './device-kernels.js'
import { DevicePass, type DeviceRows } from './device-pass.js'
import { DeviceSession } from './device-session.js'
import {
  type DeviceWeights,
  normNumbers,
  productExtra,
  uploadLayer,
  uploadVocabulary,
} from './device-weights.js'
import { MOST_ROWS } from './pass-buffers.js'

export interface DeviceOptions {
  /** How matrices are stored. Default `auto`: as in the file. */
  readonly dtype?: EngineDtype
  /** Skip neurons that are exactly 0; the result is the same. Default `auto`: where few are active. */
  readonly ffn?: FfnMode
  /** Instead of the config's, e.g. `stocha:p=0.3`. */
  readonly activation?: string
  /** Tokens that a text may have; more than LongRoPE's original context take its long factors. Default: as many as take the short ones. */
  readonly context?: number
  /** As `EngineOptions.cuts`. Default: none. */
  readonly cuts?: readonly LayerCuts[] | null
  /** As `EngineOptions.sparsePrompt`. */
  readonly sparsePrompt?: SparsePrompt
  /**
   * Default: opened for this model, and closed with it.
   * @internal
   */
  readonly gpu?: Gpu
}

/** `auto` skips in a layer while at most this fraction of its neurons was active lately. */
const MOST_ACTIVE = 0.75
/** Weight of a new token in that running mean. */
const SMOOTHING = 0.25

export class DeviceModel {
  readonly config: ModelConfig
  readonly dtype: EngineDtype
  readonly activation: Activation
  readonly sparsePrompt: SparsePrompt
  /** Whether cuts make this model an approximation of its weights. */
  readonly approximate: boolean
  readonly notes: readonly string[]
  /** The device that it runs on. */
  readonly gpu: GpuInfo
  readonly #gpu: Gpu
  readonly #ownsGpu: boolean
  readonly #memory: DeviceMemory
  readonly #pass: DevicePass
  readonly #weights: DeviceWeights
  readonly #ffn: FfnMode
  /** Running mean of the fraction of active neurons, per layer. */
  readonly #active: Float64Array
  #disposed = false

  private constructor(
    config: ModelConfig,
    options: DeviceOptions,
    activation: Activation,
    parts: { gpu: Gpu; memory: DeviceMemory; weights: DeviceWeights; kernels: DeviceKernels },
  ) {
    const { gpu, memory, weights, kernels } = parts
    this.config = config
    this.dtype = options.dtype ?? 'auto'
    this.activation = activation
    this.gpu = gpu.info
    this.#gpu = gpu
    this.#ownsGpu = options.gpu === undefined
    this.#memory = memory
    this.#weights = weights
    this.#ffn = options.ffn ?? 'auto'
    this.#active = new Float64Array(config.numHiddenLayers)
    this.kernels = kernels
    this.sparsePrompt = options.sparsePrompt ?? 'none'
    this.approximate = weights.layers.some(({ cuts }) => cuts !== null)
    this.#pass = new DevicePass(gpu, memory, kernels)
    this.notes =
      this.#ffn === 'sparse' && !(activation.exactZeros || this.approximate)
        ? [`${activation.spec} is exactly 0 nowhere, so there is nothing to skip: every neuron is computed`]
        : []
  }

  /**
   * `source` as EngineModel takes it. Throws CheckpointError CONFIG_INVALID, OptionError WEBGPU_CONFIG, CONTEXT_RANGE, WEBGPU_DTYPE,
   * WEBGPU_ACTIVATION, MODEL_MEMORY, and what openGpu throws.
   */
  static async create(
    given: ModelConfig,
    source: TensorSource | ((name: string) => Float32Array),
    options: DeviceOptions = {},
  ): Promise<DeviceModel> {
    // A text does not change to the long factors of LongRoPE: it has them from the first token on, or ends where it would need
    // them.
    const longest = shortTextOf(given) ?? given.maxPositionEmbeddings
    const maxPositionEmbeddings =
      options.context === undefined ? longest : requireContext(given, options.context)
    const config = { ...given, maxPositionEmbeddings }
    const { cuts = null } = options
    const names = () => parameterShapes(given).map(({ name }) => name)
    const tensors = typeof source === 'function' ? sourceOf(names(), source) : source
    return DeviceModel.of(config, options, memory => {
      const decode = decodeKernelsOf(kernels(), 'f32')
      const laidOut = cuts === null ? tensors : rotatedSource(tensors, given, cuts, decode)
      const { dtype = 'auto' } = options
      const activation = parseActivation(options.activation ?? given.activation)
      const dense = cuts === null && isDense(given, activation, WeightLayout.downTypes(given, laidOut, dtype))
      const layout = new WeightLayout(given, laidOut, dtype, cuts, dense ? 'dense' : 'rows')
      let embedding: DeviceMatrix | undefined
      const layers: DeviceWeights['layers'][number][] = []
      const rest = layout.all(of => {
        embedding = uploadVocabulary(memory, config, of.embedding)
        return layer => {
          layers.push(uploadLayer(memory, config, layer))
          // What has been handed over is not kept.
          const empty = new Float32Array(0)
          return { ...layer, qkv: [], output: empty, gate: empty, up: null, neurons: empty, down: null }
        }
      })
      if (embedding === undefined) throw new Error('a model has an embedding')
      const head = config.tieWordEmbeddings ? embedding : uploadVocabulary(memory, config, rest.head)
      const { norm, headBias, positions } = rest
      return {
        ...{ embedding, layers, head },
        positions: positions && memory.numbers(positions),
        norm: productExtra(memory, config.norm === 'layer' ? null : norm, headBias),
        layerNorm: config.norm === 'layer' ? normNumbers(memory, norm) : null,
      }
    })
  }

  /**
   * `fill` makes the weights. Throws as `create` does.
   * @internal
   */
  static async of(
    config: ModelConfig,
    options: DeviceOptions,
    fill: (memory: DeviceMemory, gpu: Gpu) => DeviceWeights | Promise<DeviceWeights>,
  ): Promise<DeviceModel> {
    const problem = modelConfigProblem(config)
    if (problem !== null) throw new CheckpointError('CONFIG_INVALID', `the model's config: ${problem}`)
    requireKnownConfig(config)
    const activation = parseActivation(options.activation ?? config.activation)
    requirePrograms(activation)
    const gpu = options.gpu ?? (await openGpu())
    const memory = new DeviceMemory(gpu)
    try {
      gpu.device.pushErrorScope('out-of-memory')
      const weights = await fill(memory, gpu)
      const kernels = await DeviceKernels.compile(gpu, memory, config, weights)
      const error = await gpu.device.popErrorScope()
      if (error !== null) {
        throw new OptionError(
          'MODEL_MEMORY',
          `the model needs ${gigabytes(memory.bytes)} on the GPU, which has not that much free; ` +
            'use --dtype q8_0 or q4_0',
        )
      }
      return new DeviceModel(config, options, activation, { gpu, memory, weights, kernels })
    } catch (error) {
      memory.releaseAll()
      if (options.gpu === undefined) gpu.destroy()
      throw error
    }
  }

  /** Bytes of the device's memory that this model and its sessions hold. */
  get deviceBytes(): number {
    return this.#memory.bytes
  }

  /**
   * For benchmarks.
   * @internal
   */
  readonly kernels: DeviceKernels

  /** A new, empty sequence. Throws OptionError SEED_RANGE, SEQUENCE_RANGE, WEBGPU_ACTIVATION, FFN_FIXED. */
  session(options: SessionOptions = {}): DeviceSession {
    if (options.ffn !== undefined && options.ffn !== this.#ffn) {
      throw new OptionError(
        'FFN_FIXED',
        `ffn is ${this.#ffn} for all texts of a model on a GPU, not ${options.ffn}; open the model with it`,
      )
    }
    const activation = options.activation ?? this.activation
    requirePrograms(activation)
    const cache = new DeviceCache(this.config, this.#memory, this.#gpu.device)
    const { vocabSize, logitScale = 1, finalSoftcap } = this.config
    const { count = 0, among = vocabSize } = options.best ?? {}
    // A factor or a cap, applied on the CPU, may make different logits equal.
    const usable =
      count > 0 && count <= Math.min(MOST_BEST, among) && logitScale === 1 && finalSoftcap === undefined
    return new DeviceSession(this, cache, {
      ...options,
      activation,
      best: usable ? { count, among: Math.min(among, vocabSize) } : undefined,
    })
  }

  /** Room on the device shows when it is asked for. */
  requireCacheMemory(_tokens: number, _sequences: number): void {}

  /** As EngineModel.sparseFrom. */
  sparseFrom(length: number): number {
    return { none: length, half: Math.floor(length / 2), all: 0 }[this.sparsePrompt]
  }

  /** Each session reads its token, as many as possible in one pass. Throws as DeviceSession.prefill does. */
  async stepTogether(sessions: readonly DeviceSession[], tokens: ArrayLike<number>): Promise<void> {
    if (tokens.length !== sessions.length || new Set(sessions).size !== sessions.length) {
      throw new OptionError(
        'BATCH_MISMATCH',
        `${sessions.length} sessions, each once, need one token each, not ${tokens.length} tokens`,
      )
    }
    for (const [i, { position }] of sessions.entries()) requireReadable([tokens[i]], this.config, position)
    const rest = [...sessions.keys()]
    while (rest.length > 0) {
      const { activation } = sessions[rest[0]]
      const batch = rest.filter(i => sessions[i].activation.spec === activation.spec).slice(0, MOST_ROWS)
      for (const i of batch) rest.splice(rest.indexOf(i), 1)
      const parts = batch.map(i => sessions[i].rows(tokens, i, 1))
      const best = commonBest(batch.map(i => sessions[i].bestWanted))
      const { outputs, stats } = await this.#run(parts, activation, [...batch.keys()], best)
      for (const [row, i] of batch.entries()) sessions[i].advance(1, outputs[row], stats(row))
    }
  }

  /**
   * Reads the tokens of one session, MOST_ROWS at a time: for DeviceSession.prefill.
   * @internal
   */
  async read(session: DeviceSession, tokens: ArrayLike<number>, all?: Float32Array): Promise<void> {
    const { vocabSize } = this.config
    for (let start = 0; start < tokens.length; start += MOST_ROWS) {
      const count = Math.min(MOST_ROWS, tokens.length - start)
      const last = start + count === tokens.length
      const every = Array.from({ length: count }, (_, row) => row)
      const outputs = all === undefined ? (last ? [count - 1] : []) : every
      const rows = [session.rows(tokens, start, count)]
      const best = all === undefined && last ? session.bestWanted : null
      const { outputs: found, stats } = await this.#run(rows, session.activation, outputs, best)
      for (const [row, own] of found.entries())
        if (own instanceof Float32Array) all?.set(own, (start + row) * vocabSize)
      session.advance(count, found.at(-1) ?? null, stats(count - 1))
    }
  }

  /** Logits of every position: (tokens.length, vocab). Throws as DeviceSession.prefill does. */
  async logits(tokens: ArrayLike<number>, options: SessionOptions = {}): Promise<Float32Array> {
    requireReadable(tokens, this.config, 0)
    const all = new Float32Array(tokens.length * this.config.vocabSize)
    const session = this.session(options)
    await session.prefill(tokens, all)
    session.dispose()
    return all
  }

  /**
   * Seconds of `repeats` passes that read one more token of a session, without waiting for each: for benchmarks. The session
   * is left as it was.
   * @internal
   */
  timePasses(session: DeviceSession, repeats: number): Promise<number> {
    const skips = this.#skipsOf(session.activation)
    const parts = [session.rows([0], 0, 1)]
    const request = { parts, activation: session.activation, skips, outputs: [0], best: null }
    return this.#pass.time(request, repeats)
  }

  /**
   * Milliseconds of the parts of the last pass.
   * @internal
   */
  get lastTimes() {
    return this.#pass.lastTimes
  }

  /** Releases the device's memory; every later use of the model fails with MODEL_DISPOSED. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#memory.releaseAll()
    if (this.#ownsGpu) this.#gpu.destroy()
  }

  async #run(
    parts: readonly DeviceRows[],
    activation: Activation,
    outputs: readonly number[],
    best: BestWanted | null,
  ) {
    if (this.#disposed) {
      throw new FlickerError('MODEL_DISPOSED', 'this model was disposed of; load it again', { exitCode: 1 })
    }
    const { numHiddenLayers: layers } = this.config
    const neurons = neuronsPerToken(this.config)
    const skips = this.#skipsOf(activation)
    const { outputs: found, counts } = await this.#pass.run({ parts, activation, skips, outputs, best })
    const rows = parts.reduce((sum, { count }) => sum + count, 0)
    const activeIn = (layer: number) => counts.subarray(layer * MOST_ROWS, layer * MOST_ROWS + rows)
    for (let layer = 0; layer < layers; layer++) {
      const fraction = activeIn(layer).reduce((sum, count) => sum + count, 0) / (rows * neurons)
      this.#active[layer] += SMOOTHING * (fraction - this.#active[layer])
    }
    const pass = this.#traffic(parts, skips, outputs.length, activeIn)
    const stats = (row: number) => ({
      activeNeurons: Int32Array.from({ length: layers }, (_, layer) => counts[layer * MOST_ROWS + row]),
      pass,
    })
    return { outputs: found, stats }
  }

  /** Of each layer, whether it skips what is 0. */
  #skipsOf({ exactZeros }: Activation): boolean[] {
    return this.#weights.layers.map(({ dense }, layer) => {
      if (dense || !(exactZeros || this.approximate)) return false
      return this.#ffn === 'auto' ? this.#active[layer] <= MOST_ACTIVE : this.#ffn === 'sparse'
    })
  }

  /** What a pass has read: of several rows that skip different neurons at most what each reads alone. */
  #traffic(
    parts: readonly DeviceRows[],
    skips: readonly boolean[],
    outputs: number,
    activeIn: (layer: number) => Uint32Array,
  ): PassStats {
    const { config } = this
    const { embedding, layers, head } = this.#weights
    const rows = parts.reduce((sum, { count }) => sum + count, 0)
    const stats = emptyStats(parts.length, rows, layers.length)
    const positions = parts.reduce((sum, { position }) => sum + position, 0)
    const cacheBytes = cacheBytesPerPosition({ config, type: 'f32' })
    stats.otherBytesRead =
      positions * cacheBytes + (outputs > 0 ? head.bytes : 0) + rows * (embedding.bytes / embedding.rows)
    // Of a mixture the experts that were not chosen are read at most by other rows.
    const chosen =
      config.experts === undefined ? 1 : Math.min(1, (rows * config.experts.perToken) / config.experts.count)
    for (const [index, { qkv, output, gate, up, down, router }] of layers.entries()) {
      stats.otherBytesRead += qkv.reduce((sum, { matrix }) => sum + matrix.bytes, 0) + output.bytes
      const bytes = down.bytes + (up?.bytes ?? 0)
      const active = activeIn(index).reduce((sum, count) => sum + count, 0)
      const share = skips[index] ? Math.min(chosen, active / neuronsPerLayer(config)) : chosen
      const whole = gate.bytes + bytes + (router?.bytes ?? 0)
      stats.ffnBytesRead[index] = chosen * gate.bytes + share * bytes + (router?.bytes ?? 0)
      stats.ffnBytesSkipped[index] = whole - stats.ffnBytesRead[index]
    }
    return stats
  }
}

/** What sessions that read together want: the same of each, or all logits. */
function commonBest([first, ...others]: readonly (BestWanted | null)[]): BestWanted | null {
  const isSame = others.every(other => other?.count === first?.count && other?.among === first?.among)
  return isSame ? first : null
}

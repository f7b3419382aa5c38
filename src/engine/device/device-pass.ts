// A pass over the layers on the device: commands are recorded once per token, and for the next token already while this
// one is computed. Everything that changes from token to token (ids, positions, draws) is in a small buffer.

import type { Activation } from '../../activations/index.js'
import { FlickerError } from '../../errors.js'
import {
  bestWords,
  buffers,
  type DeviceMemory,
  type Dispatch,
  type Gpu,
  type Kernel,
  MAP_FOR_READING,
  paddedColumns,
  ROW_WORDS,
} from '../../kernels/webgpu/index.js'
import { headDimOf, layerKind } from '../../nn/config.js'
import { type RopeKind, rotationOf } from '../../nn/rope.js'
import type { BestLogits, BestWanted } from '../generation/best-logits.js'
import type { DeviceCache } from './device-cache.js'
import type { AttentionKernels, DeviceKernels } from './device-kernels.js'
import { MOST_ROWS } from './pass-buffers.js'

/** The new rows of one sequence. */
export interface DeviceRows {
  readonly cache: DeviceCache
  readonly position: number
  /** One per row. */
  readonly tokens: ArrayLike<number>
  readonly start: number
  readonly count: number
  readonly draw: { readonly seedLow: number; readonly seedHigh: number; readonly sequence: number }
  /** The first position that the model's cuts apply to. */
  readonly sparseFrom: number
}

/** What a pass computes. */
export interface PassRequest {
  readonly parts: readonly DeviceRows[]
  readonly activation: Activation
  /** Per layer. */
  readonly skips: readonly boolean[]
  /** The rows whose logits are wanted. */
  readonly outputs: readonly number[]
  /** Which of them; null: all. */
  readonly best: BestWanted | null
}

/** Of a row: all logits, or the largest. */
export type DeviceOutput = Float32Array | BestLogits

export interface PassResult {
  /** Of each wanted row, in memory of its own. */
  readonly outputs: readonly DeviceOutput[]
  /** Active neurons of row r in layer l: [l · MOST_ROWS + r]. */
  readonly counts: Uint32Array
}

/** What a pass dispatches beside the kernels that every pass does; null: not needed. */
interface PassKernels {
  /** Per layer. */
  readonly attendOne: readonly AttentionKernels[] | null
  readonly attendSeveral: readonly AttentionKernels[] | null
  readonly ffn: readonly (readonly Dispatch[])[]
  readonly best: readonly Dispatch[]
}

/**
 * Layers after which commands are handed over: the device computes what it has while the driver takes in the next, which costs
 * about half of a large GPU's time for a layer, and a part something of its own. So parts double from two layers on.
 */
function handOvers(layers: number): ReadonlySet<number> {
  const after = new Set<number>()
  for (let size = 2, done = 2; done < layers; size *= 2, done += size) after.add(done)
  return after
}

/** Positions that there are rotations for at first. */
const FIRST_POSITIONS = 512

export class DevicePass {
  readonly #gpu: Gpu
  readonly #memory: DeviceMemory
  readonly #kernels: DeviceKernels
  readonly #rotations = new Map<RopeKind, GPUBuffer>()
  /** Positions that there are rotations for. */
  #rotated = 0
  /** Where the rows of each part begin. */
  readonly #firstRows: GPUBuffer[] = []
  #staging: GPUBuffer | null = null
  #passKernels: { readonly key: string; readonly kernels: PassKernels } | null = null
  #prepared: { readonly key: string; readonly commands: readonly GPUCommandBuffer[] } | null = null
  /** Milliseconds of the parts of the last pass, and bytes that the CPU read of the device: for benchmarks. */
  lastTimes = { submit: 0, wait: 0, read: 0, bytes: 0 }
  /** Passes run one after another. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(gpu: Gpu, memory: DeviceMemory, kernels: DeviceKernels) {
    this.#gpu = gpu
    this.#memory = memory
    this.#kernels = kernels
  }

  /** Throws FlickerError DEVICE_LOST, WEBGPU_FAILED. */
  run(request: PassRequest): Promise<PassResult> {
    const result = this.#last.then(() => this.#run(request))
    this.#last = result.catch(() => undefined)
    return result
  }

  /** Resolves when no pass is running. */
  async idle(): Promise<void> {
    await this.#last
  }

  async #run(request: PassRequest): Promise<PassResult> {
    const { device } = this.#gpu
    const started = performance.now()
    this.#gpu.requireUsable()
    const { kernels, staging } = await this.#ready(request)
    const key = this.#keyOf(request)
    const commands =
      this.#prepared?.key === key ? this.#prepared.commands : this.#record(request, kernels, staging)
    this.#prepared = null
    // One after another: the device computes the first layers while the driver takes in the next.
    for (const part of commands) device.queue.submit([part])
    const mapped = staging.mapAsync(MAP_FOR_READING)
    const submitted = performance.now()
    // What is recorded now is what the next token needs, unless its cache has to grow.
    if (request.parts.every(({ count }) => count === 1)) {
      this.#prepared = { key, commands: this.#record(request, kernels, staging) }
    }
    try {
      await mapped
    } catch (error) {
      throw await this.#gpu.failure(error)
    }
    this.#gpu.requireUsable()
    const waited = performance.now()
    const size = this.#countBytes + this.#outputBytes(request)
    const bytes = staging.getMappedRange(0, size)
    const counts = new Uint32Array(bytes.slice(0, this.#countBytes))
    const outputs = this.#outputsIn(bytes, request)
    staging.unmap()
    this.lastTimes = {
      submit: submitted - started,
      wait: waited - submitted,
      read: performance.now() - waited,
      bytes: size,
    }
    return { outputs, counts }
  }

  #outputsIn(bytes: ArrayBuffer, { outputs, best }: PassRequest): DeviceOutput[] {
    const { vocabSize, logitScale = 1, finalSoftcap: cap } = this.#kernels.config
    return outputs.map((_, i) => {
      if (best !== null) {
        const length = bestWords(best.count)
        return bestLogitsIn(new Uint32Array(bytes, this.#countBytes + 4 * i * length, length))
      }
      const start = this.#countBytes + 4 * i * paddedColumns(vocabSize)
      const own = new Float32Array(bytes.slice(start, start + 4 * vocabSize))
      if (logitScale !== 1) for (let j = 0; j < vocabSize; j++) own[j] *= logitScale
      if (cap !== undefined) for (let j = 0; j < vocabSize; j++) own[j] = cap * Math.tanh(own[j] / cap)
      return own
    })
  }

  #outputBytes({ outputs, best }: Pick<PassRequest, 'outputs' | 'best'>): number {
    const words = best === null ? paddedColumns(this.#kernels.config.vocabSize) : bestWords(best.count)
    return 4 * outputs.length * words
  }

  /**
   * Seconds that the device takes for `repeats` passes that nobody waits for, one after another.
   * @internal
   */
  async time(request: PassRequest, repeats: number): Promise<number> {
    await this.idle()
    const { kernels, staging } = await this.#ready(request)
    const commands = Array.from({ length: repeats }, () => this.#record(request, kernels, staging)).flat()
    this.#prepared = null
    const begin = performance.now()
    for (const part of commands) this.#gpu.device.queue.submit([part])
    await staging.mapAsync(MAP_FOR_READING)
    const seconds = (performance.now() - begin) / 1000
    staging.unmap()
    return seconds
  }

  /** Kernels, room and inputs of a pass. */
  async #ready(request: PassRequest): Promise<{ kernels: PassKernels; staging: GPUBuffer }> {
    const kernels = await this.#kernelsOf(request)
    for (const { cache, position, count } of request.parts) cache.reserve(position + count, position)
    this.#reserveRotations(Math.max(...request.parts.map(({ position, count }) => position + count)))
    this.#describe(request)
    const staging = this.#reserveStaging(this.#countBytes + this.#outputBytes(request))
    return { kernels, staging }
  }

  get #countBytes(): number {
    return 4 * this.#kernels.config.numHiddenLayers * MOST_ROWS
  }

  #keyOf({ parts, activation, skips, outputs, best }: PassRequest): string {
    const sequences = parts.map(({ cache, count }) => [cache.id, cache.version, count])
    return JSON.stringify([sequences, activation.spec, skips, outputs.length, best, this.#rotated])
  }

  /** Hands over what this token needs. */
  #describe({ parts, outputs }: PassRequest): void {
    const rows = parts.reduce((sum, { count }) => sum + count, 0)
    if (rows > MOST_ROWS || outputs.length > MOST_ROWS) throw new Error('a pass has too many rows')
    const words = new Uint32Array(Math.max(rows, outputs.length) * ROW_WORDS)
    let row = 0
    for (const [i, { position, tokens, start, count, draw, sparseFrom }] of parts.entries()) {
      if (this.#firstRows.length <= i) this.#firstRows.push(this.#memory.buffer(16))
      this.#memory.write(this.#firstRows[i], 0, Uint32Array.of(row))
      for (let j = 0; j < count; j++, row++) {
        const { seedLow, seedHigh, sequence } = draw
        words.set([tokens[start + j], position + j, seedLow, seedHigh, sequence], row * ROW_WORDS)
        words[row * ROW_WORDS + 6] = position + j >= sparseFrom ? 1 : 0
      }
    }
    for (const [i, source] of outputs.entries()) words[i * ROW_WORDS + 5] = source
    this.#memory.write(this.#kernels.buffers.rows, 0, words)
  }

  /** Those of the last pass where they are the same: a token should not wait for promises of every layer. */
  async #kernelsOf({ parts, activation, skips, best: wanted }: PassRequest): Promise<PassKernels> {
    const one = parts.some(({ count }) => count === 1)
    const several = parts.some(({ count }) => count > 1)
    const key = [activation.spec, one, several, wanted?.count, wanted?.among, ...skips].join()
    if (this.#passKernels?.key === key) return this.#passKernels.kernels
    const [attendOne, attendSeveral, ffn, best] = await Promise.all([
      one ? Promise.all(skips.map((_, layer) => this.#kernels.attend(false, layer))) : null,
      several ? Promise.all(skips.map((_, layer) => this.#kernels.attend(true, layer))) : null,
      Promise.all(skips.map((skip, layer) => this.#kernels.ffn(layer, activation, skip))),
      wanted === null ? [] : this.#kernels.best(wanted),
    ])
    const kernels = { attendOne, attendSeveral, ffn, best }
    this.#passKernels = { key, kernels }
    return kernels
  }

  #record(
    request: PassRequest,
    { attendOne, attendSeveral, ffn, best }: PassKernels,
    staging: GPUBuffer,
  ): GPUCommandBuffer[] {
    const { parts, outputs } = request
    const { embedding, layers, head, attention, buffers: own } = this.#kernels
    const rows = parts.reduce((sum, { count }) => sum + count, 0)
    const { device } = this.#gpu
    const commands: GPUCommandBuffer[] = []
    const parted = handOvers(layers.length)
    let encoder = device.createCommandEncoder()
    let pass = encoder.beginComputePass()
    const dispatch = (list: readonly Dispatch[], count: number) => {
      for (const { kernel, group, workgroups } of list) {
        pass.setPipeline(kernel.pipeline)
        pass.setBindGroup(0, group)
        pass.dispatchWorkgroups(workgroups, count)
      }
    }
    dispatch(embedding, rows)
    for (const [index, layer] of layers.entries()) {
      if (parted.has(index)) {
        pass.end()
        commands.push(encoder.finish())
        encoder = device.createCommandEncoder()
        pass = encoder.beginComputePass()
      }
      dispatch(layer.qkv, rows)
      for (const [i, { cache, count }] of parts.entries()) {
        const kernels = (count === 1 ? attendOne : attendSeveral)?.[index]
        if (kernels === undefined) throw new Error('kernels of the pass are missing')
        if (kernels.store !== null) {
          pass.setPipeline(kernels.store.pipeline)
          pass.setBindGroup(0, this.#cacheGroup(kernels.store, 'store', cache, i, index))
          pass.dispatchWorkgroups(attention.kvHeads, count)
        }
        pass.setPipeline(kernels.attend.pipeline)
        pass.setBindGroup(0, this.#cacheGroup(kernels.attend, 'attend', cache, i, index))
        pass.dispatchWorkgroups(attention.heads, count)
      }
      dispatch(layer.output, rows)
      dispatch(ffn[index], rows)
      dispatch(layer.after, rows)
    }
    if (outputs.length > 0) dispatch([...head, ...best], outputs.length)
    pass.end()
    encoder.copyBufferToBuffer(own.flags, 0, staging, 0, this.#countBytes)
    const bytes = this.#outputBytes(request)
    const from = request.best === null ? own.logits : own.best
    if (bytes > 0) encoder.copyBufferToBuffer(from, 0, staging, this.#countBytes, bytes)
    return [...commands, encoder.finish()]
  }

  /** The bind group of attention in one layer, for part `part` of a pass. */
  #cacheGroup(
    kernel: Kernel,
    kind: 'store' | 'attend',
    cache: DeviceCache,
    part: number,
    layer: number,
  ): GPUBindGroup {
    const key = `${kind} ${part} ${this.#rotated}`
    let groups = cache.groups.get(key)
    if (groups === undefined) {
      const { buffers: own } = this.#kernels
      groups = cache.layers.map((layerCache, index) => {
        const rotation = this.#rotations.get(layerKind(this.#kernels.config, index).rope)
        if (rotation === undefined) throw new FlickerError('WEBGPU_FAILED', 'no rotations')
        const shared = [own.qkv, rotation, own.rows, this.#firstRows[part], layerCache]
        return kernel.bind(kind === 'store' ? shared : [...shared, own.gathered])
      })
      cache.groups.set(key, groups)
    }
    return groups[layer]
  }

  #reserveStaging(wanted: number): GPUBuffer {
    if (this.#staging !== null && this.#staging.size >= wanted) return this.#staging
    if (this.#staging !== null) this.#memory.release(this.#staging)
    this.#prepared = null
    this.#staging = this.#memory.buffer(wanted, buffers.staging)
    return this.#staging
  }

  /** cos, then sin, of position · frequency: (positions, headDim), the same values as the CPU's; for each kind of layer. */
  #reserveRotations(positions: number): void {
    if (this.#rotated >= positions) return
    const { config } = this.#kernels
    const width = headDimOf(config)
    const room = Math.max(positions, FIRST_POSITIONS, 2 * this.#rotated)
    const kinds = new Set(
      Array.from({ length: config.numHiddenLayers }, (_, layer) => layerKind(config, layer).rope),
    )
    for (const kind of kinds) {
      const { frequencies, magnitudes } = rotationOf(config, width, kind)
      const table = new Float32Array(room * width)
      for (let position = 0; position < room; position++) {
        for (const [i, frequency] of frequencies.entries()) {
          table[position * width + i] = magnitudes[i] * Math.cos(position * frequency)
          table[position * width + width / 2 + i] = magnitudes[i] * Math.sin(position * frequency)
        }
      }
      const old = this.#rotations.get(kind)
      if (old !== undefined) this.#memory.release(old)
      this.#rotations.set(kind, this.#memory.numbers(table))
    }
    this.#rotated = room
  }
}

/** Of a row's words, as mergeBestCode writes them. */
function bestLogitsIn(words: Uint32Array): BestLogits {
  const pairs = words.slice(2)
  const values = new Float32Array(pairs.buffer)
  const [largest, sum] = new Float32Array(words.slice(0, 2).buffer)
  return {
    ids: pairs.filter((_, i) => i % 2 === 1),
    logits: values.filter((_, i) => i % 2 === 0),
    logSumExp: largest + Math.log(sum),
  }
}

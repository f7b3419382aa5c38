// Keys and values of one sequence on the device: a buffer per layer, which grows by doubling. A fork copies what its
// parent has read.

import { cacheVectors, type DeviceMemory } from '../../kernels/webgpu/index.js'
import { headDimOf, type ModelConfig } from '../../nn/config.js'

const FIRST_CAPACITY = 128

let made = 0

export class DeviceCache {
  /** Changes whenever the buffers do: commands and bind groups made before are then of no use. */
  version = 0
  /** Sets this cache apart from all others. */
  readonly id = made++
  layers: readonly GPUBuffer[] = []
  capacity = 0
  /** Bind groups of this version, by what else they hold. */
  readonly groups = new Map<string, GPUBindGroup[]>()
  readonly #config: ModelConfig
  readonly #memory: DeviceMemory
  readonly #device: GPUDevice

  constructor(config: ModelConfig, memory: DeviceMemory, device: GPUDevice) {
    this.#config = config
    this.#memory = memory
    this.#device = device
  }

  /** Bytes of one position in one layer's keys; as many in its values. */
  get #rowBytes(): number {
    const { numAttentionHeads: heads, numKeyValueHeads: kvHeads } = this.#config
    return 16 * kvHeads * cacheVectors({ heads, kvHeads, headDim: headDimOf(this.#config) })
  }

  /** Makes room for positions below `length`, keeping the first `used`. */
  reserve(length: number, used: number): void {
    if (length <= this.capacity) return
    const ample = Math.max(length, 2 * this.capacity, FIRST_CAPACITY)
    const capacity = Math.max(length, Math.min(this.#config.maxPositionEmbeddings, ample))
    const old = this.layers
    const before = this.capacity
    this.#allocate(capacity)
    this.#copy(old, before, used)
    for (const buffer of old) this.#memory.release(buffer)
  }

  /** A cache with the first `used` positions of this one. */
  fork(used: number): DeviceCache {
    const fork = new DeviceCache(this.#config, this.#memory, this.#device)
    if (used === 0) return fork
    fork.#allocate(this.capacity)
    fork.#copy(this.layers, this.capacity, used)
    return fork
  }

  dispose(): void {
    for (const buffer of this.layers) this.#memory.release(buffer)
    this.layers = []
    this.capacity = 0
    this.groups.clear()
  }

  #allocate(capacity: number): void {
    const bytes = 2 * capacity * this.#rowBytes
    this.layers = Array.from({ length: this.#config.numHiddenLayers }, () => this.#memory.buffer(bytes))
    this.capacity = capacity
    this.version++
    this.groups.clear()
  }

  #copy(from: readonly GPUBuffer[], capacity: number, used: number): void {
    if (used === 0 || from.length === 0) return
    const encoder = this.#device.createCommandEncoder()
    const size = used * this.#rowBytes
    for (const [i, buffer] of from.entries()) {
      encoder.copyBufferToBuffer(buffer, 0, this.layers[i], 0, size)
      const [values, to] = [capacity * this.#rowBytes, this.capacity * this.#rowBytes]
      encoder.copyBufferToBuffer(buffer, values, this.layers[i], to, size)
    }
    this.#device.queue.submit([encoder.finish()])
  }
}

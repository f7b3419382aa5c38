// A model's weights on the device, layer by layer: on the CPU never more than one layer is held beside the embedding.

import { type Weights, weightBytes, weightTypeOf } from '../../kernels/index.js'
import { type DeviceMatrix, type DeviceMemory, padded, vectorFormat } from '../../kernels/webgpu/index.js'
import { headDimOf, type ModelConfig } from '../../nn/config.js'
import { CompactNeurons } from '../model/compact-neurons.js'
import type { LayerWeights, LearnedParameters } from '../model/weights.js'

export interface DeviceLayer {
  /** Blocks of rows, each from row `first` on: of q, k and v together, or where they differ in type of each. */
  readonly qkv: readonly { readonly matrix: DeviceMatrix; readonly first: number }[]
  /** The norm before it, then the bias. */
  readonly qkvExtra: GPUBuffer
  readonly output: DeviceMatrix
  /** The bias. */
  readonly outputExtra: GPUBuffer
  readonly ffnNorm: GPUBuffer
  readonly gate: DeviceMatrix
  /** Null in a plain FFN. */
  readonly up: DeviceMatrix | null
  /** Down columns, as tiles. This, gate and up are cut into parts alike. */
  readonly down: DeviceMatrix
  readonly learned: LearnedParameters | null
}

export interface DeviceWeights {
  readonly embedding: DeviceMatrix
  readonly layers: readonly DeviceLayer[]
  readonly norm: GPUBuffer
  /** The embedding itself when the two are tied. */
  readonly head: DeviceMatrix
}

/** Sizes of a layer's matrices: numbers of q, of k or v, and of all three together. */
export function attentionWidths(config: ModelConfig): { q: number; kv: number; all: number } {
  const q = headDimOf(config) * config.numAttentionHeads
  const kv = headDimOf(config) * config.numKeyValueHeads
  return { q, kv, all: q + 2 * kv }
}

export function uploadVocabulary(memory: DeviceMemory, config: ModelConfig, w: Weights): DeviceMatrix {
  vectorFormat(weightTypeOf(w))
  return memory.upload(w, { rows: config.vocabSize, columns: config.hiddenSize })
}

/** Throws OptionError WEBGPU_DTYPE, FlickerError WEBGPU_LIMITS, WEBGPU_BUFFER. */
export function uploadLayer(memory: DeviceMemory, config: ModelConfig, layer: LayerWeights): DeviceLayer {
  const { hiddenSize: d, intermediateSize: h } = config
  const { q } = attentionWidths(config)
  const { neurons, up, gated, inputNorm, ffnNorm } = layer
  if (inputNorm === null || ffnNorm === null) throw new Error('a layer without norms was not refused')
  if (neurons instanceof CompactNeurons) throw new Error('neurons kept in a file cannot be uploaded')
  const neuronType = weightTypeOf(neurons)
  // With `gated` each neuron's up row stands before its down column; on the device they are two matrices.
  const rowBytes = weightBytes(neuronType, d)
  const place = (offset: number) => ({ stride: gated ? 2 * rowBytes : rowBytes, offset })
  const upType = gated ? neuronType : up === null ? null : weightTypeOf(up)
  const rowsPerPart = Math.min(
    memory.rowsPerPart(weightTypeOf(layer.gate), d),
    memory.rowsPerPart(neuronType, d, 'tiles'),
    upType === null ? Number.POSITIVE_INFINITY : memory.rowsPerPart(upType, d),
  )
  const shape = { rows: h, columns: d }
  let first = 0
  const qkv = layer.qkv.map(({ weights, rows }) => {
    const block = { matrix: memory.upload(weights, { rows, columns: d }), first }
    first += rows
    return block
  })
  return {
    qkv,
    qkvExtra: memory.numbers(joined(padded(inputNorm.weight), layer.qkvBias)),
    output: memory.upload(layer.output, { rows: d, columns: q }),
    outputExtra: memory.numbers(layer.outputBias ?? new Float32Array(4)),
    ffnNorm: memory.numbers(padded(ffnNorm.weight)),
    gate: memory.upload(layer.gate, shape, undefined, rowsPerPart),
    up: gated
      ? memory.upload(neurons, shape, place(0), rowsPerPart)
      : up && memory.upload(up, shape, undefined, rowsPerPart),
    down: memory.uploadTiles(neurons, shape, place(gated ? rowBytes : 0), rowsPerPart),
    learned: layer.learned,
  }
}

function joined(first: Float32Array, second: Float32Array | null): Float32Array {
  const out = new Float32Array(first.length + (second?.length ?? 0))
  out.set(first)
  if (second !== null) out.set(second, first.length)
  return out
}

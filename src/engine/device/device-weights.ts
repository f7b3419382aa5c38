// A model's weights on the device, layer by layer: on the CPU never more than one layer is held beside the embedding.

import { type Weights, weightBytes, weightTypeOf } from '../../kernels/index.js'
import {
  type DeviceMatrix,
  type DeviceMemory,
  expertRanges,
  padded,
  paddedColumns,
  rangesOf,
  vectorFormat,
} from '../../kernels/webgpu/index.js'
import { ffnWidths, headDimOf, type ModelConfig, neuronsPerLayer } from '../../nn/config.js'
import type { MatrixName } from '../../nn/cuts.js'
import { CompactNeurons } from '../model/compact-neurons.js'
import {
  type LayerWeights,
  type LearnedParameters,
  type NormWeights,
  storedNeurons,
} from '../model/weights.js'
import { cutsInput, type DeviceLayerCuts, uploadCuts } from './layer-cuts.js'

export interface DeviceLayer {
  /** Blocks of rows, each from row `first` on: of q, k and v together, or where they differ in type or have cuts of each. */
  readonly qkv: readonly {
    readonly matrix: DeviceMatrix
    readonly first: number
    readonly name?: MatrixName
  }[]
  /** Whether RMSNorm of what attention reads is part of its products. */
  readonly fusesInputNorm: boolean
  /** RMSNorm before it, then the bias; the bias alone where the norm is a kernel of its own or there is none. */
  readonly qkvExtra: GPUBuffer
  readonly output: DeviceMatrix
  /** The bias. */
  readonly outputExtra: GPUBuffer
  /** Norms whose weights are not part of `qkvExtra`. */
  readonly norms: DeviceNorms
  readonly gate: DeviceMatrix
  /** (experts, d); null without experts. With them gate, up and down have the neurons of all, one expert after the other. */
  readonly router: DeviceMatrix | null
  /** Null in a plain FFN. */
  readonly up: DeviceMatrix | null
  /** Down columns, as tiles: this, gate and up are cut into parts alike. Of a layer that is stored `dense`, down_proj by output. */
  readonly down: DeviceMatrix
  /** Nothing of a dense layer is skipped. */
  readonly dense: boolean
  /** Of the neurons, (h); null without. */
  readonly gateBias: Float32Array | null
  /** (d); null without. */
  readonly downBias: GPUBuffer | null
  readonly learned: LearnedParameters | null
  /** What `flicker sparsify` cuts; null: nothing. */
  readonly cuts: DeviceLayerCuts | null
}

/** Weights, and after them the bias of LayerNorm; null where the layer has no such norm. */
export interface DeviceNorms {
  /** Of what attention reads, where it is a kernel of its own. */
  readonly input: GPUBuffer | null
  /** Of queries and of keys. */
  readonly q: GPUBuffer | null
  readonly k: GPUBuffer | null
  /** Of what attention adds to the residual stream. */
  readonly attention: GPUBuffer | null
  /** Of what the FFN reads, also where it reads what attention reads. */
  readonly ffn: GPUBuffer | null
  /** Of what the FFN adds. */
  readonly ffnOutput: GPUBuffer | null
}

export interface DeviceWeights {
  readonly embedding: DeviceMatrix
  readonly layers: readonly DeviceLayer[]
  /** Vectors of positions, (positions, d); null without. */
  readonly positions: GPUBuffer | null
  /** The final norm, then the bias of the head. */
  readonly norm: GPUBuffer
  /** The final norm where it is LayerNorm. */
  readonly layerNorm: GPUBuffer | null
  /** The embedding itself when the two are tied. */
  readonly head: DeviceMatrix
}

/** Sizes of a layer's matrices: numbers of q, of k or v, and of all three together. */
export function attentionWidths(config: ModelConfig): { q: number; kv: number; all: number } {
  const q = headDimOf(config) * config.numAttentionHeads
  const kv = headDimOf(config) * config.numKeyValueHeads
  return { q, kv, all: q + 2 * kv }
}

/**
 * Whether the norms of what branches read are kernels of their own: RMSNorm with nothing after it is part of the product that
 * reads it.
 */
export function normIsKernel({ norm, normActivation }: ModelConfig): boolean {
  return norm === 'layer' || normActivation !== undefined
}

export function uploadVocabulary(memory: DeviceMemory, config: ModelConfig, w: Weights): DeviceMatrix {
  vectorFormat(weightTypeOf(w))
  return memory.upload(w, { rows: config.vocabSize, columns: config.hiddenSize })
}

/** Throws OptionError WEBGPU_DTYPE, FlickerError WEBGPU_LIMITS, WEBGPU_BUFFER. */
export function uploadLayer(memory: DeviceMemory, config: ModelConfig, layer: LayerWeights): DeviceLayer {
  const { hiddenSize: d } = config
  const { q } = attentionWidths(config)
  const { up, gated, inputNorm, qkvBias, experts = null } = layer
  if (layer.neurons instanceof CompactNeurons) throw new Error('neurons kept in a file cannot be uploaded')
  const { down: byOutput = null } = layer
  const neurons = byOutput ?? storedNeurons(layer)
  const neuronType = weightTypeOf(neurons)
  // With `gated` each neuron's up row stands before its down column; on the device they are two matrices.
  const { gate: gateWidth, up: upWidth } = ffnWidths(config)
  const upBytes = gated ? weightBytes(neuronType, upWidth) : 0
  const place = (offset: number) => ({ stride: upBytes + weightBytes(neuronType, d), offset })
  const upType = gated ? neuronType : up && weightTypeOf(up)
  const rowsPerPart = Math.min(
    memory.rowsPerPart(weightTypeOf(layer.gate), gateWidth),
    byOutput === null ? memory.rowsPerPart(neuronType, d, 'tiles') : Number.POSITIVE_INFINITY,
    upType === null ? Number.POSITIVE_INFINITY : memory.rowsPerPart(upType, upWidth),
  )
  const rows = neuronsPerLayer(config)
  // A part has whole experts or rows of one: which expert is read the device alone knows.
  const ranges =
    config.experts === undefined
      ? rangesOf(rows, rowsPerPart)
      : expertRanges(config.experts.count, config.intermediateSize, rowsPerPart)
  const cuts = layer.cuts ?? null
  const fusesInputNorm = inputNorm !== null && !normIsKernel(config) && !cutsInput(cuts, 'attention')
  return {
    qkv: uploadProjections(memory, config, layer),
    fusesInputNorm,
    qkvExtra: productExtra(memory, fusesInputNorm ? inputNorm : null, qkvBias),
    output: memory.upload(layer.output, { rows: d, columns: q }),
    outputExtra: memory.numbers(layer.outputBias ?? new Float32Array(4)),
    norms: {
      input: fusesInputNorm ? null : normNumbers(memory, inputNorm),
      q: layer.qNorm && memory.numbers(layer.qNorm),
      k: layer.kNorm && memory.numbers(layer.kNorm),
      attention: normNumbers(memory, layer.attentionNorm),
      ffn: normNumbers(memory, config.parallelBranches === 'oneNorm' ? inputNorm : layer.ffnNorm),
      ffnOutput: normNumbers(memory, layer.ffnOutputNorm),
    },
    router: experts && memory.upload(experts.router, { rows: config.experts?.count ?? 0, columns: d }),
    gate: memory.upload(layer.gate, { rows, columns: gateWidth }, undefined, ranges),
    up: gated
      ? memory.upload(neurons, { rows, columns: upWidth }, place(0), ranges)
      : up && memory.upload(up, { rows, columns: upWidth }, undefined, ranges),
    down:
      byOutput === null
        ? memory.uploadTiles(neurons, { rows, columns: d }, place(upBytes), ranges)
        : memory.upload(byOutput, { rows: d, columns: config.intermediateSize }),
    dense: byOutput !== null,
    gateBias: layer.gateBias,
    downBias: layer.downBias && memory.numbers(layer.downBias),
    learned: layer.learned,
    cuts: cuts && uploadCuts(memory, config, cuts),
  }
}

/** q, k and v: as the engine lays them out, or, where their inputs are cut, each for itself. */
function uploadProjections(
  memory: DeviceMemory,
  config: ModelConfig,
  layer: LayerWeights,
): DeviceLayer['qkv'] {
  const { hiddenSize: d } = config
  let first = 0
  if (!cutsInput(layer.cuts ?? null, 'attention')) {
    return layer.qkv.map(({ weights, rows }) => {
      const block = { matrix: memory.upload(weights, { rows, columns: d }), first }
      first += rows
      return block
    })
  }
  const { q, kv } = attentionWidths(config)
  const together = layer.qkv.length === 1
  return (['q', 'k', 'v'] as const).map((name, i) => {
    const { weights } = layer.qkv[together ? 0 : i]
    const rows = name === 'q' ? q : kv
    const stride = weightBytes(weightTypeOf(weights), d)
    const place = { stride, offset: together ? first * stride : 0 }
    const block = { matrix: memory.upload(weights, { rows, columns: d }, place), first, name }
    first += rows
    return block
  })
}

/** The weights of a norm, then its bias. */
export function normNumbers(memory: DeviceMemory, norm: NormWeights | null): GPUBuffer | null {
  return norm && memory.numbers(joined(padded(norm.weight), norm.bias && padded(norm.bias)))
}

/** What `matvecCode` reads beside a matrix: the weights of RMSNorm, where that is part of it, then the bias. */
export function productExtra(
  memory: DeviceMemory,
  norm: NormWeights | null,
  bias: Float32Array | null,
): GPUBuffer {
  const first = norm === null ? new Float32Array(0) : padded(norm.weight)
  return memory.numbers(joined(first, bias), first.length + (bias === null ? 4 : paddedColumns(bias.length)))
}

function joined(first: Float32Array, second: Float32Array | null): Float32Array {
  const out = new Float32Array(first.length + (second?.length ?? 0))
  out.set(first)
  if (second !== null) out.set(second, first.length)
  return out
}

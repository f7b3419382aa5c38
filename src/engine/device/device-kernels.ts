// The kernels of one model on one device, with their weights: what a pass dispatches, layer by layer.

import type { Activation } from '../../activations/index.js'
import { Purpose } from '../../kernels/philox.js'
import {
  ATTEND_ACCESS,
  type AttentionShape,
  attendCode,
  compilerOf,
  type DeviceMatrix,
  type DeviceMemory,
  type Dispatch,
  DOWN_ACCESS,
  downCode,
  downPlan,
  EMBEDDING_ACCESS,
  embeddingCode,
  type FeedForwardShape,
  flagWords,
  type Gpu,
  HIDDEN_ACCESS,
  hiddenCode,
  type Kernel,
  type KernelCompiler,
  LAYER_WORDS,
  MATVEC_ACCESS,
  type MatvecShape,
  matvecCode,
  neuronsTogether,
  paddedColumns,
  ROW_WORDS,
  ROWS_PER_WORKGROUP,
  STORE_ACCESS,
  storeCode,
} from '../../kernels/webgpu/index.js'
import { headDimOf, type ModelConfig } from '../../nn/config.js'
import { attentionWidths, type DeviceLayer, type DeviceWeights } from './device-weights.js'

/** Rows of one pass. */
export const MOST_ROWS = 32
/** Rows of a matrix from which on a group of lanes computes several together: with fewer, some of the GPU would be idle. */
const MANY_ROWS = 4096

/** What all layers share: one row of each per row of a pass. */
export interface PassBuffers {
  /** Descriptions of the rows, ROW_WORDS words each. */
  readonly rows: GPUBuffer
  readonly x: GPUBuffer
  readonly qkv: GPUBuffer
  readonly gathered: GPUBuffer
  readonly hidden: GPUBuffer
  /** Active neurons per layer and row, (layers, MOST_ROWS); then the rows' bits. */
  readonly flags: GPUBuffer
  readonly logits: GPUBuffer
}

/** `store` comes first, where there is one. */
export interface AttentionKernels {
  readonly store: Kernel | null
  readonly attend: Kernel
}

export interface LayerDispatches {
  readonly qkv: readonly Dispatch[]
  readonly output: readonly Dispatch[]
}

export class DeviceKernels {
  readonly config: ModelConfig
  readonly buffers: PassBuffers
  readonly attention: AttentionShape
  embedding: readonly Dispatch[] = []
  layers: readonly LayerDispatches[] = []
  head: readonly Dispatch[] = []
  readonly #gpu: Gpu
  readonly #memory: DeviceMemory
  readonly #weights: DeviceWeights
  readonly #compiler: KernelCompiler
  readonly #ffn = new Map<string, Promise<readonly Dispatch[]>>()
  readonly #numbers = new Map<string, GPUBuffer>()

  private constructor(gpu: Gpu, memory: DeviceMemory, config: ModelConfig, weights: DeviceWeights) {
    this.config = config
    this.#gpu = gpu
    this.#memory = memory
    this.#weights = weights
    this.#compiler = compilerOf(gpu)
    const { hiddenSize: d, intermediateSize: h, numHiddenLayers, vocabSize } = config
    const { q, all } = attentionWidths(config)
    const perRow = (width: number) => memory.buffer(4 * MOST_ROWS * paddedColumns(width))
    this.attention = {
      heads: config.numAttentionHeads,
      kvHeads: config.numKeyValueHeads,
      headDim: headDimOf(config),
    }
    this.buffers = {
      rows: memory.buffer(4 * MOST_ROWS * ROW_WORDS),
      x: perRow(d),
      qkv: perRow(all),
      gathered: perRow(q),
      hidden: perRow(h),
      flags: memory.buffer(4 * MOST_ROWS * (numHiddenLayers + flagWords(h))),
      logits: perRow(vocabSize),
    }
  }

  /** Throws what compiling throws. */
  static async compile(
    gpu: Gpu,
    memory: DeviceMemory,
    config: ModelConfig,
    weights: DeviceWeights,
  ): Promise<DeviceKernels> {
    const own = new DeviceKernels(gpu, memory, config, weights)
    ;[own.embedding, own.layers, own.head] = await Promise.all([
      own.#embedding(),
      Promise.all(weights.layers.map(layer => own.#layer(layer))),
      own.#matvec(weights.head, [weights.norm, own.buffers.x, own.buffers.logits], {
        rows: config.vocabSize,
        columns: config.hiddenSize,
        normEps: config.rmsNormEps,
        bias: false,
        accumulate: false,
        gathers: true,
      }),
    ])
    return own
  }

  async #embedding(): Promise<Dispatch[]> {
    const { type, parts } = this.#weights.embedding
    const { hiddenSize, numHiddenLayers } = this.config
    const { rows, x, flags } = this.buffers
    const code = embeddingCode({ type, columns: hiddenSize, layers: numHiddenLayers, maxRows: MOST_ROWS })
    return Promise.all(
      parts.map(async ({ buffer, first, count }) => {
        const kernel = await this.#compiler.compile(code, EMBEDDING_ACCESS, { FIRST: first, COUNT: count })
        return { kernel, group: kernel.bind([buffer, rows, x, flags]), workgroups: 1 }
      }),
    )
  }

  async #layer(layer: DeviceLayer): Promise<LayerDispatches> {
    const { attentionBias, hiddenSize, rmsNormEps } = this.config
    const { x, qkv, gathered } = this.buffers
    const [all, output] = await Promise.all([
      Promise.all(
        layer.qkv.map(({ matrix, first }) =>
          this.#matvec(
            matrix,
            [layer.qkvExtra, x, qkv],
            {
              rows: attentionWidths(this.config).all,
              columns: hiddenSize,
              normEps: rmsNormEps,
              bias: attentionBias !== undefined,
              accumulate: false,
              gathers: false,
            },
            first,
          ),
        ),
      ),
      this.#matvec(layer.output, [layer.outputExtra, gathered, x], {
        rows: hiddenSize,
        columns: attentionWidths(this.config).q,
        normEps: null,
        bias: attentionBias === 'qkvo',
        accumulate: true,
        gathers: false,
      }),
    ])
    return { qkv: all.flat(), output }
  }

  /** Of every part of a matrix: its product with `x`, into `y` from row `start` on. */
  #matvec(
    { type, rows, parts }: DeviceMatrix,
    [extra, x, y]: readonly [extra: GPUBuffer, x: GPUBuffer, y: GPUBuffer],
    shape: Omit<MatvecShape, 'type' | 'together'>,
    start = 0,
  ): Promise<Dispatch[]> {
    const { info } = this.#gpu
    const together = rows >= MANY_ROWS ? info.together : 1
    const code = matvecCode({ ...shape, type, together }, info)
    return Promise.all(
      parts.map(async ({ buffer, first, count }) => {
        const kernel = await this.#compiler.compile(code, MATVEC_ACCESS, {
          FIRST: start + first,
          COUNT: count,
        })
        const group = kernel.bind([buffer, x, y, extra, this.buffers.rows])
        return { kernel, group, workgroups: Math.ceil(count / (ROWS_PER_WORKGROUP * together)) }
      }),
    )
  }

  /** Attention of sequences with one new row, or with several, whose keys and values are stored first. */
  async attend(several: boolean): Promise<AttentionKernels> {
    const { info } = this.#gpu
    const [store, attend] = await Promise.all([
      several ? this.#compiler.compile(storeCode(this.attention), STORE_ACCESS) : null,
      this.#compiler.compile(attendCode(this.attention, !several, info), ATTEND_ACCESS),
    ])
    return { store, attend }
  }

  /** The FFN of a layer with this activation, compiled once. Throws OptionError WEBGPU_ACTIVATION. */
  ffn(index: number, activation: Activation, skips: boolean): Promise<readonly Dispatch[]> {
    const key = `${index} ${skips} ${activation.spec}`
    let dispatches = this.#ffn.get(key)
    if (dispatches === undefined) {
      dispatches = this.#ffnLayer(index, activation, skips)
      this.#ffn.set(key, dispatches)
    }
    return dispatches
  }

  async #ffnLayer(index: number, activation: Activation, skips: boolean): Promise<Dispatch[]> {
    const { hiddenSize: width, intermediateSize: count, numHiddenLayers, rmsNormEps } = this.config
    const { x, rows, hidden, flags } = this.buffers
    const layer = this.#weights.layers[index]
    const numbers = this.#layerNumbers(activation, index)
    const shape: FeedForwardShape = {
      gate: layer.gate.type,
      up: layer.up?.type ?? null,
      down: layer.down.type,
      ...{ width, count, maxRows: MOST_ROWS, skips },
      layers: numHiddenLayers,
    }
    const use = { activation, purpose: Purpose.decode, eps: rmsNormEps }
    const [hiddenWgsl, downWgsl] = [hiddenCode(shape, use, this.#gpu.info), downCode(shape, this.#gpu)]
    const { workgroups } = downPlan(shape, this.#gpu)
    const parts = await Promise.all(
      layer.gate.parts.map(async (gate, part) => {
        const constants = { FIRST: gate.first, COUNT: gate.count }
        const down = layer.down.parts[part].buffer
        const up = layer.up?.parts[part].buffer ?? gate.buffer
        const [first, second] = await Promise.all([
          this.#compiler.compile(hiddenWgsl, HIDDEN_ACCESS, constants),
          this.#compiler.compile(downWgsl, DOWN_ACCESS, constants),
        ])
        return [
          {
            kernel: first,
            group: first.bind([gate.buffer, up, x, layer.ffnNorm, numbers, rows, hidden, flags]),
            workgroups: Math.ceil(gate.count / (ROWS_PER_WORKGROUP * neuronsTogether(shape, this.#gpu.info))),
          },
          { kernel: second, group: second.bind([down, hidden, flags, x]), workgroups },
        ]
      }),
    )
    // All gates read x before the first down projection changes it.
    return [...parts.map(([first]) => first), ...parts.map(([, second]) => second)]
  }

  #layerNumbers(activation: Activation, index: number): GPUBuffer {
    const key = `${index} ${activation.spec}`
    let buffer = this.#numbers.get(key)
    if (buffer === undefined) {
      const layer = this.#weights.layers[index]
      buffer = this.#memory.numbers(layerNumbers(activation, index, this.config.intermediateSize, layer))
      this.#numbers.set(key, buffer)
    }
    return buffer
  }
}

/** What `activationCode` reads of a layer. */
function layerNumbers(
  activation: Activation,
  index: number,
  neurons: number,
  { learned }: DeviceLayer,
): Float32Array {
  const program = activation.programs?.forward
  const uniforms = new Float64Array(program?.uniformCount ?? 0)
  const parameters = learned?.of(activation) ?? new Float32Array(0)
  program?.fillUniforms(uniforms, activation.settings, parameters, neurons)
  const shared = activation.programs?.learned.filter(({ per }) => per === 'layer').length ?? 0
  const own = parameters.subarray(shared)
  const numbers = new Float32Array(LAYER_WORDS + uniforms.length + own.length)
  numbers[0] = index
  numbers.set(uniforms, LAYER_WORDS)
  numbers.set(own, LAYER_WORDS + uniforms.length)
  return numbers
}

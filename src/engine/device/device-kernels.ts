// The kernels of one model on one device, with their weights: what a pass dispatches, layer by layer.

import type { Activation } from '../../activations/index.js'
import { Purpose } from '../../kernels/philox.js'
import {
  ATTEND_ACCESS,
  type AttentionShape,
  attendCode,
  BEST_ACCESS,
  bestChunks,
  CHOOSE_ACCESS,
  chooseCode,
  chunkBestCode,
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
  type Gpu,
  HEAD_NORM_ACCESS,
  HIDDEN_ACCESS,
  headNormCode,
  hiddenCode,
  JOIN_ACCESS,
  joinCode,
  type Kernel,
  type KernelCompiler,
  MATVEC_ACCESS,
  type MatvecShape,
  matvecCode,
  mergeBestCode,
  NORM_ACCESS,
  type NormShape,
  neuronsTogether,
  normCode,
  ROWS_PER_WORKGROUP,
  STORE_ACCESS,
  storeCode,
} from '../../kernels/webgpu/index.js'
import { headDimOf, layerKind, type ModelConfig } from '../../nn/config.js'
import type { BestWanted } from '../generation/best-logits.js'
import { attentionWidths, type DeviceLayer, type DeviceNorms, type DeviceWeights } from './device-weights.js'
import { type LayerNumbers, layerNumbers } from './layer-numbers.js'
import { addsAtOnce, MOST_ROWS, type PassBuffers, passBuffers } from './pass-buffers.js'

/** Rows of a matrix from which on a group of lanes computes several together: with fewer, some of the GPU would be idle. */
const MANY_ROWS = 4096

/** `store` comes first, where there is one. */
export interface AttentionKernels {
  readonly store: Kernel | null
  readonly attend: Kernel
}

/** What a layer dispatches around its attention and its FFN, norms of their own included. */
export interface LayerDispatches {
  /** Before attention. */
  readonly qkv: readonly Dispatch[]
  /** After attention and before the FFN. */
  readonly output: readonly Dispatch[]
  /** After the FFN. */
  readonly after: readonly Dispatch[]
}

interface NumbersOfLayer extends Pick<LayerNumbers, 'biasAt'> {
  readonly buffer: GPUBuffer
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
  readonly #attention = new Map<string, Promise<AttentionKernels>>()
  readonly #numbers = new Map<string, NumbersOfLayer>()
  /** Whether branches add to the residual stream as they are. */
  readonly #addsAtOnce: boolean
  /** Bound where a kernel reads nothing. */
  readonly #nothing: GPUBuffer

  private constructor(gpu: Gpu, memory: DeviceMemory, config: ModelConfig, weights: DeviceWeights) {
    this.config = config
    this.#gpu = gpu
    this.#memory = memory
    this.#weights = weights
    this.#compiler = compilerOf(gpu)
    this.#nothing = memory.buffer(16)
    this.attention = {
      heads: config.numAttentionHeads,
      kvHeads: config.numKeyValueHeads,
      headDim: headDimOf(config),
      scale: config.attentionScale,
      softcap: config.attentionSoftcap,
    }
    this.#addsAtOnce = addsAtOnce(config)
    this.buffers = passBuffers(memory, config)
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
      own.#head(),
    ])
    return own
  }

  async #head(): Promise<Dispatch[]> {
    const { norm, layerNorm, head } = this.#weights
    const { vocabSize, hiddenSize, headBias } = this.config
    const { logits } = this.buffers
    const product = await this.#matvec(head, [norm, this.#input(layerNorm), logits], {
      rows: vocabSize,
      columns: hiddenSize,
      normEps: this.#fusedEps(true),
      bias: headBias === true,
      accumulate: false,
      gathers: true,
    })
    return [...(await this.#norm(layerNorm)), ...product]
  }

  /** After the head: the largest logits of each row. */
  async best({ count, among }: BestWanted): Promise<Dispatch[]> {
    const { vocabSize: vocab } = this.config
    const { logits, chunkBest, best } = this.buffers
    const shape = { vocab, among, count }
    const [chunks, merge] = await Promise.all(
      [chunkBestCode(shape), mergeBestCode(shape)].map(code => this.#compiler.compile(code, BEST_ACCESS)),
    )
    return [
      { kernel: chunks, group: chunks.bind([logits, chunkBest]), workgroups: bestChunks(vocab) },
      { kernel: merge, group: merge.bind([chunkBest, best]), workgroups: 1 },
    ]
  }

  async #embedding(): Promise<Dispatch[]> {
    const { type, parts } = this.#weights.embedding
    const { hiddenSize, numHiddenLayers, embeddingScale = 1, learnedPositions } = this.config
    const { rows, x, flags } = this.buffers
    const code = embeddingCode({
      ...{ type, columns: hiddenSize, layers: numHiddenLayers, maxRows: MOST_ROWS },
      scale: embeddingScale,
      positionOffset: learnedPositions?.offset ?? null,
    })
    const positions = this.#weights.positions ?? this.#nothing
    return Promise.all(
      parts.map(async ({ buffer, first, count }) => {
        const kernel = await this.#compiler.compile(code, EMBEDDING_ACCESS, { FIRST: first, COUNT: count })
        return { kernel, group: kernel.bind([buffer, rows, x, flags, positions]), workgroups: 1 }
      }),
    )
  }

  async #layer(layer: DeviceLayer): Promise<LayerDispatches> {
    const { attentionBias, hiddenSize, normPlacement, parallelBranches } = this.config
    const { qkv, gathered, branch } = this.buffers
    const { norms } = layer
    const all = attentionWidths(this.config).all
    const [inputNorm, products, headNorms, output, joined, ffnNorm, after] = await Promise.all([
      this.#norm(norms.input),
      Promise.all(
        layer.qkv.map(({ matrix, first }) =>
          this.#matvec(
            matrix,
            [layer.qkvExtra, this.#input(norms.input), qkv],
            {
              rows: all,
              columns: hiddenSize,
              normEps: this.#fusedEps(normPlacement !== 'after'),
              bias: attentionBias !== undefined,
              accumulate: false,
              gathers: false,
            },
            first,
          ),
        ),
      ),
      this.#headNorms(norms),
      this.#matvec(layer.output, [layer.outputExtra, gathered, branch], {
        rows: hiddenSize,
        columns: attentionWidths(this.config).q,
        normEps: null,
        bias: attentionBias === 'qkvo',
        accumulate: true,
        gathers: false,
      }),
      // Of parallel branches the FFN reads the residual stream as attention found it.
      parallelBranches === undefined ? this.#join(norms.attention) : [],
      parallelBranches === 'oneNorm' || this.config.norm !== 'layer' ? [] : this.#norm(norms.ffn),
      this.#join(norms.ffnOutput),
    ])
    return {
      qkv: [...inputNorm, ...products.flat(), ...headNorms],
      output: [...output, ...joined, ...ffnNorm],
      after,
    }
  }

  /** ε of a norm that is part of a product; null where there is none. */
  #fusedEps(hasNorm: boolean): number | null {
    return hasNorm && this.config.norm !== 'layer' ? this.config.rmsNormEps : null
  }

  /** What a branch reads: what a kernel has normed, or x. */
  #input(layerNorm: GPUBuffer | null): GPUBuffer {
    return layerNorm === null || this.config.norm !== 'layer' ? this.buffers.x : this.buffers.normed
  }

  #normShape(columns: number, kind: NormShape['kind'] = this.config.norm ?? 'rms'): NormShape {
    return { kind, eps: this.config.rmsNormEps, columns }
  }

  /** normed = LayerNorm(x), where there is one. */
  async #norm(weights: GPUBuffer | null): Promise<Dispatch[]> {
    if (weights === null) return []
    const { x, normed } = this.buffers
    const kernel = await this.#compiler.compile(
      normCode(this.#normShape(this.config.hiddenSize)),
      NORM_ACCESS,
    )
    return [{ kernel, group: kernel.bind([x, weights, normed]), workgroups: 1 }]
  }

  /** x += what a branch has left, normed and scaled as the model says. */
  async #join(weights: GPUBuffer | null): Promise<Dispatch[]> {
    if (this.#addsAtOnce) return []
    const { hiddenSize, residualScale = 1 } = this.config
    const { x, branch } = this.buffers
    const code = joinCode(hiddenSize, weights && this.#normShape(hiddenSize), residualScale)
    const kernel = await this.#compiler.compile(code, JOIN_ACCESS)
    return [{ kernel, group: kernel.bind([weights ?? this.#nothing, branch, x]), workgroups: 1 }]
  }

  /** Queries and keys, each head or whole, through their norms. */
  async #headNorms({ q, k }: DeviceNorms): Promise<Dispatch[]> {
    const { qkNorm, numAttentionHeads: heads, numKeyValueHeads: kvHeads } = this.config
    const headDim = headDimOf(this.config)
    const width = attentionWidths(this.config).all
    const norm = async (weights: GPUBuffer | null, first: number, count: number) => {
      if (weights === null) return []
      const columns = qkNorm === 'head' ? headDim : count * headDim
      const code = headNormCode(this.#normShape(columns, 'rms'), first, width)
      const kernel = await this.#compiler.compile(code, HEAD_NORM_ACCESS)
      const group = kernel.bind([weights, this.buffers.qkv])
      return [{ kernel, group, workgroups: qkNorm === 'head' ? count : 1 }]
    }
    return (await Promise.all([norm(q, 0, heads), norm(k, heads * headDim, kvHeads)])).flat()
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

  /** Attention in a layer, of sequences with one new row or with several, whose keys and values are stored first. */
  attend(several: boolean, layer: number): Promise<AttentionKernels> {
    const { window } = layerKind(this.config, layer)
    const key = `${several} ${window}`
    let kernels = this.#attention.get(key)
    if (kernels === undefined) {
      kernels = this.#attentionOf(several, window)
      this.#attention.set(key, kernels)
    }
    return kernels
  }

  async #attentionOf(several: boolean, window: number | undefined): Promise<AttentionKernels> {
    const shape = { ...this.attention, window }
    const [store, attend] = await Promise.all([
      several ? this.#compiler.compile(storeCode(shape), STORE_ACCESS) : null,
      this.#compiler.compile(attendCode(shape, !several, this.#gpu.info), ATTEND_ACCESS),
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
    const { hiddenSize: width, intermediateSize: count, numHiddenLayers } = this.config
    const { normPlacement, ffn, experts = null } = this.config
    const { rows, hidden, flags, branch } = this.buffers
    const layer = this.#weights.layers[index]
    const { buffer: numbers, biasAt } = this.#layerNumbers(activation, index)
    const eps = this.#fusedEps(normPlacement !== 'after')
    const x = this.#input(layer.norms.ffn)
    const norm = eps === null ? this.#nothing : layer.norms.ffn
    if (norm === null) throw new Error('an FFN without a norm is one whose norm stands after it')
    const shape: FeedForwardShape = {
      gate: layer.gate.type,
      up: layer.up?.type ?? null,
      down: layer.down.type,
      ...{ width, count, maxRows: MOST_ROWS, skips, downBias: layer.downBias !== null },
      ...{ layers: numHiddenLayers, activatesUp: ffn === 'drelu', experts },
    }
    const use = { activation, purpose: Purpose.decode, eps, biasAt }
    const [hiddenWgsl, downWgsl] = [hiddenCode(shape, use, this.#gpu.info), downCode(shape, this.#gpu)]
    const { workgroups } = downPlan(shape, this.#gpu)
    const dispatchesOf = (slot: number) =>
      layer.gate.parts.map(async (gate, part) => {
        const neurons = experts === null ? gate.count : count
        const constants = {
          ...{ FIRST: gate.first, COUNT: neurons },
          ...(experts !== null && { SLOT: slot }),
        }
        const down = layer.down.parts[part].buffer
        const up = layer.up?.parts[part].buffer ?? gate.buffer
        const [first, second] = await Promise.all([
          this.#compiler.compile(hiddenWgsl, HIDDEN_ACCESS, constants),
          this.#compiler.compile(downWgsl, DOWN_ACCESS, constants),
        ])
        return [
          {
            kernel: first,
            group: first.bind([gate.buffer, up, x, norm, numbers, rows, hidden, flags]),
            workgroups: Math.ceil(neurons / (ROWS_PER_WORKGROUP * neuronsTogether(shape, this.#gpu.info))),
          },
          {
            kernel: second,
            group: second.bind([down, hidden, flags, layer.downBias ?? this.#nothing, branch]),
            workgroups,
          },
        ]
      })
    if (experts === null) {
      const parts = await Promise.all(dispatchesOf(0))
      // All gates read x before the first down projection changes it.
      return [...parts.map(([first]) => first), ...parts.map(([, second]) => second)]
    }
    const slots = Array.from({ length: experts.perToken }, (_, slot) => Promise.all(dispatchesOf(slot)))
    const [router, ...each] = await Promise.all([this.#router(layer, norm, x, eps), ...slots])
    return [...router, ...each.flat(2)]
  }

  /** Which experts each row takes. */
  async #router(
    { router }: DeviceLayer,
    norm: GPUBuffer,
    x: GPUBuffer,
    eps: number | null,
  ): Promise<Dispatch[]> {
    const { hiddenSize: columns, intermediateSize, numHiddenLayers, experts } = this.config
    const { scores, flags } = this.buffers
    if (router === null || experts === undefined) throw new Error('a mixture of experts has a router')
    const product = await this.#matvec(router, [norm, x, scores], {
      ...{ rows: experts.count, columns, normEps: eps },
      ...{ bias: false, accumulate: false, gathers: false },
    })
    const code = chooseCode(experts, MOST_ROWS, numHiddenLayers, intermediateSize)
    const kernel = await this.#compiler.compile(code, CHOOSE_ACCESS)
    return [...product, { kernel, group: kernel.bind([scores, flags]), workgroups: 1 }]
  }

  #layerNumbers(activation: Activation, index: number): NumbersOfLayer {
    const key = `${index} ${activation.spec}`
    let numbers = this.#numbers.get(key)
    if (numbers === undefined) {
      const { values, biasAt } = layerNumbers(activation, index, this.config, this.#weights.layers[index])
      numbers = { buffer: this.#memory.numbers(values), biasAt }
      this.#numbers.set(key, numbers)
    }
    return numbers
  }
}

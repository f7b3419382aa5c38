// The kernels of one model on one device, with their weights: what a pass dispatches, layer by layer.

import type { Activation } from '../../activations/index.js'
import {
  ATTEND_ACCESS,
  type AttentionShape,
  attendCode,
  BEST_ACCESS,
  bestChunks,
  chunkBestCode,
  type DeviceMemory,
  type Dispatch,
  EMBEDDING_ACCESS,
  embeddingCode,
  type Gpu,
  type Kernel,
  mergeBestCode,
  paddedColumns,
  STORE_ACCESS,
  storeCode,
} from '../../kernels/webgpu/index.js'
import { headDimOf, layerKind, type ModelConfig } from '../../nn/config.js'
import type { BestWanted } from '../generation/best-logits.js'
import { DeviceCuts } from './device-cuts.js'
import { DeviceFfn } from './device-ffn.js'
import { DeviceProducts } from './device-products.js'
import { attentionWidths, type DeviceLayer, type DeviceNorms, type DeviceWeights } from './device-weights.js'
import { MOST_ROWS, type PassBuffers, passBuffers } from './pass-buffers.js'

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

export class DeviceKernels {
  readonly config: ModelConfig
  readonly buffers: PassBuffers
  readonly attention: AttentionShape
  embedding: readonly Dispatch[] = []
  layers: readonly LayerDispatches[] = []
  head: readonly Dispatch[] = []
  readonly #products: DeviceProducts
  readonly #weights: DeviceWeights
  readonly #ffn: DeviceFfn
  readonly #cuts: DeviceCuts
  readonly #attention = new Map<string, Promise<AttentionKernels>>()

  private constructor(gpu: Gpu, memory: DeviceMemory, config: ModelConfig, weights: DeviceWeights) {
    this.config = config
    this.#weights = weights
    this.buffers = passBuffers(memory, config)
    this.#products = new DeviceProducts(gpu, memory, config, this.buffers)
    this.#cuts = new DeviceCuts(this.#products)
    this.#ffn = new DeviceFfn(this.#products, this.#cuts, weights.layers)
    this.attention = {
      heads: config.numAttentionHeads,
      kvHeads: config.numKeyValueHeads,
      headDim: headDimOf(config),
      scale: config.attentionScale,
      softcap: config.attentionSoftcap,
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
      own.#head(),
    ])
    return own
  }

  async #head(): Promise<Dispatch[]> {
    const { norm, layerNorm, head } = this.#weights
    const { vocabSize, hiddenSize, headBias, rmsNormEps } = this.config
    const { x, normed, logits } = this.buffers
    const product = await this.#products.matvec(head, [norm, layerNorm === null ? x : normed, logits], {
      rows: vocabSize,
      columns: hiddenSize,
      normEps: layerNorm === null ? rmsNormEps : null,
      bias: headBias === true,
      accumulate: false,
      gathers: true,
    })
    if (layerNorm === null) return product
    const row = { columns: hiddenSize, rectified: false, split: null, stride: paddedColumns(hiddenSize) }
    return [...(await this.#products.norm(layerNorm, row, normed)), ...product]
  }

  /** After the head: the largest logits of each row. */
  async best({ count, among }: BestWanted): Promise<Dispatch[]> {
    const { vocabSize: vocab } = this.config
    const { logits, chunkBest, best } = this.buffers
    const shape = { vocab, among, count }
    const [chunks, merge] = await Promise.all(
      [chunkBestCode(shape), mergeBestCode(shape)].map(code =>
        this.#products.compiler.compile(code, BEST_ACCESS),
      ),
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
    const positions = this.#weights.positions ?? this.#products.nothing
    return Promise.all(
      parts.map(async ({ buffer, first, count }) => {
        const kernel = await this.#products.compiler.compile(code, EMBEDDING_ACCESS, {
          FIRST: first,
          COUNT: count,
        })
        return { kernel, group: kernel.bind([buffer, rows, x, flags, positions]), workgroups: 1 }
      }),
    )
  }

  async #layer(layer: DeviceLayer): Promise<LayerDispatches> {
    const { parallelBranches } = this.config
    const { norms } = layer
    const [qkv, headNorms, output, joined, after] = await Promise.all([
      this.#qkv(layer),
      this.#headNorms(norms),
      this.#output(layer),
      // Of parallel branches the FFN reads the residual stream as attention found it.
      parallelBranches === undefined ? this.#products.join(norms.attention) : [],
      this.#products.join(norms.ffnOutput),
    ])
    return { qkv: [...qkv, ...headNorms], output: [...output, ...joined], after }
  }

  /** Queries, keys and values. */
  async #qkv({ qkv: blocks, qkvExtra, norms, cuts, fusesInputNorm }: DeviceLayer): Promise<Dispatch[]> {
    const { attentionBias, hiddenSize: columns, rmsNormEps } = this.config
    const { qkv, x, normed } = this.buffers
    const rows = attentionWidths(this.config).all
    const input = await this.#attentionInput(norms.input)
    const turned = await this.#cuts.rotated(norms.input === null ? x : normed, cuts?.rotations?.attention)
    const shape = {
      ...{ rows, columns, normEps: fusesInputNorm ? rmsNormEps : null },
      ...{ bias: attentionBias !== undefined, accumulate: false, gathers: false },
    }
    const products = blocks.map(async ({ matrix, first, name }) => {
      const cut = name && cuts?.inputs[name]
      const kept = await this.#cuts.kept(turned.x, columns, cut)
      const product = await this.#products.matvec(matrix, [qkvExtra, kept.x, qkv], shape, first)
      const rest = await this.#cuts.lowRank(cut, { y: qkv, rows, start: first })
      return [...kept.dispatches, ...product, ...rest]
    })
    return [...input, ...turned.dispatches, ...(await Promise.all(products)).flat()]
  }

  /** What attention adds. */
  async #output({ output, outputExtra, cuts }: DeviceLayer): Promise<Dispatch[]> {
    const { attentionBias, hiddenSize: rows } = this.config
    const { gathered, branch } = this.buffers
    const columns = attentionWidths(this.config).q
    const kept = await this.#cuts.kept(gathered, columns, cuts?.inputs.o)
    const product = await this.#products.matvec(output, [outputExtra, kept.x, branch], {
      ...{ rows, columns, normEps: null, bias: attentionBias === 'qkvo', accumulate: true, gathers: false },
    })
    const rest = await this.#cuts.lowRank(cuts?.inputs.o, { y: branch, rows, start: 0 })
    return [...kept.dispatches, ...product, ...rest]
  }

  /** What attention reads, where a kernel of its own makes it of x. */
  async #attentionInput(weights: GPUBuffer | null): Promise<Dispatch[]> {
    const { hiddenSize: columns, normActivation } = this.config
    if (weights === null) return []
    const row = { columns, rectified: normActivation !== undefined, split: null }
    return this.#products.norm(weights, { ...row, stride: paddedColumns(columns) }, this.buffers.normed)
  }

  /** Queries and keys, each head or whole, through their norms. */
  async #headNorms({ q, k }: DeviceNorms): Promise<Dispatch[]> {
    const { qkNorm, numAttentionHeads: heads, numKeyValueHeads: kvHeads } = this.config
    const headDim = headDimOf(this.config)
    const width = attentionWidths(this.config).all
    const norm = async (weights: GPUBuffer | null, first: number, count: number) => {
      if (weights === null) return []
      const stretches =
        qkNorm === 'head' ? { columns: headDim, count } : { columns: count * headDim, count: 1 }
      return [await this.#products.headNorm(weights, { ...stretches, first, width })]
    }
    return (await Promise.all([norm(q, 0, heads), norm(k, heads * headDim, kvHeads)])).flat()
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
      several ? this.#products.compiler.compile(storeCode(shape), STORE_ACCESS) : null,
      this.#products.compiler.compile(attendCode(shape, !several, this.#products.gpu.info), ATTEND_ACCESS),
    ])
    return { store, attend }
  }

  /** The FFN of a layer with this activation. Throws OptionError WEBGPU_ACTIVATION. */
  ffn(index: number, activation: Activation, skips: boolean): Promise<readonly Dispatch[]> {
    return this.#ffn.of(index, activation, skips)
  }
}

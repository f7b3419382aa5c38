// One layer's attention at the rows of a pass: projections, rotary positions, the cache and the output projection. Several
// sequences share each weight; every row attends to its own sequence alone.

import {
  type CacheType,
  collectedFloats,
  type DecodeKernels,
  type Kernels,
  type Weights,
  weightBytes,
  weightTypeOf,
} from '../../kernels/index.js'
import { headDimOf, layerKind, type ModelConfig } from '../../nn/config.js'
import { fillRotations, type RopeKind, type Rotation, rotationOf, shortTextOf } from '../../nn/rope.js'
import { ChannelProduct, type CutInput, type Traffic } from '../cuts.js'
import { multiplyRowBlocks, rowBlockBytes } from '../model/row-blocks.js'
import { isByChannel, type LayerWeights } from '../model/weights.js'
import type { KvCache } from './kv-cache.js'

/** New rows of one sequence: `count` positions from `position` on. */
export interface AttentionRows {
  readonly cache: Pick<KvCache, 'segments'>
  readonly position: number
  readonly count: number
  /** Whether its text takes the long factors of LongRoPE. Default false. */
  readonly isLong?: boolean
}

export class Attention {
  readonly #config: ModelConfig
  readonly #decode: DecodeKernels
  readonly #cacheType: CacheType
  readonly #kernels: Kernels
  readonly #channels: ChannelProduct
  /** One for each kind of layers that the model has; of long texts in `#longRotations`, where they have others. */
  readonly #rotations = new Map<RopeKind, RotationTable>()
  readonly #longRotations = new Map<RopeKind, RotationTable>()
  /** Of several rows: a projection by channel, (rows, width). */
  #part = new Float32Array(0)
  /** (rows, q + 2·kv). */
  #qkv = new Float32Array(0)
  /** What the heads have gathered, (rows, q). */
  #gathered = new Float32Array(0)
  /** What the norms of queries and keys leave behind. */
  #rstd = new Float32Array(0)
  #rows = 0
  #buffersMade = 0

  constructor(
    config: ModelConfig,
    using: { readonly kernels: Kernels; readonly decode: DecodeKernels },
    cacheType: CacheType,
  ) {
    this.#config = config
    this.#decode = using.decode
    this.#kernels = using.kernels
    this.#cacheType = cacheType
    this.#channels = new ChannelProduct(using.decode)
    for (let layer = 0; layer < config.numHiddenLayers; layer++) {
      const { rope } = layerKind(config, layer)
      if (this.#rotations.has(rope)) continue
      const short = shortTextOf(config)
      this.#rotations.set(rope, new RotationTable(config, rope, short ?? undefined))
      if (short !== null) this.#longRotations.set(rope, new RotationTable(config, rope))
    }
  }

  /** Counts the times that tables or buffers were replaced. */
  get buffersMade(): number {
    return this.#buffersMade
  }

  /** Makes room for passes of `rows` rows at positions below `positions`. */
  reserve(rows: number, positions: number): void {
    for (const rotations of [this.#rotations, this.#longRotations]) {
      for (const rotation of rotations.values()) if (rotation.reserve(positions)) this.#buffersMade++
    }
    if (rows <= this.#rows) return
    this.#buffersMade++
    const { numAttentionHeads, numKeyValueHeads } = this.#config
    const headDim = headDimOf(this.#config)
    this.#qkv = new Float32Array(rows * (numAttentionHeads + 2 * numKeyValueHeads) * headDim)
    this.#gathered = new Float32Array(rows * numAttentionHeads * headDim)
    this.#rstd = new Float32Array(numAttentionHeads)
    this.#rows = rows
  }

  /**
   * out (rows, d) = o_proj(attention(normed (rows, d))), or += with `accumulate`, the rows of `sequences` one after the other;
   * the new keys and values go into their caches. `cutting`: the rows that the layer's cuts apply to.
   */
  run(
    layer: LayerWeights,
    index: number,
    sequences: readonly AttentionRows[],
    normed: Float32Array,
    out: Float32Array,
    accumulate: boolean,
    cutting: CutRows,
  ): Traffic {
    const config = this.#config
    const { hiddenSize: d, numAttentionHeads: heads, numKeyValueHeads: kvHeads } = config
    const headDim = headDimOf(this.#config)
    const rows = sequences.reduce((sum, { count }) => sum + count, 0)
    const stride = (heads + 2 * kvHeads) * headDim
    const [qkv, gathered] = [this.#qkv, this.#gathered]
    const { window, rope } = layerKind(config, index)
    const byChannel = isByChannel(layer.storage)
    const traffic = { read: 0, skipped: 0 }
    if (byChannel) this.#projectByChannel(layer, normed, rows, cutting, traffic)
    else multiplyRowBlocks(this.#decode, layer.qkv, normed, qkv, d, rows, layer.qkvBias)
    this.#normalizeHeads(layer, rows)
    const settings = {
      ...{ heads, kvHeads, headDim },
      ...{ scale: config.attentionScale, softcap: config.attentionSoftcap, window },
    }
    let firstRow = 0
    for (const [group, isLong] of groupedByLength(sequences)) {
      // Every kind has a table: the constructor has made it.
      const { cos, sin } = (isLong ? this.#longRotations : this.#rotations).get(rope)!
      const cached = group.map(({ cache, position, count }) => {
        return { count, position, segments: cache.segments(index) }
      })
      const [from, to] = [qkv.subarray(firstRow * stride), gathered.subarray(firstRow * heads * headDim)]
      this.#decode.attention(from, cos, sin, this.#cacheType, cached, to, settings)
      for (const { count } of group) firstRow += count
    }
    cutting.observer?.('heads', index, gathered, rows, heads * headDim)
    if (byChannel) {
      if (!accumulate) out.fill(0, 0, rows * d)
      if (layer.outputBias !== null) addBias(out, layer.outputBias, rows)
      const input = {
        x: gathered,
        rows,
        channels: heads * headDim,
        cut: layer.cuts?.inputs.o ?? null,
        lowRank: layer.lowRank?.o,
        ...cutting,
      }
      add(traffic, this.#channels.add(layer.output, input, out, d))
      return traffic
    }
    this.#decode.matvec(layer.output, gathered, out, d, heads * headDim, rows, accumulate, layer.outputBias)
    return { read: rowBlockBytes(layer.qkv, d) + bytesOf(layer.output, d, heads * headDim), skipped: 0 }
  }

  /** RMSNorm of the queries and keys in the rows of #qkv, where the model has it. */
  #normalizeHeads({ qNorm, kNorm }: LayerWeights, rows: number): void {
    if (qNorm === null || kNorm === null) return
    const { numAttentionHeads: heads, numKeyValueHeads: kvHeads, rmsNormEps } = this.#config
    const headDim = headDimOf(this.#config)
    const width = (heads + 2 * kvHeads) * headDim
    for (let row = 0; row < rows; row++) {
      let at = row * width
      for (const [weight, length] of [
        [qNorm, heads * headDim],
        [kNorm, kvHeads * headDim],
      ] as const) {
        const own = this.#qkv.subarray(at, at + length)
        const parts = length / weight.length
        this.#kernels.rmsNorm(own, weight, own, this.#rstd, parts, weight.length, rmsNormEps)
        at += length
      }
    }
  }

  /** The projections q, k and v of matrices stored by input channel, one after the other, into the rows [q | k | v]. */
  #projectByChannel(
    layer: LayerWeights,
    normed: Float32Array,
    rows: number,
    cutting: CutRows,
    traffic: { read: number; skipped: number },
  ): void {
    const { hiddenSize: d, numAttentionHeads, numKeyValueHeads } = this.#config
    const headDim = headDimOf(this.#config)
    const stride = (numAttentionHeads + 2 * numKeyValueHeads) * headDim
    let start = 0
    for (const [index, [name, heads]] of (
      [
        ['q', numAttentionHeads],
        ['k', numKeyValueHeads],
        ['v', numKeyValueHeads],
      ] as const
    ).entries()) {
      const width = heads * headDim
      if (this.#part.length < rows * width) this.#part = new Float32Array(rows * width)
      const out = this.#part.subarray(0, rows * width).fill(0)
      if (layer.qkvBias !== null) addBias(out, layer.qkvBias.subarray(start, start + width), rows)
      const cut = layer.cuts?.inputs[name] ?? null
      const input = {
        ...{ x: normed, rows, channels: d, cut },
        lowRank: layer.lowRank?.[name],
        zeros: this.#config.normActivation !== undefined,
        ...cutting,
      }
      add(traffic, this.#channels.add(layer.qkv[index].weights, input, out, width))
      for (let row = 0; row < rows; row++) {
        this.#qkv.set(out.subarray(row * width, (row + 1) * width), row * stride + start)
      }
      start += width
    }
  }
}

/** What a pass says about cutting: which rows, and when to skip; and who looks at the vectors between the matrices. */
export interface CutRows extends Pick<CutInput, 'cutRows' | 'mostActive'> {
  readonly observer?: VectorObserver
}

/**
 * The vectors that matrices read: the normed input of q, k and v; what the heads gathered, o's input; the normed input of
 * the FFN; the activated gate, cut; up · x; and their product, down's input. Where neurons are stored together, neither up nor
 * hidden is ever a whole vector.
 */
export type VectorName = 'attention' | 'heads' | 'ffn' | 'gate' | 'up' | 'hidden'
/** Called with the first `rows` rows of `values`, (rows, width). */
export type VectorObserver = (
  vector: VectorName,
  layer: number,
  values: Float32Array,
  rows: number,
  width: number,
) => void

/** Neighbors whose rotations are the same: all of them, but for texts of a LongRoPE model of which some are long. */
function groupedByLength(sequences: readonly AttentionRows[]): [AttentionRows[], boolean][] {
  const groups: [AttentionRows[], boolean][] = []
  for (const sequence of sequences) {
    const isLong = sequence.isLong === true
    const last = groups.at(-1)
    if (last !== undefined && last[1] === isLong) last[0].push(sequence)
    else groups.push([[sequence], isLong])
  }
  return groups
}

function add(sum: { read: number; skipped: number }, { read, skipped }: Traffic): void {
  sum.read += read
  sum.skipped += skipped
}

/** y (rows, bias.length) += bias. */
function addBias(y: Float32Array, bias: Float32Array, rows: number): void {
  for (let row = 0, at = 0; row < rows; row++) for (let i = 0; i < bias.length; i++, at++) y[at] += bias[i]
}

/** Positions that a table has at first. */
const FIRST_POSITIONS = 128

/** cos and sin of position · frequency, (capacity, headDim/2) each; the same values as in training. */
class RotationTable {
  cos: Float32Array = new Float32Array(0)
  sin: Float32Array = new Float32Array(0)
  readonly #rotation: Rotation

  /** `length`: tokens of a text that it is for. */
  constructor(config: ModelConfig, kind: RopeKind, length?: number) {
    this.#rotation = rotationOf(config, headDimOf(config), kind, length)
  }

  /**
   * Extends the tables to at least `length` positions: to twice as many as before, since most grow by one at a time. Returns whether they are
   * others now.
   */
  reserve(length: number): boolean {
    const half = this.#rotation.frequencies.length
    const known = this.cos.length
    if (known >= length * half) return false
    const size = Math.max(length * half, 2 * known, FIRST_POSITIONS * half)
    const [cos, sin] = [collectedFloats(size), collectedFloats(size)]
    cos.set(this.cos)
    sin.set(this.sin)
    fillRotations(cos, sin, this.#rotation, known / half)
    this.cos = cos
    this.sin = sin
    return true
  }
}

function bytesOf(w: Weights, rows: number, columns: number): number {
  return rows * weightBytes(weightTypeOf(w), columns)
}

// Which tensors become the rows of each matrix of the engine's layout, in which order, and in which type.

import type { Activation } from '../../activations/index.js'
import { isQuantizedType, type WeightType, weightBytes } from '../../kernels/index.js'
import { ffnWidths, headDimOf, type ModelConfig } from '../../nn/config.js'
import type { LayerCuts, MatrixName } from '../../nn/cuts.js'
import { expertName } from '../../nn/parameters.js'
import { holdsNeurons, isByChannel, type WeightStorage } from './weights.js'

/** A matrix of the layout, and the tensors that become its rows. */
export interface Plan {
  /**
   * Stored one after the other; or in groups of `interleaved` parts with as many rows each, of a group row i of each and then
   * row i + 1 of each.
   */
  readonly parts: readonly Part[]
  readonly interleaved?: number
  /** Embedding and head, which lose much to 4 bits. */
  readonly atVocabulary?: boolean
  /** A router, which is small and decides much: never quantized. */
  readonly routes?: boolean
}

/** The rows of a tensor (rows, columns), or the columns of one (columns, rows) when `transposed`. */
export interface Part {
  readonly name: string
  readonly rows: number
  readonly columns: number
  readonly transposed?: boolean
}

/** Where each matrix of a layer comes from. */
export function layerPlans(config: ModelConfig, layer: number, storage: WeightStorage) {
  const { hiddenSize: d, intermediateSize: h, numAttentionHeads, numKeyValueHeads, ffn } = config
  const q = headDimOf(config) * numAttentionHeads
  const kv = headDimOf(config) * numKeyValueHeads
  const widths = ffnWidths(config)
  const part = (name: string, rows: number, columns: number): Part => {
    return { name: `model.layers.${layer}.${name}.weight`, rows, columns }
  }
  const plan = (...parts: Part[]): Plan => ({ parts })
  const byChannel = ({ parts }: Plan): Plan => ({
    parts: parts.map(({ name, rows, columns }) => ({ name, rows: columns, columns: rows, transposed: true })),
  })
  const { experts } = config
  const ffns =
    experts === undefined ? ['mlp'] : Array.from({ length: experts.count }, (_, i) => expertName(i))
  const gate = ffns.map(name => part(`${name}.gate_proj`, h, widths.gate))
  const up = ffns.map(name => part(`${name}.up_proj`, h, widths.up))
  const down = ffns.map(name =>
    storage === 'dense'
      ? part(`${name}.down_proj`, d, h)
      : { ...part(`${name}.down_proj`, h, d), transposed: true },
  )
  const router = experts === undefined ? null : { ...plan(part('mlp.gate', experts.count, d)), routes: true }
  const attention = {
    qkv: plan(
      part('self_attn.q_proj', q, d),
      part('self_attn.k_proj', kv, d),
      part('self_attn.v_proj', kv, d),
    ),
    output: plan(part('self_attn.o_proj', d, q)),
  }
  const order = isByChannel(storage) ? byChannel : (given: Plan) => given
  return {
    qkv: order(attention.qkv),
    output: order(attention.output),
    router,
    gate: order(plan(...(ffn === 'plain' ? up : gate))),
    up: ffn === 'plain' ? null : storage === 'channels' ? byChannel(plan(...up)) : plan(...up),
    down: plan(...down),
    /** Up and down together, for forms of FFN that read them together. */
    neurons:
      holdsNeurons(storage) && hasUpRows(ffn)
        ? { parts: up.flatMap((rows, i) => [rows, down[i]]), interleaved: 2 }
        : null,
  }
}

/** Whether the up row of a neuron can stand before its down column: nothing is done to the projection but a product. */
function hasUpRows(ffn: ModelConfig['ffn']): boolean {
  return ffn === 'gated' || ffn === 'spark'
}

/** How the matrices of a model with these cuts are stored: by channel only where inputs of wide rows are cut or have zeros. */
export function storageFor(
  cuts: readonly LayerCuts[] | null,
  { normActivation }: Pick<ModelConfig, 'normActivation'>,
): WeightStorage {
  const cut = new Set((cuts ?? []).flatMap(({ inputs }) => Object.keys(inputs) as MatrixName[]))
  if (cut.size === 0) return normActivation === undefined ? 'rows' : 'inputs'
  return cut.size === 1 && cut.has('down') && normActivation === undefined ? 'separate' : 'channels'
}

/**
 * Whether layers are stored `dense` where nothing is cut: those of a model whose activation, the one that it is loaded with, is
 * exactly 0 nowhere and whose down_proj is quantized. Matrices of other types are as exact and as fast by neuron.
 */
export function isDense(
  { ffn = 'gated', experts, normActivation }: Pick<ModelConfig, 'ffn' | 'experts' | 'normActivation'>,
  { exactZeros }: Pick<Activation, 'exactZeros'>,
  downTypes: Iterable<WeightType>,
): boolean {
  const isPlain =
    (ffn === 'gated' || ffn === 'plain') && experts === undefined && normActivation === undefined
  return isPlain && !exactZeros && [...downTypes].every(isQuantizedType)
}

export function vocabularyPlan(config: ModelConfig, name: string): Plan {
  return { parts: [{ name, rows: config.vocabSize, columns: config.hiddenSize }], atVocabulary: true }
}

/**
 * How a matrix is held transposed, as down_proj is, where the file has it as `stored`. Blocks of a file run across neurons;
 * here they run along them, so the values are rounded once more. The type is such that this adds little to the error that
 * the file has already: 2 to 5 % (docs/formats.md). `width`: of a transposed row, for down d; super-blocks that would
 * mostly be padding are larger than q8_0.
 */
export function transposedType(stored: WeightType, width: number): WeightType {
  if (stored === 'q5_k' || stored === 'q6_k') return 'q8_0'
  if (stored !== 'q4_k' && stored !== 'q4_0') return stored
  return weightBytes('q6_k', width) <= weightBytes('q8_0', width) ? 'q6_k' : 'q8_0'
}

/** Embedding and head lose more to few bits than the other matrices. */
export function atLeastAtVocabulary(dtype: WeightType): WeightType {
  if (dtype === 'q4_0') return 'q8_0'
  return dtype === 'q4_k' || dtype === 'q5_k' ? 'q6_k' : dtype
}

// Which elements of the vectors inside a model are set to 0 to make it sparse, beside its weights: the result of
// `flicker sparsify`. A model with cuts is an approximation of the one without.

import { headDimOf, type ModelConfig } from './config.js'

/** The seven matrices of a layer whose input can be cut, in the order of the forward pass. */
export const MATRICES = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const
export type MatrixName = (typeof MATRICES)[number]

/**
 * Which elements of a vector stay. `threshold`: x_j becomes 0 where |x_j| < limits[j], or limits[0] where there is only
 * one. `top`: the `keep` elements with the largest |x_j| · scale[j] stay (scale null: 1), and those equal to the last.
 */
export type Cut =
  | { readonly kind: 'threshold'; readonly limits: Float32Array }
  | { readonly kind: 'top'; readonly keep: number; readonly scale: Float32Array | null }

/** Stands for what a cut leaves out of the input of a matrix W: W · x' ≈ Σ over components c of out_c · (into_c · x'). */
export interface LowRank {
  readonly rank: number
  /** (rank, columns). */
  readonly into: Float32Array
  /** (rank, rows). */
  readonly out: Float32Array
}

/** The inputs that can be rotated: of q, k and v, and of gate and up. */
export const ROTATED = ['attention', 'ffn'] as const
export type RotatedInput = (typeof ROTATED)[number]

/** The cuts of one layer. */
export interface LayerCuts {
  /** Of activation(gate · x), h elements: the neurons that become 0 need neither their up row nor their down column. */
  readonly neurons: Cut | null
  /** Of the input of a matrix, before it: the columns of the elements that become 0 are not needed. */
  readonly inputs: Readonly<Partial<Record<MatrixName, Cut>>>
  /** What is computed in place of what the cuts of inputs leave out. Absent: nothing. */
  readonly lowRank?: Readonly<Partial<Record<MatrixName, LowRank>>>
  /**
   * (d, d) orthogonal R each: the cuts of these inputs are of R · x, and their matrices W work as W · Rᵀ. Absent: none.
   */
  readonly rotations?: Readonly<Record<RotatedInput, Float32Array>>
}

/** Elements of the input of a matrix, and rows of the matrix. */
export function matrixShape(config: ModelConfig, matrix: MatrixName): { columns: number; rows: number } {
  const { hiddenSize: d, intermediateSize: h, numAttentionHeads, numKeyValueHeads } = config
  const q = headDimOf(config) * numAttentionHeads
  const kv = headDimOf(config) * numKeyValueHeads
  return {
    q: { columns: d, rows: q },
    k: { columns: d, rows: kv },
    v: { columns: d, rows: kv },
    o: { columns: q, rows: d },
    gate: { columns: d, rows: h },
    up: { columns: d, rows: h },
    down: { columns: h, rows: d },
  }[matrix]
}

/** The matrices that read a rotated input. */
export const ROTATED_MATRICES: Readonly<Record<RotatedInput, readonly MatrixName[]>> = {
  attention: ['q', 'k', 'v'],
  ffn: ['gate', 'up'],
}

/** The name of a matrix in Hugging Face's layout, such as `model.layers.0.self_attn.q_proj`. */
export function matrixTensor(layer: number, matrix: MatrixName): string {
  const part = 'qkvo'.includes(matrix) ? 'self_attn' : 'mlp'
  return `model.layers.${layer}.${part}.${matrix}_proj`
}

/** The matrices that a model has: a plain FFN has no gate. */
export function matricesOf({ ffn }: Pick<ModelConfig, 'ffn'>): MatrixName[] {
  return MATRICES.filter(matrix => matrix !== 'gate' || ffn !== 'plain')
}

// WGSL of what stands between matrices where it cannot be part of their products: norms with something after them, norms of what a
// branch adds, and norms of queries and keys. One workgroup per row, or per row and head. RMSNorm before a product needs no kernel (matvec.ts).

import type { Access } from './constants.js'
import { float } from './matvec.js'
import { SELECTION_SIZE, SUM } from './row-selection.js'
import { paddedColumns } from './vector-formats.js'

export interface NormShape {
  readonly kind: 'rms' | 'layer'
  readonly eps: number
  readonly columns: number
}

const SIZE = SELECTION_SIZE

/**
 * Statements that declare `mean` and `factor`, so that an element v of the norm is (v − mean) · factor · weight (+ bias). A
 * row's element i is `row[at + i]`.
 */
function statistics({ kind, eps, columns }: NormShape, row: string): string {
  return `var own = 0.0;
  ${
    kind === 'rms'
      ? 'let mean = 0.0;'
      : `for (var i = t; i < ${columns}u; i += ${SIZE}u) { own += ${row}[at + i]; }
  let mean = sumOf(own, t) / ${columns}.0;
  own = 0.0;`
  }
  for (var i = t; i < ${columns}u; i += ${SIZE}u) {
    let v = ${row}[at + i] - mean;
    own = fma(v, v, own);
  }
  let factor = 1.0 / sqrt(sumOf(own, t) / ${columns}.0 + ${float(eps)});`
}

/** The normed element i. `weights`: (padded columns), then the bias of LayerNorm. */
function element({ kind, columns }: NormShape, row: string): string {
  const scaled = `(${row}[at + i] - mean) * factor * weights[i]`
  return kind === 'rms' ? scaled : `${scaled} + weights[${paddedColumns(columns)}u + i]`
}

/** Bindings of `normCode`: x, weights, normed. */
export const NORM_ACCESS: readonly Access[] = ['read', 'read', 'write']

/** How a normed row is written. */
export interface NormedRow {
  readonly columns: number
  /** Whether values below 0 become 0 (ReLU Strikes Back, stage 2). */
  readonly rectified: boolean
  /** Columns before the second part of a row that is kept in two parts, and where in a row of `stride` that begins; null: one part. */
  readonly split: { readonly first: number; readonly at: number } | null
  readonly stride: number
}

/** normed (row) = norm(x (row)), without a norm x itself: workgroups (1, rows). */
export function normCode(norm: NormShape | null, { columns, rectified, split, stride }: NormedRow): string {
  const value = norm === null ? 'x[at + i]' : element(norm, 'x')
  const to = split === null ? 'i' : `select(i, i - ${split.first}u + ${split.at}u, i >= ${split.first}u)`
  return `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> normed: array<f32>;
${norm === null ? '' : SUM}
@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let at = wg.y * ${paddedColumns(columns)}u;
  ${norm === null ? '' : statistics(norm, 'x')}
  for (var i = t; i < ${columns}u; i += ${SIZE}u) {
    normed[wg.y * ${stride}u + ${to}] = ${rectified ? `max(${value}, 0.0)` : value};
  }
}
`
}

/** Bindings of `joinCode`: weights, branch, x. */
export const JOIN_ACCESS: readonly Access[] = ['read', 'write', 'write']

/** x (row) += scale · norm(branch (row)), with `norm` null the branch as it is; branch (row) = 0: workgroups (1, rows). */
export function joinCode(columns: number, norm: NormShape | null, scale: number): string {
  return `@group(0) @binding(0) var<storage, read> weights: array<f32>;
@group(0) @binding(1) var<storage, read_write> branch: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
${norm === null ? '' : SUM}
@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let at = wg.y * ${paddedColumns(columns)}u;
  ${norm === null ? '' : statistics(norm, 'branch')}
  for (var i = t; i < ${columns}u; i += ${SIZE}u) {
    x[at + i] += ${float(scale)} * (${norm === null ? 'branch[at + i]' : element(norm, 'branch')});
    branch[at + i] = 0.0;
  }
}
`
}

/** Bindings of `headNormCode`: weights, qkv. */
export const HEAD_NORM_ACCESS: readonly Access[] = ['read', 'write']

/**
 * RMSNorm of consecutive stretches of `columns` values in each row of qkv, in place, from element `first` on; rows have
 * `width` values: workgroups (stretches, rows).
 */
export function headNormCode(norm: NormShape, first: number, width: number): string {
  return `@group(0) @binding(0) var<storage, read> weights: array<f32>;
@group(0) @binding(1) var<storage, read_write> qkv: array<f32>;
${SUM}
@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let at = wg.y * ${paddedColumns(width)}u + ${first}u + wg.x * ${norm.columns}u;
  ${statistics(norm, 'qkv')}
  for (var i = t; i < ${norm.columns}u; i += ${SIZE}u) { qkv[at + i] = ${element(norm, 'qkv')}; }
}
`
}

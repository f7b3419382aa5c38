// WGSL of what stands between matrices where it cannot be part of their products: LayerNorm, norms of what a branch adds, and
// norms of queries and keys. One workgroup per row, or per row and head. RMSNorm before a product needs no kernel (matvec.ts).

import type { Access } from './constants.js'
import { float } from './matvec.js'
import { paddedColumns } from './vector-formats.js'

export interface NormShape {
  readonly kind: 'rms' | 'layer'
  readonly eps: number
  readonly columns: number
}

const SIZE = 256

/** Function sumOf(v, t): over the workgroup, in a fixed order. */
const SUM = `var<workgroup> sums: array<f32, ${SIZE}>;
fn sumOf(v: f32, t: u32) -> f32 {
  workgroupBarrier();
  sums[t] = v;
  workgroupBarrier();
  for (var half = ${SIZE / 2}u; half > 0u; half >>= 1u) {
    if (t < half) { sums[t] += sums[t + half]; }
    workgroupBarrier();
  }
  return sums[0];
}`

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

/** normed (row) = norm(x (row)): workgroups (1, rows). */
export function normCode(norm: NormShape): string {
  return `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> normed: array<f32>;
${SUM}
@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let at = wg.y * ${paddedColumns(norm.columns)}u;
  ${statistics(norm, 'x')}
  for (var i = t; i < ${norm.columns}u; i += ${SIZE}u) { normed[at + i] = ${element(norm, 'x')}; }
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

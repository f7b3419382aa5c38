// WGSL of the product of a matrix and the rows of a pass, and of reading rows of the embedding. Eight rows of the matrix
// per workgroup and round, each added up by `lanes` invocations.

import type { WeightType } from '../weights/types.js'
import type { Access } from './constants.js'
import type { GpuInfo } from './gpu-info.js'
import { moduleHead, reductions } from './reductions.js'
import { RowProduct, scaleFunction } from './row-products.js'
import { paddedColumns, rowVectors, vectorFormat } from './vector-formats.js'

/** Rows of a matrix that a workgroup computes at a time. */
export const ROWS_PER_WORKGROUP = 8
/** Words of the description of a row of a pass: token, position, seed low and high, sequence, source row, two unused. */
export const ROW_WORDS = 8

const ROW_STRUCT = `struct Row { token: u32, position: u32, seedLow: u32, seedHigh: u32, sequence: u32, sourceRow: u32, a: u32, b: u32 }`

export interface MatvecShape {
  readonly type: WeightType
  readonly columns: number
  /** Rows of the whole matrix, which decide how far apart rows of the output are. */
  readonly rows: number
  /** x is normed first: RMSNorm with this epsilon and the weights at the beginning of `extra`. */
  readonly normEps: number | null
  /** Added, from `extra`, after the norm's weights. */
  readonly bias: boolean
  readonly accumulate: boolean
  /** Row r of the output is computed of row `sourceRow` of x. */
  readonly gathers: boolean
  /** Outputs of a group of lanes: more save reading and norming x where the matrix has very many rows. */
  readonly rounds: number
}

/** Bindings of `matvecCode`: weights, x, y, extra (norm, bias), rows of the pass. */
export const MATVEC_ACCESS: readonly Access[] = ['read', 'read', 'write', 'read', 'read']

/** y (row, r) (+)= Σ w[r − FIRST] · norm(x) + bias for COUNT rows r of the matrix from FIRST on: a part of the matrix. */
export function matvecCode(shape: MatvecShape, info: GpuInfo): string {
  const { type, columns, rows, bias, accumulate, gathers, rounds } = shape
  const { lanes, ahead } = info
  const size = ROWS_PER_WORKGROUP * lanes
  const weights = new RowProduct({ type, columns, lanes, ahead, weights: 'w' })
  const x = shape.normEps === null ? (i: string) => `x[xRow + ${i}]` : (i: string) => `normed[${i}]`
  const base = `(local * ${rowVectors(type, columns)}u)`
  const value = bias ? `total + extra[${shape.normEps === null ? 0 : paddedColumns(columns)}u + r]` : 'total'
  return `${moduleHead(info)}
override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> extra: array<f32>;
@group(0) @binding(4) var<storage, read> rows: array<Row>;
${reductions(info, size)}
${weights.functions}
${shape.normEps === null ? '' : normFunction({ columns, size, eps: shape.normEps })}
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let lane = t % LANES;
  let xRow = ${gathers ? 'rows[wg.y].sourceRow' : 'wg.y'} * ${paddedColumns(columns) / 4}u;
  ${rounds === 1 ? 'let first = wg.x * 8u;' : ''}
  ${rounds === 1 ? `let local = min(first + t / LANES, COUNT - 1u);\n${weights.loads(base)}` : ''}
  ${shape.normEps === null ? '' : 'norm(xRow, t);'}
  ${
    rounds === 1
      ? '{'
      : `for (var round = 0u; round < ${rounds}u; round++) {
    let first = (wg.x * ${rounds}u + round) * 8u;
    let local = min(first + t / LANES, COUNT - 1u);
    ${weights.loads(base)}`
  }
    ${weights.product(base, x)}
    let total = laneSum(wSum, t)${shape.normEps === null ? '' : ' * normScale()'};
    if (lane == 0u && first + t / LANES < COUNT) {
      let r = FIRST + local;
      let at = wg.y * ${paddedColumns(rows)}u + r;
      y[at] = ${accumulate ? `y[at] + (${value})` : value};
    }
  }
}
`
}

/**
 * norm(xRow, t): `normed` in workgroup memory = the row of x that begins at vec4 xRow, times the weights at the beginning of
 * `extra`, whose values beyond the columns are 0. What RMSNorm divides by comes later, as a factor of the products,
 * normScale(): so one barrier is enough.
 */
export function normFunction(norm: {
  readonly columns: number
  readonly size: number
  readonly eps: number
  /** The buffer with the weights. */
  readonly weights?: string
}): string {
  const { columns, size, eps, weights = 'extra' } = norm
  const vectors = paddedColumns(columns) / 4
  return `var<workgroup> normed: array<vec4<f32>, ${vectors}>;
var<workgroup> squareSums: array<f32, ${ROWS_PER_WORKGROUP}>;
fn norm(xRow: u32, t: u32) {
  var squares = 0.0;
  for (var i = t; i < ${vectors}u; i += ${size}u) {
    let v = x[xRow + i];
    squares = fma(v.x, v.x, squares);
    squares = fma(v.y, v.y, squares);
    squares = fma(v.z, v.z, squares);
    squares = fma(v.w, v.w, squares);
    normed[i] = v * vec4<f32>(${weights}[4u * i], ${weights}[4u * i + 1u], ${weights}[4u * i + 2u], ${weights}[4u * i + 3u]);
  }
  let sum = laneSum(squares, t);
  if (t % LANES == 0u) { squareSums[t / LANES] = sum; }
  workgroupBarrier();
}
fn normScale() -> f32 {
  var total = 0.0;
  for (var i = 0u; i < ${ROWS_PER_WORKGROUP}u; i++) { total += squareSums[i]; }
  return 1.0 / sqrt(total / ${columns}.0 + ${float(eps)});
}`
}

/** Bindings of `embeddingCode`: embedding, rows of the pass, x, counts. */
export const EMBEDDING_ACCESS: readonly Access[] = ['read', 'read', 'write', 'write']

/**
 * x (row) = the embedding of the row's token, where it is one of the COUNT from FIRST on; and the row's counts of active
 * neurons, one per layer, = 0.
 */
export function embeddingCode(shape: {
  readonly type: WeightType
  readonly columns: number
  readonly layers: number
  readonly maxRows: number
}): string {
  const { type, columns, layers, maxRows } = shape
  const format = vectorFormat(type)
  const scaled = format.scaleVectors(columns) > 0
  const writes = format.parts.map(part => {
    const value =
      part.scale === null ? part.values('v') : `wScale(base, ${part.scale('k')}) * ${part.values('v')}`
    return `put(at, ${part.at('k')}, ${value});`
  })
  return `override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;
${scaled ? scaleFunction('w') : ''}
fn put(at: u32, i: u32, v: vec4<f32>) {
  for (var e = 0u; e < 4u; e++) {
    if (4u * i + e < ${columns}u) { x[at + 4u * i + e] = v[e]; }
  }
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  for (var layer = t; layer < ${layers}u; layer += 64u) { counts[layer * ${maxRows}u + wg.y] = 0u; }
  let token = rows[wg.y].token;
  if (token < FIRST || token >= FIRST + COUNT) { return; }
  let base = (token - FIRST) * ${rowVectors(type, columns)}u;
  let at = wg.y * ${paddedColumns(columns)}u;
  for (var k = t; k < ${format.vectors(columns)}u; k += 64u) {
    let v = w[base + ${format.scaleVectors(columns)}u + k];
    ${writes.join('\n    ')}
  }
}
`
}

/** A number as WGSL writes it. */
export function float(value: number): string {
  const text = String(Math.fround(value))
  return /[.e]/.test(text) ? text : `${text}.0`
}

export { ROW_STRUCT }

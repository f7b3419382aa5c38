// WGSL of the product of a matrix and the rows of a pass, and of reading rows of the embedding. A workgroup has eight groups
// of `lanes` invocations; each group adds up rows of the matrix of its own.

import type { WeightType } from '../weights/types.js'
import type { Access } from './constants.js'
import type { GpuInfo } from './gpu-info.js'
import { moduleHead, reductions } from './reductions.js'
import { type ReadVector, RowProduct, scaleFunction } from './row-products.js'
import { paddedColumns, rowVectors, vectorFormat } from './vector-formats.js'

/** Groups of lanes in a workgroup. */
export const ROWS_PER_WORKGROUP = 8
/** Words of the description of a row of a pass: token, position, seed low and high, sequence, source row, whether cuts apply, one unused. */
export const ROW_WORDS = 8

const ROW_STRUCT = `struct Row { token: u32, position: u32, seedLow: u32, seedHigh: u32, sequence: u32, sourceRow: u32, isCut: u32, unused: u32 }`

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
  /** Rows of the matrix that a group of lanes multiplies together. */
  readonly together: number
}

/** Bindings of `matvecCode`: weights, x, y, extra (norm, bias), rows of the pass. */
export const MATVEC_ACCESS: readonly Access[] = ['read', 'read', 'write', 'read', 'read']

/** y (row, r) (+)= Σ w[r − FIRST] · norm(x) + bias for COUNT rows r of the matrix from FIRST on: a part of the matrix. */
export function matvecCode(shape: MatvecShape, info: GpuInfo): string {
  const { type, columns, rows, normEps, bias, accumulate, gathers, together } = shape
  const { lanes, ahead } = info
  const size = ROWS_PER_WORKGROUP * lanes
  const product = new RowProduct({ type, columns, lanes, ahead: Math.max(1, Math.floor(ahead / together)) })
  const own = Array.from({ length: together }, (_, n) => ({
    name: `w${'abcdefgh'[n]}`,
    weights: 'w',
    base: `base${n}`,
  }))
  const outputs = own.map(({ name }, n) => {
    const total = `laneSum(${name}Sum, t)${normEps === null ? '' : ' * scale'}`
    const at = `(${normEps === null ? 0 : paddedColumns(columns)}u + FIRST + local${n})`
    return `let total${n} = ${total}${bias ? ` + extra[${at} >> 2u][${at} & 3u]` : ''};
  if (lane == 0u && first + ${n}u < COUNT) {
    let at = wg.y * ${paddedColumns(rows)}u + FIRST + local${n};
    y[at] = ${accumulate ? `y[at] + total${n}` : `total${n}`};
  }`
  })
  return `${moduleHead(info)}
override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> extra: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rows: array<Row>;
${reductions(info, size)}
${product.functions('w')}
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let lane = t % LANES;
  let xRow = ${gathers ? 'rows[wg.y].sourceRow' : 'wg.y'} * ${paddedColumns(columns) / 4}u;
  let first = (wg.x * ${ROWS_PER_WORKGROUP}u + t / LANES) * ${together}u;
  ${own
    .map(
      (_, n) => `let local${n} = min(first + ${n}u, COUNT - 1u);
  let base${n} = local${n} * ${rowVectors(type, columns)}u;`,
    )
    .join('\n  ')}
  var squares = vec4<f32>(0.0);
  ${product.products(own, normEps === null ? i => `let v = x[xRow + ${i}];` : readNormed('extra', true))}
  ${normEps === null ? '' : `let scale = ${normScale(columns, normEps)};`}
  ${outputs.join('\n  ')}
}
`
}

/**
 * Reads x, beginning at vec4 `xRow`, times the norm's weights at the beginning of `weights`; with `squared` adds x² to
 * `squares`. What RMSNorm divides by comes later, as a factor of the products: so the lanes of a row, which have read all of
 * x between them, need nothing of the other rows' lanes.
 */
export function readNormed(weights: string, squared: boolean): ReadVector {
  return i =>
    `let u = x[xRow + ${i}]; ${squared ? 'squares = fma(u, u, squares); ' : ''}let v = u * ${weights}[${i}];`
}

/** What RMSNorm multiplies by, of the lanes' `squares`. */
export function normScale(columns: number, eps: number): string {
  return `1.0 / sqrt(laneSum((squares.x + squares.y) + (squares.z + squares.w), t) / ${columns}.0 + ${float(eps)})`
}

/** Bindings of `embeddingCode`: embedding, rows of the pass, x, counts, vectors of positions (anything where there are none). */
export const EMBEDDING_ACCESS: readonly Access[] = ['read', 'read', 'write', 'write', 'read']

/**
 * x (row) = the embedding of the row's token (and position), where it is one of the COUNT from FIRST on; and the row's counts of active
 * neurons, one per layer, = 0.
 */
export function embeddingCode(shape: {
  readonly type: WeightType
  readonly columns: number
  readonly layers: number
  readonly maxRows: number
  /** Factor of the embeddings. */
  readonly scale: number
  /** Of learned vectors of positions, which are added: row position + offset; null without. */
  readonly positionOffset: number | null
}): string {
  const { type, columns, layers, maxRows, scale, positionOffset } = shape
  const format = vectorFormat(type)
  const scaledValue = scale === 1 ? 'v[e]' : `${float(scale)} * v[e]`
  const place = `positions[(rows[row].position + ${positionOffset}u) * ${columns}u + c]`
  const value = positionOffset === null ? scaledValue : `${scaledValue} + ${place}`
  const writes = format.parts.map(part => {
    const scale = part.scale === null ? '' : `wScale(base, ${part.scale('k')})`
    const numbers = part.values('v')
    const values =
      format.affine !== undefined
        ? `fma(vec4<f32>(${scale}.x), ${numbers}, vec4<f32>(-${scale}.y))`
        : scale === ''
          ? numbers
          : `${scale} * ${numbers}`
    return `put(wg.y, ${part.at('k')}, ${values});`
  })
  return `override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;
@group(0) @binding(4) var<storage, read> positions: array<f32>;
${scaleFunction('w', format)}
fn put(row: u32, i: u32, v: vec4<f32>) {
  for (var e = 0u; e < 4u; e++) {
    let c = 4u * i + e;
    if (c < ${columns}u) { x[row * ${paddedColumns(columns)}u + c] = ${value}; }
  }
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  for (var layer = t; layer < ${layers}u; layer += 64u) { counts[layer * ${maxRows}u + wg.y] = 0u; }
  let token = rows[wg.y].token;
  if (token < FIRST || token >= FIRST + COUNT) { return; }
  let base = (token - FIRST) * ${rowVectors(type, columns)}u;
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

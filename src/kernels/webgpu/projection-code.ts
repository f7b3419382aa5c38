// WGSL of gate and up projections as kernels of their own, for an FFN whose activation stands between them
// (row-activation.ts). Their sums have the order that they have in `hiddenCode`.

import type { Access } from './constants.js'
import { chooseRows, type FeedForwardShape, flagRow, neuronConstants } from './ffn-shape.js'
import type { GpuInfo } from './gpu-info.js'
import { ROWS_PER_WORKGROUP } from './matvec.js'
import { moduleHead, reductions } from './reductions.js'
import { RowProduct } from './row-products.js'
import { paddedColumns, rowVectors } from './vector-formats.js'

export interface Projection {
  readonly of: 'gate' | 'up'
  /** Where in the numbers of the layer the biases of the neurons begin; null without. */
  readonly biasAt: number | null
  /** `values` = the projection of every neuron, or `values` *= that of the neurons whose bit is set. */
  readonly multiplies: boolean
}

/** Bindings of `projectionCode`: weights, x, numbers of the layer, flags, values. */
export const PROJECTION_ACCESS: readonly Access[] = ['read', 'read', 'read', 'read', 'write']

/** Workgroups of a part of the matrix with `count` neurons of an expert. */
export function projectionWorkgroups(count: number): number {
  return Math.ceil(count / ROWS_PER_WORKGROUP)
}

/** values (row, h) (*)= w · x (+ bias) of COUNT neurons from FIRST on. */
export function projectionCode(
  shape: FeedForwardShape,
  { of, biasAt, multiplies }: Projection,
  info: GpuInfo,
): string {
  const { input, count, skips } = shape
  const type = of === 'gate' ? shape.gate : (shape.up ?? shape.gate)
  const columns = input[of]
  const size = ROWS_PER_WORKGROUP * info.lanes
  const product = new RowProduct({ type, columns, lanes: info.lanes, ahead: info.ahead })
  const row = { name: 'w0', weights: 'w', base: `((expertRow + local) * ${rowVectors(type, columns)}u)` }
  const products = product.products([row], i => `let v = x[xRow + ${i}];`)
  const bias = biasAt === null ? '' : ` + layerNumbers[${biasAt}u + FIRST + local]`
  return `${moduleHead(info)}
${neuronConstants(shape)}
@group(0) @binding(0) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> layerNumbers: array<f32>;
@group(0) @binding(3) var<storage, read> flags: array<u32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
${reductions(info, size)}
${product.functions('w')}
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  ${chooseRows(shape, at => `flags[${at}]`)}
  let own = wg.x * ${ROWS_PER_WORKGROUP}u + t / LANES;
  let lane = t % LANES;
  let local = min(own, COUNT - 1u);
  let xRow = wg.y * ${input.stride / 4}u + ${of === 'up' ? input.upAt / 4 : 0}u;
  let at = wg.y * ${paddedColumns(count)}u + FIRST + local;
  let bits = flags[${flagRow(shape)} + (FIRST + local) / ${ROWS_PER_WORKGROUP}u];
  let on = ${multiplies ? `(bits & (1u << ((FIRST + local) % ${ROWS_PER_WORKGROUP}u))) != 0u` : 'true'};
  var part = 0.0;
  if (${multiplies && skips ? 'on' : 'true'}) {
    ${products}
    part = w0Sum;
  }
  let projection = laneSum(part, t)${bias};
  if (lane == 0u && own < COUNT && on) { values[at] = ${multiplies ? 'values[at] * projection' : 'projection'}; }
}
`
}

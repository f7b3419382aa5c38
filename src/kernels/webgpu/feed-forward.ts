// WGSL of an FFN. Two kernels: the first computes the gate of every neuron, its activation, and at once the up projection
// of the neurons that are not exactly 0, each by the lanes that found it active. It leaves their values and one bit per
// neuron. The second adds up the down columns of the neurons whose bit is set. Sums over neurons are cut into blocks by
// index, each block is added up in ascending order by one invocation, and blocks are combined in a fixed order: what is
// skipped changes no bit.

import type { Activation } from '../../activations/activation.js'
import type { WeightType } from '../weights/types.js'
import { activationCode } from './activation-code.js'
import type { Access } from './constants.js'
import { downTiles, TILE_VECTORS, tileScaleFunction } from './down-tiles.js'
import type { Gpu } from './gpu.js'
import type { GpuInfo } from './gpu-info.js'
import { normScale, ROW_STRUCT, ROWS_PER_WORKGROUP, readNormed } from './matvec.js'
import { moduleHead, reductions } from './reductions.js'
import { RowProduct } from './row-products.js'
import { paddedColumns, rowVectors } from './vector-formats.js'

export interface FeedForwardShape {
  readonly gate: WeightType
  /** Of up rows; null in a plain FFN. */
  readonly up: WeightType | null
  /** Of down columns. */
  readonly down: WeightType
  /** hidden_size. */
  readonly width: number
  /** intermediate_size. */
  readonly count: number
  readonly layers: number
  /** Rows that a pass may have. */
  readonly maxRows: number
  /** Whether neurons that are exactly 0 are skipped. */
  readonly skips: boolean
}

/** Words of `flags` of one row of a pass: a word per workgroup of the first kernel, which has a bit per neuron. */
export function flagWords(count: number): number {
  return Math.ceil(count / ROWS_PER_WORKGROUP)
}

/** Neurons whose bits one invocation takes at a time, and their words. */
const BITS = 32
const WORDS = BITS / ROWS_PER_WORKGROUP

/** Bindings of `hiddenCode`: gate, up rows (the gate again where there are none), x, norm, numbers of the layer, rows of the pass, hidden, flags. */
export const HIDDEN_ACCESS: readonly Access[] = [
  ...(['read', 'read', 'read', 'read', 'read', 'read'] as const),
  ...(['write', 'write'] as const),
]

/**
 * hidden (row, h) = activation(gate · norm(x)), times up · norm(x) when gated, of COUNT neurons from FIRST on, which is a
 * multiple of 32. flags: per layer and row the number of active neurons, (layers, maxRows); then the rows' words of bits.
 */
export function hiddenCode(
  shape: FeedForwardShape,
  { activation, purpose, eps }: { activation: Activation; purpose: number; eps: number },
  info: GpuInfo,
): string {
  const { width, count, layers, maxRows, skips } = shape
  const { lanes, ahead } = info
  const size = ROWS_PER_WORKGROUP * lanes
  const productOf = (type: WeightType, rows: number) =>
    new RowProduct({ type, columns: width, lanes, ahead: Math.max(1, Math.floor(ahead / rows)) })
  const gateRow = { name: 'g', weights: 'gate', base: `(local * ${rowVectors(shape.gate, width)}u)` }
  const upType = shape.up ?? shape.gate
  const upRow = { name: 'p', weights: 'up', base: `(local * ${rowVectors(upType, width)}u)` }
  const [squared, again] = [readNormed('normWeights', true), readNormed('normWeights', false)]
  // Without skipping both rows are read at once, and x once for both.
  const joined = shape.up !== null && !skips && shape.up === shape.gate
  const gate = productOf(shape.gate, joined ? 2 : 1)
  const up = productOf(upType, joined ? 2 : 1)
  const upSum = joined
    ? 'let upPart = pSum;'
    : `var upPart = 0.0;
  ${skips ? 'if (on) {' : '{'}
    ${up.products([upRow], again)}
    upPart = pSum;
  }`
  return `${moduleHead(info)}
override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> gate: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> up: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> normWeights: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> layerNumbers: array<f32>;
@group(0) @binding(5) var<storage, read> rows: array<Row>;
@group(0) @binding(6) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(7) var<storage, read_write> flags: array<atomic<u32>>;
${reductions(info, size)}
${gate.functions('gate')}
${shape.up === null ? '' : up.functions('up')}
${activationCode(activation, count, purpose)}
var<workgroup> activeBits: array<u32, ${ROWS_PER_WORKGROUP}>;
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let lane = t % LANES;
  let own = t / LANES;
  let inside = wg.x * ${ROWS_PER_WORKGROUP}u + own < COUNT;
  let local = min(wg.x * ${ROWS_PER_WORKGROUP}u + own, COUNT - 1u);
  let row = rows[wg.y];
  let xRow = wg.y * ${paddedColumns(width) / 4}u;
  var squares = vec4<f32>(0.0);
  ${gate.products(joined ? [gateRow, upRow] : [gateRow], squared)}
  let scale = ${normScale(width, eps)};
  let value = activate(laneSum(gSum, t) * scale, FIRST + local, row);
  let on = inside && value != 0.0;
  ${shape.up === null ? '' : upSum}
  let result = ${shape.up === null ? 'value' : 'value * (laneSum(upPart, t) * scale)'};
  if (lane == 0u) {
    if (inside) { hidden[wg.y * ${paddedColumns(count)}u + FIRST + local] = select(0.0, result, on); }
    activeBits[own] = select(0u, 1u << own, on);
  }
  workgroupBarrier();
  if (t == 0u) {
    var bits = 0u;
    for (var i = 0u; i < ${ROWS_PER_WORKGROUP}u; i++) { bits |= activeBits[i]; }
    atomicStore(&flags[${layers * maxRows}u + wg.y * ${flagWords(count)}u + FIRST / ${ROWS_PER_WORKGROUP}u + wg.x], bits);
    atomicAdd(&flags[u32(layerNumbers[0]) * ${maxRows}u + wg.y], countOneBits(bits));
  }
}
`
}

/** Bindings of `downCode`: tiles of down columns, hidden, flags, x. */
export const DOWN_ACCESS: readonly Access[] = ['read', 'read', 'read', 'write']

/** How the second kernel is cut: invocations, slots of neurons, a power of two, and the neurons of one slot. */
export function downPlan({ down, width, count }: FeedForwardShape, gpu: Pick<Gpu, 'workgroup'>) {
  const { columns, tiles } = downTiles(down, width)
  // Half of the slots hand their sums to the other half through the workgroup's memory.
  const most = Math.min(gpu.workgroup.invocations / TILE_VECTORS, (2 * gpu.workgroup.bytes) / (4 * columns))
  const wanted = Math.ceil(count / ROWS_PER_WORKGROUP)
  let slots = 2
  while (2 * slots <= most && slots < wanted) slots *= 2
  const neurons = ROWS_PER_WORKGROUP * Math.ceil(count / slots / ROWS_PER_WORKGROUP)
  return { columns, slots, neurons, size: slots * TILE_VECTORS, workgroups: tiles }
}

/** x (row, d) += Σ hidden · down over the active ones of COUNT neurons from FIRST on, which is a multiple of 32. */
export function downCode(shape: FeedForwardShape, gpu: Pick<Gpu, 'workgroup' | 'info'>): string {
  const { ahead } = gpu.info
  const { width, count, layers, maxRows, skips } = shape
  const tiles = downTiles(shape.down, width)
  const { parts } = tiles.format
  const { columns, slots, neurons, size } = downPlan(shape, gpu)
  const sums = parts.map((_, n) => `acc${n}`)
  const take = (j: number) =>
    parts
      .map((part, n) => {
        const factor = part.scale === null ? `h${j}` : `h${j} * tileScale(wg.x, n${j}, ${part.scale('l')})`
        return `acc${n} = select(acc${n}, fma(vec4<f32>(${factor}), ${part.values(`v${j}`)}, acc${n}), vec4<bool>(on${j}));`
      })
      .join('\n')
  const read = (j: number, neuron: string, on: string) => `let n${j} = ${neuron};
      let on${j} = ${on};
      let v${j} = w[(wg.x * COUNT + n${j}) * ${TILE_VECTORS}u + l];
      let h${j} = hidden[hiddenRow + n${j}];`
  const steps = Array.from({ length: skips ? Math.min(ahead, 4) : ahead }, (_, j) => j)
  const skipping = `while (bits != 0u) {
      ${steps
        .map(j => {
          // Where fewer are left, the first is read again, and not added.
          const next = 'first + firstTrailingBit(bits)'
          const neuron = j === 0 ? next : `select(n0, ${next}, bits != 0u)`
          return `${read(j, neuron, 'bits != 0u')}\n      bits &= bits - 1u;`
        })
        .join('\n      ')}
      ${steps.map(take).join('\n      ')}
    }`
  const all = `for (var i = 0u; i < ${Math.min(neurons, BITS)}u; i += ${steps.length}u) {
      ${steps
        .map(j =>
          read(
            j,
            `min(first + i + ${j}u, COUNT - 1u)`,
            `i + ${j}u < ${BITS}u && (bits & (1u << ((i + ${j}u) & 31u))) != 0u`,
          ),
        )
        .join('\n      ')}
      ${steps.map(take).join('\n      ')}
    }`
  const words = Math.min(WORDS, neurons / ROWS_PER_WORKGROUP)
  const put = (slot: string) =>
    parts.map((part, n) => `partial[(${slot}) * ${columns / 4}u + ${part.at('l')}] = acc${n};`).join(' ')
  const add = parts
    .map((part, n) => `acc${n} += partial[slot * ${columns / 4}u + ${part.at('l')}];`)
    .join(' ')
  return `override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
@group(0) @binding(0) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> hidden: array<f32>;
@group(0) @binding(2) var<storage, read> flags: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;
${tileScaleFunction('w', tiles)}
var<workgroup> partial: array<vec4<f32>, ${(slots / 2) * (columns / 4)}>;
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let l = t % ${TILE_VECTORS}u;
  let slot = t / ${TILE_VECTORS}u;
  let hiddenRow = wg.y * ${paddedColumns(count)}u + FIRST;
  let flagRow = ${layers * maxRows}u + wg.y * ${flagWords(count)}u + FIRST / ${ROWS_PER_WORKGROUP}u;
  ${sums.map(name => `var ${name} = vec4<f32>(0.0);`).join('\n  ')}
  for (var done = 0u; done < ${neurons}u; done += ${BITS}u) {
    let first = slot * ${neurons}u + done;
    if (first >= COUNT) { break; }
    var bits = 0u;
    for (var i = 0u; i < ${words}u; i++) {
      let n = ${ROWS_PER_WORKGROUP}u * i;
      if (done + n < ${neurons}u && first + n < COUNT) { bits |= flags[flagRow + first / ${ROWS_PER_WORKGROUP}u + i] << n; }
    }
    ${skips ? skipping : all}
  }
  for (var half = ${slots / 2}u; half > 0u; half >>= 1u) {
    if (slot >= half && slot < 2u * half) { ${put('slot - half')} }
    workgroupBarrier();
    if (slot < half) { ${add} }
    workgroupBarrier();
  }
  if (slot == 0u) { ${put('0u')} }
  workgroupBarrier();
  for (var own = t; own < ${columns}u; own += ${size}u) {
    let c = wg.x * ${columns}u + own;
    if (c < ${width}u) { x[wg.y * ${paddedColumns(width)}u + c] += partial[own >> 2u][own & 3u]; }
  }
}
`
}

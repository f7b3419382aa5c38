// WGSL of an FFN. Two kernels: the first computes the gate of every neuron, its activation, and at once the up projection
// of the neurons that are not exactly 0, each by the lanes that found it active. It leaves their values and one bit per
// neuron. The second adds up the down columns of the neurons whose bit is set. Sums over neurons are cut into blocks by
// index, each block is added up in ascending order by one invocation, and blocks are combined in their order: what is
// skipped changes no bit.

import type { Activation } from '../../activations/activation.js'
import type { WeightType } from '../weights/types.js'
import { activationCode } from './activation-code.js'
import type { Access } from './constants.js'
import type { Gpu } from './gpu.js'
import type { GpuInfo } from './gpu-info.js'
import { normFunction, ROW_STRUCT, ROWS_PER_WORKGROUP } from './matvec.js'
import { moduleHead, reductions } from './reductions.js'
import { RowProduct, scaleFunction } from './row-products.js'
import { paddedColumns, rowVectors, vectorFormat } from './vector-formats.js'

export interface FeedForwardShape {
  readonly gate: WeightType
  /** Of up rows; null in a plain FFN. */
  readonly up: WeightType | null
  /** Of down columns. */
  readonly down: WeightType
  /** Whether a neuron's up row stands before its down column, in one buffer. */
  readonly together: boolean
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

/** Neurons of one block of the sum, and of one word of bits. */
const BLOCK = 16
/** Words of `flags` of one row of a pass: a word per workgroup of the first kernel, which has a bit per neuron. */
export function flagWords(count: number): number {
  return (BLOCK / ROWS_PER_WORKGROUP) * Math.ceil(count / BLOCK)
}

/** Vectors from one up row to the next, from one down column to the next, and before the first down column. */
function strides({ up, down, width, together }: FeedForwardShape) {
  const own = { up: up === null ? 0 : rowVectors(up, width), down: rowVectors(down, width) }
  if (!together) return { ...own, before: 0 }
  return { up: own.up + own.down, down: own.up + own.down, before: own.up }
}

/** Bindings of `hiddenCode`: gate, up rows (the gate again where there are none), x, norm, numbers of the layer, rows of the pass, hidden, flags. */
export const HIDDEN_ACCESS: readonly Access[] = [
  ...(['read', 'read', 'read', 'read', 'read', 'read'] as const),
  ...(['write', 'write'] as const),
]

/**
 * hidden (row, h) = activation(gate · norm(x)), times up · norm(x) when gated, of COUNT neurons from FIRST on, which is a
 * multiple of 64. flags: per layer and row the number of active neurons, (layers, maxRows); then the rows' words of bits.
 */
export function hiddenCode(
  shape: FeedForwardShape,
  { activation, purpose, eps }: { activation: Activation; purpose: number; eps: number },
  info: GpuInfo,
): string {
  const { width, count, layers, maxRows, skips } = shape
  const gated = shape.up !== null
  const { lanes, ahead } = info
  const size = ROWS_PER_WORKGROUP * lanes
  const gate = new RowProduct({ type: shape.gate, columns: width, lanes, ahead, weights: 'gate' })
  const up = new RowProduct({
    ...{ type: shape.up ?? shape.gate, columns: width },
    ...{ lanes, ahead, weights: 'up' },
  })
  const gateBase = `(local * ${rowVectors(shape.gate, width)}u)`
  const upBase = `(local * ${strides(shape).up}u)`
  const x = (i: string) => `normed[${i}]`
  const project = `${up.product(upBase, x)}
    upPart = upSum;`
  return `${moduleHead(info)}
override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> gate: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> up: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> normWeights: array<f32>;
@group(0) @binding(4) var<storage, read> layerNumbers: array<f32>;
@group(0) @binding(5) var<storage, read> rows: array<Row>;
@group(0) @binding(6) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(7) var<storage, read_write> flags: array<atomic<u32>>;
${reductions(info, size)}
${gate.functions}
${gated ? up.functions : ''}
${normFunction({ columns: width, size, eps, weights: 'normWeights' })}
${activationCode(activation, count, purpose)}
var<workgroup> activeBits: array<u32, 8>;
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let lane = t % LANES;
  let own = t / LANES;
  let inside = wg.x * 8u + own < COUNT;
  let local = min(wg.x * 8u + own, COUNT - 1u);
  let row = rows[wg.y];
  ${gate.loads(gateBase)}
  ${gated && !skips ? up.loads(upBase) : ''}
  norm(wg.y * ${paddedColumns(width) / 4}u, t);
  ${gate.product(gateBase, x)}
  let scale = normScale();
  let value = activate(laneSum(gateSum, t) * scale, FIRST + local, row);
  let on = inside && value != 0.0;
  ${
    gated
      ? `var upPart = 0.0;
  ${skips ? `if (on) {\n${up.loads(upBase)}` : '{'}
    ${project}
  }
  let result = value * (laneSum(upPart, t) * scale);`
      : 'let result = value;'
  }
  if (lane == 0u) {
    if (inside) { hidden[wg.y * ${paddedColumns(count)}u + FIRST + local] = select(0.0, result, on); }
    activeBits[own] = select(0u, 1u << own, on);
  }
  workgroupBarrier();
  if (t == 0u) {
    var bits = 0u;
    for (var i = 0u; i < 8u; i++) { bits |= activeBits[i]; }
    atomicStore(&flags[${layers * maxRows}u + wg.y * ${flagWords(count)}u + FIRST / 8u + wg.x], bits);
    atomicAdd(&flags[u32(layerNumbers[0]) * ${maxRows}u + wg.y], countOneBits(bits));
  }
}
`
}

/** Bindings of `downCode`: neurons, hidden, flags, x. */
export const DOWN_ACCESS: readonly Access[] = ['read', 'read', 'read', 'write']

/** How the second kernel is cut: columns of a workgroup, invocations, and the share of one invocation. */
export function downPlan(shape: FeedForwardShape, gpu: Pick<Gpu, 'workgroup'>) {
  const { down, width, count } = shape
  const format = vectorFormat(down)
  const { together, columns } = format
  const chunk = together * columns
  // Blocks are combined by as many invocations as there are columns in a vector, so that their number is a multiple of it.
  const most = Math.min(gpu.workgroup.invocations / together, Math.floor(gpu.workgroup.bytes / (4 * chunk)))
  const wanted = columns * Math.ceil(Math.ceil(count / BLOCK) / columns)
  const slots = Math.max(columns, Math.min(wanted, columns * Math.floor(most / columns)))
  return {
    chunk,
    slots,
    blocksPerSlot: Math.ceil(Math.ceil(count / BLOCK) / slots),
    size: slots * together,
    workgroups: Math.ceil(format.vectors(width) / together),
  }
}

/** x (row, d) += Σ hidden · down over the active ones of COUNT neurons from FIRST on, which is a multiple of 64. */
export function downCode(shape: FeedForwardShape, gpu: Pick<Gpu, 'workgroup' | 'info'>): string {
  const { ahead } = gpu.info
  const { width, count, layers, maxRows, skips } = shape
  const format = vectorFormat(shape.down)
  const { together, columns } = format
  const { chunk, slots, blocksPerSlot, size } = downPlan(shape, gpu)
  const scaled = format.scaleVectors(width) > 0
  const stride = strides(shape)
  const sums = format.parts.map((_, n) => `acc${n}`)
  const take = (j: number | string) => {
    const lines = format.parts.map((part, n) => {
      const factor = part.scale === null ? `h${j}` : `h${j} * wScale(base${j}, ${part.scale('k')})`
      return `acc${n} = select(acc${n}, fma(vec4<f32>(${factor}), ${part.values(`v${j}`)}, acc${n}), vec4<bool>(on${j}));`
    })
    return lines.join('\n')
  }
  const read = (j: number, neuron: string, on: string) => `let n${j} = ${neuron};
      let on${j} = ${on};
      let base${j} = n${j} * ${stride.down}u + ${stride.before}u;
      let v${j} = w[base${j} + ${format.scaleVectors(width)}u + k];
      let h${j} = hidden[hiddenRow + FIRST + n${j}];`
  const skipping = () => {
    const steps = Array.from({ length: Math.ceil(ahead / 2) }, (_, j) => {
      // Where fewer are left, the first is read again, and not added.
      const neuron =
        j === 0 ? 'first + firstTrailingBit(bits)' : `select(n0, first + firstTrailingBit(bits), bits != 0u)`
      return `${read(j, neuron, 'bits != 0u')}\n      bits &= bits - 1u;`
    })
    return `while (bits != 0u) {
      ${steps.join('\n      ')}
      ${steps.map((_, j) => take(j)).join('\n      ')}
    }`
  }
  const all = () => {
    const steps = Array.from({ length: ahead }, (_, j) =>
      read(j, `min(first + i + ${j}u, COUNT - 1u)`, `(bits & (1u << (i + ${j}u))) != 0u`),
    )
    return `for (var i = 0u; i < ${BLOCK}u; i += ${ahead}u) {
      ${steps.join('\n      ')}
      ${steps.map((_, j) => take(j)).join('\n      ')}
    }`
  }
  return `override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
@group(0) @binding(0) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> hidden: array<f32>;
@group(0) @binding(2) var<storage, read> flags: array<u32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;
${scaled ? scaleFunction('w') : ''}
var<workgroup> partial: array<f32, ${slots * chunk}>;
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let l = t % ${together}u;
  let slot = t / ${together}u;
  let k = min(wg.x * ${together}u + l, ${format.vectors(width) - 1}u);
  let hiddenRow = wg.y * ${paddedColumns(count)}u;
  let flagRow = ${layers * maxRows}u + wg.y * ${flagWords(count)}u + FIRST / 8u;
  ${sums.map(name => `var ${name} = vec4<f32>(0.0);`).join('\n  ')}
  for (var b = 0u; b < ${blocksPerSlot}u; b++) {
    let block = slot * ${blocksPerSlot}u + b;
    let first = block * ${BLOCK}u;
    if (first >= COUNT) { break; }
    let at = flagRow + 2u * block;
    var bits = flags[at] | (flags[at + 1u] << 8u);
    ${skips ? skipping() : all()}
  }
  ${format.parts
    .map((part, n) =>
      ['x', 'y', 'z', 'w']
        .map((c, e) => `partial[slot * ${chunk}u + 4u * ${part.at('l')} + ${e}u] = acc${n}.${c};`)
        .join(' '),
    )
    .join('\n  ')}
  workgroupBarrier();
  let column = t % ${chunk}u;
  let part = t / ${chunk}u;
  var sum = 0.0;
  for (var i = 0u; i < ${columns}u; i++) { sum += partial[(part * ${columns}u + i) * ${chunk}u + column]; }
  workgroupBarrier();
  partial[part * ${chunk}u + column] = sum;
  workgroupBarrier();
  if (part == 0u) {
    var total = 0.0;
    for (var i = 0u; i < ${slots / columns}u; i++) { total += partial[i * ${chunk}u + column]; }
    let c = wg.x * ${chunk}u + column;
    if (c < ${width}u) { x[wg.y * ${paddedColumns(width)}u + c] += total; }
  }
}
`
}

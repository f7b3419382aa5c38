// WGSL of an FFN. Two kernels: the first computes the gate of every neuron, its activation, and at once the up projection
// of the neurons that are not exactly 0, each by the lanes that found it active. It leaves their values and one bit per
// neuron. The second adds up the down columns of the neurons whose bit is set. Sums over neurons are cut into blocks by
// index, each block is added up in ascending order by one invocation, and blocks are combined in a fixed order: what is
// skipped changes no bit.

import type { Activation } from '../../activations/activation.js'
import { upSideDraw } from '../interface/training.js'
import type { WeightType } from '../weights/types.js'
import { activationCode } from './activation-code.js'
import type { Access } from './constants.js'
import { downTiles, tileScaleFunction } from './down-tiles.js'
import type { Gpu } from './gpu.js'
import type { GpuInfo } from './gpu-info.js'
import { normScale, ROW_STRUCT, ROWS_PER_WORKGROUP, readNormed } from './matvec.js'
import { moduleHead, reductions } from './reductions.js'
import { type ReadVector, RowProduct } from './row-products.js'
import { paddedColumns, rowVectors } from './vector-formats.js'

/** Experts of a layer, and how many of them a token takes. */
export interface ExpertsShape {
  readonly count: number
  readonly perToken: number
  /** Whether the factors of the chosen ones are divided by their sum. */
  readonly normalized: boolean
}

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
  /** Whether the down projection adds a bias. */
  readonly downBias: boolean
  /** Whether the activation is applied to the up projection too (dReLU). */
  readonly activatesUp: boolean
  /** Of a mixture of experts, whose neurons stand one expert after the other; null: one FFN. */
  readonly experts: ExpertsShape | null
}

/** Words of `flags` of one row of a pass: a word per workgroup of the first kernel, which has a bit per neuron. */
export function flagWords(count: number): number {
  return Math.ceil(count / ROWS_PER_WORKGROUP)
}

/** Where in `flags` the words begin that say of row `wg.y` and slot SLOT which expert was chosen, and with which factor. */
function choiceAt({ layers, maxRows, count, experts }: FeedForwardShape): string {
  const { perToken = 1 } = experts ?? {}
  return `(${maxRows * (layers + flagWords(count))}u + 2u * (wg.y * ${perToken}u + SLOT))`
}

/** Words of `flags` in all. */
export function allFlagWords(
  maxRows: number,
  layers: number,
  count: number,
  experts: ExpertsShape | null,
): number {
  return maxRows * (layers + flagWords(count) + 2 * (experts?.perToken ?? 0))
}

/** Neurons whose bits one invocation takes at a time, and their words. */
const BITS = 32
/** Slots whose sums one adds up in a round of the combination, a power of two. */
const SHARES = 8
const WORDS = BITS / ROWS_PER_WORKGROUP

/** Bindings of `hiddenCode`: gate, up rows (the gate again where there are none), x, norm, numbers of the layer, rows of the pass, hidden, flags. */
export const HIDDEN_ACCESS: readonly Access[] = [
  ...(['read', 'read', 'read', 'read', 'read', 'read'] as const),
  ...(['write', 'write'] as const),
]

/**
 * hidden (row, h) = activation(gate · norm(x) + bias), times up · norm(x) when gated, of COUNT neurons from FIRST on, which is a
 * multiple of 32. flags: per layer and row the number of active neurons, (layers, maxRows); then the rows' words of bits.
 */
export function hiddenCode(
  shape: FeedForwardShape,
  use: {
    readonly activation: Activation
    readonly purpose: number
    /** Of RMSNorm, which x goes through; null where it is read as it is. */
    readonly eps: number | null
    /** Where in the numbers of the layer the biases of the neurons begin; null without. */
    readonly biasAt: number | null
  },
  info: GpuInfo,
): string {
  const { activation, purpose, eps, biasAt } = use
  const { width, count, layers, maxRows, skips, activatesUp, experts } = shape
  const { lanes, ahead } = info
  const size = ROWS_PER_WORKGROUP * lanes
  const together = neuronsTogether(shape, info)
  const neurons = Array.from({ length: together }, (_, n) => n)
  // Without skipping gate and up are read at once, and x once for both.
  const joined = shape.up !== null && !skips && shape.up === shape.gate
  const productOf = (type: WeightType, rows: number) =>
    new RowProduct({ type, columns: width, lanes, ahead: Math.max(1, Math.floor(ahead / rows)) })
  const gate = productOf(shape.gate, joined ? 2 * together : together)
  const upType = shape.up ?? shape.gate
  const up = productOf(upType, joined ? 2 : 1)
  const gateRow = (n: number) => ({
    name: `g${'ab'[n]}`,
    weights: 'gate',
    base: `((expertRow + local${n}) * ${rowVectors(shape.gate, width)}u)`,
  })
  const upRow = (n: number) => ({
    name: `p${'ab'[n]}`,
    weights: 'up',
    base: `((expertRow + local${n}) * ${rowVectors(upType, width)}u)`,
  })
  const plain: ReadVector = i => `let v = x[xRow + ${i}];`
  const squared = eps === null ? plain : readNormed('normWeights', true)
  const again = eps === null ? plain : readNormed('normWeights', false)
  const bias = (n: number) => (biasAt === null ? '' : ` + layerNumbers[${biasAt}u + FIRST + local${n}]`)
  const upSum = (n: number) =>
    joined
      ? `let upPart${n} = ${upRow(n).name}Sum;`
      : `var upPart${n} = 0.0;
  ${skips ? `if (on${n}) {` : '{'}
    ${up.products([upRow(n)], again)}
    upPart${n} = ${upRow(n).name}Sum;
  }`
  const each = (text: (n: number) => string) => neurons.map(text).join('\n  ')
  const upValue = (n: number) => {
    const value = `laneSum(upPart${n}, t) * scale`
    return activatesUp ? `activate(${value}, FIRST + local${n}, row)` : `(${value})`
  }
  return `${moduleHead(info)}
override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
${experts === null ? '' : 'override SLOT: u32 = 0u;'}
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
var<workgroup> activeBits: array<u32, ${ROWS_PER_WORKGROUP * together}>;
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let lane = t % LANES;
  let own = (t / LANES) * ${together}u;
  let first = wg.x * ${ROWS_PER_WORKGROUP * together}u;
  ${each(n => `let local${n} = min(first + own + ${n}u, COUNT - 1u);`)}
  let row = rows[wg.y];
  ${
    experts === null
      ? 'let expertRow = 0u;'
      : `let expert = atomicLoad(&flags[${choiceAt(shape)}]);
  let expertRow = expert * ${count}u;
  drawLayers = expert * ${layers}u;`
  }
  let xRow = wg.y * ${paddedColumns(width) / 4}u;
  var squares = vec4<f32>(0.0);
  ${gate.products(joined ? neurons.flatMap(n => [gateRow(n), upRow(n)]) : neurons.map(gateRow), squared)}
  let scale = ${eps === null ? '1.0' : normScale(width, eps)};
  ${each(
    n => `let value${n} = activate(laneSum(${gateRow(n).name}Sum, t) * scale${bias(n)}, FIRST + local${n}, row);
  let on${n} = first + own + ${n}u < COUNT && value${n} != 0.0;`,
  )}
  ${shape.up === null ? '' : each(upSum)}
  ${activatesUp ? `drawShift = ${upSideDraw({ purpose: 0 }).purpose * 65536}u;` : ''}
  ${each(n => `let result${n} = ${shape.up === null ? `value${n}` : `value${n} * ${upValue(n)}`};`)}
  if (lane == 0u) {
    ${each(
      n => `if (first + own + ${n}u < COUNT) {
      hidden[wg.y * ${paddedColumns(count)}u + FIRST + local${n}] = select(0.0, result${n}, on${n});
    }
    activeBits[own + ${n}u] = select(0u, 1u, on${n}${activatesUp ? ` && result${n} != 0.0` : ''});`,
    )}
  }
  workgroupBarrier();
  if (t < ${together}u) {
    var bits = 0u;
    for (var i = 0u; i < ${ROWS_PER_WORKGROUP}u; i++) { bits |= activeBits[${ROWS_PER_WORKGROUP}u * t + i] << i; }
    let word = (FIRST + first) / ${ROWS_PER_WORKGROUP}u + t;
    if (word < ${flagWords(count)}u) {
      atomicStore(&flags[${layers * maxRows}u + wg.y * ${flagWords(count)}u + word], bits);
    }
    atomicAdd(&flags[u32(layerNumbers[0]) * ${maxRows}u + wg.y], countOneBits(bits));
  }
}
`
}

/**
 * Neurons that a group of lanes of the first kernel takes together. With skipping two gates share what is read of x; without,
 * the gate and the up projection of one neuron do.
 */
export function neuronsTogether({ skips, up }: FeedForwardShape, info: Pick<GpuInfo, 'together'>): number {
  return skips || up === null ? Math.min(2, info.together) : 1
}

/** Bindings of `downCode`: tiles of down columns, hidden, flags, bias (anything where there is none), x. */
export const DOWN_ACCESS: readonly Access[] = ['read', 'read', 'read', 'read', 'write']

/** How the second kernel is cut: invocations, slots of neurons, a power of two, and the neurons of one slot. */
export function downPlan({ down, width, count }: FeedForwardShape, gpu: Pick<Gpu, 'workgroup'>) {
  const { columns, tiles, format } = downTiles(down, width)
  // Sums are handed over through the workgroup's memory.
  const most = Math.min(gpu.workgroup.invocations / format.tileVectors, gpu.workgroup.bytes / (4 * columns))
  const wanted = Math.ceil(count / ROWS_PER_WORKGROUP)
  let slots = 2
  while (2 * slots <= most && slots < wanted) slots *= 2
  const neurons = ROWS_PER_WORKGROUP * Math.ceil(count / slots / ROWS_PER_WORKGROUP)
  return { columns, slots, neurons, size: slots * format.tileVectors, workgroups: tiles }
}

/** x (row, d) += bias + Σ hidden · down over the active ones of COUNT neurons from FIRST on, which is a multiple of 32. */
export function downCode(shape: FeedForwardShape, gpu: Pick<Gpu, 'workgroup' | 'info'>): string {
  const { ahead } = gpu.info
  const { width, count, layers, maxRows, skips, experts } = shape
  const tiles = downTiles(shape.down, width)
  const { parts, tileVectors } = tiles.format
  const { columns, slots, neurons, size } = downPlan(shape, gpu)
  const sums = parts.map((_, n) => `acc${n}`)
  const take = (j: number) =>
    parts
      .map((part, n) => {
        const scale = part.scale === null ? '' : `tileScale(wg.x, expertRow + n${j}, ${part.scale('l')})`
        const isAffine = tiles.format.affine !== undefined
        const factor = scale === '' || isAffine ? `h${j}` : `h${j} * ${scale}`
        const numbers = part.values(`v${j}`)
        const values = isAffine ? `affine(${scale}, ${numbers})` : numbers
        return `acc${n} = select(acc${n}, fma(vec4<f32>(${factor}), ${values}, acc${n}), vec4<bool>(on${j}));`
      })
      .join('\n')
  const read = (j: number, neuron: string, on: string) => `let n${j} = ${neuron};
      let on${j} = ${on};
      let v${j} = w[(wg.x * ALL + expertRow + n${j}) * ${tileVectors}u + l];
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
  // In a round the first of SHARES stretches of slots adds up what the others hand over, in order.
  const put = (slot: string) =>
    parts.map((part, n) => `partial[(${slot}) * ${columns / 4}u + ${part.at('l')}] = acc${n};`).join(' ')
  const add = parts
    .map((part, n) => `acc${n} += partial[(slot + i * left) * ${columns / 4}u + ${part.at('l')}];`)
    .join(' ')
  const rounds: string[] = []
  for (let left = slots; left > 1; ) {
    const share = Math.min(left, SHARES)
    left /= share
    rounds.push(`{
    let left = ${left}u;
    if (slot >= left && slot < ${left * share}u) { ${put('slot - left')} }
    workgroupBarrier();
    if (slot < left) { for (var i = 0u; i < ${share - 1}u; i++) { ${add} } }
    workgroupBarrier();
  }`)
  }
  return `override FIRST: u32 = 0u;
override COUNT: u32 = 1u;
${experts === null ? '' : 'override SLOT: u32 = 0u;'}
override ALL: u32 = COUNT${experts === null ? '' : ` * ${experts.count}u`};
@group(0) @binding(0) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> hidden: array<f32>;
@group(0) @binding(2) var<storage, read> flags: array<u32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> x: array<f32>;
${tileScaleFunction('w', tiles)}
fn affine(s: vec2<f32>, v: vec4<f32>) -> vec4<f32> { return fma(vec4<f32>(s.x), v, vec4<f32>(-s.y)); }
var<workgroup> partial: array<vec4<f32>, ${slots * (columns / 4)}>;
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let l = t % ${tileVectors}u;
  let slot = t / ${tileVectors}u;
  let expertRow = ${experts === null ? '0u' : `flags[${choiceAt(shape)}] * COUNT`};
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
  ${rounds.join('\n  ')}
  if (slot == 0u) { ${put('0u')} }
  workgroupBarrier();
  for (var own = t; own < ${columns}u; own += ${size}u) {
    let c = wg.x * ${columns}u + own;
    if (c < ${width}u) { x[wg.y * ${paddedColumns(width)}u + c] += ${experts === null ? '' : `bitcast<f32>(flags[${choiceAt(shape)} + 1u]) * `}partial[own >> 2u][own & 3u]${shape.downBias ? ' + select(0.0, bias[c], FIRST == 0u)' : ''}; }
  }
}
`
}

// WGSL of an FFN. Two kernels: the first computes the gate of every neuron, its activation, and at once the up projection
// of the neurons that are not exactly 0, each by the lanes that found it active. It leaves their values and one bit per
// neuron. The second (down-code.ts) adds up the down columns of the neurons whose bit is set. Sums over neurons are cut into blocks by
// index, each block is added up in ascending order by one invocation, and blocks are combined in a fixed order: what is
// skipped changes no bit.

import type { Activation } from '../../activations/activation.js'
import { upSideDraw } from '../interface/training.js'
import type { WeightType } from '../weights/types.js'
import { activationCode } from './activation-code.js'
import type { Access } from './constants.js'
import { chooseRows, type FeedForwardShape, flagRow, flagWords, neuronConstants } from './ffn-shape.js'
import type { GpuInfo } from './gpu-info.js'
import { normScale, ROW_STRUCT, ROWS_PER_WORKGROUP, readNormed } from './matvec.js'
import { moduleHead, reductions } from './reductions.js'
import { type ReadVector, RowProduct } from './row-products.js'
import { paddedColumns, rowVectors } from './vector-formats.js'

/** Of a cut: the limits begin at `at` in the numbers of the layer, one for each neuron or one for all. */
export interface CutLimits {
  readonly at: number
  readonly perNeuron: boolean
}

/** WGSL for whether `row` is one that a cut applies to and `value` of `neuron` below its limit. */
export function isCut({ at, perNeuron }: CutLimits, value: string, neuron: string): string {
  return `row.isCut != 0u && abs(${value}) < layerNumbers[${at}u${perNeuron ? ` + ${neuron}` : ''}]`
}

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
    /** What a cut leaves of the activated gate in rows that it applies to; null without. */
    readonly limits: CutLimits | null
  },
  info: GpuInfo,
): string {
  const { activation, purpose, eps, biasAt, limits } = use
  const { width, input, count, layers, maxRows, skips, activatesUp } = shape
  const { lanes, ahead } = info
  const size = ROWS_PER_WORKGROUP * lanes
  const together = neuronsTogether(shape, info)
  const neurons = Array.from({ length: together }, (_, n) => n)
  // Without skipping gate and up are read at once, and x once for both.
  const joined = shape.up !== null && !skips && shape.up === shape.gate && input.upAt === 0
  const productOf = (type: WeightType, columns: number, rows: number) =>
    new RowProduct({ type, columns, lanes, ahead: Math.max(1, Math.floor(ahead / rows)) })
  const gate = productOf(shape.gate, input.gate, joined ? 2 * together : together)
  const upType = shape.up ?? shape.gate
  const up = productOf(upType, input.up, joined ? 2 : 1)
  const gateRow = (n: number) => ({
    name: `g${'ab'[n]}`,
    weights: 'gate',
    base: `((expertRow + local${n}) * ${rowVectors(shape.gate, input.gate)}u)`,
  })
  const upRow = (n: number) => ({
    name: `p${'ab'[n]}`,
    weights: 'up',
    base: `((expertRow + local${n}) * ${rowVectors(upType, input.up)}u)`,
  })
  const plain: ReadVector = i => `let v = x[xRow + ${i}];`
  const plainUp: ReadVector = i => `let v = x[xRow + ${input.upAt / 4}u + ${i}];`
  const squared = eps === null ? plain : readNormed('normWeights', true)
  const again = eps === null ? plainUp : readNormed('normWeights', false)
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
${neuronConstants(shape)}
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
${activationCode(activation, count, purpose).functions}
var<workgroup> activeBits: array<u32, ${ROWS_PER_WORKGROUP * together}>;
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let lane = t % LANES;
  let own = (t / LANES) * ${together}u;
  let first = wg.x * ${ROWS_PER_WORKGROUP * together}u;
  ${each(n => `let local${n} = min(first + own + ${n}u, COUNT - 1u);`)}
  let row = rows[wg.y];
  ${chooseRows(shape, at => `atomicLoad(&flags[${at}])`)}
  drawLayers = expert * ${layers}u;
  let xRow = wg.y * ${input.stride / 4}u;
  var squares = vec4<f32>(0.0);
  ${gate.products(joined ? neurons.flatMap(n => [gateRow(n), upRow(n)]) : neurons.map(gateRow), squared)}
  let scale = ${eps === null ? '1.0' : normScale(width, eps)};
  ${each(
    n => `let whole${n} = activate(laneSum(${gateRow(n).name}Sum, t) * scale${bias(n)}, FIRST + local${n}, row);
  let value${n} = ${limits === null ? `whole${n}` : `select(whole${n}, 0.0, ${isCut(limits, `whole${n}`, `FIRST + local${n}`)})`};
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
      atomicStore(&flags[${flagRow(shape)} + word], bits);
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

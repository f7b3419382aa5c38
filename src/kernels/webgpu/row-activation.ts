// WGSL of an activation that looks at a whole row of neurons (top-k, norms, neighbors), or of a cut that does: a kernel of its
// own between the projections (projection-code.ts), one workgroup per row of the pass. It leaves what `hiddenCode` leaves.

import type { Activation } from '../../activations/activation.js'
import { upSideDraw } from '../interface/training.js'
import { activationCode } from './activation-code.js'
import type { Access } from './constants.js'
import { type CutLimits, isCut } from './feed-forward.js'
import { choiceAt, type FeedForwardShape, flagRow, flagWords, neuronConstants } from './ffn-shape.js'
import { ROW_STRUCT, ROWS_PER_WORKGROUP } from './matvec.js'
import { largestFunction, SELECTION, SELECTION_SIZE, SUM } from './row-selection.js'
import { paddedColumns } from './vector-formats.js'

/** Of a cut that keeps the neurons with the largest |value| · scale, where the scales begin in the numbers of the layer. */
export interface CutTop {
  readonly keep: number
  /** Null: 1. */
  readonly scaleAt: number | null
}

export interface RowActivation {
  /** Null: values are taken as they are. */
  readonly activation: Activation | null
  readonly purpose: number
  /** Of up projections, by which hidden is multiplied; else of gates. */
  readonly ofUp: boolean
  /** Whether active neurons are counted: after the last change to them. */
  readonly counts: boolean
  readonly limits: CutLimits | null
  readonly top: CutTop | null
}

/** Bindings of `rowActivationCode`: pre-activations, numbers of the layer, rows of the pass, hidden, flags. */
export const ROW_ACTIVATION_ACCESS: readonly Access[] = ['read', 'read', 'read', 'write', 'write']

/** hidden (row, h) = activation(values (row, h)), cut, or hidden *= it; and flags. Workgroups (1, rows). */
export function rowActivationCode(shape: FeedForwardShape, use: RowActivation): string {
  const { activation, purpose, ofUp, counts, limits, top } = use
  const { count, layers, maxRows, experts } = shape
  const none = { functions: '', statistics: [] }
  const { functions, statistics } = activation === null ? none : activationCode(activation, count, purpose)
  const each = (body: string) => `for (var i = t; i < ${count}u; i += ${SELECTION_SIZE}u) { ${body} }`
  const computed = statistics.map(({ kind, value, rank, variable }, n) => {
    if (kind === 'kthLargest') return `${variable} = largest${n}(${rank}, t, row);`
    return `var sum${n} = 0.0;
  ${each(`sum${n} += ${value('values[valueRow + i]', 'i')};`)}
  ${variable} = sumOf(sum${n}, t) / ${count}.0;`
  })
  const selections = statistics.flatMap(({ kind, value }, n) =>
    kind === 'mean' ? [] : [largestFunction(`largest${n}`, value('values[valueRow + i]', 'i'), count)],
  )
  const scale = (i: string) => (top?.scaleAt == null ? '' : ` * layerNumbers[${top.scaleAt}u + ${i}]`)
  const kept = (i: string) => `abs(hidden[valueRow + ${i}])${scale(i)}`
  if (top !== null) selections.push(largestFunction('largestCut', kept('i'), count))
  const value = activation === null ? 'values[valueRow + i]' : 'activate(values[valueRow + i], i, row)'
  const activated = limits === null ? value : `cutValue(${value}, i, row)`
  const result = ofUp ? `hidden[valueRow + i] * ${activated}` : activated
  // What is cut is chosen among all activated neurons, so those are written first.
  const first =
    top === null
      ? ''
      : `${each(`hidden[valueRow + i] = ${result};`)}
  storageBarrier();
  let least = largestCut(${top.keep}u, t, row);`
  const last =
    top === null ? result : `select(hidden[valueRow + i], 0.0, row.isCut != 0u && ${kept('i')} < least)`
  return `${neuronConstants(shape)}
${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> layerNumbers: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(4) var<storage, read_write> flags: array<u32>;
var<private> valueRow: u32;
fn preactivationOf(i: i32) -> f32 {
  return select(0.0, values[valueRow + u32(clamp(i, 0, ${count - 1}))], i >= 0 && i < ${count});
}
${functions}
${limits === null ? '' : `fn cutValue(value: f32, i: u32, row: Row) -> f32 { return select(value, 0.0, ${isCut(limits, 'value', 'i')}); }`}
${statistics.some(({ kind }) => kind === 'mean') ? SUM : ''}
${selections.length === 0 ? '' : SELECTION}
${selections.join('\n')}
var<workgroup> counts: array<u32, ${SELECTION_SIZE}>;
@compute @workgroup_size(${SELECTION_SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = rows[wg.y];
  valueRow = wg.y * ${paddedColumns(count)}u;
  ${experts === null || activation === null ? '' : `drawLayers = flags[${choiceAt(shape)}] * ${layers}u;`}
  ${ofUp && activation !== null ? `drawShift = ${upSideDraw({ purpose: 0 }).purpose * 65536}u;` : ''}
  ${computed.join('\n  ')}
  ${first}
  var own = 0u;
  for (var word = t; word < ${flagWords(count)}u; word += ${SELECTION_SIZE}u) {
    var bits = 0u;
    for (var bit = 0u; bit < ${ROWS_PER_WORKGROUP}u; bit++) {
      let i = ${ROWS_PER_WORKGROUP}u * word + bit;
      if (i < ${count}u) {
        let result = ${last};
        hidden[valueRow + i] = result;
        bits |= select(0u, 1u << bit, result != 0.0);
      }
    }
    flags[${flagRow(shape)} + word] = bits;
    own += countOneBits(bits);
  }
  ${counts ? COUNTED(maxRows) : ''}
}
`
}

/** The number of active neurons, to which another expert of the row may have added. */
const COUNTED = (maxRows: number) => `counts[t] = own;
  workgroupBarrier();
  for (var half = ${SELECTION_SIZE / 2}u; half > 0u; half >>= 1u) {
    if (t < half) { counts[t] += counts[t + half]; }
    workgroupBarrier();
  }
  if (t == 0u) { flags[u32(layerNumbers[0]) * ${maxRows}u + wg.y] += counts[0]; }`

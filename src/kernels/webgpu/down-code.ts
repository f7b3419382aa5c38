// WGSL of the down projection of an FFN: adds up the down columns of the neurons whose bit is set (feed-forward.ts).

import type { Access } from './constants.js'
import { downTiles, tileScaleFunction } from './down-tiles.js'
import { choiceAt, chooseRows, type FeedForwardShape, flagRow, neuronConstants } from './ffn-shape.js'
import type { Gpu } from './gpu.js'
import { ROWS_PER_WORKGROUP } from './matvec.js'
import { paddedColumns } from './vector-formats.js'

/** Neurons whose bits one invocation takes at a time, and their words. */
const BITS = 32
/** Slots whose sums one adds up in a round of the combination, a power of two. */
const SHARES = 8
const WORDS = BITS / ROWS_PER_WORKGROUP

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
  const { width, count, skips, experts } = shape
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
  return `${neuronConstants(shape)}
override ALL: u32 = COUNT${experts === null ? '' : ' * EXPERTS'};
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
  ${chooseRows(shape, at => `flags[${at}]`)}
  let hiddenRow = wg.y * ${paddedColumns(count)}u + FIRST;
  let flagRow = ${flagRow(shape)} + FIRST / ${ROWS_PER_WORKGROUP}u;
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

// WGSL of a mixture's router: of each row of a pass the experts with the largest scores, and the factors of their outputs.

import type { Access } from './constants.js'
import { allFlagWords, type ExpertsShape } from './ffn-shape.js'
import { paddedColumns } from './vector-formats.js'

/** Bindings of `chooseCode`: scores, flags. */
export const CHOOSE_ACCESS: readonly Access[] = ['read', 'write']

/**
 * Per row: flags = for each chosen expert, ascending, its number and the bits of its factor, softmax(scores) of the row, as
 * chooseExperts (kernels/choose-experts.ts): of equal scores the expert with the smaller number is chosen.
 */
export function chooseCode(
  experts: Omit<ExpertsShape, 'inParts'>,
  maxRows: number,
  layers: number,
  neurons: number,
): string {
  const { count, perToken, normalized } = experts
  return `@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> flags: array<u32>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) wg: vec3<u32>) {
  let at = wg.y * ${paddedColumns(count)}u;
  var chosen: array<u32, ${Math.ceil(count / 32)}>;
  var largest = scores[at];
  for (var i = 1u; i < ${count}u; i++) { largest = max(largest, scores[at + i]); }
  var all = 0.0;
  for (var i = 0u; i < ${count}u; i++) { all += exp(scores[at + i] - largest); }
  var own = 0.0;
  for (var n = 0u; n < ${perToken}u; n++) {
    var best = ${count}u;
    for (var i = 0u; i < ${count}u; i++) {
      let isFree = (chosen[i >> 5u] & (1u << (i & 31u))) == 0u;
      if (isFree && (best == ${count}u || scores[at + i] > scores[at + best])) { best = i; }
    }
    chosen[best >> 5u] |= 1u << (best & 31u);
    own += exp(scores[at + best] - largest);
  }
  var to = ${allFlagWords(maxRows, layers, neurons, null)}u + 2u * wg.y * ${perToken}u;
  for (var i = 0u; i < ${count}u; i++) {
    if ((chosen[i >> 5u] & (1u << (i & 31u))) == 0u) { continue; }
    flags[to] = i;
    flags[to + 1u] = bitcast<u32>(exp(scores[at + i] - largest) / ${normalized ? 'own' : 'all'});
    to += 2u;
  }
}
`
}

// WGSL of a cut of the input of a matrix (`flicker sparsify`): what stays of each row, and what does not.

import type { Access } from './constants.js'
import { ROW_STRUCT } from './matvec.js'
import { largestFunction, SELECTION, SELECTION_SIZE } from './row-selection.js'
import { paddedColumns } from './vector-formats.js'

export interface CutShape {
  readonly columns: number
  /** The elements with the largest |x| · number stay, so many and those equal to the last; null: those of |x| from their number on. */
  readonly keep: number | null
  /** How many numbers there are: one for each element, one for all, or none, where they are 1. */
  readonly numbers: number
}

/** Bindings of `cutCode`: x, numbers, rows of the pass, kept, rest. */
export const CUT_ACCESS: readonly Access[] = ['read', 'read', 'read', 'write', 'write']

/** kept (row) = x (row) cut, where cuts apply to it; rest (row) = the others of its elements. Workgroups (1, rows). */
export function cutCode({ columns, keep, numbers }: CutShape): string {
  const number = numbers === 0 ? '1.0' : numbers === 1 ? 'numbers[0]' : 'numbers[i]'
  const score = `abs(x[at + i]) * ${number}`
  return `${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> numbers: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read_write> kept: array<f32>;
@group(0) @binding(4) var<storage, read_write> rest: array<f32>;
var<private> at: u32;
${keep === null ? '' : `${SELECTION}\n${largestFunction('largest', score, columns)}`}
@compute @workgroup_size(${SELECTION_SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = rows[wg.y];
  at = wg.y * ${paddedColumns(columns)}u;
  ${keep === null ? '' : `let least = largest(${keep}u, t, row);`}
  for (var i = t; i < ${columns}u; i += ${SELECTION_SIZE}u) {
    let value = x[at + i];
    let isDropped = row.isCut != 0u && ${keep === null ? `abs(value) < ${number}` : `${score} < least`};
    kept[at + i] = select(value, 0.0, isDropped);
    rest[at + i] = select(0.0, value, isDropped);
  }
}
`
}

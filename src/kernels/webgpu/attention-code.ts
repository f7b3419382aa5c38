// WGSL of attention: one workgroup per head and row of a pass. Which lanes take a position depends on the position alone, so
// that a row has the same bits whatever it is computed with. Keys and values of a layer are one buffer: keys (capacity, kvHeads, D4),
// then values, D4 being the head's width filled up to four.

import type { Access } from './constants.js'
import type { GpuInfo } from './gpu-info.js'
import { float, ROW_STRUCT } from './matvec.js'
import { moduleHead, reductions } from './reductions.js'
import { paddedColumns } from './vector-formats.js'

export interface AttentionShape {
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  /** Factor of q·k. Default 1/√headDim. */
  readonly scale?: number
  /** Scores s become cap · tanh(s / cap). Default: they stay. */
  readonly softcap?: number
  /** Positions that are seen, the own included. Default: all before it. */
  readonly window?: number
}

/** vec4 of one key or value. */
export function cacheVectors({ headDim }: AttentionShape): number {
  return Math.ceil(headDim / 4)
}

/** Most invocations of a workgroup. */
const SIZE = 256
/** vec4 that the groups of a workgroup hand over at the end. */
const MOST_MIXED = 1024
/** Positions that a group takes at a time: their keys and values are read together. */
const AHEAD = 4

/** Bindings of `storeCode`: qkv, rotation, rows of the pass, the first row of the sequence, cache. */
export const STORE_ACCESS: readonly Access[] = ['read', 'read', 'read', 'read', 'write']
/** Bindings of `attendCode`: those of `storeCode`, then the output. */
export const ATTEND_ACCESS: readonly Access[] = [...STORE_ACCESS, 'write']

function declarations({ heads, kvHeads, headDim }: AttentionShape): string {
  const stride = paddedColumns((heads + 2 * kvHeads) * headDim)
  return `${ROW_STRUCT}
@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read> rotation: array<f32>;
@group(0) @binding(2) var<storage, read> rows: array<Row>;
@group(0) @binding(3) var<storage, read> firstRow: array<u32>;
@group(0) @binding(4) var<storage, read_write> cache: array<vec4<f32>>;
const D = ${headDim}u;
const D4 = ${Math.ceil(headDim / 4)}u;
// Elements [4i, 4i + 4) of a head of the row's q and k, turned to its position.
fn turned(row: u32, head: u32, position: u32, i: u32) -> vec4<f32> {
  let at = row * ${stride}u + head * D;
  let angles = position * D;
  var v = vec4<f32>(0.0);
  for (var j = 0u; j < 4u; j++) {
    let e = 4u * i + j;
    if (e < D / 2u) { v[j] = qkv[at + e] * rotation[angles + e] - qkv[at + e + D / 2u] * rotation[angles + D / 2u + e]; }
    else if (e < D) { v[j] = qkv[at + e] * rotation[angles + e - D / 2u] + qkv[at + e - D / 2u] * rotation[angles + e]; }
  }
  return v;
}
fn plain(row: u32, head: u32, i: u32) -> vec4<f32> {
  let at = row * ${stride}u + head * D;
  var v = vec4<f32>(0.0);
  for (var j = 0u; j < 4u; j++) { if (4u * i + j < D) { v[j] = qkv[at + 4u * i + j]; } }
  return v;
}
// Where the key of a position stands; its value is arrayLength / 2 after it.
fn keyAt(position: u32, kvHead: u32) -> u32 { return (position * ${kvHeads}u + kvHead) * D4; }
`
}

/** Keys, turned, and values of the rows of one sequence go into its cache: workgroups (kvHeads, rows). */
export function storeCode(shape: AttentionShape): string {
  const { heads, kvHeads } = shape
  return `${declarations(shape)}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = firstRow[0] + wg.y;
  let position = rows[row].position;
  let values = arrayLength(&cache) / 2u;
  for (var i = t; i < D4; i += 64u) {
    cache[keyAt(position, wg.x) + i] = turned(row, ${heads}u + wg.x, position, i);
    cache[values + keyAt(position, wg.x) + i] = plain(row, ${heads + kvHeads}u + wg.x, i);
  }
}
`
}

/** How attention is cut: lanes of a position, and groups of lanes, which take positions in turns. */
function plan(shape: AttentionShape, { lanes: most }: GpuInfo) {
  const vectors = cacheVectors(shape)
  let lanes = 1
  while (lanes < vectors && lanes < most) lanes *= 2
  let groups = 1
  while (2 * groups * lanes <= SIZE && 2 * groups * vectors <= MOST_MIXED) groups *= 2
  return { lanes, groups, size: lanes * groups, own: Math.ceil(vectors / lanes) }
}

/**
 * out (row, heads · headDim) of the rows of one sequence: workgroups (heads, rows). With `stores` the sequence has one
 * row, whose key and value are stored here and need no `storeCode` before. Each group of lanes takes every so-many-th
 * position and keeps its own maximum and sums, which are put together once, at the end.
 */
export function attendCode(shape: AttentionShape, stores: boolean, info: GpuInfo): string {
  const { heads, kvHeads, headDim, scale = 1 / Math.sqrt(headDim), softcap, window } = shape
  const { lanes, groups, size, own } = plan(shape, info)
  const perKv = heads / kvHeads
  const parts = Array.from({ length: own }, (_, e) => e)
  const places = Array.from({ length: AHEAD }, (_, u) => u)
  const each = (text: (e: number) => string) => parts.map(text).join('\n    ')
  const all = (text: (u: number) => string) => places.map(text).join('\n    ')
  const index = (e: number) => `(lane + ${e * lanes}u)`
  const stored = (name: 'Key' | 'Value', u: number, e: number) => {
    const read = `cache[${name === 'Key' ? '' : 'values + '}keyAt(p${u}, kvHead) + min(${index(e)}, D4 - 1u)]`
    return stores ? `select(${read}, own${name}${e}, vec4<bool>(p${u} == position))` : read
  }
  return `${moduleHead(info)}
${declarations(shape)}
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
${reductions({ ...info, lanes }, size)}
var<workgroup> maxima: array<f32, ${groups}>;
var<workgroup> totals: array<f32, ${groups}>;
var<workgroup> mixed: array<vec4<f32>, ${groups * cacheVectors(shape)}>;
@compute @workgroup_size(${size})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let head = wg.x;
  let kvHead = head / ${perKv}u;
  let row = firstRow[0] + wg.y;
  let position = rows[row].position;
  let values = arrayLength(&cache) / 2u;
  let lane = t % LANES;
  let group = t / LANES;
  ${each(
    e => `let q${e} = ${float(scale)} * turned(row, head, position, ${index(e)});
    var mix${e} = vec4<f32>(0.0);
    ${
      stores
        ? `let ownKey${e} = turned(row, ${heads}u + kvHead, position, ${index(e)});
    let ownValue${e} = plain(row, ${heads + kvHeads}u + kvHead, ${index(e)});
    if (head % ${perKv}u == 0u && group == 0u && ${index(e)} < D4) {
      cache[keyAt(position, kvHead) + ${index(e)}] = ownKey${e};
      cache[values + keyAt(position, kvHead) + ${index(e)}] = ownValue${e};
    }`
        : ''
    }`,
  )}
  var largest = -3.0e38;
  var total = 0.0;
  // What stands before the window is left out; stretches begin at fixed places.
  let seen = ${window === undefined ? '0u' : `select(0u, position + 1u - ${window}u, position + 1u > ${window}u)`};
  for (var start = seen - seen % ${AHEAD * groups}u; start <= position; start += ${AHEAD * groups}u) {
    ${all(
      u => `let at${u} = start + ${u * groups}u + group;
    let p${u} = min(at${u}, position);
    ${each(e => `let k${u}_${e} = ${stored('Key', u, e)};`)}
    ${each(e => `let v${u}_${e} = ${stored('Value', u, e)};`)}`,
    )}
    ${all(
      u => `let products${u} = ${parts.map(e => `q${e} * k${u}_${e}`).join(' + ')};
    let sum${u} = laneSum((products${u}.x + products${u}.y) + (products${u}.z + products${u}.w), t);
    let sees${u} = at${u} <= position && at${u} >= seen;
    let score${u} = select(-3.0e38, ${softcap === undefined ? `sum${u}` : `${float(softcap)} * tanh(clamp(sum${u} / ${float(softcap)}, -20.0, 20.0))`}, sees${u});`,
    )}
    let before = largest;
    ${all(u => `largest = max(largest, score${u});`)}
    let rescale = exp(before - largest);
    ${all(u => `let weight${u} = select(0.0, exp(score${u} - largest), sees${u});`)}
    total = total * rescale + (${places.map(u => `weight${u}`).join(' + ')});
    ${each(
      e => `mix${e} *= rescale;
    ${all(u => `mix${e} = fma(vec4<f32>(weight${u}), v${u}_${e}, mix${e});`)}`,
    )}
  }
  if (lane == 0u) {
    maxima[group] = largest;
    totals[group] = total;
  }
  ${each(e => `if (${index(e)} < D4) { mixed[group * D4 + ${index(e)}] = mix${e}; }`)}
  workgroupBarrier();
  for (var i = t; i < D4; i += ${size}u) {
    var most = maxima[0];
    for (var g = 1u; g < ${groups}u; g++) { most = max(most, maxima[g]); }
    var sum = vec4<f32>(0.0);
    var weight = 0.0;
    for (var g = 0u; g < ${groups}u; g++) {
      let factor = exp(maxima[g] - most);
      weight = fma(factor, totals[g], weight);
      sum = fma(vec4<f32>(factor), mixed[g * D4 + i], sum);
    }
    sum = sum / weight;
    let at = row * ${paddedColumns(heads * headDim)}u + head * D + 4u * i;
    for (var j = 0u; j < 4u; j++) { if (4u * i + j < D) { out[at + j] = sum[j]; } }
  }
}
`
}

// WGSL of attention: one workgroup per head and row of a pass. Positions are taken in tiles of fixed places, so that a row
// has the same bits whatever it is computed with. Keys and values of a layer are one buffer: keys (capacity, kvHeads, D4),
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
}

/** vec4 of one key or value. */
export function cacheVectors({ headDim }: AttentionShape): number {
  return Math.ceil(headDim / 4)
}

/** Invocations of a workgroup, and positions of a tile. */
const SIZE = 256

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

/**
 * out (row, heads · headDim) of the rows of one sequence: workgroups (heads, rows). With `stores` the sequence has one
 * row, whose key and value are stored here and need no `storeCode` before.
 */
export function attendCode(shape: AttentionShape, stores: boolean, info: GpuInfo): string {
  const { heads, kvHeads, headDim } = shape
  const d4 = cacheVectors(shape)
  const slices = Math.floor(SIZE / d4)
  const group = heads / kvHeads
  const element = (name: 'Key' | 'Value', position: string, i: string) => {
    const stored = `cache[${name === 'Key' ? '' : 'values + '}keyAt(${position}, kvHead) + ${i}]`
    return stores ? `own${name}Or(${stored}, ${position} == position, ${i})` : stored
  }
  return `${moduleHead(info)}
${declarations(shape)}
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
${reductions(info, SIZE)}
var<workgroup> q: array<vec4<f32>, ${d4}>;
var<workgroup> ownKey: array<vec4<f32>, ${d4}>;
var<workgroup> ownValue: array<vec4<f32>, ${d4}>;
var<workgroup> weights: array<f32, ${SIZE}>;
var<workgroup> mixed: array<vec4<f32>, ${slices * d4}>;
fn ownKeyOr(stored: vec4<f32>, own: bool, i: u32) -> vec4<f32> { return select(stored, ownKey[i], own); }
fn ownValueOr(stored: vec4<f32>, own: bool, i: u32) -> vec4<f32> { return select(stored, ownValue[i], own); }
@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let head = wg.x;
  let kvHead = head / ${group}u;
  let row = firstRow[0] + wg.y;
  let position = rows[row].position;
  let values = arrayLength(&cache) / 2u;
  for (var i = t; i < D4; i += ${SIZE}u) {
    q[i] = turned(row, head, position, i);
    ${
      stores
        ? `ownKey[i] = turned(row, ${heads}u + kvHead, position, i);
    ownValue[i] = plain(row, ${heads + kvHeads}u + kvHead, i);
    if (head % ${group}u == 0u) {
      cache[keyAt(position, kvHead) + i] = ownKey[i];
      cache[values + keyAt(position, kvHead) + i] = ownValue[i];
    }`
        : ''
    }
  }
  workgroupBarrier();
  let slice = t / D4;
  let i4 = t % D4;
  var largest = -3.0e38;
  var total = 0.0;
  var mix = vec4<f32>(0.0);
  for (var tile = 0u; tile <= position; tile += ${SIZE}u) {
    let count = min(${SIZE}u, position + 1u - tile);
    var score = -3.0e38;
    if (t < count) {
      var sum = vec4<f32>(0.0);
      for (var i = 0u; i < D4; i++) { sum = fma(q[i], ${element('Key', '(tile + t)', 'i')}, sum); }
      score = ${float(1 / Math.sqrt(headDim))} * ((sum.x + sum.y) + (sum.z + sum.w));
    }
    let before = largest;
    largest = max(largest, workgroupMax(score, t));
    let weight = select(0.0, exp(score - largest), t < count);
    weights[t] = weight;
    let rescale = exp(before - largest);
    total = total * rescale + workgroupSum(weight, t);
    mix *= rescale;
    if (slice < ${slices}u) {
      for (var j = slice; j < count; j += ${slices}u) {
        mix = fma(vec4<f32>(weights[j]), ${element('Value', '(tile + j)', 'i4')}, mix);
      }
    }
    workgroupBarrier();
  }
  if (slice < ${slices}u) { mixed[t] = mix; }
  workgroupBarrier();
  if (t < D4) {
    var sum = mixed[t];
    for (var s = 1u; s < ${slices}u; s++) { sum += mixed[s * D4 + t]; }
    sum = sum / total;
    let at = wg.y + firstRow[0];
    for (var j = 0u; j < 4u; j++) {
      if (4u * t + j < D) { out[at * ${paddedColumns(heads * headDim)}u + head * D + 4u * t + j] = sum[j]; }
    }
  }
}
`
}

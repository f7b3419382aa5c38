// WGSL of the largest logits of each row of a pass, so that a sampler that asks for a few of them need not read back all; and of
// what turns them into log-probabilities. Two kernels: the first takes the largest of each chunk of the vocabulary, the second
// the largest of those. Of equal logits the token with the smaller id comes first, as on the CPU.

import type { Access } from './constants.js'
import { paddedColumns } from './vector-formats.js'

export interface BestShape {
  /** Logits of a row. */
  readonly vocab: number
  /** Of the first so many tokens the largest are wanted; sums are of all. */
  readonly among: number
  /** How many. */
  readonly count: number
}

/** More are not taken on the device: each costs both kernels a round. */
export const MOST_BEST = 64
const SIZE = 256
/** Logits that a workgroup of the first kernel reads. */
const CHUNK = 1024

export const bestChunks = (vocab: number): number => Math.ceil(vocab / CHUNK)
/** Words of a result: largest logit, sum of exp(logit − largest), then value and id of each. */
export const bestWords = (count: number): number => 2 + 2 * count

/** Bindings of both kernels: what is read, what is written. */
export const BEST_ACCESS: readonly Access[] = ['read', 'write']

/** The lowest finite f32, below every logit. */
const LOWEST = 'bitcast<f32>(0xff7fffffu)'

/** Function bestOf(value, id, t): the first of the workgroup in the order of values falling, then ids rising. */
const REDUCTION = `struct Found { value: f32, id: u32 }
const NONE = 0xffffffffu;
var<workgroup> values: array<f32, ${SIZE}>;
var<workgroup> ids: array<u32, ${SIZE}>;
fn isBefore(a: Found, b: Found) -> bool { return a.value > b.value || (a.value == b.value && a.id < b.id); }
fn bestOf(own: Found, t: u32) -> Found {
  workgroupBarrier();
  values[t] = own.value;
  ids[t] = own.id;
  workgroupBarrier();
  for (var half = ${SIZE / 2}u; half > 0u; half >>= 1u) {
    if (t < half) {
      let other = Found(values[t + half], ids[t + half]);
      if (isBefore(other, Found(values[t], ids[t]))) {
        values[t] = other.value;
        ids[t] = other.id;
      }
    }
    workgroupBarrier();
  }
  return Found(values[0], ids[0]);
}
fn sumOf(own: f32, t: u32) -> f32 {
  workgroupBarrier();
  values[t] = own;
  workgroupBarrier();
  for (var half = ${SIZE / 2}u; half > 0u; half >>= 1u) {
    if (t < half) { values[t] += values[t + half]; }
    workgroupBarrier();
  }
  return values[0];
}`

/** Per row and chunk: bestWords(count) words. Workgroups (chunks, rows). */
export function chunkBestCode({ vocab, among, count }: BestShape): string {
  const own = Array.from({ length: CHUNK / SIZE }, (_, i) => i)
  return `@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> found: array<u32>;
${REDUCTION}
@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = wg.y * ${paddedColumns(vocab)}u;
  let to = (wg.y * ${bestChunks(vocab)}u + wg.x) * ${bestWords(count)}u;
  ${own
    .map(
      i => `let id${i} = wg.x * ${CHUNK}u + ${i * SIZE}u + t;
  let v${i} = select(${LOWEST}, logits[row + min(id${i}, ${vocab - 1}u)], id${i} < ${vocab}u);`,
    )
    .join('\n  ')}
  let largest = bestOf(Found(${own.map(i => `v${i}`).reduce((a, b) => `max(${a}, ${b})`)}, t), t).value;
  let sum = sumOf(${own.map(i => `select(0.0, exp(v${i} - largest), id${i} < ${vocab}u)`).join(' + ')}, t);
  if (t == 0u) { found[to] = bitcast<u32>(largest); found[to + 1u] = bitcast<u32>(sum); }
  var last = Found(0.0, 0u);
  for (var n = 0u; n < ${count}u; n++) {
    var mine = Found(${LOWEST}, NONE);
    ${own
      .map(
        i => `{ let other = Found(v${i}, id${i});
      if (id${i} < ${among}u && (n == 0u || isBefore(last, other)) && isBefore(other, mine)) { mine = other; } }`,
      )
      .join('\n    ')}
    last = bestOf(mine, t);
    if (t == 0u) { found[to + 2u + 2u * n] = bitcast<u32>(last.value); found[to + 3u + 2u * n] = last.id; }
  }
}
`
}

/** Per row: bestWords(count) words, of those of its chunks. Workgroups (1, rows). */
export function mergeBestCode({ vocab, count }: BestShape): string {
  const words = bestWords(count)
  return `@group(0) @binding(0) var<storage, read> found: array<u32>;
@group(0) @binding(1) var<storage, read_write> best: array<u32>;
${REDUCTION}
@compute @workgroup_size(${SIZE})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let first = wg.y * ${bestChunks(vocab) * words}u;
  let to = wg.y * ${words}u;
  var most = ${LOWEST};
  for (var c = t; c < ${bestChunks(vocab)}u; c += ${SIZE}u) { most = max(most, bitcast<f32>(found[first + c * ${words}u])); }
  let largest = bestOf(Found(most, t), t).value;
  var part = 0.0;
  for (var c = t; c < ${bestChunks(vocab)}u; c += ${SIZE}u) {
    let at = first + c * ${words}u;
    part += bitcast<f32>(found[at + 1u]) * exp(bitcast<f32>(found[at]) - largest);
  }
  let sum = sumOf(part, t);
  if (t == 0u) { best[to] = bitcast<u32>(largest); best[to + 1u] = bitcast<u32>(sum); }
  var last = Found(0.0, 0u);
  for (var n = 0u; n < ${count}u; n++) {
    var mine = Found(${LOWEST}, NONE);
    for (var i = t; i < ${bestChunks(vocab) * count}u; i += ${SIZE}u) {
      let at = first + (i / ${count}u) * ${words}u + 2u + 2u * (i % ${count}u);
      let other = Found(bitcast<f32>(found[at]), found[at + 1u]);
      if (other.id != NONE && (n == 0u || isBefore(last, other)) && isBefore(other, mine)) { mine = other; }
    }
    last = bestOf(mine, t);
    if (t == 0u) { best[to + 2u + 2u * n] = bitcast<u32>(last.value); best[to + 3u + 2u * n] = last.id; }
  }
}
`
}

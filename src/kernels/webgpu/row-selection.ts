// WGSL over one row of a pass, by one workgroup: sums in a fixed order, and the k-th largest of the scores of its neurons,
// found exactly by counting (radix selection): four rounds, each of which counts 8 bits of the scores whose higher bits are
// those found. Only integers are added up by several invocations at once, so the result does not depend on their order.

/** Invocations of the workgroup; the values of 8 bits too. */
export const SELECTION_SIZE = 256
const SIZE = SELECTION_SIZE

/** Function sumOf(v, t): over the workgroup, in a fixed order. */
export const SUM = `var<workgroup> sums: array<f32, ${SIZE}>;
fn sumOf(v: f32, t: u32) -> f32 {
  workgroupBarrier();
  sums[t] = v;
  workgroupBarrier();
  for (var half = ${SIZE / 2}u; half > 0u; half >>= 1u) {
    if (t < half) { sums[t] += sums[t + half]; }
    workgroupBarrier();
  }
  return sums[0];
}`

/** What `largestFunction` uses. */
export const SELECTION = `var<workgroup> histogram: array<atomic<u32>, ${SIZE}>;
var<workgroup> tails: array<u32, ${SIZE}>;
var<workgroup> found: vec2<u32>;
// Numbers in the order of the scores. NaN comes last, as on the CPU.
fn orderOf(v: f32) -> u32 {
  let b = bitcast<u32>(v);
  if ((b & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
  return select(b | 0x80000000u, ~b, b >= 0x80000000u);
}
fn scoreAt(order: u32) -> f32 {
  return bitcast<f32>(select(~order, order & 0x7fffffffu, order >= 0x80000000u));
}`

/**
 * Function name(rank, t, row): the `rank`-th largest score, from 1 on, of `count` neurons. score: WGSL of the score of
 * neuron `i`.
 */
export function largestFunction(name: string, score: string, count: number): string {
  return `fn ${name}(rank: u32, t: u32, row: Row) -> f32 {
  var order = 0u;
  var left = rank;
  for (var round = 0u; round < 4u; round++) {
    let shift = 24u - 8u * round;
    let above = select(0u, 0xffffffffu << ((shift + 8u) & 31u), round > 0u);
    workgroupBarrier();
    atomicStore(&histogram[t], 0u);
    workgroupBarrier();
    for (var i = t; i < ${count}u; i += ${SIZE}u) {
      let own = orderOf(${score});
      if ((own & above) == order) { atomicAdd(&histogram[(own >> shift) & 255u], 1u); }
    }
    workgroupBarrier();
    var tail = atomicLoad(&histogram[t]);
    for (var step = 1u; step < ${SIZE}u; step <<= 1u) {
      tails[t] = tail;
      workgroupBarrier();
      tail += select(0u, tails[min(t + step, ${SIZE - 1}u)], t + step < ${SIZE}u);
      workgroupBarrier();
    }
    tails[t] = tail;
    workgroupBarrier();
    let after = select(0u, tails[min(t + 1u, ${SIZE - 1}u)], t < ${SIZE - 1}u);
    if (tail >= left && after < left) { found = vec2<u32>(t, left - after); }
    let chosen = workgroupUniformLoad(&found);
    order |= chosen.x << shift;
    left = chosen.y;
  }
  return scoreAt(order);
}`
}

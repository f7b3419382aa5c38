// WGSL for sums and maxima over the lanes of a row and over a workgroup, with subgroup operations or through workgroup
// memory. Both add in one order: lane i takes lane i + n/2, then i + n/4, ….

import type { GpuInfo } from './gpu-info.js'

/** First lines of a module. */
export function moduleHead({ subgroups }: Pick<GpuInfo, 'subgroups'>): string {
  // Rows are not known to be the same for a whole subgroup, though they are: a subgroup is never smaller than a row's lanes.
  return subgroups ? 'diagnostic(off, subgroup_uniformity);\nenable subgroups;\n' : ''
}

/**
 * Functions laneSum(v, t) and laneMax(v, t): over the lanes of a row, the same in all of them; t: index in the workgroup.
 * And workgroupSum, workgroupMax: over the workgroup of `size` invocations, a multiple of `lanes`.
 */
export function reductions({ subgroups, lanes }: Pick<GpuInfo, 'subgroups' | 'lanes'>, size: number): string {
  const steps: number[] = []
  for (let step = lanes / 2; step >= 1; step /= 2) steps.push(step)
  const groups = size / lanes
  const reduce = (name: string, of: (a: string, b: string) => string) => {
    const body = subgroups
      ? [
          'var r = v;',
          ...steps.map(step => `r = ${of('r', `subgroupShuffleXor(r, ${step}u)`)};`),
          'return r;',
        ]
      : [
          'let lane = t % LANES;',
          'laneValues[t] = v;',
          'workgroupBarrier();',
          ...steps.flatMap(step => [
            `if (lane < ${step}u) { laneValues[t] = ${of('laneValues[t]', `laneValues[t + ${step}u]`)}; }`,
            'workgroupBarrier();',
          ]),
          'let r = laneValues[t - lane];',
          'workgroupBarrier();',
          'return r;',
        ]
    return `fn lane${name}(v: f32, t: u32) -> f32 {
  ${body.join('\n  ')}
}
fn workgroup${name}(v: f32, t: u32) -> f32 {
  let r = lane${name}(v, t);
  if (t % LANES == 0u) { groupValues[t / LANES] = r; }
  workgroupBarrier();
  var total = groupValues[0];
  for (var i = 1u; i < ${groups}u; i++) { total = ${of('total', 'groupValues[i]')}; }
  workgroupBarrier();
  return total;
}`
  }
  return `const LANES = ${lanes}u;
var<workgroup> groupValues: array<f32, ${groups}>;
${subgroups ? '' : `var<workgroup> laneValues: array<f32, ${size}>;`}
${reduce('Sum', (a, b) => `${a} + ${b}`)}
${reduce('Max', (a, b) => `max(${a}, ${b})`)}
`
}

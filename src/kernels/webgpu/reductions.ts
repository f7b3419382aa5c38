// WGSL for sums over the lanes of a row, with subgroup operations or through workgroup memory. Both add in one order: lane i
// takes lane i + n/2, then i + n/4, ….

import type { GpuInfo } from './gpu-info.js'

/** First lines of a module. */
export function moduleHead({ subgroups }: Pick<GpuInfo, 'subgroups'>): string {
  // Rows are not known to be the same for a whole subgroup, though they are: a subgroup is never smaller than a row's lanes.
  return subgroups ? 'diagnostic(off, subgroup_uniformity);\nenable subgroups;\n' : ''
}

/**
 * Function laneSum(v, t): over the lanes of a row, the same in all of them; t: index in the workgroup of `size` invocations,
 * a multiple of `lanes`.
 */
export function reductions({ subgroups, lanes }: Pick<GpuInfo, 'subgroups' | 'lanes'>, size: number): string {
  const steps: number[] = []
  for (let step = lanes / 2; step >= 1; step /= 2) steps.push(step)
  const body = subgroups
    ? ['var r = v;', ...steps.map(step => `r = r + subgroupShuffleXor(r, ${step}u);`), 'return r;']
    : [
        'let lane = t % LANES;',
        'laneValues[t] = v;',
        'workgroupBarrier();',
        ...steps.flatMap(step => [
          `if (lane < ${step}u) { laneValues[t] = laneValues[t] + laneValues[t + ${step}u]; }`,
          'workgroupBarrier();',
        ]),
        'let r = laneValues[t - lane];',
        'workgroupBarrier();',
        'return r;',
      ]
  return `const LANES = ${lanes}u;
${subgroups ? '' : `var<workgroup> laneValues: array<f32, ${size}>;`}
fn laneSum(v: f32, t: u32) -> f32 {
  ${body.join('\n  ')}
}
`
}

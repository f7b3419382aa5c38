// How benchmarks measure: medians of interleaved runs, beside the machine's limits in the same run.

import { median } from '../statistics.js'

/** Seconds that `work` takes, the median of `runs` after one to warm up. */
export function medianSeconds(runs: number, work: () => void): number {
  work()
  return median(
    Array.from({ length: runs }, () => {
      const start = performance.now()
      work()
      return (performance.now() - start) / 1000
    }),
  )
}

// How benchmarks measure: medians of interleaved runs, beside the machine's limits in the same run.

/** Median of some numbers; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

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

// `flicker bench gemm`: the matrix product against the machine's multiply-add peak, measured in the same run.

import { kernels, measureMachine, setThreads } from '../kernels/index.js'
import { type MachineInfo, machineInfo } from '../kernels/machine-info.js'
import { medianSeconds } from './measure.js'

export interface GemmRow {
  m: number
  n: number
  k: number
  threads: number
  gflops: number
  /** Of the multiply-add peak with as many threads. */
  fractionOfPeak: number
  /** Against one thread; null for one thread. */
  speedup: number | null
}

export interface GemmResult {
  machine: MachineInfo
  peakGflops: { threads: number; gflops: number }[]
  rows: GemmRow[]
}

/** (m, n, k) of c = a·b: a square one, and 128 tokens through a 512 → 2048 and a 2048 → 512 layer. */
const SHAPES = [
  [1024, 1024, 1024],
  [128, 2048, 512],
  [128, 512, 2048],
] as const

export function benchGemm(): GemmResult {
  const { matmul, isa, backend } = kernels()
  const machine = machineInfo()
  const counts = machine.threads > 1 ? [1, 2, machine.threads] : [1]
  const threadCounts = [...new Set(counts)].filter(n => n <= machine.threads)
  const rows: GemmRow[] = []
  const peaks = new Map<number, number>()
  for (const threads of threadCounts) {
    if (backend === 'native') setThreads(threads)
    for (const [m, n, k] of SHAPES) {
      // Before every shape: on a shared machine a single look may catch a bad moment.
      const peak = backend === 'native' ? measureMachine(isa).flops : Number.NaN
      peaks.set(threads, Math.max(peak, peaks.get(threads) ?? 0))
      const [a, b, c] = [m * k, k * n, m * n].map(size =>
        Float32Array.from({ length: size }, () => Math.random() - 0.5),
      )
      const product = () => matmul(a, b, c, m, n, k, false, false, false)
      const repeats = Math.max(1, Math.round(1e9 / (2 * m * n * k)))
      const seconds =
        medianSeconds(15, () => {
          for (let i = 0; i < repeats; i++) product()
        }) / repeats
      const flops = (2 * m * n * k) / seconds
      const alone = rows.find(row => row.threads === 1 && row.m === m && row.n === n && row.k === k)
      rows.push({
        m,
        n,
        k,
        threads,
        gflops: flops / 1e9,
        fractionOfPeak: 0,
        speedup: alone === undefined ? null : flops / 1e9 / alone.gflops,
      })
    }
  }
  if (backend === 'native') setThreads(machine.threads)
  for (const row of rows) row.fractionOfPeak = (row.gflops * 1e9) / (peaks.get(row.threads) ?? Number.NaN)
  return {
    machine,
    peakGflops: [...peaks].map(([threads, flops]) => ({ threads, gflops: flops / 1e9 })),
    rows,
  }
}

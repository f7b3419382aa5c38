// `flicker bench attention`: attention of one new position over a long cache, beside a plain read of memory, which is its
// limit: every key and value is read once. So many layers' caches that they do not stay in the processor's caches.

import { OptionError } from '../errors.js'
import {
  type AttentionHeads,
  alignedBytes,
  type CacheSegment,
  type CacheType,
  cacheRowBytes,
  decodeKernels,
  defaultThreads,
  kernels,
  setThreads,
  streamingReader,
} from '../kernels/index.js'
import { machineInfo } from '../kernels/machine-info.js'
import { type MedianInterval, ratioInterval } from '../paired-measurement.js'
import { median } from '../statistics.js'

export interface AttentionBenchOptions extends Pick<AttentionHeads, 'heads' | 'kvHeads' | 'headDim'> {
  /** Positions in the cache, the new one included. */
  readonly positions: number
  readonly kv: readonly CacheType[]
  /** Timed rounds; each goes once through all caches and reads memory once. */
  readonly runs: number
  readonly threads: number
}

export interface AttentionBenchRow {
  readonly kv: CacheType
  readonly layers: number
  readonly bytesPerLayer: number
  readonly microsecondsPerLayer: number
  readonly gigabytesPerSecond: number
  /** Of a plain read of memory, round by round. */
  readonly fractionOfLimit: MedianInterval
}

/** All caches of a run together take about this. */
const CACHE_BYTES = 512 * 2 ** 20

/** Throws OptionError NO_NATIVE_KERNELS. */
export function benchCachedAttention(options: AttentionBenchOptions) {
  const { isa, backend } = kernels()
  if (backend === 'portable') {
    throw new OptionError(
      'NO_NATIVE_KERNELS',
      'bench attention needs the native kernels; run npm run build:native',
    )
  }
  setThreads(options.threads)
  try {
    const readMemory = streamingReader(isa)
    const measured = options.kv.map(kv => measure(kv, options, readMemory))
    return {
      machine: machineInfo(),
      positions: options.positions,
      gigabytesPerSecond: median(measured.flatMap(({ bandwidths }) => bandwidths)) / 1e9,
      rows: measured.map(({ row }) => row),
    }
  } finally {
    setThreads(defaultThreads())
  }
}

export type AttentionBenchResult = ReturnType<typeof benchCachedAttention>

function measure(kv: CacheType, options: AttentionBenchOptions, readMemory: () => number) {
  const { positions, heads, kvHeads, headDim, runs } = options
  const bytes = kvHeads * positions * cacheRowBytes(kv, headDim)
  const layers = Math.max(1, Math.round(CACHE_BYTES / (2 * bytes)))
  // A byte of which f32, f16, and q8 with its scale are all ordinary numbers.
  const filled = () => alignedBytes(bytes).fill(0x2e)
  const caches = Array.from({ length: layers }, (): CacheSegment[] => {
    return [{ keys: filled(), values: filled(), capacity: positions, start: 0 }]
  })
  const qkv = new Float32Array((heads + 2 * kvHeads) * headDim)
  const out = new Float32Array(heads * headDim)
  const cos = new Float32Array((positions * headDim) / 2).fill(1)
  const sin = new Float32Array((positions * headDim) / 2)
  const attention = () => {
    const begin = performance.now()
    for (const segments of caches) {
      qkv.fill(0.5)
      const sequence = { count: 1, position: positions - 1, segments }
      decodeKernels().attention(qkv, cos, sin, kv, [sequence], out, { heads, kvHeads, headDim })
    }
    return (2 * layers * bytes) / ((performance.now() - begin) / 1000)
  }
  attention()
  const rates: number[] = []
  const bandwidths: number[] = []
  for (let run = 0; run < runs; run++) {
    bandwidths.push(readMemory())
    rates.push(attention())
  }
  const row: AttentionBenchRow = {
    kv,
    layers,
    bytesPerLayer: 2 * bytes,
    microsecondsPerLayer: (2e6 * bytes) / median(rates),
    gigabytesPerSecond: median(rates) / 1e9,
    fractionOfLimit: ratioInterval(rates, bandwidths),
  }
  return { row, bandwidths }
}

// What the machine can do at most, measured with the native kernels.

import { collectedFloats, nativeFunctions } from './addon.js'

/** The machine's limits, measured now with the selected instruction set and number of threads. */
export function measureMachine(isa: string): {
  /** f32 multiply-adds × 2 per second, all threads. */
  flops: number
  /** Streaming read, bytes per second, all threads, over a buffer far beyond the caches. */
  bytesPerSecond: number
} {
  const native = nativeFunctions(isa)
  const rates = Array.from({ length: 5 }, () => native.fmaPeak(0.05))
  const passes = Array.from({ length: 7 }, streamingReader(isa))
  // Limits: what the machine reached at its best while we looked.
  return { flops: Math.max(...rates), bytesPerSecond: Math.max(...passes) }
}

/**
 * A function that reads a buffer far beyond the caches once, with all threads, and returns bytes per second: for
 * benchmarks that measure the memory alternately with something else. Throws without the native kernels.
 */
export function streamingReader(isa: string): () => number {
  const native = nativeFunctions(isa)
  const floats = 1 << 26
  const buffer = collectedFloats(floats).fill(1)
  return () => {
    const start = performance.now()
    native.readSum(buffer, floats)
    return (floats * 4) / ((performance.now() - start) / 1000)
  }
}

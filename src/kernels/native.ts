// The native backend: loads build/flicker.node and dresses it as `Kernels`. Argument order is that of
// native/binding.cc, where every length and token is checked.

import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { FlickerError } from '../errors.js'
import type { Floats, Kernels } from './kernels.js'
import { activationKernels } from './native-activation.js'

/** What build/flicker.node exports: the kernels by name, and instructionSets, select, setThreads, aligned. */
type Addon = Readonly<Record<string, (...args: unknown[]) => unknown>>

let addon: Addon | null | undefined
let selected = ''
let threads = 0

/** The addon, or null when it was not built or does not load here. */
function load(): Addon | null {
  if (addon !== undefined) return addon
  const file = process.env.FLICKER_NATIVE ?? '../../build/flicker.node'
  try {
    addon = createRequire(import.meta.url)(file) as Addon
  } catch {
    addon = null
  }
  return addon
}

/** Names of the instruction sets that can be used here, best first; empty without the addon. */
export function nativeInstructionSets(): string[] {
  return (load()?.instructionSets() as string[] | undefined) ?? []
}

/** A zeroed buffer that starts on a cache line (and in huge pages where the system gives them). */
export function alignedBuffer(bytes: number): ArrayBuffer {
  return (load()?.aligned(bytes) as ArrayBuffer | undefined) ?? new ArrayBuffer(bytes)
}

/** Threads the native kernels use; 1 ≤ n ≤ 256. Results do not depend on it. */
export function setThreads(n: number): void {
  load()?.setThreads(n)
  threads = n
}

/** Threads asked for by FLICKER_THREADS, else all cores. */
export function defaultThreads(): number {
  const asked = process.env.FLICKER_THREADS
  if (asked === undefined || asked === '') return availableParallelism()
  const n = Number(asked)
  if (!Number.isInteger(n) || n < 1 || n > 256) {
    throw new FlickerError('BAD_THREADS', `FLICKER_THREADS is "${asked}"; give a whole number from 1 to 256.`)
  }
  return n
}

/** One function of the addon, run with the given instruction set's kernels. Throws when it is not there. */
export function nativeFunction(isa: string, name: string): (...args: unknown[]) => unknown {
  const native = load()
  if (native === null || !nativeInstructionSets().includes(isa)) {
    throw new FlickerError(
      'NO_NATIVE_KERNELS',
      `No native kernels for "${isa}" here; run npm run build:native.`,
    )
  }
  if (threads === 0) setThreads(defaultThreads())
  const f = native[name]
  return (...args) => {
    if (selected !== isa) {
      native.select(isa)
      selected = isa
    }
    return f(...args)
  }
}

/** The kernels of one instruction set. Throws when the addon or the instruction set is not there. */
export function nativeKernels(isa: string): Kernels {
  const kernel = (name: string) => nativeFunction(isa, name)
  const [gemm, rope] = [kernel('gemm'), kernel('rope')]
  const [embedding, embeddingBackward, rmsNorm, rmsNormBackward, attention, attentionBackward] = [
    kernel('embedding'),
    kernel('embeddingBackward'),
    kernel('rmsNorm'),
    kernel('rmsNormBackward'),
    kernel('attention'),
    kernel('attentionBackward'),
  ]
  const [crossEntropy, adamW, addBias, columnSums, add, multiply, axpy] = [
    kernel('crossEntropy'),
    kernel('adamW'),
    kernel('addBias'),
    kernel('columnSums'),
    kernel('add'),
    kernel('multiply'),
    kernel('axpy'),
  ]
  const [sum, sumOfSquares, countZeros] = [kernel('sum'), kernel('sumOfSquares'), kernel('countZeros')]

  return {
    backend: 'native',
    isa,
    get threads() {
      return threads
    },
    matmul: (a, b, c, m, n, k, transA, transB, accumulate) => {
      gemm(a, b, c, m, n, k, transA, transB, accumulate)
    },
    addBias: (x, bias, rows, width) => {
      addBias(x, bias, rows, width)
    },
    columnSums: (x, out, rows, width) => {
      columnSums(x, out, rows, width)
    },
    embedding: (tokens, table, out, rows, width) => {
      embedding(tokens, table, out, rows, width, Math.floor(table.length / width))
    },
    embeddingBackward: (tokens, dOut, dTable, rows, width) => {
      embeddingBackward(tokens, dOut, dTable, rows, width, Math.floor(dTable.length / width))
    },
    rmsNorm: (x, weight, out, rstd, rows, width, eps) => {
      rmsNorm(x, weight, out, rstd, rows, width, eps)
    },
    rmsNormBackward: (dOut, x, weight, rstd, dX, dWeight, rows, width) => {
      rmsNormBackward(dOut, x, weight, rstd, dX, dWeight, rows, width)
    },
    rope: (x, cos, sin, out, rows, seq, heads, headDim) => {
      rope(x, cos, sin, out, rows, seq, heads, headDim, false)
    },
    ropeBackward: (dOut, cos, sin, dX, rows, seq, heads, headDim) => {
      rope(dOut, cos, sin, dX, rows, seq, heads, headDim, true)
    },
    attention: (q, k, v, out, lse, s) => {
      attention(q, k, v, out, lse, s.batch, s.seq, s.heads, s.kvHeads, s.headDim)
    },
    attentionBackward: (dOut, q, k, v, out, lse, dQ, dK, dV, s) => {
      attentionBackward(dOut, q, k, v, out, lse, dQ, dK, dV, s.batch, s.seq, s.heads, s.kvHeads, s.headDim)
    },
    ...activationKernels(kernel),
    crossEntropy: (logits, targets, losses, dLogits, rows, vocab, scale) => {
      crossEntropy(logits, targets, losses, dLogits, rows, vocab, scale)
    },
    adamW: (param, grad, m, v, n, o) => {
      adamW(param, grad, m, v, n, o.lr, o.beta1, o.beta2, o.eps, o.weightDecay, o.step, o.gradScale)
    },
    add: (a, b, out, n) => {
      add(a, b, out, n)
    },
    multiply: (a, b, out, n) => {
      multiply(a, b, out, n)
    },
    axpy: (alpha, x, y, n) => {
      axpy(alpha, x, y, n)
    },
    sum: (x, n) => sum(x, n) as number,
    sumOfSquares: (x, n) => sumOfSquares(x, n) as number,
    countZeros: (x, n) => countZeros(x, n) as number,
  }
}

/** The machine's limits, measured now with the selected instruction set and number of threads. */
export function measureMachine(isa: string): {
  /** f32 multiply-adds × 2 per second, all threads. */
  flops: number
  /** Streaming read, bytes per second, all threads, over a buffer far beyond the caches. */
  bytesPerSecond: number
} {
  const native = load()
  if (native === null)
    throw new FlickerError('NO_NATIVE_KERNELS', 'Measuring the machine needs the native kernels.')
  native.select(isa)
  selected = isa
  if (threads === 0) setThreads(defaultThreads())
  const rates = Array.from({ length: 5 }, () => native.fmaPeak(0.05) as number)
  const passes = Array.from({ length: 7 }, streamingReader(isa))
  // Limits: what the machine reached at its best while we looked.
  return { flops: Math.max(...rates), bytesPerSecond: Math.max(...passes) }
}

/**
 * A function that reads a buffer far beyond the caches once, with all threads, and returns bytes per second: for
 * benchmarks that look at the memory by turns with what they measure. Throws without the native kernels.
 */
export function streamingReader(isa: string): () => number {
  const readSum = nativeFunction(isa, 'readSum')
  const floats = 1 << 26
  const buffer: Floats = new Float32Array(alignedBuffer(floats * 4)).fill(1)
  return () => {
    const start = performance.now()
    readSum(buffer, floats)
    return (floats * 4) / ((performance.now() - start) / 1000)
  }
}

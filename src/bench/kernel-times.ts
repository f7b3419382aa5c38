// Where the time of a training step goes: the kernels, watched.

import type { Kernels } from '../kernels/index.js'

export interface KernelTime {
  /** Name of the kernel; a matrix product also says its m×n×k and which operands are transposed (T). */
  kernel: string
  millisecondsPerStep: number
  callsPerStep: number
  /** Of a matrix product; null for the others. */
  gflops: number | null
}

/** The same kernels, with the time of every call added up. */
export class WatchedKernels {
  readonly kernels: Kernels
  readonly #times = new Map<string, { milliseconds: number; calls: number; flops: number }>()

  constructor(kernels: Kernels) {
    const watched = Object.entries(kernels).map(([name, member]) => {
      if (typeof member !== 'function') return [name, member]
      return [
        name,
        (...args: unknown[]) => {
          const started = performance.now()
          const result: unknown = Reflect.apply(member, kernels, args)
          this.#add(name, args, performance.now() - started)
          return result
        },
      ]
    })
    this.kernels = Object.fromEntries(watched) as Kernels
  }

  /** Forgets what was measured so far. */
  reset(): void {
    this.#times.clear()
  }

  /** The longest first. */
  times(steps: number): KernelTime[] {
    const rows = [...this.#times].map(([kernel, { milliseconds, calls, flops }]) => ({
      kernel,
      millisecondsPerStep: milliseconds / steps,
      callsPerStep: calls / steps,
      gflops: flops === 0 ? null : flops / milliseconds / 1e6,
    }))
    return rows.sort((a, b) => b.millisecondsPerStep - a.millisecondsPerStep)
  }

  #add(name: string, args: unknown[], milliseconds: number): void {
    let key = name
    let flops = 0
    if (name === 'matmul') {
      const [m, n, k, transA, transB] = args.slice(3, 8) as [number, number, number, boolean, boolean]
      key = `matmul ${m}×${n}×${k} ${transA ? 'T' : '·'}${transB ? 'T' : '·'}`
      flops = 2 * m * n * k
    }
    const time = this.#times.get(key) ?? { milliseconds: 0, calls: 0, flops: 0 }
    time.milliseconds += milliseconds
    time.calls++
    time.flops += flops
    this.#times.set(key, time)
  }
}
